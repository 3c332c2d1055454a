//! A term has at most one leader (Ongaro and Ousterhout 2014, “Election Safety”), over all nodes that there ever were.

use std::collections::BTreeMap;

use bursar_raft::Role;

use super::told::{Told, What};
use super::{Broken, broken};
use crate::fleet::Fleet;

/// Who led, by term.
#[derive(Debug, Default)]
pub struct Leaders {
    led: BTreeMap<u64, u64>,
}

impl Leaders {
    pub(super) fn look(&mut self, fleet: &Fleet, told: &[Told]) -> Result<(), Broken> {
        for told in told {
            if let What::Elected { term, node } = told.what {
                self.leads(term, node)?;
            }
        }
        for member in &fleet.authority_nodes {
            let Some((_, node)) = member.running() else { continue };
            let status = node.status();
            if status.role == Role::Leader {
                self.leads(status.term, member.id())?;
            }
        }
        Ok(())
    }

    fn leads(&mut self, term: u64, node: u64) -> Result<(), Broken> {
        let leader = *self.led.entry(term).or_insert(node);
        if leader != node {
            return Err(broken("one-leader", format!("nodes {leader} and {node} both lead in term {term}")));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_leader_of_a_term_is_told_of_however_late() {
        let mut leaders = Leaders::default();
        for (term, node) in [(1, 1), (3, 2), (3, 2), (4, 1)] {
            assert_eq!(leaders.leads(term, node), Ok(()));
        }
        let broken = leaders.leads(3, 1).unwrap_err();
        assert_eq!((broken.invariant.as_str(), broken.detail.as_str()), ("one-leader", "nodes 2 and 1 both lead in term 3"));
    }
}
