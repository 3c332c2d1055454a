//! How full the store points are, as was last seen.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use bursar_domain::StorePointId;
use bursar_net::Space;
use bursar_wire::control::Capacity;

/// How full each store point is that can be looked at.
#[derive(Debug, Default)]
pub(crate) struct Fullness {
    seen: Mutex<BTreeMap<StorePointId, Seen>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    space: Option<Space>,
    used: Option<u64>,
}

impl Fullness {
    /// Notes how much room there is; nothing where that cannot be seen.
    pub(crate) fn set_space(&self, store_point: StorePointId, space: Option<Space>) {
        self.seen().entry(store_point).or_default().space = space;
    }

    /// Notes how many bytes a store point takes.
    pub(crate) fn set_used(&self, store_point: StorePointId, used: u64) {
        self.seen().entry(store_point).or_default().used = Some(used);
    }

    /// Forgets a store point.
    pub(crate) fn forget(&self, store_point: StorePointId) {
        self.seen().remove(&store_point);
    }

    /// Of those of which all is known.
    pub(super) fn capacities(&self) -> BTreeMap<StorePointId, Capacity> {
        let whole = |seen: &Seen| {
            let Space { total, free } = seen.space?;
            Some(Capacity { total, free, used: seen.used? })
        };
        self.seen().iter().filter_map(|(store_point, seen)| Some((*store_point, whole(seen)?))).collect()
    }

    fn seen(&self) -> MutexGuard<'_, BTreeMap<StorePointId, Seen>> {
        // The entries are whole after every statement.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
