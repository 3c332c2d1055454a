//! Real processes, each in a network of its own, between which packets vanish: both ways, or one way only.

mod support;

use std::time::Duration;

use support::{
    Fleet,
    network::Network,
    quiet::{Disturbed, quiet},
    refused::{Refused, ask_in_vain},
    traffic::{Temper, Traffic, settled},
    until,
};

/// How many writes must be acknowledged before the next step.
const PROGRESS: u64 = 20;
/// How soon the others must take writes again when the leader is cut off, however busy the machine is.
const GAP_MAX: Duration = Duration::from_secs(30);

/// How a node is cut off from the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cut {
    /// Nothing comes through.
    Off,
    /// It hears the others, who do not hear it.
    Mute,
    /// They hear it, and it does not hear them.
    Deaf,
}

impl Cut {
    const ALL: [Self; 3] = [Self::Off, Self::Mute, Self::Deaf];

    fn make(self, network: &Network, node: u64, others: &[u64]) {
        for other in others {
            if self != Self::Deaf {
                network.cut(node, *other);
            }
            if self != Self::Mute {
                network.cut(*other, node);
            }
        }
    }
}

/// A fleet at work in a network that is cut and healed.
struct Trial<'n> {
    network: &'n Network,
    fleet: Fleet,
    traffic: Traffic,
    /// The writes that a node without a quorum has refused.
    refused: Vec<String>,
}

impl<'n> Trial<'n> {
    async fn begin(network: &'n Network) -> Self {
        let fleet = Fleet::across(network).await;
        let traffic = Traffic::of(&fleet);
        traffic.progress(PROGRESS).await;
        Self { network, fleet, traffic, refused: Vec::new() }
    }

    /// A node that has no quorum says so soon, and shows nothing.
    async fn ask_in_vain(&mut self, node: u64, name: &str) {
        let Refused { requests, .. } = ask_in_vain(&self.fleet, node, name).await;
        self.refused.extend(requests);
    }

    /// The others elect another leader and go on; the one that is cut off acknowledges nothing and shows nothing.
    async fn cut_the_leader(&mut self, cut: Cut) {
        let leader = self.fleet.led().await.leader;
        let others = self.fleet.others(leader);
        // Asks nobody else: what it is shown, the checker compares with what everybody else was.
        self.traffic.read(self.fleet.client_of(&[leader]));
        // Who asks the leader first waits for as long as it hopes for a quorum; who asks the others does not.
        self.traffic.write(self.fleet.client_of(&others), Temper::Stubborn);
        self.traffic.progress(PROGRESS).await;
        let cut_at = self.traffic.record().now();
        cut.make(self.network, leader, &others);
        let successor = self.fleet.leader_among(&others).await;
        self.traffic.progress(PROGRESS).await;
        self.ask_in_vain(leader, &format!("the leader {cut:?}")).await;
        self.traffic.progress(PROGRESS).await;
        let gap = self.traffic.longest_gap(cut_at);
        println!("the leader {cut:?}: {successor} took over from {leader}, gap in acknowledged writes: {gap:.2?}");
        assert!(gap < GAP_MAX, "two of three go on without the third");

        self.network.heal();
        let after = self.fleet.led().await.leader;
        assert_ne!(after, leader, "it follows whom the others have elected");
        self.traffic.progress(PROGRESS).await;
    }

    /// Nobody is elected, whatever the one that is cut off hears and says.
    async fn cut_a_follower(&mut self, cut: Cut) {
        quiet(&format!("a follower {cut:?}"), async || self.cut_a_follower_once(cut).await).await;
    }

    /// The one that is cut off never stands for election, and the same leader goes on, unless it stands still for a while: then
    /// the third may stand for election.
    async fn cut_a_follower_once(&mut self, cut: Cut) -> Result<(), Disturbed> {
        let led = self.fleet.led().await;
        let follower = self.fleet.others(led.leader)[0];
        let stood = self.elections_of(follower).await;
        let cut_at = self.traffic.record().now();
        cut.make(self.network, follower, &self.fleet.others(follower));
        until("it notices", async || self.fleet.status_of(follower).await?.leader.is_none().then_some(())).await;
        self.ask_in_vain(follower, &format!("a follower {cut:?} in term {}", led.term)).await;
        self.traffic.progress(PROGRESS).await;
        println!("a follower {cut:?}: gap in acknowledged writes: {:.2?}", self.traffic.longest_gap(cut_at));

        self.network.heal();
        let same_leader = self.fleet.is_still_led(led).await;
        assert_eq!(self.elections_of(follower).await, stood, "nobody would elect it while there is a leader");
        same_leader?;
        self.traffic.progress(PROGRESS).await;
        Ok(())
    }

    /// How often a node has stood for election. That it asks whether it would be elected does not count.
    async fn elections_of(&self, node: u64) -> u64 {
        self.fleet.metric(node, "bursar_raft_elections_started_total").await
    }

    /// What was acknowledged is there, once, on all nodes, which are alike to the last bit.
    async fn end(self) {
        let Self { mut fleet, traffic, refused, .. } = self;
        let history = traffic.end(&fleet).await;
        let acknowledged = history.writes.iter().filter(|write| write.acknowledgement.is_some()).count();
        println!("{acknowledged} writes acknowledged, {} linearizable reads", history.reads.len());
        history.assert_sound();
        for request in refused {
            let times = history.journals[&1].iter().filter(|line| line.request == request).count();
            assert!(times <= 1, "{request} was never acknowledged, and was carried out {times} times");
        }
        settled(&fleet).await;
        fleet.stop_and_examine();
    }
}

#[test]
fn a_leader_that_is_cut_off_is_replaced_acknowledges_nothing_and_shows_nothing_stale() {
    let Some(network) = Network::of(3) else { return };
    network.run(async || {
        let mut trial = Trial::begin(&network).await;
        for cut in Cut::ALL {
            trial.cut_the_leader(cut).await;
        }
        trial.end().await;
    });
}

#[test]
fn a_follower_that_is_cut_off_disturbs_nobody() {
    let Some(network) = Network::of(3) else { return };
    network.run(async || {
        let mut trial = Trial::begin(&network).await;
        for cut in Cut::ALL {
            trial.cut_a_follower(cut).await;
        }
        trial.end().await;
    });
}
