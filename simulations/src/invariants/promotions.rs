//! A node gets a vote once it has caught up: one that lags would be counted on, and could not help.

use std::collections::BTreeSet;

use bursar_domain::{AuthorityNodeId, plan::membership::CAUGHT_UP_ENTRIES};
use bursar_raft::Role;

use super::{Broken, broken};
use crate::fleet::Fleet;

/// What is written between the leader's look at how far the node is and ours, in entries.
const SLACK_ENTRIES: u64 = 200;

/// Who was seen to vote.
#[derive(Debug, Default)]
pub struct Promotions {
    seen: BTreeSet<AuthorityNodeId>,
}

impl Promotions {
    pub(super) fn look(&mut self, fleet: &Fleet) -> Result<(), Broken> {
        let leaders = fleet.authority_nodes.iter().filter_map(|member| Some(member.running()?.1.status()));
        let Some(leader) = leaders.filter(|status| status.role == Role::Leader).max_by_key(|status| status.term) else {
            return Ok(());
        };
        for voter in &leader.voters {
            if !self.seen.insert(*voter) {
                continue;
            }
            let member = fleet.authority_nodes.iter().find(|member| member.id() == voter.0);
            let Some((_, node)) = member.and_then(|member| member.running()) else { continue };
            let (own, leaders) = (node.status().last_log.unwrap_or(0), leader.last_log.unwrap_or(0));
            if is_behind(own, leaders) {
                return Err(broken(
                    "no-laggard-votes",
                    format!("node {voter} was given a vote at entry {own}, {leader} is at {leaders}", leader = leader.id),
                ));
            }
        }
        Ok(())
    }
}

/// Whether a node at one entry is too far behind a leader at another to be counted on.
fn is_behind(own: u64, leaders: u64) -> bool {
    own + CAUGHT_UP_ENTRIES + SLACK_ENTRIES < leaders
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_has_caught_up_but_for_what_was_written_meanwhile_may_vote() {
        let bearable = CAUGHT_UP_ENTRIES + SLACK_ENTRIES;
        assert!(!is_behind(7, 7) && !is_behind(9, 7) && !is_behind(7, 7 + bearable));
        assert!(is_behind(7, 8 + bearable) && is_behind(0, 1 + bearable));
    }
}
