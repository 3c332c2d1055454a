//! The fleet's own history, told in the trace: each record as soon as it is seen to be committed.

use bursar_domain::{Event, alert};

use crate::invariants::Journals;
use crate::trace::Trace;

/// Up to where the history was told.
#[derive(Debug, Default)]
pub struct Chronicle {
    told: usize,
}

impl Chronicle {
    /// Tells what is new: the revision, the kind of the event, and what happened; of alerts that are raised also each.
    pub fn tell(&mut self, journals: &Journals, trace: &Trace) {
        for record in journals.records()[self.told..].iter().map(|sealed| &sealed.record) {
            trace.record("history", format_args!("{} {} {}", record.revision, record.event.kind(), record.event));
            if let Event::Alert(alert::Event::Raised { alerts }) = &record.event {
                for raised in alerts {
                    trace.record("alert", format_args!("{} {raised}", raised.kind.code()));
                }
            }
        }
        self.told = journals.records().len();
    }
}
