//! A term has at most one leader (Ongaro and Ousterhout 2014, “Election Safety”).

use std::collections::BTreeMap;

use bursar_raft::Role;

use super::{Broken, broken};
use crate::fleet::Fleet;

/// Who was seen to lead, by term.
#[derive(Debug, Default)]
pub struct Leaders {
    seen: BTreeMap<u64, u64>,
}

impl Leaders {
    pub(super) fn look(&mut self, fleet: &Fleet) -> Result<(), Broken> {
        for member in &fleet.authority_nodes {
            let Some((_, node)) = member.running() else { continue };
            let status = node.status();
            if status.role != Role::Leader {
                continue;
            }
            let leader = *self.seen.entry(status.term).or_insert(member.id());
            if leader != member.id() {
                return Err(broken(
                    "one-leader",
                    format!("nodes {leader} and {} both lead in term {}", member.id(), status.term),
                ));
            }
        }
        Ok(())
    }
}
