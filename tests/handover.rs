//! The leadership is handed over while clients are at work.

mod support;

use bursar_wire::{
    client::{Change, ClientError},
    cluster::{Leadership, TransferLeadership},
};
use support::{
    Fleet, errors_of, soon,
    traffic::{Temper, Traffic},
};

/// How many writes must be acknowledged between two hand-overs.
const PROGRESS: u64 = 30;

/// What tells a hand-over from an election that nobody wanted.
struct Counts {
    transfers_received: u64,
    elections_started: u64,
    elections_won: u64,
}

impl Counts {
    async fn of(fleet: &Fleet, id: u64) -> Self {
        let counter = async |name: &str| fleet.metric(id, &format!("bursar_raft_{name}_total")).await;
        Self {
            transfers_received: counter("transfers_received").await,
            elections_started: counter("elections_started").await,
            elections_won: counter("elections_won").await,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_leadership_goes_round_under_load_and_no_client_notices() {
    let mut fleet = Fleet::start();
    let mut traffic = Traffic::new();
    for number in 0..6 {
        traffic.write(fleet.client_from(number), Temper::Stubborn);
    }
    for number in 0..3 {
        traffic.read(fleet.client_from(number));
        traffic.follow(&format!("follower {number}"), fleet.client_from(number), Some(0));
    }
    traffic.progress(PROGRESS).await;

    // Each node asks for it once, so that it is passed on to the leader, or is the leader's own.
    for (through, name_heir) in fleet.ids().into_iter().flat_map(|id| [(id, true), (id, false)]) {
        let leader = fleet.leader().await;
        let heir = fleet.others(leader)[0];
        let mut before = Vec::new();
        for id in fleet.ids() {
            before.push((id, Counts::of(&fleet, id).await));
        }
        let began = traffic.record().now();
        let request = TransferLeadership { to: name_heir.then_some(heir) };
        let client = fleet.client_of(&[through]);
        let asked = client.post("cluster/transfer-leadership", &request, Change::default());
        let answer = soon("the leadership is handed over", asked).await.expect("it is handed over");
        let Leadership { leader: successor } = answer.json().expect("who leads now");
        let took = std::time::Duration::from_nanos(traffic.record().now() - began);
        assert_ne!(successor, leader);
        assert!(!name_heir || successor == heir);
        traffic.progress(PROGRESS).await;
        println!(
            "from {leader} to {successor}, asked for at {through}: answered after {took:.2?}, gap in acknowledged writes {:.2?}",
            traffic.longest_gap(began)
        );

        for (id, before) in before {
            let after = Counts::of(&fleet, id).await;
            let received = after.transfers_received - before.transfers_received;
            let started = after.elections_started - before.elections_started;
            let won = after.elections_won - before.elections_won;
            // Whoever is not the heir is told, too, so that it does not take the heir for an intruder.
            assert_eq!(received, u64::from(id != leader), "hand-overs told to authority node {id}");
            let expected = if id == successor { (1, 1) } else { (0, 0) };
            assert_eq!((started, won), expected, "elections started and won by authority node {id}");
        }
    }

    // As an operator does it.
    let leader = fleet.leader().await;
    let heir = fleet.others(leader)[0];
    let told = fleet.operate(["cluster", "transfer-leadership", "--yes", "--to", &heir.to_string(), "-o", "json"]);
    assert!(told.status.success(), "{}", errors_of(&told));
    assert_eq!(serde_json::from_slice::<Leadership>(&told.stdout).expect("who leads now").leader, heir);
    traffic.progress(PROGRESS).await;

    // To nobody, to somebody who is not there: typed refusals.
    let unknown = TransferLeadership { to: Some(99) };
    let refused = fleet.client().post("cluster/transfer-leadership", &unknown, Change::default()).await;
    match refused {
        Err(ClientError::Problem { problem, .. }) => assert_eq!((problem.status, problem.code.as_str()), (404, "not_found")),
        other => panic!("there is no authority node 99: {other:?}"),
    }

    assert_eq!(traffic.failures(), [] as [String; 0], "no client was told of it");
    let history = traffic.end(&fleet).await;
    println!("{} writes, {} reads", history.writes.len(), history.reads.len());
    assert_eq!(history.violations(), []);
    fleet.stop_and_examine();
}
