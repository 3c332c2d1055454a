//! Rounds of a test in which nothing came between.
//!
//! Where a machine stands still for a second the lease of its leader ends, and in two there may be another election. The nodes
//! are right then, and what is promised of one reign need not hold. Such a round is held again; wherever one reign lasted, what
//! is promised of it stays promised to the letter.

use std::{fmt::Debug, time::Duration};

use bursar_raft::{Node, Role};
use tokio::time::Instant;

use crate::support::{ELECTION_TIMEOUT, Running};

/// How often a round is held until one was quiet: a machine hardly stands still every time.
const ROUNDS_MAX: u32 = 5;

/// For how long after a quorum has confirmed it a leader decides, and nobody votes for another.
pub const LEASE: Duration = ELECTION_TIMEOUT.end;

/// Holds rounds until one counts, which each says of itself. A round that nothing disturbed counts, or fails.
pub async fn undisturbed(mut round: impl AsyncFnMut() -> bool) {
    for _ in 0..ROUNDS_MAX {
        if round().await {
            return;
        }
    }
    panic!("{ROUNDS_MAX} rounds, and none of them was quiet");
}

/// Whether what was `seen` is what is `promised`. Only in a round that was not `quiet` it may be something else; whether it was
/// quiet is to be found out after what was seen, not before.
pub fn holds<T: Debug + PartialEq>(seen: T, promised: T, quiet: bool) -> bool {
    if quiet {
        assert_eq!(seen, promised);
    }
    seen == promised
}

/// The time in which one node leads in one term.
pub struct Reign<'n> {
    leader: &'n Node,
    term: u64,
    /// When a quorum had confirmed it last, by what was known when it was looked at.
    confirmed: Option<Instant>,
}

impl<'n> Reign<'n> {
    /// The reign of `leader`, which leads.
    pub fn of(leader: &'n Running) -> Self {
        // Taken before the look: the confirmation may be older than it seems by this, and not younger.
        let now = Instant::now();
        let status = leader.node.status();
        let confirmed = status.quorum_last_ack_ms.and_then(|ago| now.checked_sub(Duration::from_millis(ago)));
        Self { leader: &leader.node, term: status.term, confirmed }
    }

    pub fn term(&self) -> u64 {
        self.term
    }

    /// Whether it still lasts. Whoever leads in the same term has led all the while.
    pub fn lasts(&self) -> bool {
        let status = self.leader.status();
        (status.role, status.term) == (Role::Leader, self.term)
    }

    /// Whether the lease that the leader had when it was looked at is not over yet.
    pub fn is_within_lease(&self) -> bool {
        self.confirmed.is_some_and(|confirmed| confirmed.elapsed() < LEASE)
    }
}
