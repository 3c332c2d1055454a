//! Silence of storage servers: real outages are found, once each, and whatever the authority itself goes through alarms nobody.
//! With the windows that everybody has.

mod support;

use std::time::Duration;

use bursar_wire::{
    alerts::{Alert, AlertCondition},
    servers::ServerCondition,
};
use rustix::process::Signal;
use support::{
    Fleet,
    storage::{StorageServer, open_alerts},
    until,
};
use tokio::time::{Instant, sleep};

/// How long the whole authority stands still. It is what is tested, and no wait for anything.
const PAUSE: Duration = Duration::from_secs(60);
/// After a server fell silent: the detection window of 15 s, a look, and what a busy machine adds.
const FOUND_WITHIN: Duration = Duration::from_secs(25);

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

    let began = Instant::now();
    first.kill();
    first.until_it_is(&fleet, ServerCondition::Offline).await;
    assert!(began.elapsed() < FOUND_WITHIN, "found after {:.1?}", began.elapsed());
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
        fleet.signal(id, Signal::STOP);
    }
    sleep(PAUSE).await;
    for id in fleet.ids() {
        fleet.signal(id, Signal::CONT);
    }
    let leader = fleet.leader().await;
    fleet.ready(leader).await;
    let awake = Instant::now();
    // Whoever would alarm does so within a window of the pause.
    while awake.elapsed() < FOUND_WITHIN {
        assert_eq!(told(&open_alerts(&fleet).await), []);
        sleep(Duration::from_secs(1)).await;
    }
    server.until_it_is(&fleet, ServerCondition::Online).await;

    let began = Instant::now();
    server.kill();
    server.until_it_is(&fleet, ServerCondition::Offline).await;
    assert!(began.elapsed() < FOUND_WITHIN, "found after {:.1?}", began.elapsed());
}
