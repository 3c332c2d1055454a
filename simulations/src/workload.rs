//! Operators at work: what the plan lets them ask of the authority, and what they see.
//!
//! Each client does one thing at a time, over REST, as people's programs do. Whatever it is told it notes down for the judges in
//! [`crate::history`]; what nobody told it stays unknown. Each name is given once, so that a name tells which write it is of.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bursar_domain::{Actor, Cursor, DestinationId, Effect, Epoch, ObjectRef, RequestId, Revision, TokenId};
use bursar_wire::alerts::AcknowledgeAlerts;
use bursar_wire::client::{self, Client, ClientError};
use bursar_wire::destinations::{CreateDestination, Destination, EditDestination};
use bursar_wire::problem::{Fate, Problem};
use bursar_wire::query::ReadQuery;
use bursar_wire::servers::MaintainServer;
use bursar_wire::store_points::EditStorePoint;
use tokio::time::Instant;

use crate::history::{Answer, Change, Client as ClientId, Demand, History, Moment, NOT_FOUND, Read, Seen, Write, WriteEnd};
use crate::plan::{Action, Operation};
use crate::secrets::Secrets;

/// The site that all destinations are at.
const SITE: u64 = 1;
/// For how long a server is worked upon, in seconds.
const MAINTAINED_S: u64 = 15;

/// All clients of a run.
pub struct Workload {
    shared: Arc<Shared>,
}

struct Shared {
    begun: Instant,
    /// Of the token that all clients show.
    actor: Actor,
    seen: Mutex<History>,
    /// No answer may hold one.
    secrets: Secrets,
    /// The object that the plan calls by a number, as far as anybody knows.
    objects: Mutex<BTreeMap<u32, u64>>,
}

impl Workload {
    /// Nobody at work yet; `begun` is when the world began, and `token` what the clients show.
    pub fn new(begun: Instant, token: u64, secrets: Secrets) -> Self {
        let actor = Actor::Token(TokenId(token));
        let shared = Shared { begun, actor, seen: Mutex::default(), secrets, objects: Mutex::default() };
        Self { shared: Arc::new(shared) }
    }

    /// A client that has done nothing yet.
    pub fn worker(&self, number: u32, client: Client) -> Worker {
        Worker { shared: Arc::clone(&self.shared), client, number, done: 0, last_shown: None }
    }

    /// What all clients have seen so far.
    pub fn history(&self) -> History {
        self.shared.seen().clone()
    }
}

impl Shared {
    fn now(&self) -> Moment {
        Moment(u64::try_from(self.begun.elapsed().as_nanos()).expect("a run ends within centuries"))
    }

    /// Hears what was answered, as every program of an operator does.
    fn hear(&self, answered: &Result<client::Answer, ClientError>) {
        match answered {
            Ok(answer) => self.secrets.overhear("an answer", &answer.body),
            Err(error) => self.secrets.overhear("an error", error.to_string().as_bytes()),
        }
    }

    fn seen(&self) -> MutexGuard<'_, History> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn objects(&self) -> MutexGuard<'_, BTreeMap<u32, u64>> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What came of an operation, for the client that wanted it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It was done.
    Done,
    /// It was refused, by a problem of this code.
    Refused(String),
    /// Nobody knows; a problem of this code said so, where any did.
    Unknown(Option<String>),
    /// There was nothing to ask for: its object was not made yet.
    Skipped,
}

impl Ended {
    /// How operations that are asked for end: the first words of what is told of each.
    pub const ASKED: [&str; 3] = ["done", "refused", "unknown"];

    fn of(error: ClientError) -> Self {
        match error {
            ClientError::Problem { problem, .. } if is_refusal(&problem) => Self::Refused(problem.code),
            ClientError::Problem { problem, .. } => Self::Unknown(Some(problem.code)),
            _ => Self::Unknown(None),
        }
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => f.write_str("done"),
            Self::Refused(code) => write!(f, "refused {code}"),
            Self::Unknown(Some(code)) => write!(f, "unknown {code}"),
            Self::Unknown(None) => f.write_str("unknown"),
            Self::Skipped => f.write_str("skipped"),
        }
    }
}

/// One client.
pub struct Worker {
    shared: Arc<Shared>,
    client: Client,
    number: u32,
    /// How many writes it has asked for.
    done: u64,
    /// The newest revision that it was shown.
    last_shown: Option<Revision>,
}

impl Worker {
    /// Asks for what an operation wants, and notes what it is told.
    pub async fn carry_out(&mut self, Operation { action, subject, .. }: Operation) -> Ended {
        let known = self.shared.objects().get(&subject).copied();
        match (action, known) {
            (Action::Create, _) => self.create(subject).await,
            (Action::Change, Some(id)) => self.rename(id).await,
            (Action::Remove, Some(id)) => self.remove(subject, id).await,
            (Action::Read, Some(id)) => self.read(id, Demand::Linearizable).await,
            (Action::ReadStale, Some(id)) => self.read(id, Demand::Stale { min_revision: self.last_shown }).await,
            (Action::Maintain, _) => {
                let asked = MaintainServer { until: None, for_seconds: Some(MAINTAINED_S), reason: String::new() };
                self.order(async |client, change| client.post(&format!("servers/{subject}/maintenance"), &asked, change).await)
                    .await
            }
            (Action::Activate, _) => {
                self.order(async |client, change| client.act(&format!("servers/{subject}/activate"), change).await).await
            }
            (Action::CloseStorePoint | Action::OpenStorePoint, _) => {
                let asked =
                    EditStorePoint { accepting_data: Some(action == Action::OpenStorePoint), ..EditStorePoint::default() };
                self.order(async |client, change| client.patch(&format!("store-points/{subject}"), &asked, change).await).await
            }
            (Action::AcknowledgeAlerts, _) => {
                // All that are open, or one by its number, of which somebody may have said something else before.
                let (ids, filter) = if subject == 0 { (None, Some(String::new())) } else { (Some(vec![subject.into()]), None) };
                let asked = AcknowledgeAlerts { ids, filter, note: self.next_name() };
                self.order(async |client, change| client.post("alerts/acknowledge", &asked, change).await).await
            }
            // Nobody has made it yet.
            (Action::Change | Action::Remove | Action::Read | Action::ReadStale, None) => Ended::Skipped,
        }
    }

    async fn create(&mut self, subject: u32) -> Ended {
        let name = self.next_name();
        let asked = CreateDestination { name: name.clone(), site: SITE, ..CreateDestination::default() };
        let client = self.client.clone();
        let (made, ended) = self
            .write(Change::Make { name }, Effect::Created, None, async |change| client.post("destinations", &asked, change).await)
            .await;
        if let Some(id) = made {
            self.shared.objects().insert(subject, id);
        }
        ended
    }

    async fn rename(&mut self, id: u64) -> Ended {
        let name = self.next_name();
        let asked = EditDestination { name: Some(name.clone()), ..EditDestination::default() };
        let change = Change::Rename { object: object(id), name };
        let (client, path) = (self.client.clone(), path_of(id));
        self.write(change, Effect::Changed, Some(id), async |change| client.patch(&path, &asked, change).await).await.1
    }

    async fn remove(&mut self, subject: u32, id: u64) -> Ended {
        let (client, path) = (self.client.clone(), path_of(id));
        let change = Change::Remove { object: object(id) };
        let (removed, ended) =
            self.write(change, Effect::Removed, Some(id), async |change| client.delete(&path, change).await).await;
        let mut objects = self.shared.objects();
        if removed.is_some() && objects.get(&subject) == Some(&id) {
            objects.remove(&subject);
        }
        ended
    }

    /// Asks once, under a key of its own; the client behind it asks one node after the other. Gives the object that it was done to,
    /// and how that ended.
    async fn write(
        &mut self,
        change: Change,
        effect: Effect,
        id: Option<u64>,
        send: impl AsyncFnOnce(client::Change) -> Result<client::Answer, ClientError>,
    ) -> (Option<u64>, Ended) {
        let key = format!("client-{}-write-{}", self.number, self.done);
        self.done += 1;
        let request = RequestId::parse(&key).expect("a short key of visible characters");
        let called = self.shared.now();
        let answered = send(client::Change { request_id: Some(key), ..client::Change::default() }).await;
        let at = self.shared.now();
        self.shared.hear(&answered);
        let mut done_to = None;
        let (end, ended) = match answered {
            Ok(answer) => {
                let shown = self.shown(&answer);
                let seen = (effect != Effect::Removed).then(|| seen(&answer));
                let id = id.unwrap_or_else(|| destination(&answer).id);
                done_to = Some(id);
                (WriteEnd::Done(Answer { at, effect, object: object(id), shown, seen }), Ended::Done)
            }
            Err(error) => {
                let shown = self.shown_by(&error);
                match Ended::of(error) {
                    Ended::Refused(code) => (WriteEnd::Refused { at, code: code.clone(), shown }, Ended::Refused(code)),
                    ended => (WriteEnd::Unknown, ended),
                }
            }
        };
        let write = Write { client: ClientId(self.number.into()), called, actor: self.shared.actor, request, change, end };
        self.shared.seen().writes.push(write);
        (done_to, ended)
    }

    /// Asks for something that the judges know from the journal alone.
    async fn order(&mut self, send: impl AsyncFnOnce(&Client, client::Change) -> Result<client::Answer, ClientError>) -> Ended {
        let key = format!("client-{}-write-{}", self.number, self.done);
        self.done += 1;
        let answered = send(&self.client, client::Change { request_id: Some(key), ..client::Change::default() }).await;
        self.shared.hear(&answered);
        answered.map_or_else(Ended::of, |_| Ended::Done)
    }

    async fn read(&mut self, id: u64, demand: Demand) -> Ended {
        let query = match demand {
            Demand::Linearizable => ReadQuery::default(),
            Demand::Stale { min_revision } => ReadQuery {
                consistency: Some(bursar_wire::query::Consistency::Stale),
                min_revision: min_revision.map(|revision| Cursor { epoch: FIRST_EPOCH, revision }.to_string()),
                ..ReadQuery::default()
            },
        };
        let called = self.shared.now();
        let answered = self.client.get(&path_of(id), &query).await;
        let at = self.shared.now();
        self.shared.hear(&answered);
        let (shown, seen, ended) = match answered {
            Ok(answer) => (self.shown(&answer), Some(seen(&answer)), Ended::Done),
            Err(error) => match (self.shown_by(&error), Ended::of(error)) {
                (Some(shown), ended) if ended == Ended::Refused(NOT_FOUND.to_owned()) => (shown, None, ended),
                (_, ended) => return ended,
            },
        };
        let client = ClientId(self.number.into());
        self.shared.seen().reads.push(Read { client, called, object: object(id), demand, at, shown, seen });
        ended
    }

    /// The revision of the state that a problem rests on, where it tells one.
    fn shown_by(&mut self, error: &ClientError) -> Option<Revision> {
        let ClientError::Problem { problem, .. } = error else { return None };
        let shown = revision_of(problem.revision.as_deref()?);
        self.last_shown = self.last_shown.max(Some(shown));
        Some(shown)
    }

    /// The revision that an answer shows.
    fn shown(&mut self, answer: &client::Answer) -> Revision {
        let shown = revision_of(answer.revision.as_deref().expect("every answer tells its revision"));
        self.last_shown = self.last_shown.max(Some(shown));
        shown
    }

    fn next_name(&self) -> String {
        format!("of client {}, {}", self.number, self.done)
    }
}

/// The epoch of a cluster that was never restored.
pub(crate) const FIRST_EPOCH: Epoch = Epoch(1);

fn object(id: u64) -> ObjectRef {
    ObjectRef::Destination(DestinationId(id))
}

fn path_of(id: u64) -> String {
    format!("destinations/{id}")
}

fn destination(answer: &client::Answer) -> Destination {
    answer.json().expect("the answer shows a destination")
}

fn seen(answer: &client::Answer) -> Seen {
    let version = revision_of(answer.etag.as_deref().expect("a destination has an entity tag"));
    Seen { version, name: Some(destination(answer).name) }
}

/// The revision of a cursor or an entity tag.
pub(crate) fn revision_of(cursor: &str) -> Revision {
    cursor.parse::<Cursor>().expect("the API tells well-formed cursors").revision
}

/// Whether a problem says that the request was refused for good, and did not happen.
fn is_refusal(problem: &Problem) -> bool {
    let may_be_done = matches!(problem.fate, Some(Fate::Unknown | Fate::Done));
    (400..500).contains(&problem.status) && problem.status != 408 && problem.status != 429 && !may_be_done
}
