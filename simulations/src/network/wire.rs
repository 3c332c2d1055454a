//! What travels between the machines, and when it arrives.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::task::Waker;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::connection::{BACKLOG, Connection, ConnectionId, End, PROBE_AFTER, PROBE_INTERVAL, SILENCE_MAX, Segment, Side};
use super::{Distances, Host, HostId, Impairment, ImpairmentId, Internet};
use crate::draws::{Draws, Stream};
use crate::trace::Trace;

/// Within which time after a mended cut what it held is sent again, in milliseconds.
const SENT_AGAIN_WITHIN_MS: u64 = 1_000;

/// Everything that the network knows.
pub struct State {
    pub distances: Distances,
    pub hosts: BTreeMap<HostId, Host>,
    pub names: BTreeMap<String, HostId>,
    pub connections: BTreeMap<ConnectionId, Connection>,
    pub next_connection: u64,
    pub impairments: BTreeMap<ImpairmentId, (BTreeSet<Link>, Impairment)>,
    pub next_impairment: u64,
    /// What is to happen, in order of time and then of sending.
    due: BTreeMap<(Instant, u64), Event>,
    next_event: u64,
    links: BTreeMap<Link, LinkState>,
    draws: Draws,
    trace: Trace,
    /// Who is to be woken once the lock is released.
    pub woken: Vec<Waker>,
    /// Whether something became due before all else.
    pub sooner: bool,
}

/// From one machine to another.
type Link = (HostId, HostId);

struct LinkState {
    chance: Stream,
    /// Until when a slow link is busy with what it was given.
    busy_until: Instant,
    /// What waits for a cut to be mended: for each, whom it is for.
    held: Vec<(ConnectionId, Side)>,
}

enum Event {
    /// The next of what was sent to an end arrives there. Order within a connection so holds by construction.
    Arrival(ConnectionId, Side),
    /// It is time to see whether an end has heard of the other.
    Look(ConnectionId, Side),
}

impl Internet {
    /// Delivers what is due, as it becomes due.
    pub(super) async fn carry_all(&self) {
        loop {
            let next = self.with(|state| {
                let now = Instant::now();
                while let Some(event) = state.next_due(now) {
                    state.happen(event);
                }
                state.due.keys().next().map(|(at, _)| *at)
            });
            let Some(at) = next else {
                self.sooner.notified().await;
                continue;
            };
            // Biased, for the choice would be a draw.
            tokio::select! {
                biased;
                () = self.sooner.notified() => {}
                () = sleep_until(at) => {}
            }
        }
    }
}

impl State {
    pub fn new(distances: Distances, draws: Draws, trace: Trace) -> Self {
        Self {
            distances,
            hosts: BTreeMap::new(),
            names: BTreeMap::new(),
            connections: BTreeMap::new(),
            next_connection: 0,
            impairments: BTreeMap::new(),
            next_impairment: 0,
            due: BTreeMap::new(),
            next_event: 0,
            links: BTreeMap::new(),
            draws,
            trace,
            woken: Vec::new(),
            sooner: false,
        }
    }

    pub fn host(&mut self, host: HostId) -> &mut Host {
        self.hosts.get_mut(&host).expect("machines stay attached")
    }

    /// Sends `segment` from one end to the other.
    pub fn send(&mut self, id: ConnectionId, from: Side, segment: Segment) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let link = (connection.end(from).host, connection.end(from.other()).host);
        let length = segment.bytes().len();
        connection.end(from.other()).coming.push_back(segment);
        let at = self.arrival(link, length);
        self.schedule(at, Event::Arrival(id, from.other()));
    }

    /// Lets an end look after the other from now on.
    pub fn look_after(&mut self, id: ConnectionId, side: Side) {
        self.schedule(Instant::now() + PROBE_AFTER, Event::Look(id, side));
    }

    /// Forgets a connection that nobody can tell from none.
    pub fn forget_if_over(&mut self, id: ConnectionId) {
        if self.connections.get(&id).is_some_and(Connection::is_over) {
            self.connections.remove(&id);
        }
    }

    /// Whether the machine at an end still is the one that knows of the connection.
    pub fn knows(&mut self, id: ConnectionId, side: Side) -> bool {
        let Some(connection) = self.connections.get_mut(&id) else { return false };
        let end = connection.end(side);
        let machine = &self.hosts[&end.host];
        machine.powered && end.boot == Some(machine.boot)
    }

    /// Both ends of all connections between two machines fail. Returns how many there were.
    pub fn reset(&mut self, one: HostId, other: HostId) -> usize {
        let mut broken = 0;
        for connection in self.connections.values_mut() {
            let hosts = (connection.dialler.host, connection.acceptor.host);
            if hosts != (one, other) && hosts != (other, one) {
                continue;
            }
            broken += 1;
            for end in [&mut connection.dialler, &mut connection.acceptor] {
                end.fail(io::ErrorKind::ConnectionReset);
                self.woken.extend(end.waiting());
            }
        }
        broken
    }

    /// Sends again what cuts held that are mended.
    pub fn release(&mut self) {
        let mended: Vec<Link> = self.links.keys().copied().filter(|link| !self.is_cut(*link)).collect();
        for link in mended {
            let state = self.links.get_mut(&link).expect("it was found");
            let held = std::mem::take(&mut state.held);
            if held.is_empty() {
                continue;
            }
            let again = Instant::now() + Duration::from_millis(state.chance.within(1..=SENT_AGAIN_WITHIN_MS));
            for (id, side) in held {
                self.schedule(again, Event::Arrival(id, side));
            }
        }
    }

    /// What waited for its turn on links that are slow no more arrives at once.
    pub fn unclog(&mut self) {
        let now = Instant::now();
        let is_slow = |link: &Link| {
            let is_slow = |impairment: &Impairment| matches!(impairment, Impairment::Slow { .. });
            self.impairments.values().any(|(links, impairment)| is_slow(impairment) && links.contains(link))
        };
        let clogged = self.links.iter().filter(|(link, state)| state.busy_until > now && !is_slow(link));
        for link in clogged.map(|(link, _)| *link).collect::<Vec<_>>() {
            self.link(link).busy_until = now;
            let at = self.arrival(link, 0);
            let waiting: Vec<_> = self.due.range((at, u64::MAX)..).map(|(key, _)| *key).collect();
            for key in waiting {
                if self.link_of(&self.due[&key]) == Some(link) {
                    let event = self.due.remove(&key).expect("it was found");
                    self.schedule(at, event);
                }
            }
        }
    }

    /// On which link something is to arrive.
    fn link_of(&self, event: &Event) -> Option<Link> {
        let Event::Arrival(id, side) = event else { return None };
        let connection = self.connections.get(id)?;
        let [to, from] = [side, &side.other()].map(|side| match side {
            Side::Dialler => connection.dialler.host,
            Side::Acceptor => connection.acceptor.host,
        });
        Some((from, to))
    }

    fn is_cut(&self, link: Link) -> bool {
        self.impairments.values().any(|(links, impairment)| *impairment == Impairment::Cut && links.contains(&link))
    }

    /// When something of `length` bytes that is sent now arrives.
    fn arrival(&mut self, link: Link, length: usize) -> Instant {
        let now = Instant::now();
        if link.0 == link.1 {
            return now;
        }
        let mut latency_ms = self.distances.latency_ms[self.hosts[&link.0].site][self.hosts[&link.1].site];
        let mut carried = Duration::ZERO;
        for (links, impairment) in self.impairments.values() {
            if let Impairment::Slow { added_ms, bytes_per_second } = impairment
                && links.contains(&link)
            {
                latency_ms += added_ms;
                let microseconds = (length as u64).saturating_mul(1_000_000) / (*bytes_per_second).max(1);
                carried = carried.max(Duration::from_micros(microseconds));
            }
        }
        let jitter_ms = self.distances.jitter_ms;
        let state = self.link(link);
        state.busy_until = state.busy_until.max(now) + carried;
        let jitter_ms = state.chance.within(0..=jitter_ms);
        state.busy_until + Duration::from_millis(latency_ms + jitter_ms)
    }

    fn link(&mut self, link: Link) -> &mut LinkState {
        let draws = self.draws;
        self.links.entry(link).or_insert_with(|| LinkState {
            chance: draws.stream(&format!("network/{}/{}", link.0, link.1)),
            busy_until: Instant::now(),
            held: Vec::new(),
        })
    }

    fn schedule(&mut self, at: Instant, event: Event) {
        let key = (at, self.next_event);
        self.next_event += 1;
        self.sooner |= self.due.keys().next().is_none_or(|first| key < *first);
        self.due.insert(key, event);
    }

    fn next_due(&mut self, now: Instant) -> Option<Event> {
        let first = self.due.first_entry()?;
        (first.key().0 <= now).then(|| first.remove())
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Arrival(id, side) => self.arrive(id, side),
            Event::Look(id, side) => self.look(id, side),
        }
    }

    /// The next of what was sent to an end gets there, unless something is in its way.
    fn arrive(&mut self, id: ConnectionId, side: Side) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let link = (connection.end(side.other()).host, connection.end(side).host);
        let Some(first) = connection.end(side).coming.front() else { return };
        let expendable = first.is_expendable();
        if self.is_cut(link) && !expendable {
            self.link(link).held.push((id, side));
            return;
        }
        let cut = self.is_cut(link);
        let connection = self.connections.get_mut(&id).expect("it was found");
        let segment = connection.end(side).coming.pop_front().expect("it was seen");
        if cut || !self.hosts[&link.1].powered {
            self.forget_if_over(id);
            return;
        }
        let told = format_args!("{}>{} c{} {}", link.0, link.1, id.0, segment.name());
        self.trace.record_with("net", told, segment.bytes());
        self.deliver(id, side, segment);
        self.forget_if_over(id);
    }

    /// A machine takes in what arrived, and answers as its kernel would, whatever its programs do.
    fn deliver(&mut self, id: ConnectionId, side: Side, segment: Segment) {
        if matches!(segment, Segment::Syn) {
            return self.knock(id);
        }
        let known = self.knows(id, side);
        let end = self.connections.get_mut(&id).expect("what arrives belongs to a connection").end(side);
        if matches!(segment, Segment::Reset) {
            if known {
                end.fail(if end.open { io::ErrorKind::ConnectionReset } else { io::ErrorKind::ConnectionRefused });
                self.woken.extend(end.waiting());
            }
            return;
        }
        if !known || end.failed.is_some() {
            return self.send(id, side, Segment::Reset);
        }
        end.heard = Instant::now();
        match segment {
            Segment::SynAck if end.held => {
                end.open = true;
                self.woken.extend(end.waiting());
                self.look_after(id, side);
            }
            Segment::Data(bytes) if end.held => {
                end.take_in(bytes);
                self.woken.extend(end.reader.take());
            }
            // The program that it was for has gone.
            Segment::SynAck | Segment::Data(_) => {
                end.fail(io::ErrorKind::ConnectionReset);
                self.send(id, side, Segment::Reset);
            }
            Segment::Ack(length) => {
                end.unacknowledged -= length;
                self.woken.extend(end.writer.take());
            }
            Segment::Fin => {
                end.ended = true;
                self.woken.extend(end.reader.take());
            }
            Segment::Probe => self.send(id, side, Segment::Alive),
            Segment::Alive | Segment::Syn | Segment::Reset => {}
        }
    }

    /// Somebody wants a connection.
    fn knock(&mut self, id: ConnectionId) {
        let connection = self.connections.get_mut(&id).expect("what arrives belongs to a connection");
        let (port, from) = (connection.port, connection.dialler.host);
        let end = &mut connection.acceptor;
        let machine = self.hosts.get_mut(&end.host).expect("machines stay attached");
        if let Some(boot) = end.boot {
            // It knocks again while the answer is on its way; or it was answered before the machine lost its power, and what it is
            // about to hear is of a connection that nobody knows any more.
            let answer = if boot == machine.boot { Segment::SynAck } else { Segment::Reset };
            return self.send(id, Side::Acceptor, answer);
        }
        let local = from == end.host;
        match machine.ports.get_mut(&port).filter(|listener| local || !listener.loopback) {
            None => self.send(id, Side::Acceptor, Segment::Reset),
            Some(listener) if listener.backlog.len() >= BACKLOG => {}
            Some(listener) => {
                listener.backlog.push_back(id);
                self.woken.extend(listener.acceptor.take());
                let coming = std::mem::take(&mut end.coming);
                *end = End { open: true, coming, ..End::new(end.host, Some(machine.boot)) };
                self.send(id, Side::Acceptor, Segment::SynAck);
                self.look_after(id, Side::Acceptor);
            }
        }
    }

    /// An end sees whether it has heard of the other lately: it probes, or gives up.
    fn look(&mut self, id: ConnectionId, side: Side) {
        if !self.knows(id, side) {
            return;
        }
        let end = self.connections.get_mut(&id).expect("it is known").end(side);
        if !end.held || end.failed.is_some() {
            return;
        }
        let (now, heard) = (Instant::now(), end.heard);
        if now >= heard + SILENCE_MAX {
            end.fail(io::ErrorKind::TimedOut);
            self.woken.extend(end.waiting());
        } else if now >= heard + PROBE_AFTER {
            self.send(id, side, Segment::Probe);
            self.schedule(now + PROBE_INTERVAL, Event::Look(id, side));
        } else {
            self.schedule(heard + PROBE_AFTER, Event::Look(id, side));
        }
    }
}
