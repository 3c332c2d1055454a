//! How much may be under way at a time.

use std::{sync::Arc, time::Duration};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{config::Limits, counters::Meter};

/// What a caller is told to wait where too much is under way.
const RETRY_AFTER: Duration = Duration::from_millis(100);

/// Places for submissions, and for their bytes.
pub(crate) struct Bounds {
    places: Arc<Semaphore>,
    byte_places: Arc<Semaphore>,
    meter: Arc<Meter>,
}

/// A place that was given, until it is dropped.
pub(crate) struct Place {
    _place: OwnedSemaphorePermit,
    _byte_places: OwnedSemaphorePermit,
}

/// There is no place now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full {
    /// When to try again, in milliseconds.
    pub(crate) retry_after_ms: u64,
}

impl Bounds {
    pub(crate) fn new(limits: Limits, meter: Arc<Meter>) -> Self {
        Self {
            places: Arc::new(Semaphore::new(limits.proposals)),
            byte_places: Arc::new(Semaphore::new(limits.proposal_bytes)),
            meter,
        }
    }

    /// A place for a submission of so many bytes, at once or not at all.
    pub(crate) fn enter(&self, bytes: usize) -> Result<Place, Full> {
        let full = |_| {
            self.meter.submissions_overloaded.increment();
            Full { retry_after_ms: RETRY_AFTER.as_millis() as u64 }
        };
        let count = u32::try_from(bytes).unwrap_or(u32::MAX);
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(full)?;
        let byte_places = Arc::clone(&self.byte_places).try_acquire_many_owned(count).map_err(full)?;
        Ok(Place { _place: place, _byte_places: byte_places })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_their_number_and_their_bytes_are_bounded() {
        let limits = Limits { proposals: 2, proposal_bytes: 100, one_proposal_bytes: 100 };
        let bounds = Bounds::new(limits, Arc::default());
        let first = bounds.enter(60).expect("there is room");
        assert!(bounds.enter(41).is_err(), "too many bytes");
        let second = bounds.enter(40).expect("there is room for both");
        drop(first);
        assert!(bounds.enter(60).is_ok());
        let _third = bounds.enter(1).expect("a place is free again");
        assert!(bounds.enter(0).is_err(), "too many");
        drop(second);
        assert!(bounds.enter(0).is_ok());
    }
}
