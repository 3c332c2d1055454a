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
            self.judge(process, &host.exits(process), excuses)?;
        }
        Ok(())
    }

    /// Judges those ends of a process, of all that it had, that were not seen yet.
    fn judge(&mut self, process: &str, ends: &[Exit], excuses: &dyn Excuses) -> Result<(), Broken> {
        let seen = self.seen.entry(process.to_owned()).or_default();
        for end in &ends[*seen..] {
            let excused = matches!(end, Exit::Failed(_)) && excuses.ended_for_its_disk(process);
            if !excused {
                return Err(broken("no-process-ends-by-itself", format!("{process} ended: {end:?}")));
            }
        }
        *seen = ends.len();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The own disk of the machine of one of two processes fails, if any does.
    struct DiskFails(bool);

    impl Excuses for DiskFails {
        fn is_disturbed(&self, _process: &str, _within_ms: u64) -> bool {
            true
        }

        fn ended_for_its_disk(&self, process: &str) -> bool {
            self.0 && process == "storage-1"
        }

        fn disk_ever_failed(&self, _process: &str, _path: &str) -> bool {
            true
        }
    }

    fn failed() -> Exit {
        Exit::Failed("its disk is full".into())
    }

    #[test]
    fn a_process_may_end_for_its_own_disk_alone() {
        let judged =
            |process, end, fails| Endings::default().judge(process, &[end], &DiskFails(fails)).map_err(|broken| broken.detail);
        assert_eq!(judged("storage-1", failed(), true), Ok(()));
        assert_eq!(judged("storage-1", failed(), false).unwrap_err(), r#"storage-1 ended: Failed("its disk is full")"#);
        assert_eq!(judged("storage-2", failed(), true).unwrap_err(), r#"storage-2 ended: Failed("its disk is full")"#);
        assert_eq!(judged("storage-1", Exit::Done, true).unwrap_err(), "storage-1 ended: Done");
        assert_eq!(judged("storage-1", Exit::Panicked("ouch".into()), true).unwrap_err(), r#"storage-1 ended: Panicked("ouch")"#);
    }

    #[test]
    fn each_end_is_judged_once_as_things_are_when_it_is_seen() {
        let mut endings = Endings::default();
        assert_eq!(endings.judge("storage-1", &[failed()], &DiskFails(true)), Ok(()));
        assert_eq!(endings.judge("storage-1", &[failed()], &DiskFails(false)), Ok(()));
        assert!(endings.judge("storage-1", &[failed(), failed()], &DiskFails(false)).is_err());
    }
}
