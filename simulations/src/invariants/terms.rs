//! Nobody goes on leading over a restart: a node that starts is a follower, and has to be voted for anew (Ongaro and Ousterhout 2014,
//! section 5.2). Its quorum may have turned to another meanwhile.

use std::collections::BTreeMap;

use bursar_raft::Role;

use super::{Broken, broken};
use crate::fleet::Fleet;

/// Which start of which node was seen to lead, by term.
#[derive(Debug, Default)]
pub struct Terms {
    seen: BTreeMap<u64, (u64, u32)>,
}

impl Terms {
    pub(super) fn look(&mut self, fleet: &Fleet) -> Result<(), Broken> {
        for member in &fleet.authority_nodes {
            let Some((start, node)) = member.running() else { continue };
            let status = node.status();
            if status.role != Role::Leader {
                continue;
            }
            let (leader, led) = *self.seen.entry(status.term).or_insert((member.id(), start));
            if leader == member.id() && led != start {
                return Err(broken(
                    "no-leader-restored",
                    format!("node {leader} was started again, and leads on in term {}", status.term),
                ));
            }
        }
        Ok(())
    }
}
