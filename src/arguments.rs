//! The command line.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use bursar_net::Address;
use clap::{Args, CommandFactory, Parser, Subcommand, value_parser};

use crate::{logging::LogFormat, whose::Owner};

/// The replicated authority of a private backup-storage fleet.
#[derive(Parser, Debug)]
#[command(name = "bursar", version, propagate_version = true, disable_help_subcommand = true, after_help = bursar_cli::EXIT_CODES)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Everything that the program does.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Found, join and run authority nodes
    #[command(subcommand)]
    Authority(Authority),
    /// Make storage servers, introduce them to the authority, and run them
    #[command(subcommand)]
    StorageServer(StorageServer),
    /// Run a whole fleet on this machine, to try it out
    Demo(Demo),
    /// Examine an authority node or a storage server, running or stopped
    Doctor(Doctor),
    /// Whatever operators do over the API
    #[command(flatten)]
    Operator(bursar_cli::Command),
}

impl Command {
    /// Which data directory the command is about, and whose it has to be.
    pub fn data_directory(&self) -> Option<(Owner, &Path)> {
        Some(match self {
            Self::Authority(
                Authority::Init(Init { dir, .. }) | Authority::Join(Join { dir, .. }) | Authority::Run(Run { dir, .. }),
            ) => (Owner::AuthorityNode, dir),
            Self::StorageServer(StorageServer::Init(init)) => (Owner::StorageServer, &init.dir),
            Self::StorageServer(
                StorageServer::ConnectionString(ConnectionString { dir, .. }) | StorageServer::Run(Run { dir, .. }),
            ) => (Owner::StorageServer, dir),
            Self::Demo(_) | Self::Doctor(_) | Self::Operator(_) => return None,
        })
    }
}

/// The command whose help tells how to write a command line that was refused: the innermost that its words name.
pub fn help_for(words: impl IntoIterator<Item = OsString>) -> String {
    let program = Arguments::command();
    let (mut command, mut named) = (&program, program.get_name().to_owned());
    for word in words {
        if let Some(inner) = command.find_subcommand(&word) {
            named = format!("{named} {}", inner.get_name());
            command = inner;
        }
    }
    format!("{named} --help")
}

/// What can be done with authority nodes.
#[derive(Subcommand, Debug)]
pub enum Authority {
    /// Make the first node of a new cluster
    Init(Init),
    /// Make this machine a further node of a cluster
    Join(Join),
    /// Run the node of a data directory
    Run(Run),
}

/// Where a node listens, and under which addresses others reach it.
#[derive(Args, Clone, Debug)]
pub struct Addresses {
    /// The address under which the other authority nodes reach this one, host:port
    #[arg(long, value_name = "ADDRESS")]
    pub peer_address: Address,
    /// The address under which people reach its API, host:port
    #[arg(long, value_name = "ADDRESS")]
    pub api_address: Address,
    /// The address under which storage servers reach it, host:port [default: the host of --peer-address, port 4288]
    #[arg(long, value_name = "ADDRESS")]
    pub control_address: Option<Address>,
    /// Where to listen for the other nodes [default: all interfaces, the port of --peer-address]
    #[arg(long, value_name = "ADDRESS")]
    pub listen_peer: Option<Address>,
    /// Where to listen for people [default: all interfaces, the port of --api-address]
    #[arg(long, value_name = "ADDRESS")]
    pub listen_api: Option<Address>,
    /// Where to listen for storage servers [default: all interfaces, the port of --control-address]
    #[arg(long, value_name = "ADDRESS")]
    pub listen_control: Option<Address>,
}

/// `bursar authority init`
#[derive(Args, Debug)]
pub struct Init {
    /// The node's data directory: empty, or not there yet
    #[arg(long, value_name = "DIRECTORY")]
    pub dir: PathBuf,
    /// Where it listens
    #[command(flatten)]
    pub addresses: Addresses,
    /// The file with the master license key; without it one is made
    #[arg(long, value_name = "FILE")]
    pub license_key_file: Option<PathBuf>,
}

/// `bursar authority join`
#[derive(Args, Debug)]
pub struct Join {
    /// The node's data directory: empty, or not there yet
    #[arg(long, value_name = "DIRECTORY")]
    pub dir: PathBuf,
    /// The file with the join token that `bursar cluster invite` printed
    #[arg(long, value_name = "FILE")]
    pub token_file: PathBuf,
    /// Where it listens
    #[command(flatten)]
    pub addresses: Addresses,
    /// How long to keep trying, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub patience: u64,
}

/// `bursar authority run`, `bursar storage-server run`
#[derive(Args, Debug)]
pub struct Run {
    /// The data directory
    #[arg(long, value_name = "DIRECTORY")]
    pub dir: PathBuf,
    /// How log lines look
    #[arg(long, value_enum, default_value = "text", env = "BURSAR_LOG_FORMAT")]
    pub log_format: LogFormat,
    /// Leave the session of whoever started it
    #[arg(long, hide = true)]
    pub own_session: bool,
}

/// What can be done with storage servers.
#[derive(Subcommand, Debug)]
pub enum StorageServer {
    /// Make this machine a storage server, and print its connection string
    Init(Box<InitStorageServer>),
    /// Print another connection string; every former one is void from then on
    ConnectionString(ConnectionString),
    /// Run the server of a data directory: it waits for the authority, and works for it once it was added
    Run(Run),
}

/// `bursar storage-server init`
#[derive(Args, Debug)]
pub struct InitStorageServer {
    /// The server's data directory: empty, or not there yet
    #[arg(long, value_name = "DIRECTORY")]
    pub dir: PathBuf,
    /// How the server is to be called: 1 to 128 characters
    #[arg(long, value_name = "NAME")]
    pub name: String,
    /// The address under which others reach its control port, customarily 4288, host:port
    #[arg(long, value_name = "ADDRESS")]
    pub primary_address: Address,
    /// Another address of its control port, for when the primary one does not answer, host:port
    #[arg(long, value_name = "ADDRESS")]
    pub secondary_address: Option<Address>,
    /// The file with the fleet's master license key; the key itself is not kept here
    #[arg(long, value_name = "FILE")]
    pub license_key_file: PathBuf,
    /// Where it listens
    #[command(flatten)]
    pub listening: Listening,
    /// How to show the answer
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value = "table")]
    pub output: Format,
}

/// Where a storage server listens.
#[derive(Args, Clone, Debug)]
pub struct Listening {
    /// Where to answer for reachability [default: all interfaces, port 4283]
    #[arg(long, value_name = "ADDRESS")]
    pub listen_peer: Option<Address>,
    /// Where to listen for archives [default: all interfaces, port 4286]
    #[arg(long, value_name = "ADDRESS")]
    pub listen_transfer: Option<Address>,
    /// Where to listen for the authority [default: all interfaces, the port of --primary-address]
    #[arg(long, value_name = "ADDRESS")]
    pub listen_control: Option<Address>,
}

/// `bursar storage-server connection-string`
#[derive(Args, Debug)]
pub struct ConnectionString {
    /// The server's data directory
    #[arg(long, value_name = "DIRECTORY")]
    pub dir: PathBuf,
    /// How to show the answer
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value = "table")]
    pub output: Format,
}

/// How to show an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// The line alone
    Table,
    /// For programs
    Json,
}

/// The most storage servers of a demo.
pub const STORAGE_SERVERS_MAX: u64 = 9;

/// `bursar demo`
#[derive(Args, Debug)]
pub struct Demo {
    /// Where the demo keeps its data; a second start continues from it
    #[arg(long, value_name = "DIRECTORY", default_value = "demo-data")]
    pub dir: PathBuf,
    /// Print one line of JSON when all is ready, and leave the processes running; `bursar demo --stop` ends them
    #[arg(long)]
    pub json: bool,
    /// With --json: stay, and end the processes when this one is ended
    #[arg(long, requires = "json")]
    pub supervise: bool,
    /// Which ports to use: the customary ones, or free ones
    #[arg(long, value_enum, default_value = "customary")]
    pub ports: Ports,
    /// How many storage servers there are to be, each with a store point; a demo keeps those that it has
    #[arg(long, value_name = "COUNT", default_value_t = 2, value_parser = value_parser!(u64).range(0..=STORAGE_SERVERS_MAX))]
    pub storage_servers: u64,
    /// End the demo of this directory: its processes, whoever started them; the data stays
    #[arg(long, conflicts_with_all = ["json", "supervise", "ports", "storage_servers"])]
    pub stop: bool,
}

/// Which ports the demo uses when it starts for the first time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Ports {
    /// 4283, 4285 and 4288 for the first authority node, a thousand more for each further process
    Customary,
    /// Whichever are free
    Auto,
}

/// `bursar doctor`
#[derive(Args, Debug)]
pub struct Doctor {
    /// The data directory of an authority node or of a storage server
    #[arg(long, value_name = "DIRECTORY")]
    pub dir: PathBuf,
    /// Print one JSON document
    #[arg(long)]
    pub json: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_for_a_refused_command_line_is_that_of_the_command_that_it_names() {
        for (line, help) in [
            ("site add", "bursar site add --help"),
            ("site --output json add --nonsense", "bursar site add --help"),
            ("site ad", "bursar site --help"),
            ("store-point show one two", "bursar store-point show --help"),
            ("nonsense", "bursar --help"),
            ("", "bursar --help"),
        ] {
            assert_eq!(help_for(line.split_whitespace().map(OsString::from)), help, "{line}");
        }
    }
}
