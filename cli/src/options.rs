//! The options that commands have in common.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use serde::{Deserialize, Serialize};

/// Whom to talk to, as whom, and how to show the answer.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Connection and output")]
pub struct Options {
    /// The cluster, as `bursar login` named it [env: BURSAR_CONTEXT]
    #[arg(long, global = true, value_name = "NAME")]
    pub context: Option<String>,
    /// The nodes to ask, instead of the context's; may be given several times [env: BURSAR_URL, separated by commas]
    #[arg(long = "url", global = true, value_name = "URL", value_delimiter = ',')]
    pub urls: Vec<String>,
    /// The file with the token, readable by its owner alone [env: BURSAR_TOKEN_FILE]
    #[arg(long, global = true, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// The file with the cluster's own certificate authority, PEM [env: BURSAR_CA_FILE]
    #[arg(long, global = true, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// How long a request may take, in seconds [env: BURSAR_TIMEOUT] [default: 40]
    #[arg(long, global = true, value_name = "SECONDS")]
    pub timeout: Option<u64>,
    /// How to show the answer [env: BURSAR_OUTPUT] [default: table]
    #[arg(short, long, global = true, value_enum, value_name = "FORMAT")]
    pub output: Option<Format>,
}

/// How to show an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// For people
    #[default]
    Table,
    /// For programs
    Json,
}

/// A noun's commands, with the options that all of them have.
#[derive(Args, Clone, Debug)]
pub struct Nested<C: Subcommand> {
    /// Whom to talk to, as whom, and how to show the answer.
    #[command(flatten)]
    pub options: Options,
    /// What to do.
    #[command(subcommand)]
    pub command: C,
}

/// The options of every change.
#[derive(Args, Clone, Debug, Default)]
pub struct ChangeOptions {
    /// Change nothing; tell the events that would be appended
    #[arg(long)]
    pub dry_run: bool,
    /// Refuse where the object is no longer the one with this ETag
    #[arg(long, value_name = "ETAG")]
    pub if_match: Option<String>,
}

/// The options of a change that is asked about before.
#[derive(Args, Clone, Debug, Default)]
pub struct ConfirmedOptions {
    /// Do not ask whether to go on
    #[arg(short, long)]
    pub yes: bool,
    /// Every change has these.
    #[command(flatten)]
    pub change: ChangeOptions,
}

/// The options of a list.
#[derive(Args, Clone, Debug, Default)]
pub struct ListOptions {
    /// Only what meets a condition: field=value, or field~value for containment
    #[arg(long, value_name = "CONDITION")]
    pub filter: Option<String>,
    /// The field to sort by; -field for the descending order
    #[arg(long, value_name = "FIELD", allow_hyphen_values = true)]
    pub sort: Option<String>,
    /// The most items to show
    #[arg(long, value_name = "COUNT")]
    pub limit: Option<usize>,
    /// Take what the node has, which may be old, where no quorum answers
    #[arg(long, conflicts_with = "as_of")]
    pub stale: bool,
    /// The past, where it is asked for.
    #[command(flatten)]
    pub past: PastOptions,
}

/// The options of what can be read as it was.
#[derive(Args, Clone, Debug, Default)]
pub struct PastOptions {
    /// Show how things were at a revision: its number, or its cursor
    #[arg(long, value_name = "REVISION")]
    pub as_of: Option<String>,
}
