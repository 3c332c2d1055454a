//! An operator who looks after the fleet, as long as a run lasts: again and again at the alerts that are open, and around.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bursar_domain::Revision;
use bursar_net::tasks;
use bursar_wire::alerts::Alert;
use bursar_wire::client::{Client, ClientError};
use bursar_wire::page::Page;
use bursar_wire::query::{Consistency, ListQuery, PresentQuery};
use tokio::time::sleep;

use crate::followers::is_passing;
use crate::secrets::Secrets;
use crate::workload::revision_of;

/// How long the operator rests between two looks.
const EVERY: Duration = Duration::from_secs(2);
/// How many alerts a page has: few, so that a list has several.
const PAGE_ALERTS: u32 = 5;
/// What else is looked at, one after the other.
const AROUND: [&str; 8] =
    ["status", "tokens", "cluster/invitations", "cluster/members", "servers", "store-points", "operations", "cluster/level"];

/// Something that the operator was shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shown {
    /// A part of the list of open alerts.
    Alerts(AlertsPage),
    /// What no operator should be shown.
    Refused {
        /// What it is, in words.
        problem: String,
    },
}

/// A part of the list of open alerts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertsPage {
    /// As of when.
    pub revision: Revision,
    /// It has all alerts with a higher number than this one,
    pub after: u64,
    /// up to this one, where there is a further page.
    pub upto: Option<u64>,
    /// Their numbers.
    pub alerts: BTreeSet<u64>,
}

/// The operator.
pub struct Overview {
    shown: Arc<Mutex<Vec<Shown>>>,
}

impl Overview {
    /// Looks after the fleet as `client` from now on, whatever becomes of the nodes that it asks. No answer may hold a secret.
    pub fn start(client: Client, secrets: Secrets) -> Self {
        let shown: Arc<Mutex<Vec<Shown>>> = Arc::default();
        let operator = Operator { client, secrets, shown: Arc::clone(&shown) };
        tasks::spawn(async move { operator.look_after().await });
        Self { shown }
    }

    /// What the operator was shown since this was asked last.
    pub fn take(&self) -> Vec<Shown> {
        std::mem::take(&mut *lock(&self.shown))
    }
}

struct Operator {
    client: Client,
    secrets: Secrets,
    shown: Arc<Mutex<Vec<Shown>>>,
}

impl Operator {
    async fn look_after(&self) {
        // One look at what is true, the next at what some node knows.
        let manners = [Consistency::Linearizable, Consistency::Stale].into_iter().cycle();
        for (consistency, path) in manners.zip(AROUND.into_iter().cycle()) {
            let looked = async {
                self.list_alerts(consistency).await?;
                self.look_at(path, &PresentQuery { consistency, ..PresentQuery::default() }).await
            };
            match looked.await {
                Err(error) if !is_passing(&error) => {
                    lock(&self.shown).push(Shown::Refused { problem: error.to_string() });
                    return;
                }
                _ => sleep(EVERY).await,
            }
        }
    }

    async fn list_alerts(&self, consistency: Consistency) -> Result<(), ClientError> {
        let (mut after, mut page_token) = (0, None);
        loop {
            let query = ListQuery {
                limit: Some(PAGE_ALERTS),
                page_token,
                filter: Some("open=true".to_owned()),
                consistency: Some(consistency),
                ..ListQuery::default()
            };
            let answer = self.client.get("alerts", &query).await?;
            self.secrets.overhear("the list of alerts", &answer.body);
            let page: Page<Alert> = answer.json()?;
            let last = page.items.last().map_or(after, |alert| alert.id);
            let upto = page.next_page_token.is_some().then_some(last);
            let alerts = page.items.iter().map(|alert| alert.id).collect();
            lock(&self.shown).push(Shown::Alerts(AlertsPage { revision: revision_of(&page.revision), after, upto, alerts }));
            if upto.is_none() {
                return Ok(());
            }
            (after, page_token) = (last, page.next_page_token);
        }
    }

    async fn look_at(&self, path: &str, query: &PresentQuery) -> Result<(), ClientError> {
        let answer = self.client.get(path, query).await?;
        self.secrets.overhear(path, &answer.body);
        Ok(())
    }
}

fn lock(shown: &Mutex<Vec<Shown>>) -> MutexGuard<'_, Vec<Shown>> {
    shown.lock().unwrap_or_else(PoisonError::into_inner)
}
