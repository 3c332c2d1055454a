//! Nobody is called silent for a silence that is not its own: a change of leader, or a pause of the authority, alarms nobody. And
//! nobody whose disk is sound keeps something else than it was told.

use bursar_domain::{Event, ObjectRef, Revision, ServerId, alert, server};

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
