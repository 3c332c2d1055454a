//! What a fleet is started with.

use std::{sync::Arc, time::Duration};

use bursar_domain::plan::failure_detection;
use bursar_net::{Dialer, PinnedConnector, WallClock};

use crate::{certificates::Issuer, observed::Observations};

/// The shortest interval between two heartbeats that is ever asked for.
const BEAT_MIN: Duration = Duration::from_secs(1);

/// How storage servers are looked after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FleetConfig {
    /// After how long a silence a server counts as one that does not answer.
    pub detection_window: Duration,
    /// How long each authority node rests, at least, between two looks at the servers' ports.
    pub probe_interval: Duration,
}

impl Default for FleetConfig {
    fn default() -> Self {
        Self { detection_window: Duration::from_millis(failure_detection::WINDOW_MS), probe_interval: Duration::from_secs(10) }
    }
}

impl FleetConfig {
    /// After how long the leader wants to hear from a server again: two heartbeats may be lost.
    pub(crate) fn beat(&self) -> Duration {
        (self.detection_window / 3).max(BEAT_MIN)
    }

    /// How often the leader looks who is silent.
    pub(crate) fn look(&self) -> Duration {
        self.detection_window / 10
    }
}

/// What a fleet is made of.
pub struct FleetParts {
    /// The time of day.
    pub clock: Arc<dyn WallClock>,
    /// Calls storage servers, as this node.
    pub dialer: Arc<Dialer>,
    /// Calls machines of which only their certificate's fingerprint is known.
    pub pinned: Arc<dyn PinnedConnector>,
    /// Certifies those that are taken in.
    pub issuer: Issuer,
    /// What this node hears while it leads: the same that answers what is relayed to it.
    pub observations: Arc<Observations>,
}
