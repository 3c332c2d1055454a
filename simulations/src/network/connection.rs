//! What the two ends of a connection know, and how they answer what arrives.

use std::collections::VecDeque;
use std::io;
use std::task::Waker;
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::time::Instant;

use super::HostId;

/// How long a connection may be silent before the other end is probed.
pub const PROBE_AFTER: Duration = Duration::from_secs(15);
/// How long lies between two probes.
pub const PROBE_INTERVAL: Duration = Duration::from_secs(5);
/// How long a connection may be silent.
pub const SILENCE_MAX: Duration = Duration::from_secs(30);
/// How many connections may wait to be accepted at a port.
pub const BACKLOG: usize = 1_024;

/// A connection, in the order in which they were dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConnectionId(pub u64);

/// One of the two ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    Dialler,
    Acceptor,
}

impl Side {
    pub fn other(self) -> Self {
        match self {
            Side::Dialler => Side::Acceptor,
            Side::Acceptor => Side::Dialler,
        }
    }
}

/// What travels from one end to the other.
#[derive(Clone, Debug)]
pub enum Segment {
    /// Wants a connection.
    Syn,
    /// It stands.
    SynAck,
    /// Bytes of the stream.
    Data(Bytes),
    /// So many bytes were read.
    Ack(usize),
    /// No more bytes will come.
    Fin,
    /// There is no such connection.
    Reset,
    /// Is anybody there?
    Probe,
    /// Yes.
    Alive,
}

impl Segment {
    /// Whether it is sent again anyway, so that a cut may lose it.
    pub fn is_expendable(&self) -> bool {
        matches!(self, Segment::Syn | Segment::Probe | Segment::Alive)
    }

    pub fn name(&self) -> &'static str {
        match self {
            Segment::Syn => "syn",
            Segment::SynAck => "syn-ack",
            Segment::Data(_) => "data",
            Segment::Ack(_) => "ack",
            Segment::Fin => "fin",
            Segment::Reset => "reset",
            Segment::Probe => "probe",
            Segment::Alive => "alive",
        }
    }

    pub fn bytes(&self) -> &[u8] {
        if let Segment::Data(bytes) = self { bytes } else { &[] }
    }
}

/// Both ends.
pub struct Connection {
    pub dialler: End,
    pub acceptor: End,
    /// Where the dialler wants to get to.
    pub port: u16,
    /// Where it comes from.
    pub from_port: u16,
}

impl Connection {
    pub fn end(&mut self, side: Side) -> &mut End {
        match side {
            Side::Dialler => &mut self.dialler,
            Side::Acceptor => &mut self.acceptor,
        }
    }

    /// Whether nobody holds an end, and nothing is on its way that would be answered.
    pub fn is_over(&self) -> bool {
        [&self.dialler, &self.acceptor].iter().all(|end| !end.held && end.coming.is_empty())
    }
}

/// One end of a connection, as its machine knows it.
pub struct End {
    pub host: HostId,
    /// The boot of the machine that knows of it; none yet at an end that was not reached.
    pub boot: Option<u32>,
    /// A program holds it, or it waits to be accepted.
    pub held: bool,
    /// The connection stands.
    pub open: bool,
    /// Why it is no more.
    pub failed: Option<io::ErrorKind>,
    /// What was sent to it, and did not arrive yet.
    pub coming: VecDeque<Segment>,
    /// What arrived, and was not read yet.
    pub arrived: VecDeque<Bytes>,
    /// The other end sends no more.
    pub ended: bool,
    /// This end sends no more.
    pub finished: bool,
    /// How many bytes it sent that the other end has not read, as far as it knows.
    pub unacknowledged: usize,
    /// When it last heard of the other end.
    pub heard: Instant,
    pub reader: Option<Waker>,
    pub writer: Option<Waker>,
}

impl End {
    pub fn new(host: HostId, boot: Option<u32>) -> Self {
        Self {
            host,
            boot,
            held: boot.is_some(),
            open: false,
            failed: None,
            coming: VecDeque::new(),
            arrived: VecDeque::new(),
            ended: false,
            finished: false,
            unacknowledged: 0,
            heard: Instant::now(),
            reader: None,
            writer: None,
        }
    }

    /// Gives it up for `reason`; what arrived is lost.
    pub fn fail(&mut self, reason: io::ErrorKind) {
        self.failed.get_or_insert(reason);
        self.arrived.clear();
    }

    /// Everybody who waits at this end, to be woken.
    pub fn waiting(&mut self) -> impl Iterator<Item = Waker> + use<> {
        [self.reader.take(), self.writer.take()].into_iter().flatten()
    }

    pub fn take_in(&mut self, bytes: Bytes) {
        self.arrived.push_back(bytes);
    }

    pub fn has_unread(&self) -> bool {
        !self.arrived.is_empty()
    }

    /// Reads up to `room` bytes of what arrived next; nothing where there is none of either.
    pub fn read(&mut self, room: usize) -> Option<Bytes> {
        let front = self.arrived.front_mut().filter(|_| room > 0)?;
        let read = front.split_to(room.min(front.len()));
        if !front.has_remaining() {
            self.arrived.pop_front();
        }
        Some(read)
    }
}

/// A port that somebody listens at.
pub struct Port {
    /// Only the machine itself gets through.
    pub loopback: bool,
    /// Which connections wait to be accepted.
    pub backlog: VecDeque<ConnectionId>,
    pub acceptor: Option<Waker>,
}
