//! Silence of storage servers: real outages are found, once each, and whatever the authority itself goes through alarms nobody.
//! With the windows that everybody has.

mod support;

use std::time::Duration;

use bursar_wire::{
    alerts::{Alert, AlertCondition},
    client::Client,
    query::ReadQuery,
    servers::{Server, ServerCondition},
    status::Status,
};
use support::{
    Fleet,
    quiet::{Disturbed, Led, quiet},
    stale,
    storage::{StorageServer, open_alerts},
    until,
};
use tokio::time::{Instant, sleep};

/// How long the whole authority stands still. It is what is tested, and no wait for anything.
const PAUSE: Duration = Duration::from_secs(60);
/// After a pause, until nobody alarms for it any more: the detection window of 15 s, a look, and what a busy machine adds.
const ALARMED_WITHIN: Duration = Duration::from_secs(25);
/// After a server fell silent, while the leader listens without a gap: just as long.
const FOUND_WITHIN: Duration = Duration::from_secs(25);
/// How long the leader may go unseen, or unconfirmed. Where nobody confirms it for an eighth of the window, which is longer, it
/// gives every server a whole window anew.
const GAP_MAX: Duration = Duration::from_millis(1_500);
/// How often to look whether it still listens, and whether it has found the server.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// A leader that listens, looked at again and again.
struct Listening {
    led: Led,
    client: Client,
    /// When it was last seen to lead.
    seen: Instant,
}

impl Listening {
    async fn begun(fleet: &Fleet) -> Self {
        let led = fleet.led().await;
        Self { led, client: fleet.impatient_client(led.leader), seen: Instant::now() }
    }

    /// Whether it has listened all the time since it was last looked at.
    async fn goes_on(&mut self) -> Result<(), Disturbed> {
        let Led { leader, term } = self.led;
        let status = self.status().await;
        let unseen = self.seen.elapsed();
        if unseen > GAP_MAX {
            return Err(Disturbed::by(format!("authority node {leader} was not seen for {unseen:.1?}")));
        }
        // One answer that is missing is no gap yet.
        let Some(status) = status else { return Ok(()) };
        if (status.leader, status.node.term) != (Some(leader), term) {
            return Err(Disturbed::by(format!("authority node {leader} leads no longer in term {term}")));
        }
        let unconfirmed = status.node.quorum_last_answer_ms.map(Duration::from_millis);
        if unconfirmed.is_none_or(|unconfirmed| unconfirmed > GAP_MAX) {
            return Err(Disturbed::by(format!("nobody confirmed authority node {leader}: {unconfirmed:.1?}")));
        }
        self.seen = Instant::now();
        Ok(())
    }

    async fn status(&self) -> Option<Status> {
        self.client.get("status", &stale()).await.ok()?.json().ok()
    }
}

/// Waits until the ledger has it that a server is silent, which must be soon.
async fn is_found(fleet: &Fleet, server: &StorageServer) {
    let took = quiet(&format!("{} is found", server.name), async || is_found_by_one_leader(fleet, server).await).await;
    println!("{} was found after {took:.1?}", server.name);
}

/// The same, counted from now on, while one leader listens without a gap.
async fn is_found_by_one_leader(fleet: &Fleet, server: &StorageServer) -> Result<Duration, Disturbed> {
    let client = fleet.client();
    let mut listening = Listening::begun(fleet).await;
    let began = Instant::now();
    loop {
        let now = condition_of(&client, server.id).await;
        let took = began.elapsed();
        if now == Some(ServerCondition::Offline) {
            return Ok(took);
        }
        listening.goes_on().await?;
        assert!(took < FOUND_WITHIN, "{} was not found after {took:.1?}", server.name);
        sleep(LOOK_AGAIN).await;
    }
}

/// How the ledger has a server, if somebody answers.
async fn condition_of(client: &Client, server: u64) -> Option<ServerCondition> {
    let server: Server = client.get(&format!("servers/{server}"), &ReadQuery::default()).await.ok()?.json().ok()?;
    Some(server.condition)
}

/// What is said of alerts: their kinds, subjects and what covers them.
fn told(alerts: &[Alert]) -> Vec<(&str, String, Option<String>)> {
    let name = |object: &bursar_wire::objects::NamedObject| format!("{} {}", object.kind, object.id);
    let mut told: Vec<_> =
        alerts.iter().map(|alert| (alert.kind.as_str(), name(&alert.subject), alert.inhibited_by.as_ref().map(name))).collect();
    told.sort();
    told
}

fn all_are_over(alerts: &[Alert]) -> bool {
    alerts.iter().all(|alert| matches!(alert.condition, AlertCondition::Resolved { .. }))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_raises_one_alert_which_covers_what_follows_from_it() {
    let fleet = Fleet::start();
    let mut first = StorageServer::join(&fleet, "first").await;
    let mut second = StorageServer::join(&fleet, "second").await;
    assert_eq!(told(&open_alerts(&fleet).await), []);

    first.kill();
    is_found(&fleet, &first).await;
    let server_of = |server: &StorageServer| format!("server {}", server.id);
    let alerts = open_alerts(&fleet).await;
    assert!(told(&alerts).contains(&("server_offline", server_of(&first), None)), "{:?}", told(&alerts));
    let uncovered = alerts.iter().filter(|alert| alert.inhibited_by.is_none()).count();
    assert_eq!(uncovered, 1, "one cause, one alert: {:?}", told(&alerts));

    // The last server of the destination: now the destination's alert covers those of both servers.
    second.kill();
    second.until_it_is(&fleet, ServerCondition::Offline).await;
    let alerts = open_alerts(&fleet).await;
    let uncovered: Vec<_> = alerts.iter().filter(|alert| alert.inhibited_by.is_none()).cloned().collect();
    assert_eq!(told(&uncovered), [("destination_offline", "destination 1".to_owned(), None)], "{:?}", told(&alerts));

    first.start();
    second.start();
    until("all is well again", async || all_are_over(&open_alerts(&fleet).await).then_some(())).await;
    first.until_it_is(&fleet, ServerCondition::Online).await;
    second.until_it_is(&fleet, ServerCondition::Online).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_of_the_whole_authority_alarms_nobody_and_an_outage_after_it_is_found() {
    let fleet = Fleet::start();
    let mut server = StorageServer::join(&fleet, "server").await;
    for id in fleet.ids() {
        fleet.freeze(id);
    }
    sleep(PAUSE).await;
    for id in fleet.ids() {
        fleet.thaw(id);
    }
    let leader = fleet.leader().await;
    fleet.ready(leader).await;
    let awake = Instant::now();
    // Whoever would alarm does so within a window of the pause.
    while awake.elapsed() < ALARMED_WITHIN {
        assert_eq!(told(&open_alerts(&fleet).await), []);
        sleep(Duration::from_secs(1)).await;
    }
    server.until_it_is(&fleet, ServerCondition::Online).await;

    server.kill();
    is_found(&fleet, &server).await;
}
