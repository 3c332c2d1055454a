//! What the control port counts.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

/// What a node has counted since it was started, and what it has now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Servers that this node has heard while it leads; 0 where it does not.
    pub servers_heard: u64,
    /// Ports of which it has been told while it leads what others see of them; 0 where it does not.
    pub ports_observed: u64,
    /// Heartbeats that came in here and were answered by the leader.
    pub heartbeats_relayed: u64,
    /// Heartbeats that came in here and that no leader answered in time.
    pub heartbeats_unanswered: u64,
    /// Notices that came in here and are in the ledger.
    pub notices_noted: u64,
    /// Feeds that are open.
    pub feeds_open: u64,
    /// Feeds that were opened.
    pub feeds_opened: u64,
    /// Records that were sent on feeds.
    pub feed_records: u64,
    /// Feeds that ended because their reader took nothing.
    pub feed_readers_too_slow: u64,
}

/// The counters as they are counted.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    pub(crate) heartbeats_relayed: AtomicU64,
    pub(crate) heartbeats_unanswered: AtomicU64,
    pub(crate) notices_noted: AtomicU64,
    feeds_open: AtomicU64,
    feeds_opened: AtomicU64,
    pub(crate) feed_records: AtomicU64,
    pub(crate) feed_readers_too_slow: AtomicU64,
}

impl Meter {
    /// What was counted so far, where so many servers were heard and so many ports observed.
    pub(crate) fn read(&self, (servers_heard, ports_observed): (u64, u64)) -> Counters {
        Counters {
            servers_heard,
            ports_observed,
            heartbeats_relayed: self.heartbeats_relayed.load(Relaxed),
            heartbeats_unanswered: self.heartbeats_unanswered.load(Relaxed),
            notices_noted: self.notices_noted.load(Relaxed),
            feeds_open: self.feeds_open.load(Relaxed),
            feeds_opened: self.feeds_opened.load(Relaxed),
            feed_records: self.feed_records.load(Relaxed),
            feed_readers_too_slow: self.feed_readers_too_slow.load(Relaxed),
        }
    }

    /// Counts a feed for as long as what this gives is held.
    pub(crate) fn open_feed(self: &Arc<Self>) -> OpenFeed {
        self.feeds_opened.fetch_add(1, Relaxed);
        self.feeds_open.fetch_add(1, Relaxed);
        OpenFeed(Arc::clone(self))
    }
}

/// A feed that is open.
pub(crate) struct OpenFeed(Arc<Meter>);

impl Drop for OpenFeed {
    fn drop(&mut self) {
        self.0.feeds_open.fetch_sub(1, Relaxed);
    }
}
