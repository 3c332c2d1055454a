//! The `bursar` command.

use std::process::ExitCode;

use bursar::{
    World,
    arguments::{Arguments, Authority, Command, Run, StorageServer},
    authority::{self, CommandError},
    demo, doctor, logging,
    signals::{SignalError, Signals},
    storage_server::{self, Advice, StorageServerError},
};
use clap::{CommandFactory, FromArgMatches};
use rustix::fs::Mode;

/// The path of a write makes many small allocations: under a load of writes, 23 % of a node's processor samples were within
/// glibc's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    // What the program writes is its owner's alone, also what RocksDB writes on its behalf.
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
    let invoked = Arguments::command().get_matches();
    let world = World::real();
    match Arguments::from_arg_matches(&invoked).unwrap_or_else(|error| error.exit()).command {
        Command::Authority(Authority::Init(init)) => ended_with(authority::init_command(&world, init), CommandError::exit_code),
        Command::Authority(Authority::Join(join)) => {
            ended_with(authority::join_command(&world, join).await, CommandError::exit_code)
        }
        Command::Authority(Authority::Run(run)) => match service(&run) {
            Ok(mut signals) => ended(authority::run(&world, &run.dir, signals.received()).await),
            Err(error) => ended(Err(error)),
        },
        Command::StorageServer(StorageServer::Init(init)) => {
            let made = storage_server::init_command(&world, &init);
            ended_advised(made, StorageServerError::exit_code, |error| error.advice(&init.dir))
        }
        Command::StorageServer(StorageServer::ConnectionString(arguments)) => {
            let issued = storage_server::connection_string_command(&world, &arguments);
            ended_advised(issued, StorageServerError::exit_code, |error| error.advice(&arguments.dir))
        }
        Command::StorageServer(StorageServer::Run(run)) => match service(&run) {
            Ok(mut signals) => {
                let ended = storage_server::run(&world, &run.dir, signals.received()).await;
                ended_advised(ended, storage_server::RunError::exit_code, |error| error.advice(&run.dir))
            }
            Err(error) => ended(Err(error)),
        },
        Command::Demo(options) => ended(demo::run(options).await),
        Command::Doctor(options) => doctor::run(&world, options).await,
        Command::Operator(command) => bursar_cli::run(command, Arguments::command(), &invoked).await,
    }
}

/// Makes this process a service: it logs, and ends when it is told to.
fn service(run: &Run) -> Result<Signals, SignalError> {
    logging::start(run.log_format);
    Signals::of_service(run.own_session)
}

/// Tells what went wrong, on standard error, and says so to the caller.
fn ended<E: std::error::Error>(result: Result<(), E>) -> ExitCode {
    ended_with(result, |_| 1)
}

/// The same, with what to do next.
fn ended_advised<E: std::error::Error>(
    result: Result<(), E>,
    exit_code: impl Fn(&E) -> u8,
    advice: impl Fn(&E) -> Advice,
) -> ExitCode {
    let advice = result.as_ref().err().map(advice);
    let code = ended_with(result, exit_code);
    if let Some(advice) = advice {
        eprintln!("{advice}");
    }
    code
}

fn ended_with<E: std::error::Error>(result: Result<(), E>, exit_code: impl Fn(&E) -> u8) -> ExitCode {
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
    ExitCode::from(exit_code(&error))
}
