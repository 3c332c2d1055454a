//! The `bursar` command.

use std::process::ExitCode;

use bursar::{
    arguments::{Arguments, Authority, Command},
    authority, demo, doctor, logging,
};
use clap::{CommandFactory, Parser};

#[tokio::main]
async fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Authority(Authority::Init(init)) => ended(authority::init_command(init)),
        Command::Authority(Authority::Join(join)) => ended(authority::join_command(join).await),
        Command::Authority(Authority::Run(run)) => {
            logging::start(run.log_format);
            ended(authority::run(&run.dir, run.own_session).await)
        }
        Command::Demo(options) => ended(demo::run(options).await),
        Command::Doctor(options) => doctor::run(options).await,
        Command::Operator(command) => bursar_cli::run(command, Arguments::command()).await,
    }
}

/// Tells what went wrong, on standard error, and says so to the caller.
fn ended<E: std::error::Error>(result: Result<(), E>) -> ExitCode {
    let Err(error) = result else { return ExitCode::SUCCESS };
    eprintln!("error: {error}");
    let mut source = error.source();
    while let Some(cause) = source {
        eprintln!("  because: {cause}");
        source = cause.source();
    }
    ExitCode::FAILURE
}
