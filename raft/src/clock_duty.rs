//! The clock duty: a thin driver of [`bursar_domain::plan::clock`]. The leader stamps all that is decided, so its clock must be
//! as most of its quorum's are.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bursar_domain::{
    AuthorityNodeId,
    plan::clock::{Observed, heirs},
};
use bursar_net::WallClock;
use futures_util::future::join_all;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::{forward::Forwarder, leadership::Leadership, transfer::HandOver};

/// How often the clocks are compared.
const COMPARE: Duration = Duration::from_secs(2);
/// How long another node may take to tell its time. Half of that is how far the comparison may be wrong, where one of the two
/// ways takes all of the time: up to half a second beside the five of [`bursar_domain::plan::clock::SKEW_MS_MAX`].
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a hand-over may take before the clocks are compared anew.
const HAND_OVER_TIMEOUT: Duration = Duration::from_secs(10);

/// Gives the leadership away where the clock of this node is not as the others' are.
pub(crate) struct ClockDuty {
    pub(crate) id: u64,
    pub(crate) leadership: Leadership,
    pub(crate) forwarder: Forwarder,
    pub(crate) hand_over: Arc<HandOver>,
    pub(crate) wall_clock: Arc<dyn WallClock>,
    /// Between two signs of life of the leader.
    pub(crate) heartbeat: Duration,
    /// The nodes that are farther away than that allows, as was told.
    pub(crate) far: Mutex<BTreeSet<u64>>,
}

impl ClockDuty {
    /// Compares the clocks again and again, for ever.
    pub(crate) async fn run(&self) {
        let mut tick = interval(COMPARE);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            self.carry_out().await;
        }
    }

    async fn carry_out(&self) {
        let observed = self.observe().await;
        let heirs: Vec<u64> = heirs(&observed).into_iter().map(|heir| heir.0).collect();
        if heirs.is_empty() {
            return;
        }
        let ahead_ms = observed.ahead_ms;
        tracing::warn!(
            ?ahead_ms,
            ?heirs,
            "the clock of this node is far off those of the others: another is to lead. Set it right"
        );
        if let Err(error) = self.hand_over.to_one_of(&heirs, Instant::now() + HAND_OVER_TIMEOUT).await {
            tracing::warn!(?heirs, ?error, "the leadership was not handed over");
        }
    }

    /// Reads the clocks of all other voters.
    async fn observe(&self) -> Observed {
        let metrics = self.leadership.metrics();
        let voters: Vec<u64> = metrics.membership_config.membership().voter_ids().collect();
        let others = voters.iter().copied().filter(|voter| *voter != self.id);
        let read = join_all(others.map(async |voter| Some((AuthorityNodeId(voter), self.ahead_ms(voter).await?)))).await;
        let ahead_ms: BTreeMap<_, _> = read.into_iter().flatten().collect();
        Observed { voters: voters.len(), ahead_ms }
    }

    /// The core gives a sign of life up that is not answered within three quarters of the time to the next one. Where the way is
    /// longer, writes still work, and yet nobody ever confirms this leader.
    fn compare_with_heartbeat(&self, node: u64, round_trip: Duration) {
        let bound = self.heartbeat * 3 / 4;
        let mut far = self.far.lock().unwrap_or_else(PoisonError::into_inner);
        if round_trip <= bound {
            far.remove(&node);
        } else if far.insert(node) {
            tracing::warn!(
                node,
                ?round_trip,
                ?bound,
                "the way to a node and back is longer than a sign of life may take: raise raft.heartbeat_ms, and the election \
                 timeouts with it, on all nodes"
            );
        }
    }

    /// How far the clock of another node is ahead, in milliseconds. It was read about half-way through the exchange.
    async fn ahead_ms(&self, node: u64) -> Option<i64> {
        let asked = Instant::now();
        let theirs = self.forwarder.wall_clock(node, asked + ANSWER_TIMEOUT).await?;
        self.compare_with_heartbeat(node, asked.elapsed());
        let since_read = asked.elapsed() / 2;
        let theirs_now = i128::from(theirs).saturating_add(since_read.as_millis().cast_signed());
        let ahead = theirs_now - i128::from(self.wall_clock.now_unix_ms());
        Some(i64::try_from(ahead).unwrap_or(if ahead > 0 { i64::MAX } else { i64::MIN }))
    }
}
