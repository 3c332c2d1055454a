//! An authority node: how one is founded, joins, and runs.

mod admission;
mod advice;
mod commands;
mod config;
#[cfg(test)]
mod corpus;
mod directory;
mod found;
mod identity;
mod join;
mod joiner;
mod members;
mod run;
mod settling;
mod storage_servers;
mod stores;

pub use commands::{CommandError, init_command, join_command};
pub use config::{Advertised, Checkpoints, Config, FleetTiming, Listen, RaftTiming, Unusable};
pub use directory::{CA_FILE, DataDirectory, DirectoryError, LOCK_FILE, NewNode};
pub use found::{FoundError, Founded, Founding, found};
pub use identity::Identity;
pub use join::{JoinError, Joining, join};
pub use members::Members;
pub use run::{RunError, run, run_watched};
pub use stores::{StoreError, Stores, check_there, compare, open_ledger, open_log};

/// How long a cluster's certificate authority is valid.
const AUTHORITY_LIFETIME: std::time::Duration = std::time::Duration::from_secs(10 * 365 * 24 * 3600);
/// How long the certificate of a node, or of a storage server, is valid.
const NODE_LIFETIME: std::time::Duration = std::time::Duration::from_secs(2 * 365 * 24 * 3600);
/// For what the cluster key seals the certificate authority's private key.
pub const SEALED_CA_KEY: &str = "certificate authority key";
/// The largest payload on a lane between nodes, in bytes.
const FRAME_BYTES_MAX: usize = bursar_net::FRAME_BYTES_MAX;
