//! What machines see of each other's ports, as the leader was told: the matrix of who reaches whom.

use std::collections::BTreeMap;

use bursar_domain::{
    ServerGuid, ServerId, State,
    server::{Condition, Server},
};
use bursar_wire::control::{Outcome, Port, Seen, Sight};
use serde::{Deserialize, Serialize};

/// How many ports are kept, each once for everybody who looks at it. All servers of a destination look at each other, so this
/// is enough for 590 in one, and takes some 100 MB.
const PORTS_MAX: usize = 1 << 20;

/// What somebody saw last of a port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Look {
    /// Who looked.
    pub by: Seen,
    /// At whose port.
    pub of: Seen,
    /// At which.
    pub port: Port,
    /// Its number.
    pub number: u16,
    /// What came of it.
    pub outcome: Outcome,
    /// How long ago it was, in milliseconds.
    pub age_ms: u64,
}

/// Who looks, at whose port, at which.
pub(crate) type Place = (Seen, Seen, Port);

/// What everybody sees.
pub(crate) struct Sights {
    by: BTreeMap<Seen, BTreeMap<(Seen, Port), Kept>>,
    /// How many ports are kept, and may be.
    count: usize,
    most: usize,
    /// Of which fleet strangers were forgotten last.
    census: Census,
    /// The servers that have joined, as they were when the leader looked last; nothing before it has looked at all.
    members: Option<BTreeMap<ServerId, Membership>>,
}

/// A machine that has the place of a server.
#[derive(Clone, Copy)]
struct Membership {
    guid: ServerGuid,
    /// When it joined, by the leader's own monotonic clock; 0 where that was before the leader led.
    since_ms: u64,
}

struct Kept {
    number: u16,
    outcome: Outcome,
    /// By the leader's own monotonic clock.
    seen_ms: u64,
}

/// How many authority nodes and servers there ever were, and are: two fleets with the same figures have the same members.
type Census = [u64; 4];

impl Default for Sights {
    fn default() -> Self {
        Self::of_at_most(PORTS_MAX)
    }
}

impl Sights {
    fn of_at_most(most: usize) -> Self {
        Self { by: BTreeMap::new(), count: 0, most, census: Census::default(), members: None }
    }

    /// Somebody tells what it sees, at `now_ms`.
    pub(crate) fn see(&mut self, by: Seen, told: Vec<Sight>, now_ms: u64) {
        let seen = self.by.entry(by).or_default();
        for Sight { of, port, probed, ago_ms } in told {
            let number = probed.address.port();
            let kept = Kept { number, outcome: probed.outcome.bounded(), seen_ms: now_ms.saturating_sub(ago_ms) };
            if kept.seen_ms < member_since(self.members.as_ref(), by, of) {
                continue;
            }
            if let Some(known) = seen.get_mut(&(of, port)) {
                *known = kept;
            } else if self.count < self.most {
                seen.insert((of, port), kept);
                self.count += 1;
                // It may be of somebody who was forgotten meanwhile, or who never was.
                self.census = Census::default();
            }
        }
    }

    /// What somebody saw is forgotten.
    pub(crate) fn forget(&mut self, by: Seen) {
        self.count -= self.by.remove(&by).map_or(0, |seen| seen.len());
    }

    /// What was seen by, or of, somebody who is no neighbour any more is forgotten; and what was seen before the machine joined:
    /// its ports were closed to those who look as members of the cluster. `joined_ms` tells when a server has joined that had
    /// not when the leader looked last.
    pub(crate) fn forget_strangers(&mut self, state: &State, joined_ms: impl Fn(&Server) -> u64) {
        let is_news = self.note_members(state, joined_ms);
        let census = census(state);
        if self.census == census && !is_news {
            return;
        }
        self.census = census;
        let members = self.members.as_ref();
        self.by.retain(|by, seen| {
            let stands = |of: Seen, kept: &Kept| kept.seen_ms >= member_since(members, *by, of);
            seen.retain(|(of, _), kept| are_neighbours(state, *by, *of) && stands(*of, kept));
            !seen.is_empty()
        });
        self.count = self.by.values().map(BTreeMap::len).sum();
    }

    /// Whether machines have joined since the leader looked last.
    fn note_members(&mut self, state: &State, joined_ms: impl Fn(&Server) -> u64) -> bool {
        let mut is_news = false;
        let joined = state.servers().iter().filter(|server| has_joined(server));
        let members = joined.map(|server| {
            let guid = server.facts.guid;
            let known = self.members.as_ref().map(|members| members.get(&server.id).filter(|member| member.guid == guid));
            let membership = match known {
                Some(Some(member)) => *member,
                Some(None) => {
                    is_news = true;
                    Membership { guid, since_ms: joined_ms(server) }
                }
                None => Membership { guid, since_ms: 0 },
            };
            (server.id, membership)
        });
        self.members = Some(members.collect());
        is_news
    }

    /// How many ports are kept.
    pub(crate) fn count(&self) -> u64 {
        self.count as u64
    }

    /// How many ports somebody looked at, and how many of them it did not reach.
    pub(crate) fn tally(&self, by: Seen) -> (u64, u64) {
        let seen = self.by.get(&by);
        let closed = seen.into_iter().flat_map(BTreeMap::values).filter(|kept| !kept.outcome.is_reached());
        (seen.map_or(0, BTreeMap::len) as u64, closed.count() as u64)
    }

    /// What the server saw of others, and others of it, behind a place and in order: so many, and whether there is more.
    pub(crate) fn between(&self, server: ServerId, behind: Option<Place>, most: usize, now_ms: u64) -> (Vec<Look>, bool) {
        let own = Seen::Server(server);
        let ports = [Port::Peer, Port::Transfer, Port::Control];
        let looks = self.by.iter().flat_map(|(by, seen)| {
            // Its own look is at everybody, that of others is at its three ports.
            let all = (*by == own).then_some(seen).into_iter().flatten();
            let of_it = ports.into_iter().filter(move |_| *by != own).filter_map(move |port| seen.get_key_value(&(own, port)));
            all.chain(of_it).map(move |((of, port), kept)| Look {
                by: *by,
                of: *of,
                port: *port,
                number: kept.number,
                outcome: kept.outcome.clone(),
                age_ms: now_ms.saturating_sub(kept.seen_ms),
            })
        });
        let mut following = looks.skip_while(|look| behind.is_some_and(|behind| (look.by, look.of, look.port) <= behind));
        let page = following.by_ref().take(most).collect();
        (page, following.next().is_some())
    }
}

fn census(state: &State) -> Census {
    let next = state.next();
    let servers = state.servers().iter().filter(|server| server.is_present()).count();
    let nodes = state.authority_nodes().iter().filter(|node| node.intent.is_present()).count();
    [next.server, servers as u64, next.authority_node, nodes as u64]
}

/// Since when both are members, as far as that is known.
fn member_since(members: Option<&BTreeMap<ServerId, Membership>>, one: Seen, other: Seen) -> u64 {
    let since = |seen: Seen| match seen {
        Seen::Server(id) => members?.get(&id).map(|member| member.since_ms),
        Seen::AuthorityNode(_) => None,
    };
    since(one).max(since(other)).unwrap_or(0)
}

/// Whether a machine has its place, and is not only to have it.
fn has_joined(server: &Server) -> bool {
    server.is_present() && !matches!(server.condition, Condition::Joining { .. })
}

/// Whether one looks at the other: authority nodes and servers at each other, servers at those of their destination.
fn are_neighbours(state: &State, one: Seen, other: Seen) -> bool {
    let server = |seen: Seen| match seen {
        Seen::Server(id) => state.servers().get(id).filter(|server: &&_| has_joined(server)),
        Seen::AuthorityNode(_) => None,
    };
    let is_node = |seen: Seen| match seen {
        Seen::AuthorityNode(id) => state.authority_nodes().get(id).is_some_and(|node| node.intent.is_present()),
        Seen::Server(_) => false,
    };
    match (server(one), server(other)) {
        (Some(one), Some(other)) => one.destination == other.destination,
        (Some(_), None) => is_node(other),
        (None, Some(_)) => is_node(one),
        (None, None) => false,
    }
}

#[cfg(test)]
mod tests {
    use bursar_domain::AuthorityNodeId;
    use bursar_wire::control::Probed;

    use super::*;

    fn sight(of: u64, port: Port, outcome: Outcome, ago_ms: u64) -> Sight {
        let address = format!("store-{of}.example:4288").parse().expect("an address");
        Sight { of: Seen::Server(ServerId(of)), port, probed: Probed { address, outcome }, ago_ms }
    }

    fn server(id: u64) -> Seen {
        Seen::Server(ServerId(id))
    }

    #[test]
    fn a_server_and_its_neighbours_are_told_of_in_both_directions_page_by_page() {
        let mut sights = Sights::default();
        let node = Seen::AuthorityNode(AuthorityNodeId(1));
        let open = Outcome::Reached { after_us: 1 };
        sights.see(node, vec![sight(1, Port::Peer, Outcome::TimedOut, 5), sight(2, Port::Peer, open.clone(), 0)], 100);
        sights.see(server(1), vec![sight(2, Port::Control, open.clone(), 0), sight(3, Port::Control, open.clone(), 0)], 110);
        sights.see(server(2), vec![sight(1, Port::Transfer, Outcome::Refused, 0), sight(3, Port::Peer, open, 0)], 120);
        let expected =
            [(node, server(1), 105), (server(1), server(2), 90), (server(1), server(3), 90), (server(2), server(1), 80)];
        for most in 1..6 {
            let (mut looks, mut more) = sights.between(ServerId(1), None, most, 200);
            while more {
                let behind = looks.last().map(|last| (last.by, last.of, last.port));
                let (page, is_more) = sights.between(ServerId(1), behind, most, 200);
                assert!(!page.is_empty() && page.len() <= most);
                looks.extend(page);
                more = is_more;
            }
            assert_eq!(looks.iter().map(|look| (look.by, look.of, look.age_ms)).collect::<Vec<_>>(), expected);
        }
        assert_eq!((sights.tally(server(2)), sights.tally(server(9)), sights.count()), ((2, 1), (0, 0), 6));
        // What is seen anew takes the place of what was.
        sights.see(server(2), vec![sight(1, Port::Transfer, Outcome::Refused, 0)], 130);
        sights.forget(server(1));
        assert_eq!((sights.count(), sights.between(ServerId(1), None, 9, 130).0.len()), (4, 2));
    }

    #[test]
    fn what_a_whole_fleet_sees_is_bounded() {
        let mut sights = Sights::of_at_most(7);
        for by in 0..3 {
            sights.see(server(by), (0..3).map(|of| sight(of, Port::Peer, Outcome::Refused, 0)).collect(), 0);
        }
        assert_eq!(sights.count(), 7);
        // What is kept stays up to date.
        sights.see(server(0), vec![sight(1, Port::Peer, Outcome::TimedOut, 0)], 9);
        assert_eq!(sights.between(ServerId(0), None, 9, 9).0[1].outcome, Outcome::TimedOut);
    }
}
