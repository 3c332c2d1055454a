//! The `bursar` command.

use std::process::ExitCode;

use bursar::{
    World,
    advice::Advice,
    arguments::{Arguments, Authority, Command, Run, StorageServer, help_for},
    authority::{self, CommandError},
    demo, doctor, logging,
    signals::{SignalError, Signals},
    storage_server::{self, StorageServerError},
    whose::WrongDirectory,
};
use clap::{CommandFactory, FromArgMatches, error::ErrorKind};
use rustix::fs::Mode;

/// The path of a write makes many small allocations: under a load of writes, 23 % of a node's processor samples were within
/// glibc's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    // What the program writes is its owner's alone, also what RocksDB writes on its behalf.
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
    let parsed = Arguments::command().try_get_matches().and_then(|invoked| {
        let arguments = Arguments::from_arg_matches(&invoked)?;
        Ok((invoked, arguments.command))
    });
    let (invoked, command) = match parsed {
        Ok(parsed) => parsed,
        Err(told) => return not_carried_out(&told),
    };
    let world = World::real();
    if let Some((owner, directory)) = command.data_directory()
        && let Err(wrong) = owner.require(&world, directory)
    {
        return ended(Err(wrong), |_| MISUSED, WrongDirectory::advice);
    }
    match command {
        Command::Authority(Authority::Init(init)) => {
            let directory = init.dir.clone();
            let made = authority::init_command(&world, init);
            ended(made, CommandError::exit_code, |error| error.advice(&directory, "bursar authority init --help"))
        }
        Command::Authority(Authority::Join(join)) => {
            let directory = join.dir.clone();
            let joined = authority::join_command(&world, join).await;
            ended(joined, CommandError::exit_code, |error| error.advice(&directory, "bursar authority join --help"))
        }
        Command::Authority(Authority::Run(run)) => match service(&run) {
            Ok(mut signals) => {
                let ran = authority::run(&world, &run.dir, signals.received()).await;
                ended(ran, |_| FAILED, |error| error.advice(&run.dir))
            }
            Err(error) => ended(Err(error), |_| FAILED, |_| Advice::next("bursar authority run --help")),
        },
        Command::StorageServer(StorageServer::Init(init)) => {
            let made = storage_server::init_command(&world, &init);
            ended(made, StorageServerError::exit_code, |error| error.advice(&init.dir))
        }
        Command::StorageServer(StorageServer::ConnectionString(arguments)) => {
            let issued = storage_server::connection_string_command(&world, &arguments);
            ended(issued, StorageServerError::exit_code, |error| error.advice(&arguments.dir))
        }
        Command::StorageServer(StorageServer::Run(run)) => match service(&run) {
            Ok(mut signals) => {
                let ran = storage_server::run_command(&world, &run.dir, signals.received()).await;
                ended(ran, storage_server::RunError::exit_code, |error| error.advice(&run.dir))
            }
            Err(error) => ended(Err(error), |_| FAILED, |_| Advice::next("bursar storage-server run --help")),
        },
        Command::Demo(options) => {
            let folder = options.dir.clone();
            ended(demo::run(options).await, |_| FAILED, |error| error.advice(&folder))
        }
        Command::Doctor(options) => doctor::run(&world, options).await,
        Command::Operator(command) => bursar_cli::run(command, Arguments::command(), &invoked).await,
    }
}

/// The exit code where a command has failed.
const FAILED: u8 = 1;
/// The exit code where the command line is wrong.
const MISUSED: u8 = 2;

/// Tells what is wrong with the command line; or what was asked for in place of a command, the help or the version.
fn not_carried_out(told: &clap::Error) -> ExitCode {
    // Nobody is left to be told where that fails.
    let _ = told.print();
    let shows_help = told.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand;
    if told.use_stderr() && !shows_help {
        eprintln!("next: {}", help_for(std::env::args_os().skip(1)));
    }
    ExitCode::from(u8::try_from(told.exit_code()).unwrap_or(MISUSED))
}

/// Makes this process a service: it logs, and ends when it is told to.
fn service(run: &Run) -> Result<Signals, SignalError> {
    logging::start(run.log_format);
    Signals::of_service(run.own_session)
}

/// Tells what went wrong and what to do next, on standard error, and says so to the caller.
fn ended<E: std::error::Error>(
    result: Result<(), E>,
    exit_code: impl FnOnce(&E) -> u8,
    advice: impl FnOnce(&E) -> Advice,
) -> ExitCode {
    let Err(error) = result else { return ExitCode::SUCCESS };
    let mut told = error.to_string();
    // What comes from a parser may end with a line of its own.
    eprintln!("error: {}", told.trim_end());
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_told = cause.to_string();
        // Many an error names its cause in its own words already.
        if !told.contains(&cause_told) {
            eprintln!("  because: {cause_told}");
        }
        (told, source) = (cause_told, cause.source());
    }
    eprintln!("{}", advice(&error));
    ExitCode::from(exit_code(&error))
}
