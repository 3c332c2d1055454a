//! How many connections a port holds, altogether and from one address.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The bounds of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// Connections at a time.
    pub max_connections: usize,
    /// Connections at a time from one IP address.
    pub max_per_address: usize,
    /// How long a connection may take until it is past its handshakes.
    pub handshake_timeout: Duration,
    /// How long connections may take to end on their own once the shutdown is asked for.
    pub drain_timeout: Duration,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            max_connections: 1024,
            max_per_address: 256,
            handshake_timeout: Duration::from_secs(5),
            drain_timeout: Duration::from_secs(5),
        }
    }
}

/// What has happened at a port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConnectionCounts {
    /// Connections that are open now.
    pub open: u64,
    /// Connections that were let in so far.
    pub accepted: u64,
    /// Connections that were closed at once because the port was full.
    pub refused_full: u64,
    /// Connections that were closed at once because their address had too many.
    pub refused_address: u64,
    /// Connections that ended in a handshake: plaintext, a bad certificate, a refused hello, too
    /// slow.
    pub failed_handshakes: u64,
}

/// Counts the connections of one port and turns away those above its limits.
#[derive(Debug, Default)]
pub struct ConnectionMeter {
    open: Mutex<OpenConnections>,
    accepted: AtomicU64,
    refused_full: AtomicU64,
    refused_address: AtomicU64,
    failed_handshakes: AtomicU64,
}

#[derive(Debug, Default)]
struct OpenConnections {
    total: usize,
    /// Only addresses with open connections are listed, so this is bounded by the total.
    by_address: BTreeMap<IpAddr, usize>,
}

impl ConnectionMeter {
    /// A meter that has counted nothing.
    pub fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }

    /// The counts now.
    pub fn counts(&self) -> ConnectionCounts {
        ConnectionCounts {
            open: self.with_open(|open| open.total as u64),
            accepted: self.accepted.load(Ordering::Relaxed),
            refused_full: self.refused_full.load(Ordering::Relaxed),
            refused_address: self.refused_address.load(Ordering::Relaxed),
            failed_handshakes: self.failed_handshakes.load(Ordering::Relaxed),
        }
    }

    /// Takes a place for a connection from `address`, or counts it as refused.
    pub(crate) fn enter(self: &Arc<Self>, address: IpAddr, limits: &ConnectionLimits) -> Option<ConnectionPlace> {
        let counter = self.with_open(|open| {
            if open.total >= limits.max_connections {
                return Err(&self.refused_full);
            }
            let from_address = open.by_address.entry(address).or_default();
            if *from_address >= limits.max_per_address {
                return Err(&self.refused_address);
            }
            *from_address += 1;
            open.total += 1;
            Ok(&self.accepted)
        });
        let let_in = counter.is_ok();
        let (Ok(counter) | Err(counter)) = counter;
        counter.fetch_add(1, Ordering::Relaxed);
        let_in.then(|| ConnectionPlace { meter: Arc::clone(self), address })
    }

    pub(crate) fn count_failed_handshake(&self) {
        self.failed_handshakes.fetch_add(1, Ordering::Relaxed);
    }

    fn leave(&self, address: IpAddr) {
        self.with_open(|open| {
            open.total -= 1;
            if let Some(from_address) = open.by_address.get_mut(&address) {
                *from_address -= 1;
                if *from_address == 0 {
                    open.by_address.remove(&address);
                }
            }
        });
    }

    fn with_open<T>(&self, work: impl FnOnce(&mut OpenConnections) -> T) -> T {
        // The counts are whole after every statement, so a panic elsewhere cannot have spoiled
        // them.
        work(&mut self.open.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A connection's place at its port, given back on drop.
#[derive(Debug)]
pub(crate) struct ConnectionPlace {
    meter: Arc<ConnectionMeter>,
    address: IpAddr,
}

impl Drop for ConnectionPlace {
    fn drop(&mut self) {
        self.meter.leave(self.address);
    }
}
