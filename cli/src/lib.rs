//! Operators' commands over the HTTP API.
//!
//! A command is carried out in four steps: its settings are gathered (flags, then the environment, then the context file, then
//! defaults), a client is made of them, the request is made and its answer shown. Data goes to standard output, everything else
//! to standard error, and a failure ends with the command to try next.

mod config;
mod console;
mod failure;
mod flags;
mod login;
mod neighbours;
mod noun;
mod nouns;
mod options;
mod output;
mod secret_place;
mod session;
mod settings;
mod sizes;
mod status;
mod surroundings;

use std::process::ExitCode;

use clap::{ArgMatches, Subcommand};
use clap_complete::Shell;

pub use console::{Console, Reader};
pub use failure::EXIT_CODES;
use failure::Failure;
use login::{ContextCommand, Login};
use nouns::{
    alerts::AlertCommand, cluster::ClusterCommand, destinations::DestinationCommand, events::EventCommand,
    operations::OperationCommand, servers::ServerCommand, sites::SiteCommand, store_points::StorePointCommand,
    tokens::TokenCommand,
};
use options::{Nested, Options};
use session::Session;
pub use surroundings::Surroundings;

/// What operators do over the API.
#[derive(Subcommand, Clone, Debug)]
pub enum Command {
    /// Show how the cluster fares, on one screen
    Status(Options),
    /// Tell whether the cluster is healthy: exit code 10 where it is not, or where a critical alert fires that nobody has acknowledged
    Health(Options),
    /// Name a cluster and keep a token for it
    Login(Login),
    /// Choose between the clusters that are known here
    Context(Nested<ContextCommand>),
    /// Places with a failure domain of their own
    Site(Nested<SiteCommand>),
    /// What users choose for their backups
    Destination(Nested<DestinationCommand>),
    /// Machines of a destination that keep archives
    Server(Nested<ServerCommand>),
    /// Places on servers' disks that take archives
    StorePoint(Nested<StorePointCommand>),
    /// What an operator should know of
    Alert(Nested<AlertCommand>),
    /// Long pieces of work
    Operation(Nested<OperationCommand>),
    /// What has happened
    Event(Nested<EventCommand>),
    /// The authority's nodes
    Cluster(Nested<ClusterCommand>),
    /// The administrators' credentials
    Token(Nested<TokenCommand>),
    /// Print the completion script for a shell
    Completion {
        /// Which shell
        shell: Shell,
    },
}

/// Carries a command out and tells how it ended, as [`EXIT_CODES`] says. `program` is the whole command line, which completion
/// scripts are made of; `invoked` are the words of it that named the command.
pub async fn run(command: Command, program: clap::Command, invoked: &ArgMatches) -> ExitCode {
    ExitCode::from(run_in(command, program, invoked, &mut Surroundings::real()).await)
}

/// The same in any surroundings.
pub async fn run_in(command: Command, program: clap::Command, invoked: &ArgMatches, surroundings: &mut Surroundings) -> u8 {
    let (invoked, knows_stale) = (named(program.get_name(), invoked), knows_stale(invoked));
    let Err(failure) = carry_out(command, program, surroundings).await else { return 0 };
    let failure = if knows_stale { failure } else { failure.without_stale() };
    // Nobody is left to be told when standard error itself is gone.
    let _ = failure.show(&invoked, &mut surroundings.console);
    failure.exit as u8
}

/// The command that was named, for instance `bursar site add`.
fn named(program: &str, mut matches: &ArgMatches) -> String {
    let mut words = vec![program];
    while let Some((word, further)) = matches.subcommand() {
        words.push(word);
        matches = further;
    }
    words.join(" ")
}

/// Whether the command that was named can show what one node has: a flag stands among its matches also where it was not given.
fn knows_stale(matches: &ArgMatches) -> bool {
    match matches.subcommand() {
        Some((_, further)) => knows_stale(further),
        None => matches.ids().any(|id| id == "stale"),
    }
}

async fn carry_out(command: Command, mut program: clap::Command, surroundings: &mut Surroundings) -> Result<(), Failure> {
    match command {
        Command::Status(options) => status::status(&mut Session::open(&options, surroundings)?).await,
        Command::Health(options) => status::health(&mut Session::open(&options, surroundings)?).await,
        Command::Login(login) => login::login(login, surroundings).await,
        Command::Context(Nested { options, command }) => login::contexts(&options, command, surroundings),
        Command::Site(Nested { options, command }) => command.run(&mut Session::open(&options, surroundings)?).await,
        Command::Destination(Nested { options, command }) => command.run(&mut Session::open(&options, surroundings)?).await,
        Command::Server(Nested { options, command }) => command.run(&mut Session::open(&options, surroundings)?).await,
        Command::StorePoint(Nested { options, command }) => command.run(&mut Session::open(&options, surroundings)?).await,
        Command::Alert(Nested { options, command }) => command.run(&mut Session::open(&options, surroundings)?).await,
        Command::Operation(Nested { options, command }) => command.run(&mut Session::open(&options, surroundings)?).await,
        Command::Event(Nested { options, command }) => command.run(&mut Session::open(&options, surroundings)?).await,
        Command::Cluster(Nested { options, command }) => command.run(&mut Session::open(&options, surroundings)?).await,
        Command::Token(Nested { options, command }) => command.run(&mut Session::open(&options, surroundings)?).await,
        Command::Completion { shell } => {
            let mut script = Vec::new();
            let name = program.get_name().to_owned();
            clap_complete::generate(shell, &mut program, name, &mut script);
            surroundings.console.write(&script)
        }
    }
}
