//! Which authority node the server speaks with: the next that answers, by itself.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bursar_domain::AuthorityNodeId;
use bursar_net::{Address, DialError, Dialer, Entropy, Lane, Link, Member, RefusalCode, TaskSet};
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};
use tracing::{debug, info, warn};

use super::Known;

/// How long a node may take to welcome.
const WELCOME_WITHIN: Duration = Duration::from_secs(3);
/// How long it rests once it has tried every node in vain, at first and at most.
const REST_MIN: Duration = Duration::from_millis(250);
const REST_MAX: Duration = Duration::from_secs(5);

/// The cluster has nothing to do with this server any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Excluded;

/// Looks for a node that answers. It goes round: all servers begin with another one, so that no node carries all of them, and
/// whoever fails is asked again only after all others. A node that does not answer at once has a head start, and then the next is
/// called beside it: two machines without power must not cost a detection window (RFC 8305 lets a host's addresses race alike).
pub(super) struct Search {
    dialer: Dialer,
    /// Where nodes listened when the server was adopted.
    at_first: BTreeMap<AuthorityNodeId, Address>,
    known: watch::Receiver<Known>,
    entropy: Arc<dyn Entropy>,
    /// The node that was tried last.
    last: Option<AuthorityNodeId>,
    /// How many were tried in vain since one was of use.
    in_vain: usize,
    rest: Duration,
    /// How long may pass from one heartbeat to the next.
    wanted_every: Duration,
    /// How often any of the server's searches has found a node that is of use, and how often as this one knows.
    finds: watch::Sender<u64>,
    seen: watch::Receiver<u64>,
}

impl Search {
    /// A search that has tried nobody yet. Those that share `finds` learn from one another that it is worth while to try again.
    pub(super) fn new(
        dialer: Dialer,
        at_first: BTreeMap<AuthorityNodeId, Address>,
        known: watch::Receiver<Known>,
        entropy: Arc<dyn Entropy>,
        finds: watch::Sender<u64>,
    ) -> Self {
        let seen = finds.subscribe();
        let (rest, wanted_every) = (REST_MIN, REST_MAX);
        Self { dialer, at_first, known, entropy, last: None, in_vain: 0, rest, wanted_every, finds, seen }
    }

    /// Calls the nodes, until one welcomes the server.
    pub(super) async fn connect(&mut self, lane: Lane) -> Result<Link, Excluded> {
        let mut under_way = TaskSet::new();
        loop {
            if under_way.is_empty() && self.were_all_tried() {
                self.take_rest().await;
            }
            if under_way.is_empty() || !self.were_all_tried() {
                under_way.spawn(self.attempt(lane));
            }
            let head_start = if self.were_all_tried() { WELCOME_WITHIN } else { self.wanted_every / 4 };
            let Ok(Some(ended)) = timeout(head_start, under_way.join_next()).await else { continue };
            match ended.expect("a call neither panics nor is ended while it is waited for") {
                (node, Ok(link)) => {
                    // Those that are given up were not tried: they come next.
                    self.last = Some(node);
                    self.in_vain -= under_way.len();
                    return Ok(link);
                }
                (_, Err(DialError::Refused { refusal, .. })) if refusal.code == RefusalCode::RemovedNode => return Err(Excluded),
                // It has said so.
                (_, Err(_of_no_use)) => {}
            }
        }
    }

    /// Calls the node whose turn it is.
    fn attempt(&mut self, lane: Lane) -> impl Future<Output = (AuthorityNodeId, Result<Link, DialError>)> + use<> {
        let (node, address) = self.next();
        let (dialer, known) = (self.dialer.clone(), self.nodes());
        async move {
            let dialled = call(&dialer, node, &address, &known, lane).await;
            match &dialled {
                Ok(link) => debug!(%node, peer = %link.peer.member, %address, ?lane, "connected"),
                Err(error) => debug!(%node, %address, ?lane, %error, "not connected"),
            }
            (node, dialled)
        }
    }

    /// The node that was connected is of use.
    pub(super) fn found(&mut self) {
        if self.in_vain > self.nodes().len() {
            info!("an authority node answers again");
        }
        (self.in_vain, self.rest) = (0, REST_MIN);
        self.finds.send_modify(|finds| *finds += 1);
        self.seen.mark_unchanged();
    }

    /// It is wanted every so often, and must not rest longer between two attempts.
    pub(super) fn is_wanted_every(&mut self, interval: Duration) {
        self.wanted_every = interval.min(REST_MAX);
    }

    /// Whether each node was called equally often, and none was of use.
    fn were_all_tried(&self) -> bool {
        self.in_vain > 0 && self.in_vain.is_multiple_of(self.nodes().len())
    }

    /// Whose turn it is.
    fn next(&mut self) -> (AuthorityNodeId, Address) {
        self.in_vain += 1;
        let nodes = self.nodes();
        let node = match self.last {
            Some(last) => nodes.range(last..).map(|(node, _)| *node).find(|node| *node > last),
            None => nodes.keys().nth(self.drawn(nodes.len() as u64) as usize).copied(),
        };
        let first = || nodes.first_key_value().map(|(node, _)| *node);
        let node = node.or_else(first).expect("a membership names a node");
        self.last = Some(node);
        (node, nodes[&node].clone())
    }

    /// Rests, the longer the more often it did, and only briefly once another search has found a node.
    async fn take_rest(&mut self) {
        if self.in_vain == self.nodes().len() {
            warn!("no authority node answers; the server works on with what it knows");
        }
        let (rest, briefly) = (self.with_jitter(self.rest), self.with_jitter(REST_MIN));
        self.rest = (self.rest * 2).min(self.wanted_every);
        // The sender is our own.
        if timeout(rest, self.seen.changed()).await.is_ok() {
            self.rest = REST_MIN;
            sleep(briefly).await;
        }
    }

    fn nodes(&self) -> BTreeMap<AuthorityNodeId, Address> {
        let known = self.known.borrow().authority();
        if known.is_empty() { self.at_first.clone() } else { known }
    }

    /// From half of `rest` to all of it, so that not all servers come at once.
    fn with_jitter(&self, rest: Duration) -> Duration {
        let half = rest.as_millis() as u64 / 2;
        Duration::from_millis(half + self.drawn(half + 1))
    }

    /// A number below `bound`.
    fn drawn(&self, bound: u64) -> u64 {
        u64::from_be_bytes(self.entropy.array()) % bound
    }
}

/// Calls a node, or whoever has its place by now: while the server was away all that it knows may have been replaced. It takes a
/// node that it knows, or one that is newer than all of those. An older one was removed, for numbers are never given twice.
async fn call(
    dialer: &Dialer,
    node: AuthorityNodeId,
    address: &Address,
    known: &BTreeMap<AuthorityNodeId, Address>,
    lane: Lane,
) -> Result<Link, DialError> {
    let deadline = Instant::now() + WELCOME_WITHIN;
    let not_it = match dialer.dial(address, Member::authority(node.0), None, lane, WELCOME_WITHIN).await {
        Err(error @ DialError::Tls { .. }) => error,
        dialled => return dialled,
    };
    let is_wanted = |id| known.contains_key(&AuthorityNodeId(id)) || known.keys().all(|known| known.0 < id);
    let within = deadline.saturating_duration_since(Instant::now());
    match dialer.dial_any_authority(address, is_wanted, lane, within).await {
        // What a successor refuses is refused.
        dialled @ (Ok(_) | Err(DialError::Refused { .. })) => dialled,
        Err(error) => {
            debug!(%node, %address, %error, "nobody has taken its place");
            Err(not_it)
        }
    }
}
