//! The options that commands have in common.

use std::path::PathBuf;

use bursar_domain::Cursor;
use bursar_wire::{
    client::Change,
    query::{Consistency, ListQuery, ReadQuery},
};
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
    /// How long a request may take, in seconds; the nodes share it that are asked in turn [env: BURSAR_TIMEOUT] [default: 40]
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
    /// Names the request: repeated under the same key within an hour, it is carried out once [default: a new one]
    #[arg(long, value_name = "KEY")]
    pub idempotency_key: Option<String>,
}

/// The options of a change of what exists.
#[derive(Args, Clone, Debug, Default)]
pub struct EditOptions {
    /// Refuse where the object is no longer the one with this ETag
    #[arg(long, value_name = "ETAG", value_parser = parse_etag)]
    pub if_match: Option<String>,
    /// Every change has these.
    #[command(flatten)]
    pub change: ChangeOptions,
}

/// The options of a change that is asked about before.
#[derive(Args, Clone, Debug, Default)]
pub struct ConfirmedOptions {
    /// Do not ask whether to go on
    #[arg(short, long)]
    pub yes: bool,
    /// Every change of what exists has these.
    #[command(flatten)]
    pub edit: EditOptions,
}

/// Where a secret goes that is shown once.
#[derive(Args, Clone, Debug, Default)]
pub struct SecretOptions {
    /// Keep it in a new file that its owner alone may read
    #[arg(long, value_name = "FILE", conflicts_with = "dry_run")]
    pub out: Option<PathBuf>,
}

impl ChangeOptions {
    /// The change that they ask for.
    pub fn change(&self) -> Change {
        Change { if_match: None, dry_run: self.dry_run, request_id: self.idempotency_key.clone() }
    }
}

impl EditOptions {
    /// The change that they ask for.
    pub fn change(&self) -> Change {
        Change { if_match: self.if_match.clone(), ..self.change.change() }
    }
}

impl ConfirmedOptions {
    /// The change that they ask for.
    pub fn change(&self) -> Change {
        self.edit.change()
    }

    /// The same change, of which only the consequences are told.
    pub fn rehearsal(&self) -> Change {
        Change { dry_run: true, ..self.change() }
    }

    /// Whether nothing is to be changed.
    pub fn dry_run(&self) -> bool {
        self.edit.change.dry_run
    }
}

/// An ETag with or without the quotes that it has in HTTP.
fn parse_etag(text: &str) -> Result<String, String> {
    let bare = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(text);
    bare.parse::<Cursor>().map(|cursor| cursor.to_string()).map_err(|_| "an ETag looks like 1-42".to_owned())
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
    #[arg(long, value_name = "COUNT", value_parser = parse_limit)]
    pub limit: Option<usize>,
    /// Which version.
    #[command(flatten)]
    pub version: VersionOptions,
}

/// Which version is to be shown: the present, what one node has of it, or the past.
#[derive(Args, Clone, Debug, Default)]
pub struct VersionOptions {
    /// Take what the node has, which may be old, where no quorum answers
    #[arg(long, conflicts_with = "as_of")]
    pub stale: bool,
    /// Show how things were at a revision: its number, or its cursor
    #[arg(long, value_name = "REVISION")]
    pub as_of: Option<String>,
}

impl VersionOptions {
    /// How a read says which version it means.
    pub fn query(&self) -> ReadQuery {
        ReadQuery { consistency: self.consistency(), as_of: self.as_of.clone(), ..ReadQuery::default() }
    }

    /// The same for a list.
    pub fn list_query(&self) -> ListQuery {
        ListQuery { consistency: self.consistency(), as_of: self.as_of.clone(), ..ListQuery::default() }
    }

    fn consistency(&self) -> Option<Consistency> {
        self.stale.then_some(Consistency::Stale)
    }
}

/// How many to show: at least one.
pub(crate) fn parse_limit(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|limit| *limit > 0).ok_or_else(|| "must be a whole number from 1".to_owned())
}
