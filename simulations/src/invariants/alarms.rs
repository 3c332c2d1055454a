//! Nobody is called silent for a silence that is not its own: a change of leader, or a pause of the authority, alarms nobody. Nobody
//! whose disk is sound keeps something else than it was told. And no store point whose disk is sound is called unusable, whatever
//! becomes of those beside it.

use bursar_domain::{Event, ObjectRef, Revision, ServerId, StorePointId, alert, server, store_point};

use super::{Broken, Excuses, Journals, broken};
use crate::fleet::Fleet;

/// Beyond the detection window: what is on its way, and the leader's own look, take their time.
const SLACK_MS: u64 = 10_000;

/// Up to where the history was looked at.
#[derive(Debug, Default)]
pub struct Alarms {
    seen: usize,
}

impl Alarms {
    pub(super) fn look(&mut self, journals: &Journals, fleet: &Fleet, excuses: &dyn Excuses) -> Result<(), Broken> {
        let new = &journals.records()[self.seen..];
        for record in new.iter().map(|sealed| &sealed.record) {
            match &record.event {
                Event::Server(server::Event::WentOffline { server }) => check_silence(*server, record.revision, fleet, excuses)?,
                Event::StorePoint(store_point::Event::Reported {
                    store_point,
                    server,
                    report: store_point::Report::Offline(reason),
                }) => {
                    let path = path_of(journals, *store_point);
                    check_disk(fleet.process_of(*server), &path, *reason, record.revision, excuses)?;
                }
                Event::Alert(alert::Event::Raised { alerts }) => {
                    for raised in alerts.iter().filter(|raised| raised.kind == alert::Kind::ProjectionMismatch) {
                        check_projection(raised.subject, record.revision, fleet, excuses)?;
                    }
                }
                _ => {}
            }
        }
        self.seen = journals.records().len();
        Ok(())
    }
}

fn check_silence(server: ServerId, revision: Revision, fleet: &Fleet, excuses: &dyn Excuses) -> Result<(), Broken> {
    let process = fleet.process_of(server);
    if excuses.is_disturbed(process, fleet.detection_window_ms() + SLACK_MS) {
        return Ok(());
    }
    Err(broken(
        "no-false-alarm",
        format!("revision {revision} says that {server} does not answer; {process} ran and was reachable"),
    ))
}

/// On which disk a store point is.
fn path_of(journals: &Journals, store_point: StorePointId) -> String {
    let row = journals.state().store_points().get(store_point);
    row.expect("the journal has made it, and removes none").path.to_string()
}

fn check_disk(
    process: &str,
    path: &str,
    reason: store_point::OfflineReason,
    revision: Revision,
    excuses: &dyn Excuses,
) -> Result<(), Broken> {
    if excuses.had_failing_disk(process, path) {
        return Ok(());
    }
    Err(broken(
        "no-false-alarm",
        format!("revision {revision} says of the store point of {process} on {path} that {reason}; that disk was always sound"),
    ))
}

fn check_projection(subject: ObjectRef, revision: Revision, fleet: &Fleet, excuses: &dyn Excuses) -> Result<(), Broken> {
    let ObjectRef::Server(server) = subject else { return Ok(()) };
    let process = fleet.process_of(server);
    if excuses.has_failing_disk(process) {
        return Ok(());
    }
    Err(broken(
        "no-projection-goes-astray",
        format!("revision {revision} says that {process} keeps something else than it was told"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of the disks of one server, the first has failed once.
    struct FirstDiskFailed;

    impl Excuses for FirstDiskFailed {
        fn is_disturbed(&self, _process: &str, _within_ms: u64) -> bool {
            false
        }

        fn has_failing_disk(&self, _process: &str) -> bool {
            false
        }

        fn had_failing_disk(&self, _process: &str, path: &str) -> bool {
            path == "/srv/storage-1/disk-1"
        }
    }

    #[test]
    fn a_store_point_is_unusable_for_its_own_disk_alone() {
        let checked = |path: &str| {
            check_disk("storage-1", path, store_point::OfflineReason::Missing, Revision(7), &FirstDiskFailed)
                .map_err(|broken| broken.detail)
        };
        assert_eq!(checked("/srv/storage-1/disk-1"), Ok(()));
        let detail = checked("/srv/storage-1/disk-2").unwrap_err();
        assert!(detail.starts_with("revision 7 says of the store point of storage-1 on /srv/storage-1/disk-2 that "), "{detail}");
    }
}
