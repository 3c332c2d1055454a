//! No process ends by itself, unless its disk has failed it, or has lost what it kept.

use std::collections::BTreeMap;

use super::{Broken, Excuses, broken};
use crate::fleet::Fleet;
use crate::host::Exit;

/// How many ends of each process were seen.
#[derive(Debug, Default)]
pub struct Endings {
    seen: BTreeMap<String, usize>,
}

impl Endings {
    pub(super) fn look(&mut self, fleet: &Fleet, excuses: &dyn Excuses) -> Result<(), Broken> {
        for (host, process) in fleet.processes() {
            let ends = host.exits(process);
            let seen = self.seen.entry(process.to_owned()).or_default();
            for end in &ends[*seen..] {
                let excused = matches!(end, Exit::Failed(_)) && excuses.has_failing_disk(process);
                if !excused {
                    return Err(broken("no-process-ends-by-itself", format!("{process} ended: {end:?}")));
                }
            }
            *seen = ends.len();
        }
        Ok(())
    }
}
