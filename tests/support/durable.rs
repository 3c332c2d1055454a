//! Whether what was promised had been made durable before: the check, apart from what it is run on.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use bursar_storage::log::{LogEntry, Payload, Vote};
use bursar_wire::{
    client::{Change, Client, ClientError},
    page::Page,
    query::ListQuery,
    sites::{CreateSite, EditSite, Site},
};

use super::{
    Fleet,
    disk::{Event, EventKind, Watched, now_ns},
    site,
    write_ahead::{self, Logged, Value},
};

/// How many clients edit at once.
const EDITORS: u64 = 64;
/// The name of the Raft log's folder.
pub const LOG: &str = "log";

/// A write that a client was told of.
#[derive(Clone, Debug)]
pub struct Acknowledged {
    /// A name that stands in the entry and nowhere else.
    pub marker: String,
    /// When the client sent it, and when it had the answer; see [`now_ns`].
    pub sent: u64,
    pub told: u64,
}

/// What a node did to its Raft log, and what that log holds.
pub struct Log {
    pub node: u64,
    events: Vec<Event>,
    logged: Vec<Logged>,
}

/// A promise that was made too early.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Violation {
    /// A write was acknowledged, but so few nodes had synced it.
    Acknowledged { marker: String, durable_on: Vec<u64>, majority: usize },
    /// A node led a term, but so few nodes had synced their votes for it.
    Led { term: u64, durable_on: Vec<u64>, majority: usize },
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Acknowledged { marker, durable_on, majority } => {
                write!(f, "{marker} was acknowledged when it was durable on {durable_on:?}, fewer than {majority}")
            }
            Self::Led { term, durable_on, majority } => {
                write!(f, "term {term} was led when votes for it were durable on {durable_on:?}, fewer than {majority}")
            }
        }
    }
}

/// Makes a site with a name of its own.
pub async fn write(client: &Client, marker: String) -> Acknowledged {
    try_write(client, marker).await.unwrap_or_else(|error| panic!("a write failed: {error}"))
}

/// Makes a site with a name of its own, if somebody answers.
pub async fn try_write(client: &Client, marker: String) -> Result<Acknowledged, ClientError> {
    let sent = now_ns();
    client.post("sites", &site(&marker), Change::default()).await?;
    Ok(Acknowledged { marker, sent, told: now_ns() })
}

impl Log {
    /// Of a watched node, as it is now. The log is read first: what is written meanwhile would be in it, and in no event.
    pub fn of(fleet: &Fleet, node: u64, watched: &Watched) -> Self {
        let logged = write_ahead::read(&fleet.node(node).dir.join(LOG));
        let events = watched.events().into_iter().filter(|event| event.is_in_log_of(LOG)).collect();
        Self { node, events, logged }
    }

    /// How many syncs there were within a span of time.
    pub fn syncs_between(&self, begin: u64, end: u64) -> usize {
        self.events.iter().filter(|event| event.is_sync() && event.begin >= begin && event.end <= end).count()
    }

    /// The newest term that this node has voted in since its log was last begun anew.
    pub fn term(&self) -> u64 {
        self.votes().map(|(_, vote)| vote.term).max().unwrap_or(0)
    }

    /// The write that brought a logged value; `None` where it was not over yet, as with a follower that comes after the others.
    fn write_of(&self, logged: &Logged) -> Option<&Event> {
        let end = i64::try_from(logged.end).expect("a file of ordinary size");
        let brings_the_end =
            |event: &&Event| event.kind == EventKind::Write && event.offset < end && end <= event.offset + event.bytes;
        self.events.iter().filter(|event| event.path == logged.file).find(brings_the_end)
    }

    /// When what was written had become durable: with the first sync of the file that began after that.
    fn durable_at(&self, written: &Event) -> Option<u64> {
        let syncs = self.events.iter().filter(|event| event.is_sync() && event.path == written.path);
        syncs.filter(|sync| sync.begin >= written.end).map(|sync| sync.end).min()
    }

    fn entries(&self) -> impl Iterator<Item = (&Logged, &LogEntry)> {
        self.logged.iter().filter_map(|logged| match &logged.what {
            Value::Entry(entry) => Some((logged, entry)),
            Value::Vote(_) => None,
        })
    }

    fn votes(&self) -> impl Iterator<Item = (&Logged, Vote)> {
        self.logged.iter().filter_map(|logged| match logged.what {
            Value::Vote(vote) => Some((logged, vote)),
            Value::Entry(_) => None,
        })
    }

    /// When the entry of a write had become durable here.
    fn entry_durable_at(&self, acknowledged: &Acknowledged) -> Option<u64> {
        let marker = acknowledged.marker.as_bytes();
        let bears = |entry: &LogEntry| match &entry.payload {
            Payload::Proposal(proposal) => proposal.windows(marker.len()).any(|window| window == marker),
            _ => false,
        };
        let (logged, _) = self.entries().find(|(_, entry)| bears(entry))?;
        let written = self.write_of(logged)?;
        assert!(written.begin >= acknowledged.sent, "{} was written before it was sent", acknowledged.marker);
        self.durable_at(written)
    }

    /// When this node's vote for a leader had become durable here.
    fn vote_durable_at(&self, term: u64, leader: u64) -> Option<u64> {
        let (logged, _) = self.votes().find(|(_, vote)| vote.term == term && vote.leader == leader)?;
        self.durable_at(self.write_of(logged)?)
    }

    /// When the first entry of a term was written here.
    fn began_at(&self, term: u64) -> Option<u64> {
        let (logged, _) = self.entries().find(|(_, entry)| entry.position.term == term)?;
        Some(self.write_of(logged)?.begin)
    }

    /// The terms for which this node has voted for itself, and in which it wrote entries: those that it led, with the time of
    /// the first entry.
    fn led(&self) -> BTreeMap<u64, u64> {
        let own = self.votes().filter(|(_, vote)| vote.leader == self.node);
        own.filter_map(|(_, vote)| Some((vote.term, self.began_at(vote.term)?))).collect()
    }
}

/// The writes that were acknowledged before a majority of so many voters had synced them.
pub fn acknowledged_too_early(logs: &[Log], voters: usize, writes: &[Acknowledged]) -> Vec<Violation> {
    let majority = voters / 2 + 1;
    let check = |write: &Acknowledged| {
        let in_time = |log: &&Log| log.entry_durable_at(write).is_some_and(|durable| durable <= write.told);
        let durable_on: Vec<u64> = logs.iter().filter(in_time).map(|log| log.node).collect();
        let marker = write.marker.clone();
        (durable_on.len() < majority).then_some(Violation::Acknowledged { marker, durable_on, majority })
    };
    writes.iter().filter_map(check).collect()
}

/// How many terms beyond `after` were led, and those of them in which that began before a majority of so many voters had synced
/// their votes. A node that starts begins its log anew, so the check sees only what happened since.
pub fn led_too_early(logs: &[Log], voters: usize, after: u64) -> (usize, Vec<Violation>) {
    let majority = voters / 2 + 1;
    let led = logs.iter().flat_map(|log| log.led().into_iter().map(|(term, begun)| (term, log.node, begun)));
    let led: Vec<_> = led.filter(|(term, ..)| *term > after).collect();
    let check = |&(term, leader, begun): &(u64, u64, u64)| {
        let in_time = |log: &&Log| log.vote_durable_at(term, leader).is_some_and(|durable| durable <= begun);
        let durable_on: Vec<u64> = logs.iter().filter(in_time).map(|log| log.node).collect();
        (durable_on.len() < majority).then_some(Violation::Led { term, durable_on, majority })
    };
    (led.len(), led.iter().filter_map(check).collect())
}

/// The names of all sites.
pub async fn site_names(client: &Client) -> BTreeSet<String> {
    let (mut names, mut page_token) = (BTreeSet::new(), None);
    loop {
        let query = ListQuery { limit: Some(1_000), page_token, ..ListQuery::default() };
        let page: Page<Site> = client.page("sites", &query).await.expect("a list of sites");
        names.extend(page.items.into_iter().map(|site| site.name));
        page_token = page.next_page_token;
        if page_token.is_none() {
            return names;
        }
    }
}

/// Adds so many revisions, or as many as are taken, by editing sites.
pub async fn edit_at_once(client: &Client, revisions: u64) {
    let edits = |number| edit(client.clone(), number, revisions / EDITORS);
    let tasks: Vec<_> = (0..EDITORS).map(|number| tokio::spawn(edits(number))).collect();
    for task in tasks {
        task.await.expect("no client panics");
    }
}

/// Edits a site again and again, until nobody answers.
async fn edit(client: Client, number: u64, times: u64) {
    let site = CreateSite { name: format!("edited {number}"), expected_latency_ms: 0 };
    let Ok(made) = client.post("sites", &site, Change::default()).await else { return };
    let site: Site = made.json().expect("a site");
    for time in 1..=times {
        let latency = u32::try_from(time).expect("a small number");
        let change = EditSite { expected_latency_ms: Some(latency), ..EditSite::default() };
        if client.patch(&format!("sites/{}", site.id), &change, Change::default()).await.is_err() {
            return;
        }
    }
}
