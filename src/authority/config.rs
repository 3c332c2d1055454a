//! The settings of an authority node: `bursar.toml` in its data directory.

use bursar_net::{Address, Settings};
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
}

/// Where a node listens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listen {
    /// For the other authority nodes.
    pub peer: Address,
    /// For people: console and API.
    pub api: Address,
}

/// Under which addresses others reach a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Advertised {
    /// The other authority nodes.
    pub peer: Address,
    /// People.
    pub api: Address,
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
    /// So many entries that a checkpoint covers stay in the log. A node that lags by more is sent the state.
    pub log_kept: u64,
}

impl Default for Checkpoints {
    fn default() -> Self {
        Self { every: 10_000, log_kept: 10_000 }
    }
}

/// Why values do not go together, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// An advertised address under which nobody finds a machine.
    #[error("nobody reaches this machine under {0}: give the name or the IP address, and the port, under which others reach it")]
    Nowhere(Address),
    /// Both ports are the same one.
    #[error("{0} cannot serve both the other nodes and people: give them a port each, such as 4283 and 4285")]
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
    /// No TLS where others than the machine itself could listen in.
    #[error("plain_http_on_loopback needs listen.api to be a loopback address: use 127.0.0.1, or leave TLS on")]
    PlainHttp,
}

impl Settings for Config {
    type Fault = Unusable;

    fn check(&self) -> Result<(), Unusable> {
        let Self { listen, advertised, plain_http_on_loopback, raft, checkpoints } = self;
        if let Some(nowhere) = [&advertised.peer, &advertised.api].into_iter().find(|address| is_nowhere(address)) {
            return Err(Unusable::Nowhere(nowhere.clone()));
        }
        if advertised.peer == advertised.api {
            return Err(Unusable::OnePort(advertised.api.clone()));
        }
        if overlap(&listen.peer, &listen.api) {
            return Err(Unusable::OnePort(listen.api.clone()));
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

/// Whether two listeners would be in each other's way.
fn overlap(one: &Address, other: &Address) -> bool {
    let same_host = one.host() == other.host() || one.is_unspecified() || other.is_unspecified();
    same_host && one.port() == other.port() && one.port() != 0
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

    use super::*;

    fn config(listen: [&str; 2], advertised: [&str; 2]) -> Config {
        let [listen_peer, listen_api, peer, api] =
            [listen[0], listen[1], advertised[0], advertised[1]].map(|text| text.parse().unwrap());
        Config {
            listen: Listen { peer: listen_peer, api: listen_api },
            advertised: Advertised { peer, api },
            plain_http_on_loopback: false,
            raft: RaftTiming::default(),
            checkpoints: Checkpoints::default(),
        }
    }

    #[test]
    fn an_address_that_names_no_machine_is_not_advertised() {
        let everywhere = ["0.0.0.0:4283", "0.0.0.0:4285"];
        assert_eq!(config(everywhere, ["a.example:4283", "[fe80::1]:4285"]).check(), Ok(()));
        for nowhere in ["0.0.0.0:4281", "[::]:4281", "[::ffff:0.0.0.0]:4281", "a.example:0"] {
            for advertised in [[nowhere, "a.example:4285"], ["a.example:4283", nowhere]] {
                assert_eq!(config(everywhere, advertised).check(), Err(Unusable::Nowhere(nowhere.parse().unwrap())), "{nowhere}");
            }
        }
    }

    #[test]
    fn two_ports_are_two() {
        let apart = ["a.example:4283", "a.example:4285"];
        for same in [["10.0.0.1:443", "10.0.0.1:443"], ["0.0.0.0:443", "10.0.0.1:443"], ["10.0.0.1:443", "[::]:443"]] {
            assert_eq!(config(same, apart).check(), Err(Unusable::OnePort(same[1].parse().unwrap())), "{same:?}");
        }
        let one = "a.example:443";
        assert_eq!(config(apart, [one, one]).check(), Err(Unusable::OnePort(one.parse().unwrap())));
        for sound in [["10.0.0.1:443", "10.0.0.2:443"], ["127.0.0.1:0", "127.0.0.1:0"]] {
            assert_eq!(config(sound, apart).check(), Ok(()), "{sound:?}");
        }
    }

    #[test]
    fn checkpoints_have_a_distance_and_need_no_log() {
        let sound = config(["a.example:1", "a.example:2"], ["a.example:1", "a.example:2"]);
        let with = |every, log_kept| Config { checkpoints: Checkpoints { every, log_kept }, ..sound.clone() }.check();
        assert_eq!(with(1, 0), Ok(()));
        assert_eq!(with(0, 10), Err(Unusable::NoCheckpointDistance));
    }

    #[test]
    fn settings_that_say_nothing_of_a_matter_leave_it_as_it_is() {
        let listens = "[listen]\npeer = \"a.example:1\"\napi = \"a.example:2\"\n";
        let text = format!("{listens}{}[checkpoints]\nlog_kept = 7\n", listens.replace("listen", "advertised"));
        let read: Config = toml::from_str(&text).unwrap();
        assert_eq!(read.checkpoints, Checkpoints { log_kept: 7, ..Checkpoints::default() });
        assert_eq!(read.raft, RaftTiming::default());
    }
}
