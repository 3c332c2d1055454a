//! The server's store points: their directories are made once, and looked at for ever.
//!
//! Each store point has a keeper of its own, which does one thing at a time: a disk that hangs holds up its own store point and
//! one thread, and nothing else.

mod check;
mod identity;
mod keeper;
mod made;
mod make;

use std::{collections::BTreeMap, convert::Infallible, path::PathBuf, sync::Arc};

use bursar_domain::{ClusterId, ServerId, StorePointId, projection, store_point::OfflineReason};
use bursar_net::{TaskSet, Volumes};
use tokio::{sync::watch, task::AbortHandle};

use crate::{
    Membership,
    member::{Fullness, Known, Outbox},
    world::World,
};

#[cfg(test)]
pub(crate) use self::identity::DirectoryIdentity;
use self::keeper::Keeper;
pub use self::made::MadeError;
#[cfg(test)]
pub(crate) use self::made::MadeFile;
pub(crate) use self::{
    check::try_writing,
    identity::{Whose, whose},
    made::{Made, read_made},
};

/// How the names of all store points' directories begin.
pub(crate) const DIRECTORY_PREFIX: &str = "CrashPlanArchive_";

/// Whose store points they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    pub cluster: ClusterId,
    pub server: ServerId,
}

/// Where a store point is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub(crate) owner: Owner,
    pub(crate) store_point: StorePointId,
    /// The path that an administrator gave.
    pub(crate) path: PathBuf,
    /// The name of its directory, right under the path.
    pub(crate) directory: String,
}

impl Place {
    /// Where the store point of a member is that is known so.
    pub fn of(membership: &Membership, store_point: StorePointId, known: &projection::StorePoint) -> Self {
        let Membership { cluster, server, .. } = membership;
        Self::of_owner(Owner { cluster: *cluster, server: *server }, store_point, known)
    }

    /// Looks whether its directory is there and its own, as the running server does, but writes nothing. It blocks while the disk
    /// does.
    ///
    /// # Errors
    /// Why the server takes the store point for offline; whether it can be written to is not found out so.
    pub fn look(&self, volumes: &dyn Volumes) -> Result<(), OfflineReason> {
        check::look(volumes, self)
    }

    fn of_owner(owner: Owner, store_point: StorePointId, known: &projection::StorePoint) -> Self {
        Self { owner, store_point, path: PathBuf::from(known.path.as_str()), directory: known.directory.clone() }
    }
}

/// Keeps all store points of the server.
pub(crate) struct StorePoints {
    pub owner: Owner,
    pub world: World,
    pub known: watch::Receiver<Known>,
    pub made: Arc<Made>,
    pub outbox: Arc<Outbox>,
    pub fullness: Arc<Fullness>,
}

/// A store point that is kept.
struct Kept {
    wanted: watch::Sender<projection::StorePoint>,
    keeper: AbortHandle,
}

impl StorePoints {
    /// Keeps those that the server knows of, as they come and go.
    pub(crate) async fn keep(mut self) -> Infallible {
        let mut kept = BTreeMap::new();
        let mut keepers = TaskSet::new();
        loop {
            let fleet = self.known.borrow_and_update().fleet().cloned();
            if let Some(fleet) = fleet {
                self.keep_just(&fleet.store_points, &mut kept, &mut keepers);
            }
            tokio::select! {
                changed = self.known.changed() => if changed.is_err() {
                    // Whoever learns of the fleet is gone, and the server ends.
                    return std::future::pending().await;
                },
                Some(ended) = keepers.join_next() => match ended {
                    Ok(never) => match never {},
                    Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                    // It was ended with its store point.
                    Err(_aborted) => {}
                },
            }
        }
    }

    /// Begins to keep what is new, tells of what has changed, and leaves what is gone as it is.
    fn keep_just(
        &self,
        wanted: &BTreeMap<StorePointId, projection::StorePoint>,
        kept: &mut BTreeMap<StorePointId, Kept>,
        keepers: &mut TaskSet<Infallible>,
    ) {
        kept.retain(|store_point, Kept { keeper, .. }| {
            let stays = wanted.contains_key(store_point);
            if !stays {
                keeper.abort();
                self.outbox.forget(*store_point);
                self.fullness.forget(*store_point);
            }
            stays
        });
        for (store_point, wanted) in wanted {
            match kept.get(store_point) {
                Some(Kept { wanted: told, .. }) => {
                    told.send_if_modified(|told| std::mem::replace(told, wanted.clone()) != *wanted);
                }
                None => {
                    let told = watch::Sender::new(wanted.clone());
                    let keeper = self.keeper(*store_point, wanted, told.subscribe());
                    let keeper = keepers.spawn(keeper.keep());
                    kept.insert(*store_point, Kept { wanted: told, keeper });
                }
            }
        }
    }

    fn keeper(
        &self,
        store_point: StorePointId,
        wanted: &projection::StorePoint,
        told: watch::Receiver<projection::StorePoint>,
    ) -> Keeper {
        let place = Place::of_owner(self.owner, store_point, wanted);
        let World { volumes, loose, entropy, .. } = &self.world;
        Keeper::new(
            Arc::new(place),
            told,
            (Arc::clone(volumes), Arc::clone(loose), Arc::clone(entropy)),
            Arc::clone(&self.made),
            Arc::clone(&self.outbox),
            Arc::clone(&self.fullness),
        )
    }
}

#[cfg(test)]
mod faults;
#[cfg(test)]
mod tests;
