//! Nobody is called silent for a silence that is not its own: a change of leader, or a pause of the authority, alarms nobody.

use bursar_domain::{Event, Revision, ServerId, server};

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
            if let Event::Server(server::Event::WentOffline { server }) = &record.event {
                check(*server, record.revision, fleet, excuses)?;
            }
        }
        self.seen = journals.records().len();
        Ok(())
    }
}

fn check(server: ServerId, revision: Revision, fleet: &Fleet, excuses: &dyn Excuses) -> Result<(), Broken> {
    let process = fleet.process_of(server);
    if excuses.is_disturbed(process, fleet.detection_window_ms() + SLACK_MS) {
        return Ok(());
    }
    Err(broken(
        "no-false-alarm",
        format!("revision {revision} says that {server} does not answer; {process} ran and was reachable"),
    ))
}
