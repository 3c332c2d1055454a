//! The settings of an authority node: `bursar.toml` in its data directory.

use bursar_domain::plan::failure_detection;
use bursar_net::{Address, CheckedSettings};
use serde::{Deserialize, Serialize};

/// The settings of an authority node. Unknown ones are refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where the node listens.
    pub listen: Listen,
    /// Under which addresses others reach it.
    pub advertised: Advertised,
    /// Serve the API without TLS, where it listens on loopback. The demo sets it; nothing else should.
    #[serde(default)]
    pub plain_http_on_loopback: bool,
    /// Raft's timing.
    #[serde(default)]
    pub raft: RaftTiming,
    /// How often the state is written down whole, and how much of the log stays behind that.
    #[serde(default)]
    pub checkpoints: Checkpoints,
    /// How storage servers are looked after.
    #[serde(default)]
    pub fleet: FleetTiming,
}

/// Where a node listens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listen {
    /// For the other authority nodes.
    pub peer: Address,
    /// For people: console and API.
    pub api: Address,
    /// For storage servers.
    pub control: Address,
}

/// Under which addresses others reach a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Advertised {
    /// The other authority nodes.
    pub peer: Address,
    /// People.
    pub api: Address,
    /// Storage servers.
    pub control: Address,
}

/// Raft's timing, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RaftTiming {
    /// Between two signs of life of the leader.
    pub heartbeat_ms: u64,
    /// The shortest time after which a node that hears nothing stands for election.
    pub election_ms_min: u64,
    /// The longest.
    pub election_ms_max: u64,
}

impl Default for RaftTiming {
    fn default() -> Self {
        Self { heartbeat_ms: 100, election_ms_min: 400, election_ms_max: 800 }
    }
}

/// How often the state is written down whole, and how much of the log stays behind that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Checkpoints {
    /// A checkpoint is written after so many revisions, or so many entries of the log. A start reads what lies behind the last
    /// one.
    pub every: u64,
    /// So many entries that a checkpoint covers stay in the log, and more for nodes that are being caught up. One that lags by more is
    /// sent the state.
    pub log_kept: u64,
}

impl Default for Checkpoints {
    fn default() -> Self {
        Self { every: 10_000, log_kept: 10_000 }
    }
}

/// How storage servers are looked after, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FleetTiming {
    /// After how long a silence a server counts as one that does not answer.
    pub detection_window_ms: u64,
}

/// The shortest window in which a server, which is heard once a second at most, may miss two words.
const DETECTION_WINDOW_MS_MIN: u64 = 3_000;

impl Default for FleetTiming {
    fn default() -> Self {
        Self { detection_window_ms: failure_detection::WINDOW_MS }
    }
}

/// Why values do not go together, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// An advertised address under which nobody finds a machine.
    #[error("nobody reaches this machine under {0}: give the name or the IP address, and the port, under which others reach it")]
    Nowhere(Address),
    /// Two ports are the same one.
    #[error(
        "{0} cannot serve two of the other nodes, people and storage servers: give them a port each, such as 4283, 4285 and 4288"
    )]
    OnePort(Address),
    /// An election timeout that heartbeats do not keep from running out.
    #[error("raft.election_ms_min must be at least twice raft.heartbeat_ms, which must not be 0")]
    ShortElection,
    /// No span to choose the election timeout from.
    #[error("raft.election_ms_max must be above raft.election_ms_min")]
    NoElectionSpan,
    /// A checkpoint behind every nothing.
    #[error("checkpoints.every must not be 0: it counts the revisions from one checkpoint to the next")]
    NoCheckpointDistance,
    /// A window in which a server that answers may be missed.
    #[error("fleet.detection_window_ms must be at least {DETECTION_WINDOW_MS_MIN}")]
    ShortWindow,
    /// No TLS where others than the machine itself could listen in.
    #[error("plain_http_on_loopback needs listen.api to be a loopback address: use 127.0.0.1, or leave TLS on")]
    PlainHttp,
}

impl CheckedSettings for Config {
    type Fault = Unusable;

    fn check(&self) -> Result<(), Unusable> {
        let Self { listen, advertised, plain_http_on_loopback, raft, checkpoints, fleet } = self;
        let advertised = [&advertised.peer, &advertised.api, &advertised.control];
        if let Some(nowhere) = advertised.into_iter().find(|address| is_nowhere(address)) {
            return Err(Unusable::Nowhere(nowhere.clone()));
        }
        let one = pairs(advertised).find(|(one, other)| one == other);
        let one = one.or_else(|| pairs([&listen.peer, &listen.api, &listen.control]).find(|(one, other)| overlap(one, other)));
        if let Some((_, port)) = one {
            return Err(Unusable::OnePort(port.clone()));
        }
        if raft.heartbeat_ms == 0 || raft.election_ms_min < 2 * raft.heartbeat_ms {
            return Err(Unusable::ShortElection);
        }
        if raft.election_ms_max <= raft.election_ms_min {
            return Err(Unusable::NoElectionSpan);
        }
        if checkpoints.every == 0 {
            return Err(Unusable::NoCheckpointDistance);
        }
        if fleet.detection_window_ms < DETECTION_WINDOW_MS_MIN {
            return Err(Unusable::ShortWindow);
        }
        if *plain_http_on_loopback && !listen.api.is_loopback() {
            return Err(Unusable::PlainHttp);
        }
        Ok(())
    }
}

/// Whether an address can be listened on and not be dialled: all interfaces, or whichever port is free.
fn is_nowhere(address: &Address) -> bool {
    address.port() == 0 || address.is_unspecified()
}

/// Each two of three.
fn pairs<T: Copy>([peer, api, control]: [T; 3]) -> impl Iterator<Item = (T, T)> {
    [(peer, api), (peer, control), (api, control)].into_iter()
}

/// Whether two listeners would be in each other's way.
fn overlap(one: &Address, other: &Address) -> bool {
    let same_host = one.host() == other.host() || one.is_unspecified() || other.is_unspecified();
    same_host && one.port() == other.port() && one.port() != 0
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

    use super::*;

    fn config(listen: [&str; 3], advertised: [&str; 3]) -> Config {
        let [peer, api, control] = listen.map(|text| text.parse().unwrap());
        let listen = Listen { peer, api, control };
        let [peer, api, control] = advertised.map(|text| text.parse().unwrap());
        let advertised = Advertised { peer, api, control };
        let (raft, checkpoints, fleet) = (RaftTiming::default(), Checkpoints::default(), FleetTiming::default());
        Config { listen, advertised, plain_http_on_loopback: false, raft, checkpoints, fleet }
    }

    #[test]
    fn an_address_that_names_no_machine_is_not_advertised() {
        let everywhere = ["0.0.0.0:4283", "0.0.0.0:4285", "0.0.0.0:4288"];
        let sound = ["a.example:4283", "[fe80::1]:4285", "a.example:4288"];
        assert_eq!(config(everywhere, sound).check(), Ok(()));
        for nowhere in ["0.0.0.0:4281", "[::]:4281", "[::ffff:0.0.0.0]:4281", "a.example:0"] {
            for place in 0..sound.len() {
                let mut advertised = sound;
                advertised[place] = nowhere;
                assert_eq!(config(everywhere, advertised).check(), Err(Unusable::Nowhere(nowhere.parse().unwrap())), "{nowhere}");
            }
        }
    }

    #[test]
    fn a_window_leaves_room_for_lost_words() {
        let ports = ["a.example:4283", "a.example:4285", "a.example:4288"];
        let within = |detection_window_ms| Config { fleet: FleetTiming { detection_window_ms }, ..config(ports, ports) };
        assert_eq!(within(DETECTION_WINDOW_MS_MIN).check(), Ok(()));
        assert_eq!(within(DETECTION_WINDOW_MS_MIN - 1).check(), Err(Unusable::ShortWindow));
    }

    #[test]
    fn three_ports_are_three() {
        let apart = ["a.example:4283", "a.example:4285", "a.example:4288"];
        let one_port = |text: &str| Err(Unusable::OnePort(text.parse().unwrap()));
        for [one, other] in [["10.0.0.1:443", "10.0.0.1:443"], ["0.0.0.0:443", "10.0.0.1:443"], ["10.0.0.1:443", "[::]:443"]] {
            let third = "10.0.0.1:444";
            for listen in [[one, other, third], [one, third, other], [third, one, other]] {
                assert_eq!(config(listen, apart).check(), one_port(other), "{listen:?}");
            }
        }
        let (one, third) = ("a.example:443", "a.example:444");
        for advertised in [[one, one, third], [one, third, one], [third, one, one]] {
            assert_eq!(config(apart, advertised).check(), one_port(one), "{advertised:?}");
        }
        for sound in [["10.0.0.1:443", "10.0.0.2:443", "10.0.0.3:443"], ["127.0.0.1:0"; 3]] {
            assert_eq!(config(sound, apart).check(), Ok(()), "{sound:?}");
        }
    }

    #[test]
    fn checkpoints_have_a_distance_and_need_no_log() {
        let ports = ["a.example:1", "a.example:2", "a.example:3"];
        let sound = config(ports, ports);
        let with = |every, log_kept| Config { checkpoints: Checkpoints { every, log_kept }, ..sound.clone() }.check();
        assert_eq!(with(1, 0), Ok(()));
        assert_eq!(with(0, 10), Err(Unusable::NoCheckpointDistance));
    }

    #[test]
    fn settings_that_say_nothing_of_a_matter_leave_it_as_it_is() {
        let listens = "[listen]\npeer = \"a.example:1\"\napi = \"a.example:2\"\ncontrol = \"a.example:3\"\n";
        let text = format!("{listens}{}[checkpoints]\nlog_kept = 7\n", listens.replace("listen", "advertised"));
        let read: Config = toml::from_str(&text).unwrap();
        assert_eq!(read.checkpoints, Checkpoints { log_kept: 7, ..Checkpoints::default() });
        assert_eq!(read.raft, RaftTiming::default());
    }
}
