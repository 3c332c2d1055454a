//! The authority's end of what it says to storage servers.
//!
//! ```text
//! a storage server ── Follow ───> any node: what concerns it, from that node's own journal
//!                  ── Control ──> any node ── heartbeats ──> the leader, which keeps them in memory alone
//!                                          ── notices ─────> the ledger
//!
//! every node looks at the servers' ports, and tells the leader
//! the leader's duties: take servers in ── tell who answers from who does not
//! ```
//!
//! | module | what it is |
//! |---|---|
//! | [`Fleet`] | the handle: what a node is asked of storage servers, and what it does by itself |
//! | `port`, `feed`, `questions` | the control port: who may come in, what they follow, what they ask |
//! | `observed`, `sights`, `relayed` | what the leader has heard and was told, and how the other nodes tell and ask |
//! | `duties`, `detector`, `join` | what the leader does by itself, dropped whole when it leads no more |
//! | `probes` | what every node does by itself |
//! | `inspection`, `latency` | a machine that may be added, and the ports between it and the others |
//! | `newcomer`, `calls`, `certificates` | calling machines that are no members yet, and those that are |
//!
//! What is held in memory here is lost with the leadership, and found anew by the next leader. What must last is in the ledger.

mod calls;
mod certificates;
mod config;
#[cfg(test)]
mod corpus;
mod counters;
mod detector;
mod duties;
mod feed;
mod fleet;
mod inspection;
mod join;
mod latency;
mod newcomer;
mod observed;
mod port;
mod probes;
mod questions;
mod relayed;
mod sights;

pub use calls::CallFailure;
pub use certificates::{IssueError, Issuer};
pub use config::{FleetConfig, FleetParts};
pub use counters::Counters;
pub use fleet::{Fleet, ObservedError};
pub use inspection::{AddressInspected, Inspection, PortInspected};
pub use latency::Far;
pub use newcomer::Unmet;
pub use observed::{Heard, Observation, Observations};
pub use sights::Look;
