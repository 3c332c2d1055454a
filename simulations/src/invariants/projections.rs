//! Once nothing goes wrong with it any more, a storage server knows what it should, and its store points work. Those that stay away are
//! known to.

use std::collections::BTreeSet;

use bursar_domain::{Projection, ServerId, encoding::decode, server, store_point};

use super::{Broken, Journals, broken};
use crate::fleet::Fleet;

const NAME: &str = "convergence";

/// Nothing to remember: it is looked at in the end.
#[derive(Debug, Default)]
pub struct Projections;

impl Projections {
    pub(super) fn look_at_the_end(&self, journals: &Journals, fleet: &Fleet, core: &BTreeSet<&str>) -> Result<(), Broken> {
        let state = journals.state();
        let is_core = |id: ServerId| core.contains(fleet.process_of(id));
        for row in state.servers().iter().filter(|row| row.is_present()) {
            let name = fleet.process_of(row.id);
            let (condition, expected) =
                (row.condition, if is_core(row.id) { server::Condition::Online } else { server::Condition::Offline });
            if condition != expected {
                return Err(broken(NAME, format!("{name} is {condition:?}, and should be {expected:?}")));
            }
            if !is_core(row.id) {
                continue;
            }
            let told = |error: String| broken(NAME, format!("what {name} keeps: {error}"));
            let saved = fleet.kept_by(row.id).map_err(told)?.ok_or_else(|| told("nothing".to_owned()))?;
            let known: Projection = decode(&saved.projection).map_err(|error| told(error.to_string()))?;
            let expected = Projection::of(state, row.id).expect("it is part of the fleet");
            if known != expected {
                return Err(broken(NAME, format!("{name} knows {known:?} at {}, and should know {expected:?}", saved.position)));
            }
        }
        let is_broken = |row: &store_point::StorePoint| row.is_present() && row.condition != store_point::Condition::Online;
        match state.store_points().iter().find(|row| is_core(row.server) && is_broken(row)) {
            Some(row) => {
                let name = fleet.process_of(row.server);
                Err(broken(NAME, format!("the store point of {name} on {} is {:?}", row.path, row.condition)))
            }
            None => Ok(()),
        }
    }
}
