//! Nobody forgets a vote: a node starts with its latest durable vote or with a later one, and never takes one back (Ongaro and Ousterhout
//! 2014, figure 2: `currentTerm` and `votedFor` are persistent). It might vote for another one in the same term otherwise.

use std::collections::BTreeMap;

use super::told::{Told, Vote, What};
use super::{Broken, broken};
use crate::fleet::Fleet;

/// The latest durable vote of each process.
#[derive(Debug, Default)]
pub struct Votes {
    durable: BTreeMap<String, Vote>,
}

impl Votes {
    pub(super) fn look(&mut self, fleet: &Fleet, told: &[Told]) -> Result<(), Broken> {
        for member in &fleet.authority_nodes {
            let process = &member.place.process;
            // Of who has lost what it kept nothing is expected until it is another member.
            if member.has_lost_what_it_keeps() {
                self.durable.remove(process);
                continue;
            }
            let durable = self.durable.entry(process.clone()).or_default();
            let mut own = told.iter().filter(|told| told.process == *process);
            own.try_for_each(|told| take(durable, told.what))
                .map_err(|detail| broken("no-vote-forgotten", format!("{process} (node {}) {detail}", member.id())))?;
        }
        Ok(())
    }
}

/// Takes what a node tells.
fn take(durable: &mut Vote, what: What) -> Result<(), String> {
    match what {
        What::Durable(vote) if !stands(*durable, vote) => Err(format!("keeps a {vote}, and had a durable {durable}")),
        What::Durable(vote) => {
            *durable = vote;
            Ok(())
        }
        What::Found(vote) if !stands(*durable, vote) => Err(format!("starts with a {vote}, and had a durable {durable}")),
        What::Found(_) | What::Elected { .. } => Ok(()),
    }
}

/// Whether a node that has voted so may keep the other vote: the same, one of a later term, or what a quorum granted in this one.
fn stands(durable: Vote, other: Vote) -> bool {
    other == durable || other.term > durable.term || (other.term == durable.term && other.committed && !durable.committed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vote(term: u64, candidate: u64) -> Vote {
        Vote { term, candidate, committed: false }
    }

    fn granted(term: u64, candidate: u64) -> Vote {
        Vote { committed: true, ..vote(term, candidate) }
    }

    fn told(told: &[What]) -> Result<(), String> {
        let mut durable = Vote::default();
        told.iter().try_for_each(|what| take(&mut durable, *what))
    }

    #[test]
    fn a_node_starts_with_its_latest_vote_or_a_later_one() {
        use What::{Durable, Found};
        let sound = [
            Found(Vote::default()),
            Durable(vote(1, 1)),
            Durable(granted(1, 1)),
            Found(granted(1, 1)),
            Durable(vote(3, 2)),
            Found(vote(3, 2)),
            // It was durable, and the node had not come to tell so.
            Found(granted(3, 1)),
            Durable(granted(3, 1)),
            Found(vote(5, 3)),
        ];
        assert_eq!(told(&sound), Ok(()));
        let forgotten = "starts with a vote of term 3 for node 1, and had a durable vote of term 4 for node 1";
        assert_eq!(told(&[Durable(vote(4, 1)), Found(vote(3, 1)), Durable(vote(5, 1))]), Err(forgotten.to_owned()));
    }

    #[test]
    fn a_node_that_kept_the_term_and_not_for_whom_it_voted_has_forgotten() {
        use What::{Durable, Found};
        let other = "starts with a vote of term 4 for node 2, and had a durable vote of term 4 for node 1";
        assert_eq!(told(&[Durable(vote(4, 1)), Found(vote(4, 2))]), Err(other.to_owned()));
        let ungranted =
            "starts with a vote of term 4 for node 1, and had a durable vote of term 4 for node 1, granted by a quorum";
        assert_eq!(told(&[Durable(granted(4, 1)), Found(vote(4, 1))]), Err(ungranted.to_owned()));
        let twice = "keeps a vote of term 4 for node 2, and had a durable vote of term 4 for node 1";
        assert_eq!(told(&[Durable(vote(4, 1)), Durable(vote(4, 2))]), Err(twice.to_owned()));
    }
}
