//! The network between the machines: names, ports, and connections whose bytes take their time, in order.
//!
//! It behaves as TCP does where a program can tell: a connection attempt to a machine that is cut off hangs, to one that has no
//! listener it is refused; closing delivers the end after what was written; a full buffer makes the writer wait; a machine that
//! lost its power says no goodbye, so its peers learn of it from their unanswered probes, or when it is back and knows nothing of
//! them. Bytes that meet a cut are held, and arrive some time after it is mended, as repeated segments would.
//!
//! | file | what it holds |
//! |---|---|
//! | `wire.rs` | what travels, and when it arrives |
//! | `connection.rs` | what the two ends of a connection know |
//! | `socket.rs` | how a program holds an end: [`bursar_net::Network`] and its streams |

mod connection;
mod socket;
#[cfg(test)]
mod tests;
mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::future::Future;
use std::io;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

pub use socket::HostNetwork;

use crate::draws::Draws;
use crate::trace::Trace;
use connection::Port;
use wire::State;

/// A machine, by its place in the order in which they were attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct HostId(pub u32);

impl fmt::Display for HostId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "h{}", self.0)
    }
}

/// How far apart the sites are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Distances {
    /// How long a packet takes from each site to each, in milliseconds.
    pub latency_ms: Vec<Vec<u64>>,
    /// How much longer it may take at most, in milliseconds.
    pub jitter_ms: u64,
    /// How many bytes a connection takes each way before its writer has to wait.
    pub buffer_bytes: usize,
}

/// What is wrong with a link, in one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Impairment {
    /// Nothing comes through.
    Cut,
    /// Everything takes longer.
    Slow {
        /// By how much, in milliseconds.
        added_ms: u64,
        /// How many bytes come through in a second, of all connections together.
        bytes_per_second: u64,
    },
}

/// One that is in effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ImpairmentId(u64);

/// The network of a world. Clones are the same network.
#[derive(Clone)]
pub struct Internet {
    state: Arc<Mutex<State>>,
    /// Something arrives sooner than what was waited for.
    sooner: Arc<Notify>,
}

impl Internet {
    /// A network without machines.
    pub fn new(distances: Distances, draws: Draws, trace: Trace) -> Self {
        Self { state: Arc::new(Mutex::new(State::new(distances, draws, trace))), sooner: Arc::default() }
    }

    /// Connects a machine called `name`, which nobody else is, at a site of [`Distances`]. It has power.
    pub fn attach(&self, name: &str, site: usize) -> HostId {
        self.with(|state| {
            assert!(site < state.distances.latency_ms.len(), "{name} is at site {site}, which the plan does not have");
            let host = HostId(u32::try_from(state.hosts.len()).expect("fewer than 2^32 machines"));
            let [_, _, high, low] = host.0.to_be_bytes();
            let site_number = u8::try_from(site).expect("fewer than 256 sites");
            let address = Ipv4Addr::new(10, site_number, high, low);
            let taken = state.names.insert(name.to_owned(), host);
            assert_eq!(taken, None, "two machines are called {name}");
            state.hosts.insert(host, Host { address, site, powered: true, boot: 0, ports: BTreeMap::new(), next_port: 32_768 });
            host
        })
    }

    /// The part that a program on `host` is given. It is worth nothing once the machine has lost its power.
    pub fn of(&self, host: HostId) -> HostNetwork {
        let boot = self.with(|state| state.hosts[&host].boot);
        HostNetwork { internet: self.clone(), host, boot }
    }

    /// The address of a machine.
    pub fn address_of(&self, host: HostId) -> Ipv4Addr {
        self.with(|state| state.hosts[&host].address)
    }

    /// Carries what is sent, for ever. Without it nothing arrives.
    pub fn carry(&self) -> impl Future<Output = ()> + Send + use<> {
        let internet = self.clone();
        async move { internet.carry_all().await }
    }

    /// Takes the power from a machine: it sends nothing any more, not even that its connections end.
    pub fn power_off(&self, host: HostId) {
        self.with(|state| {
            let machine = state.host(host);
            machine.powered = false;
            machine.boot += 1;
            for id in std::mem::take(&mut machine.ports).into_values().flat_map(|port| port.backlog) {
                state.connections.get_mut(&id).expect("whoever waits holds the connection").acceptor.held = false;
            }
        });
    }

    /// Gives a machine its power back. It remembers no connection.
    pub fn power_on(&self, host: HostId) {
        self.with(|state| state.host(host).powered = true);
    }

    /// Impairs links, each from one machine to another, until [`repair`](Self::repair).
    pub fn impair(&self, links: impl IntoIterator<Item = (HostId, HostId)>, impairment: Impairment) -> ImpairmentId {
        let links: BTreeSet<_> = links.into_iter().collect();
        self.with(|state| {
            let id = ImpairmentId(state.next_impairment);
            state.next_impairment += 1;
            state.impairments.insert(id, (links, impairment));
            id
        })
    }

    /// Ends an impairment; one that has ended already stays so. What was held comes through, as far as nothing else holds it.
    pub fn repair(&self, id: ImpairmentId) {
        self.with(|state| {
            if state.impairments.remove(&id).is_some() {
                state.unclog();
                state.release();
            }
        });
    }

    /// Ends all impairments.
    pub fn repair_all(&self) {
        self.with(|state| {
            state.impairments.clear();
            state.unclog();
            state.release();
        });
    }

    /// Breaks all connections between two machines: both ends are told. Returns how many there were.
    pub fn reset(&self, one: HostId, other: HostId) -> usize {
        self.with(|state| state.reset(one, other))
    }

    /// Does something with the state, then wakes whom it concerns: outside of the lock, for a task that is woken for its end may
    /// drop a stream.
    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        let (done, woken, sooner) = {
            // Who panicked with the lock held has failed the run; what is dropped on the way out may still look.
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let done = act(&mut state);
            (done, std::mem::take(&mut state.woken), std::mem::take(&mut state.sooner))
        };
        if sooner {
            self.sooner.notify_one();
        }
        for waker in woken {
            waker.wake();
        }
        done
    }
}

impl fmt::Debug for Internet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Internet")
    }
}

/// A machine as the network sees it.
struct Host {
    address: Ipv4Addr,
    site: usize,
    powered: bool,
    /// How often it lost its power. Whatever an earlier boot holds is worth nothing.
    boot: u32,
    /// Who listens.
    ports: BTreeMap<u16, Port>,
    /// The next port for whoever does not care which.
    next_port: u16,
}

impl Host {
    fn free_port(&mut self) -> io::Result<u16> {
        for _ in 0..=u16::MAX {
            let port = self.next_port;
            self.next_port = port.checked_add(1).unwrap_or(32_768);
            if !self.ports.contains_key(&port) {
                return Ok(port);
            }
        }
        Err(io::ErrorKind::AddrInUse.into())
    }
}
