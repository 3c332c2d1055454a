//! What a node is started with.

use std::{collections::BTreeMap, ops::Range, sync::Arc, time::Duration};

use bursar_domain::{
    AuthorityNodeId, Level, authority_node,
    mutants::{Mutant, planted},
};
use bursar_net::{Blocking, Dialer, WallClock};
use bursar_storage::{
    ledger::{Ledger, Recovered},
    log::{Member, RaftLog},
};
use openraft::SnapshotPolicy;

use crate::{error::StartError, relay::Relayed};

/// How a node behaves.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// Its number.
    pub id: AuthorityNodeId,
    /// How often the leader lets the others know that it is there.
    pub heartbeat: Duration,
    /// After how long a silence a node asks for votes: drawn anew each time. A leader whose quorum is silent for the end of
    /// the range takes nothing any more.
    pub election_timeout: Range<Duration>,
    /// A checkpoint of the state is written after so many revisions, or so many entries of the log.
    pub checkpoint_every: u64,
    /// Or after so many bytes of records: what a start folds is bounded, however large the records are.
    pub checkpoint_bytes: u64,
    /// How many entries that a checkpoint covers stay in the log, for nodes that come back. What those lack who answer stays, too.
    pub log_kept: u64,
    /// What may be under way at a time.
    pub limits: Limits,
    /// The newest level that the node can carry out. It stops where the cluster agrees on a newer one.
    pub supported: Level,
    /// What the node says of itself.
    pub facts: authority_node::Facts,
    /// The members that the node was told of when it joined: whom it calls as long as its ledger knows nobody.
    pub introduced: BTreeMap<AuthorityNodeId, Member>,
}

/// What may be under way on the leader at a time. What is beyond is refused at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Proposals.
    pub proposals: usize,
    /// Bytes of proposals.
    pub proposal_bytes: usize,
    /// Bytes of one encoded submission.
    pub one_proposal_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { proposals: 8_192, proposal_bytes: 64 << 20, one_proposal_bytes: 4 << 20 }
    }
}

impl NodeConfig {
    /// A node that says `facts` of itself, with times for a local network and disks that are busy at times.
    pub fn new(id: AuthorityNodeId, facts: authority_node::Facts) -> Self {
        Self {
            id,
            heartbeat: Duration::from_millis(150),
            election_timeout: Duration::from_millis(600)..Duration::from_millis(1_200),
            checkpoint_every: 10_000,
            checkpoint_bytes: 64 << 20,
            log_kept: 10_000,
            limits: Limits::default(),
            supported: Level::SUPPORTED,
            facts,
            introduced: BTreeMap::new(),
        }
    }

    /// How long an append may stay unanswered before its connection is given up. A slow disk is no dead node.
    pub(crate) fn append_timeout(&self) -> Duration {
        (self.election_timeout.end * 2).max(Duration::from_secs(2))
    }

    /// How long a node may be silent before the others go on without it: by then a leader's successor is elected.
    pub(crate) fn silence_max(&self) -> Duration {
        self.election_timeout.end * 2
    }

    /// How long one round that confirms the leadership may take.
    pub(crate) fn round_timeout(&self) -> Duration {
        self.election_timeout.end
    }

    /// openraft's configuration, if this one can work over frames of `frame_bytes_max`.
    pub(crate) fn openraft(&self, cluster_name: String, frame_bytes_max: usize) -> Result<openraft::Config, StartError> {
        let Limits { one_proposal_bytes, proposal_bytes, .. } = self.limits;
        if one_proposal_bytes > proposal_bytes || one_proposal_bytes > frame_bytes_max / 2 {
            let most = proposal_bytes.min(frame_bytes_max / 2);
            let detail = format!("a change may take {one_proposal_bytes} bytes, where at most {most} can be passed on");
            return Err(StartError::Config(detail));
        }
        let milliseconds = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        let config = openraft::Config {
            cluster_name,
            heartbeat_interval: milliseconds(self.heartbeat),
            election_timeout_min: milliseconds(self.election_timeout.start),
            election_timeout_max: milliseconds(self.election_timeout.end),
            // A node that cannot win must not raise the term of those who follow a living leader.
            enable_pre_vote: Some(true),
            // A leader that lost an unsynced tail would otherwise write other entries under ids that it has given before.
            enable_leader_restore: Some(planted(Mutant::LeaderRestored)),
            snapshot_policy: SnapshotPolicy::LogsSinceLast(self.checkpoint_every),
            // The log is purged by `retention`.
            max_in_snapshot_log_to_keep: u64::MAX,
            // The steps of a snapshot have deadlines of their own; this bounds all of them together.
            install_snapshot_timeout: milliseconds(SNAPSHOT_TIMEOUT),
            max_payload_entries: 4_096,
            backoff: "20ms 50ms 100ms 200ms ...500ms".to_owned(),
            ..openraft::Config::default()
        };
        config.validate().map_err(|error| StartError::Config(format!("the timing does not work: {error}")))
    }
}

/// How long sending a whole snapshot may take.
const SNAPSHOT_TIMEOUT: Duration = Duration::from_secs(30 * 60);

/// What a node is made of.
pub struct Parts {
    /// Stamps proposals.
    pub wall_clock: Arc<dyn WallClock>,
    /// Runs what takes long.
    pub blocking: Arc<dyn Blocking>,
    /// The log.
    pub log: RaftLog,
    /// The journal and the checkpoints.
    pub ledger: Ledger,
    /// What the ledger recovered when it was opened.
    pub recovered: Recovered,
    /// Calls other nodes.
    pub dialer: Arc<Dialer>,
    /// Answers what is relayed to this node while it leads.
    pub relayed: Arc<dyn Relayed>,
}
