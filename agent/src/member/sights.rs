//! What the server sees of the others' ports, and what of it each heartbeat tells.
//!
//! A heartbeat carries a bounded slice, however many peers there are: first what has changed since it was told, so that a port
//! that is blocked is known with the next heartbeat, then the others in turn, so that a new leader knows all of them by and by.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem::discriminant,
    ops::Bound,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bursar_wire::control::{Outcome, Port, Probed, SIGHTS_MAX, Seen, Sight};
use tokio::time::Instant;

use super::probes::INTERVAL_PER_PORT;

/// By how many the sights that a heartbeat carries exceed the ports that are looked at until the next.
const SPARE: u128 = 7;

/// What was seen last of each port.
#[derive(Default)]
pub(super) struct Sights(Mutex<Album>);

/// Whose port, and which.
pub(super) type Place = (Seen, Port);

#[derive(Default)]
struct Album {
    seen: BTreeMap<Place, (Probed, Instant)>,
    /// What the authority was not told yet as it is now.
    untold: BTreeSet<Place>,
    /// What was told last in its turn.
    turn: Option<Place>,
}

impl Sights {
    /// A port was looked at.
    pub(super) fn saw(&self, place: Place, probed: Probed, at: Instant) {
        let mut album = self.album();
        let is_news = album.seen.get(&place).is_none_or(|(before, _)| !is_alike(&before.outcome, &probed.outcome));
        if is_news {
            album.untold.insert(place);
        }
        album.seen.insert(place, (probed, at));
    }

    /// These are all places that there are: the others are forgotten.
    pub(super) fn keep(&self, places: &BTreeSet<Place>) {
        let mut album = self.album();
        album.seen.retain(|place, _| places.contains(place));
        album.untold.retain(|place| places.contains(place));
    }

    /// Whether a port was looked at.
    pub(super) fn has(&self, place: Place) -> bool {
        self.album().seen.contains_key(&place)
    }

    /// What the next heartbeat tells, said at `now`: as many sights as come in until the one after that, `until_next`, and some to spare. No
    /// more: those of many servers may have to pass one thin link in time.
    pub(super) fn next(&self, now: Instant, until_next: Duration) -> Vec<Sight> {
        let looks = until_next.as_millis() / INTERVAL_PER_PORT.as_millis();
        let slice = usize::try_from(looks + SPARE).map_or(SIGHTS_MAX, |slice| slice.min(SIGHTS_MAX));
        let mut album = self.album();
        let mut places: Vec<_> = album.untold.iter().copied().take(slice).collect();
        let behind = album.turn.map_or(Bound::Unbounded, Bound::Excluded);
        let following = album.seen.range((behind, Bound::Unbounded)).chain(album.seen.iter());
        let in_turn = following.map(|(place, _)| *place).filter(|place| !album.untold.contains(place));
        // Having gone round once, it would meet again whom it has met.
        let rest = (slice - places.len()).min(album.seen.len() - album.untold.len());
        let in_turn: Vec<_> = in_turn.take(rest).collect();
        album.turn = in_turn.last().copied().or(album.turn);
        places.extend(in_turn);
        places.sort_unstable();
        places.into_iter().filter_map(|place| album.sight(place, now)).collect()
    }

    /// The authority has heard these.
    pub(super) fn were_told(&self, sights: &[Sight]) {
        let mut album = self.album();
        for sight in sights {
            let place = (sight.of, sight.port);
            // It may have changed meanwhile.
            if album.seen.get(&place).is_some_and(|(now, _)| is_alike(&now.outcome, &sight.probed.outcome)) {
                album.untold.remove(&place);
            }
        }
    }

    fn album(&self) -> MutexGuard<'_, Album> {
        // What is in it is whole after every operation on it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Album {
    fn sight(&self, place: Place, now: Instant) -> Option<Sight> {
        let (probed, at) = self.seen.get(&place)?.clone();
        let ago_ms = u64::try_from(now.saturating_duration_since(at).as_millis()).unwrap_or(u64::MAX);
        Some(Sight { of: place.0, port: place.1, probed, ago_ms })
    }
}

/// Whether two outcomes are the same news: how long it took, and in which words it failed, is none.
fn is_alike(one: &Outcome, other: &Outcome) -> bool {
    discriminant(one) == discriminant(other)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use bursar_domain::{ServerId, Timestamp};
    use bursar_net::frame;
    use bursar_wire::control::{Heartbeat, ServerQuestion};

    use super::*;

    const PEERS: u64 = 10_000;
    /// From one heartbeat to the next, and what one tells where that is so.
    const BEAT: Duration = Duration::from_secs(5);
    const SLICE: usize = 32;
    const PORTS: [Port; 3] = [Port::Peer, Port::Transfer, Port::Control];

    fn probed(peer: u64, outcome: Outcome) -> Probed {
        let address = format!("storage-server-{peer}.a-rather-long-domain.example:4288").parse().expect("an address");
        Probed { address, outcome }
    }

    fn open() -> Outcome {
        Outcome::Reached { after_us: 900 }
    }

    /// A server that sees all ports of so many peers.
    fn of_peers(peers: u64, outcome: &Outcome, at: Instant) -> Sights {
        let sights = Sights::default();
        for (peer, port) in (1..=peers).flat_map(|peer| PORTS.map(|port| (peer, port))) {
            sights.saw((Seen::Server(ServerId(peer)), port), probed(peer, outcome.clone()), at);
        }
        sights
    }

    fn places(sights: &[Sight]) -> BTreeSet<Place> {
        sights.iter().map(|sight| (sight.of, sight.port)).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn ten_thousand_peers_are_told_of_in_slices_and_what_changes_comes_first() {
        let begun = Instant::now();
        let wordy = Outcome::Failed { detail: "no route to host ".repeat(100) }.bounded();
        let sights = of_peers(PEERS, &wordy, begun);
        let all = usize::try_from(PEERS).expect("they are few") * PORTS.len();
        let round = all.div_ceil(SLICE);

        // First all is news, then all has its turn: either takes one round, and tells each port once.
        for _ in 0..2 {
            let mut told = BTreeSet::new();
            for _ in 0..round {
                let slice = sights.next(begun + Duration::from_secs(3), BEAT);
                assert!(slice.iter().all(|sight| sight.ago_ms == 3_000));
                let heartbeat = Heartbeat {
                    version: "0.1.0".into(),
                    now: Timestamp(0),
                    position: None,
                    store_points: BTreeMap::new(),
                    sights: slice.clone(),
                };
                let bytes = frame::encode(&ServerQuestion::Heartbeat { heartbeat: Box::new(heartbeat), said: Vec::new() })
                    .expect("a frame")
                    .len();
                assert!(slice.len() <= SLICE && bytes < 64 * 1024, "{} sights in {bytes} bytes", slice.len());
                sights.were_told(&slice);
                told.extend(places(&slice));
            }
            assert_eq!(told.len(), all);
        }
        let slow = Duration::from_secs(3_600);
        assert_eq!(sights.next(begun, slow).len(), SIGHTS_MAX, "however seldom it is asked");

        let place = (Seen::Server(ServerId(7_777)), Port::Transfer);
        sights.saw(place, probed(7_777, Outcome::TimedOut), begun);
        let slice = sights.next(begun, BEAT);
        assert!(places(&slice).contains(&place), "what has changed is told at once");
        // Nobody heard that heartbeat: it is said again.
        assert!(places(&sights.next(begun, BEAT)).contains(&place));
        // It has changed back when the answer comes, which is news again.
        sights.saw(place, probed(7_777, open()), begun);
        sights.were_told(&slice);
        let slice = sights.next(begun, BEAT);
        assert!(slice.iter().any(|sight| (sight.of, sight.port) == place && sight.probed.outcome.is_reached()));
        sights.were_told(&slice);
        assert!(!places(&sights.next(begun, BEAT)).contains(&place), "and then it waits for its turn");
    }

    #[tokio::test(start_paused = true)]
    async fn a_few_peers_are_told_of_every_time_and_those_that_are_gone_never() {
        let sights = of_peers(3, &open(), Instant::now());
        for _ in 0..3 {
            let slice = sights.next(Instant::now(), BEAT);
            assert_eq!(slice.len(), 9);
            sights.were_told(&slice);
        }
        let left: BTreeSet<_> = PORTS.map(|port| (Seen::Server(ServerId(2)), port)).into();
        sights.keep(&left);
        assert_eq!(places(&sights.next(Instant::now(), BEAT)), left);
    }
}
