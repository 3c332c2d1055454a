//! Nobody forgets a vote: a node starts in the term of its latest durable vote or in a later one (Ongaro and Ousterhout 2014,
//! figure 2: `currentTerm` and `votedFor` are persistent). It might vote for another one in the same term otherwise.

use std::collections::BTreeMap;

use super::{Broken, broken};
use crate::fleet::Fleet;

/// Where a node tells the term of a vote that is durable from then on.
const DURABLE: &str = "vote.durable";
/// Where a node that starts tells the term of the vote that it finds.
const FOUND: &str = "vote.found";

/// The term of the latest durable vote of each process.
#[derive(Debug, Default)]
pub struct Votes {
    durable: BTreeMap<String, u64>,
}

impl Votes {
    pub(super) fn look(&mut self, fleet: &Fleet) -> Result<(), Broken> {
        for member in &fleet.authority_nodes {
            let process = &member.place.process;
            let told = member.place.host.take_told(process);
            if member.has_lost_what_it_keeps() {
                self.durable.remove(process);
                continue;
            }
            let durable = self.durable.entry(process.clone()).or_default();
            told.into_iter()
                .try_for_each(|(point, term)| take(durable, point, term))
                .map_err(|detail| broken("no-vote-forgotten", format!("{process} (node {}) {detail}", member.id())))?;
        }
        Ok(())
    }
}

/// Takes what a node tells.
fn take(durable: &mut u64, point: &str, term: u64) -> Result<(), String> {
    match point {
        DURABLE => *durable = term.max(*durable),
        FOUND if term < *durable => {
            return Err(format!("starts with a vote of term {term}, and had a durable one of term {durable}"));
        }
        _ => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(points: &[(&str, u64)]) -> Result<(), String> {
        let mut durable = 0;
        points.iter().try_for_each(|(point, term)| take(&mut durable, point, *term))
    }

    #[test]
    fn a_node_starts_with_its_latest_vote_or_a_later_one() {
        assert_eq!(told(&[(FOUND, 0), (DURABLE, 1), (DURABLE, 3), (FOUND, 3), (DURABLE, 4), (FOUND, 5)]), Ok(()));
        let forgotten = "starts with a vote of term 3, and had a durable one of term 4";
        assert_eq!(told(&[(FOUND, 0), (DURABLE, 4), (FOUND, 3), (DURABLE, 5)]), Err(forgotten.to_owned()));
    }
}
