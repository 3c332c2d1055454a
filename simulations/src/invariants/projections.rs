//! Once nothing goes wrong any more, every storage server knows what it should, and every store point works.

use bursar_domain::{Projection, encoding::decode, server, store_point};

use super::{Broken, Journals, broken};
use crate::fleet::Fleet;

const NAME: &str = "convergence";

/// Nothing to remember: it is looked at in the end.
#[derive(Debug, Default)]
pub struct Projections;

impl Projections {
    pub(super) fn look_at_the_end(&self, journals: &Journals, fleet: &Fleet) -> Result<(), Broken> {
        let state = journals.state();
        for row in state.servers().iter().filter(|row| row.is_present()) {
            let name = fleet.process_of(row.id);
            if row.condition != server::Condition::Online {
                return Err(broken(NAME, format!("{name} is {:?}", row.condition)));
            }
            let told = |error: String| broken(NAME, format!("what {name} keeps: {error}"));
            let saved = fleet.kept_by(row.id).map_err(told)?.ok_or_else(|| told("nothing".to_owned()))?;
            let known: Projection = decode(&saved.projection).map_err(|error| told(error.to_string()))?;
            let expected = Projection::of(state, row.id).expect("it is part of the fleet");
            if known != expected {
                return Err(broken(NAME, format!("{name} knows {known:?} at {}, and should know {expected:?}", saved.position)));
            }
        }
        match state.store_points().iter().find(|row| row.is_present() && row.condition != store_point::Condition::Online) {
            Some(row) => {
                let name = fleet.process_of(row.server);
                Err(broken(NAME, format!("the store point of {name} on {} is {:?}", row.path, row.condition)))
            }
            None => Ok(()),
        }
    }
}
