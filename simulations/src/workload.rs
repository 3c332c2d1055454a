//! Operators at work: what the plan lets them ask of the authority, and what they see.
//!
//! Each client does one thing at a time, over REST, as people's programs do. Whatever it is told it notes down for the judges in
//! [`crate::history`]; what nobody told it stays unknown. Each name is given once, so that a name tells which write it is of.

use std::collections::BTreeMap;
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

use crate::history::{Answer, Change, Client as ClientId, Demand, History, Moment, Read, Seen, Write, WriteEnd};
use crate::plan::{Action, Operation};

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
    /// The object that the plan calls by a number, as far as anybody knows.
    objects: Mutex<BTreeMap<u32, u64>>,
}

impl Workload {
    /// Nobody at work yet; `begun` is when the world began, and `token` what the clients show.
    pub fn new(begun: Instant, token: u64) -> Self {
        let shared = Shared { begun, actor: Actor::Token(TokenId(token)), seen: Mutex::default(), objects: Mutex::default() };
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

    fn seen(&self) -> MutexGuard<'_, History> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn objects(&self) -> MutexGuard<'_, BTreeMap<u32, u64>> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
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
    pub async fn carry_out(&mut self, Operation { action, subject, .. }: Operation) {
        let known = self.shared.objects().get(&subject).copied();
        match (action, known) {
            (Action::Create, _) => self.create(subject).await,
            (Action::Change, Some(id)) => self.rename(id).await,
            (Action::Remove, Some(id)) => self.remove(subject, id).await,
            (Action::Read, Some(id)) => self.read(id, Demand::Linearizable).await,
            (Action::ReadStale, Some(id)) => self.read(id, Demand::Stale { min_revision: self.last_shown }).await,
            (Action::Maintain, _) => {
                let asked = MaintainServer { until: None, for_seconds: Some(MAINTAINED_S), reason: String::new() };
                self.order(async |client, change| client.post(&format!("servers/{subject}/maintenance"), &asked, change).await).await;
            }
            (Action::Activate, _) => {
                self.order(async |client, change| client.act(&format!("servers/{subject}/activate"), change).await).await;
            }
            (Action::CloseStorePoint | Action::OpenStorePoint, _) => {
                let asked = EditStorePoint { accepting_data: Some(action == Action::OpenStorePoint), ..EditStorePoint::default() };
                self.order(async |client, change| client.patch(&format!("store-points/{subject}"), &asked, change).await).await;
            }
            (Action::AcknowledgeAlerts, _) => {
                let asked = AcknowledgeAlerts { ids: None, filter: Some(String::new()), note: "seen".to_owned() };
                self.order(async |client, change| client.post("alerts/acknowledge", &asked, change).await).await;
            }
            // Nobody has made it yet.
            (Action::Change | Action::Remove | Action::Read | Action::ReadStale, None) => {}
        }
    }

    async fn create(&mut self, subject: u32) {
        let name = self.next_name();
        let asked = CreateDestination { name: name.clone(), site: SITE, ..CreateDestination::default() };
        let client = self.client.clone();
        let made = self
            .write(Change::Make { name }, Effect::Created, None, async |change| client.post("destinations", &asked, change).await)
            .await;
        if let Some(id) = made {
            self.shared.objects().insert(subject, id);
        }
    }

    async fn rename(&mut self, id: u64) {
        let name = self.next_name();
        let asked = EditDestination { name: Some(name.clone()), ..EditDestination::default() };
        let change = Change::Rename { object: object(id), name };
        let (client, path) = (self.client.clone(), path_of(id));
        self.write(change, Effect::Changed, Some(id), async |change| client.patch(&path, &asked, change).await).await;
    }

    async fn remove(&mut self, subject: u32, id: u64) {
        let (client, path) = (self.client.clone(), path_of(id));
        let change = Change::Remove { object: object(id) };
        let removed = self.write(change, Effect::Removed, Some(id), async |change| client.delete(&path, change).await).await;
        let mut objects = self.shared.objects();
        if removed.is_some() && objects.get(&subject) == Some(&id) {
            objects.remove(&subject);
        }
    }

    /// Asks once, under a key of its own; the client behind it asks one node after the other. Gives the object that it was done to.
    async fn write(
        &mut self,
        change: Change,
        effect: Effect,
        id: Option<u64>,
        send: impl AsyncFnOnce(client::Change) -> Result<client::Answer, ClientError>,
    ) -> Option<u64> {
        let key = format!("client-{}-write-{}", self.number, self.done);
        self.done += 1;
        let request = RequestId::parse(&key).expect("a short key of visible characters");
        let called = self.shared.now();
        let answered = send(client::Change { request_id: Some(key), ..client::Change::default() }).await;
        let at = self.shared.now();
        let mut done_to = None;
        let end = match answered {
            Ok(answer) => {
                let shown = self.shown(&answer);
                let seen = (effect != Effect::Removed).then(|| seen(&answer));
                let id = id.unwrap_or_else(|| destination(&answer).id);
                done_to = Some(id);
                WriteEnd::Done(Answer { at, effect, object: object(id), shown, seen })
            }
            Err(ClientError::Problem { problem, .. }) if is_refusal(&problem) => {
                WriteEnd::Refused { at, code: problem.code, shown: None }
            }
            Err(_) => WriteEnd::Unknown,
        };
        let write = Write { client: ClientId(self.number.into()), called, actor: self.shared.actor, request, change, end };
        self.shared.seen().writes.push(write);
        done_to
    }

    /// Asks for something that the judges know from the journal alone.
    async fn order(&mut self, send: impl AsyncFnOnce(&Client, client::Change) -> Result<client::Answer, ClientError>) {
        let key = format!("client-{}-write-{}", self.number, self.done);
        self.done += 1;
        // Whatever is answered, and whether anything is: the invariants look at what it leads to.
        let _ = send(&self.client, client::Change { request_id: Some(key), ..client::Change::default() }).await;
    }

    async fn read(&mut self, id: u64, demand: Demand) {
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
        let (shown, seen) = match answered {
            Ok(answer) => (self.shown(&answer), Some(seen(&answer))),
            // An answer that there is no such object tells no revision, and what tells nothing is not judged.
            Err(_) => return,
        };
        let client = ClientId(self.number.into());
        self.shared.seen().reads.push(Read { client, called, object: object(id), demand, at, shown, seen });
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
