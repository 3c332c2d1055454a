//! The leadership is handed over while clients are at work.

mod support;

use std::time::Duration;

use bursar_wire::{
    client::{Change, ClientError},
    cluster::{Leadership, TransferLeadership},
};
use support::{
    Fleet, errors_of,
    quiet::{Disturbed, Led, quiet},
    soon,
    traffic::{Temper, Traffic},
    until,
};

/// How many writes must be acknowledged between two hand-overs.
const PROGRESS: u64 = 30;

/// What tells a hand-over from an election that nobody wanted.
struct Counts {
    transfers_received: u64,
    elections_started: u64,
    elections_won: u64,
    pre_votes_received: u64,
}

impl Counts {
    async fn of(fleet: &Fleet, id: u64) -> Self {
        let counter = async |name: &str| fleet.metric(id, &format!("bursar_raft_{name}_total")).await;
        Self {
            transfers_received: counter("transfers_received").await,
            elections_started: counter("elections_started").await,
            elections_won: counter("elections_won").await,
            pre_votes_received: counter("pre_votes_received").await,
        }
    }
}

/// How things were before a hand-over.
struct Before {
    led: Led,
    counts: Vec<(u64, Counts)>,
}

impl Before {
    async fn of(fleet: &Fleet) -> Self {
        let led = fleet.led().await;
        let mut counts = Vec::new();
        for id in fleet.ids() {
            counts.push((id, Counts::of(fleet, id).await));
        }
        Self { led, counts }
    }

    /// Whether nothing but the hand-over has moved the leadership since. It moves it once, and the heir does not ask beforehand
    /// whether it would be elected: whoever asks has not heard of its leader for a while.
    async fn is_all_that_moved(&self, fleet: &Fleet) -> Result<(), Disturbed> {
        let now = fleet.led().await;
        if now.term > self.led.term + 1 {
            return Err(self.led.moved_to(now));
        }
        for (id, before) in &self.counts {
            if Counts::of(fleet, *id).await.pre_votes_received > before.pre_votes_received {
                return Err(Disturbed::by(format!("authority node {id} was asked whether it would elect another leader")));
            }
        }
        Ok(())
    }

    /// What is counted once everybody was told of the hand-over, where nothing else has moved the leadership since.
    async fn after(&self, fleet: &Fleet) -> Result<Vec<Counts>, Disturbed> {
        let mut counts = Vec::new();
        for (id, before) in &self.counts {
            // Who is not the heir may hear of it when it is over.
            let told = until(&format!("authority node {id} is told"), async || {
                let now = Counts::of(fleet, *id).await;
                (now.transfers_received >= before.transfers_received + self.is_told(*id)).then_some(now)
            })
            .await;
            counts.push(told);
        }
        self.is_all_that_moved(fleet).await?;
        Ok(counts)
    }

    /// How often a node is told of the hand-over. Whoever is not the heir is told, too, so that it does not take the heir for an
    /// intruder.
    fn is_told(&self, id: u64) -> u64 {
        u64::from(id != self.led.leader)
    }

    /// Everybody was told, once, and nobody but the successor stood for election.
    fn assert_handed_over(&self, after: &[Counts], successor: u64) {
        for ((id, before), after) in self.counts.iter().zip(after) {
            let received = after.transfers_received - before.transfers_received;
            let started = after.elections_started - before.elections_started;
            let won = after.elections_won - before.elections_won;
            assert_eq!(received, self.is_told(*id), "hand-overs told to authority node {id}");
            let expected = if *id == successor { (1, 1) } else { (0, 0) };
            assert_eq!((started, won), expected, "elections started and won by authority node {id}");
        }
    }
}

/// Has the leadership handed over, asked for at a node: to an heir that is named, or to whoever is furthest.
async fn hand_over(fleet: &Fleet, traffic: &Traffic, through: u64, name_heir: bool) -> Result<(), Disturbed> {
    let before = Before::of(fleet).await;
    let leader = before.led.leader;
    let heir = fleet.others(leader)[0];
    let began = traffic.record().now();
    let request = TransferLeadership { to: name_heir.then_some(heir) };
    let client = fleet.client_of(&[through]);
    let asked = client.post("cluster/transfer-leadership", &request, Change::default());
    let answer = soon("the leadership is handed over", asked).await;
    let took = Duration::from_nanos(traffic.record().now() - began);
    traffic.progress(PROGRESS).await;
    before.is_all_that_moved(fleet).await?;

    let Leadership { leader: successor } = answer.expect("it is handed over").json().expect("who leads now");
    println!(
        "from {leader} to {successor}, asked for at {through}: answered after {took:.2?}, gap in acknowledged writes {:.2?}",
        traffic.longest_gap(began)
    );
    assert_ne!(successor, leader);
    assert!(!name_heir || successor == heir);
    before.assert_handed_over(&before.after(fleet).await?, successor);
    Ok(())
}

/// The same as an operator does it.
async fn operate(fleet: &Fleet, traffic: &Traffic) -> Result<(), Disturbed> {
    let before = Before::of(fleet).await;
    let heir = fleet.others(before.led.leader)[0];
    let told = fleet.operate(["cluster", "transfer-leadership", "--yes", "--to", &heir.to_string(), "-o", "json"]);
    traffic.progress(PROGRESS).await;
    before.is_all_that_moved(fleet).await?;

    assert!(told.status.success(), "{}", errors_of(&told));
    assert_eq!(serde_json::from_slice::<Leadership>(&told.stdout).expect("who leads now").leader, heir);
    Ok(())
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
        let what = format!("the hand-over asked for at {through}");
        quiet(&what, async || hand_over(&fleet, &traffic, through, name_heir).await).await;
    }
    quiet("the hand-over by an operator", async || operate(&fleet, &traffic).await).await;

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
    history.assert_sound();
    fleet.stop_and_examine();
}
