//! What the tests are made of: a network in memory, a machine, and an authority that says what a test tells it to.

mod authority;
mod machine;
mod network;
mod slow;
mod words;

use std::time::Duration;

use tokio::time::timeout;

pub use authority::{Cluster, heard, noted};
pub use machine::Machine;
pub use network::MemoryNetwork;
pub use slow::{HeldBlocking, LateClock};
pub use words::*;

/// Waits for what must happen. The clock of the tests stands still while anybody has something to do, so this is no real time.
pub async fn patiently<T>(awaited: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(3_600), awaited).await.expect("it happens within an hour of the tests' clock")
}
