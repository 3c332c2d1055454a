//! The authority's end of what it says to storage servers.
//!
//! ```text
//! a storage server ── Follow ───> any node: what concerns it, from that node's own journal
//!                  ── Control ──> any node ── heartbeats ──> the leader, which keeps them in memory alone
//!                                          ── notices ─────> the ledger
//!
//! the leader's duties: take servers in ── tell who answers from who does not ── look at everybody's ports
//! ```
//!
//! | module | what it is |
//! |---|---|
//! | [`Fleet`] | the handle: what a node is asked of storage servers, and what it does by itself |
//! | `port`, `feed`, `questions` | the control port: who may come in, what they follow, what they ask |
//! | `observed`, `relayed` | what the leader has heard and seen, and how the other nodes ask for it |
//! | `duties`, `detector`, `join`, `probes` | what the leader does by itself, dropped whole when it leads no more |
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
mod join;
mod newcomer;
mod observed;
mod port;
mod probes;
mod questions;
mod relayed;

pub use calls::CallFailure;
pub use certificates::{IssueError, Issuer};
pub use config::{FleetConfig, FleetParts};
pub use counters::Counters;
pub use fleet::{AddressInspected, Fleet, Inspection, ObservedError, PortInspected};
pub use newcomer::Unmet;
pub use observed::{Heard, Observation, Observations};
