//! Nobody is called silent for a silence that is not its own: a change of leader, or a pause of the authority, alarms nobody. Nobody
//! whose disk is sound keeps something else than it was told. And no store point whose disk is sound is called unusable, whatever
//! becomes of those beside it.

use bursar_domain::{Event, ObjectRef, Revision, StorePointId, alert, server, store_point};

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
                Event::Server(server::Event::WentOffline { server }) => {
                    let within_ms = fleet.detection_window_ms() + SLACK_MS;
                    check_silence(fleet.process_of(*server), within_ms, record.revision, excuses)?;
                }
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
                        if let ObjectRef::Server(server) = raised.subject {
                            check_projection(fleet.process_of(server), record.revision, excuses)?;
                        }
                    }
                }
                _ => {}
            }
        }
        self.seen = journals.records().len();
        Ok(())
    }
}

fn check_silence(process: &str, within_ms: u64, revision: Revision, excuses: &dyn Excuses) -> Result<(), Broken> {
    if excuses.is_disturbed(process, within_ms) {
        return Ok(());
    }
    Err(broken("no-false-alarm", format!("revision {revision} says that {process} does not answer; it ran and was reachable")))
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
    if excuses.disk_ever_failed(process, path) {
        return Ok(());
    }
    Err(broken(
        "no-false-alarm",
        format!("revision {revision} says of the store point of {process} on {path} that {reason}; that disk was always sound"),
    ))
}

fn check_projection(process: &str, revision: Revision, excuses: &dyn Excuses) -> Result<(), Broken> {
    if excuses.ended_for_its_disk(process) {
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

    /// One server was silent for a while and its machine's own disk failed lately; and of its disks for archives the first failed once.
    struct OneServerStruck;

    impl Excuses for OneServerStruck {
        fn is_disturbed(&self, process: &str, within_ms: u64) -> bool {
            process == "storage-1" && within_ms >= 8_000
        }

        fn ended_for_its_disk(&self, process: &str) -> bool {
            process == "storage-1"
        }

        fn disk_ever_failed(&self, process: &str, path: &str) -> bool {
            process == "storage-1" && path == "/srv/storage-1/disk-1"
        }
    }

    const REVISION: Revision = Revision(7);

    #[test]
    fn a_server_is_called_silent_for_its_own_silence_alone() {
        let checked = |process: &str, within_ms| {
            check_silence(process, within_ms, REVISION, &OneServerStruck).map_err(|broken| broken.detail)
        };
        assert_eq!(checked("storage-1", 8_000), Ok(()));
        for (process, within_ms) in [("storage-1", 7_999), ("storage-2", 8_000)] {
            let told = format!("revision 7 says that {process} does not answer; it ran and was reachable");
            assert_eq!(checked(process, within_ms), Err(told));
        }
    }

    #[test]
    fn a_server_keeps_something_else_only_where_its_own_disk_failed() {
        let checked = |process: &str| check_projection(process, REVISION, &OneServerStruck).map_err(|broken| broken.detail);
        assert_eq!(checked("storage-1"), Ok(()));
        let told = "revision 7 says that storage-2 keeps something else than it was told";
        assert_eq!(checked("storage-2"), Err(told.to_owned()));
    }

    #[test]
    fn a_store_point_is_unusable_for_its_own_disk_alone() {
        let checked = |path: &str| {
            check_disk("storage-1", path, store_point::OfflineReason::Missing, REVISION, &OneServerStruck)
                .map_err(|broken| broken.detail)
        };
        assert_eq!(checked("/srv/storage-1/disk-1"), Ok(()));
        let detail = checked("/srv/storage-1/disk-2").unwrap_err();
        assert!(detail.starts_with("revision 7 says of the store point of storage-1 on /srv/storage-1/disk-2 that "), "{detail}");
    }
}
