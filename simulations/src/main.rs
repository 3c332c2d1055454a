//! The `bursar-simulate` command.

use std::process::ExitCode;
use std::sync::Arc;

use bursar_simulations::command::{self, Arguments};
use bursar_simulations::production::Production;
use clap::Parser;

fn main() -> ExitCode {
    command::run(Arguments::parse(), Arc::new(Production::new()))
}
