//! What authority nodes tell at named points of how they vote and who leads: all of it, also of what lasts for a moment only.

use std::fmt;

use crate::fleet::Fleet;
use crate::host::ToldAtPoint;

/// What one process told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// The process.
    pub process: String,
    /// What it told.
    pub what: What,
}

/// What can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// A node starts, and this is the vote that it finds.
    Found(Vote),
    /// A node's vote is durable from then on.
    Durable(Vote),
    /// This node begins to lead.
    Elected {
        /// In which term.
        term: u64,
        /// Its number.
        node: u64,
    },
}

/// A vote, as a node keeps it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Vote {
    /// Of this term; 0 before the first.
    pub term: u64,
    /// For this node.
    pub candidate: u64,
    /// Whether it is known that a quorum has voted alike.
    pub committed: bool,
}

/// Takes what was told since this was asked last, in the order in which each process told it.
pub fn take_from(fleet: &Fleet) -> Vec<Told> {
    let places = fleet.authority_nodes.iter().map(|member| &member.place);
    let told_at = |process: &String, told: ToldAtPoint| Some(Told { process: process.clone(), what: What::of(told)? });
    places
        .flat_map(|place| place.host.take_told(&place.process).into_iter().filter_map(|told| told_at(&place.process, told)))
        .collect()
}

impl What {
    /// What the numbers of a point tell; nothing, where they are of something else.
    fn of((point, numbers): ToldAtPoint) -> Option<Self> {
        match (point, &numbers[..]) {
            ("vote.found", &[term, candidate, committed]) => {
                Some(Self::Found(Vote { term, candidate, committed: committed != 0 }))
            }
            ("vote.durable", &[term, candidate, committed]) => {
                Some(Self::Durable(Vote { term, candidate, committed: committed != 0 }))
            }
            ("leader.elected", &[term, node]) => Some(Self::Elected { term, node }),
            _ => None,
        }
    }
}

impl fmt::Display for Vote {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "vote of term {} for node {}", self.term, self.candidate)?;
        if self.committed { formatter.write_str(", granted by a quorum") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_what_their_point_tells() {
        let vote = Vote { term: 4, candidate: 2, committed: true };
        assert_eq!(What::of(("vote.found", vec![4, 2, 1])), Some(What::Found(vote)));
        assert_eq!(What::of(("vote.durable", vec![4, 2, 0])), Some(What::Durable(Vote { committed: false, ..vote })));
        assert_eq!(What::of(("leader.elected", vec![4, 2])), Some(What::Elected { term: 4, node: 2 }));
        assert_eq!(What::of(("log.synced", vec![4])), None);
        assert_eq!(vote.to_string(), "vote of term 4 for node 2, granted by a quorum");
    }
}
