//! Who keeps one store point.

use std::{
    convert::Infallible,
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bursar_domain::{
    projection::{Making, StorePoint},
    store_point::{CreationFailure, OfflineReason, Report},
};
use bursar_net::{Blocking, Entropy, JobLost, Volumes};
use bursar_wire::control::Notice;
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until, timeout},
};
use tracing::{error, info, warn};

use super::{
    Place,
    check::{Checked, check, measure},
    made::{Made, MadeError},
    make::prepare,
};
use crate::{
    member::{Fullness, Outbox},
    own_disk::{HANGS_AFTER, patiently},
};

/// From one check to the next.
const INTERVAL: Duration = Duration::from_secs(5);
/// From one measuring of what a store point takes to the next: it looks at every file.
const MEASURED_EVERY: Duration = Duration::from_secs(600);

/// Keeps one store point: makes its directory where that is wanted, and looks how it is.
pub(super) struct Keeper {
    place: Arc<Place>,
    wanted: watch::Receiver<StorePoint>,
    volumes: Arc<dyn Volumes>,
    loose: Arc<dyn Blocking>,
    entropy: Arc<dyn Entropy>,
    made: Arc<Made>,
    outbox: Arc<Outbox>,
    fullness: Arc<Fullness>,
    is_online: watch::Sender<bool>,
    /// How it was when it was looked at last.
    last: Mutex<Option<Report>>,
}

/// Why there is no directory.
#[derive(Debug, thiserror::Error)]
enum Unmade {
    /// It cannot be made.
    #[error("{0:?}")]
    Failed(CreationFailure),
    /// Whether it was made cannot be told, or not be kept; so it was not.
    #[error(transparent)]
    Unnoted(#[from] MadeError),
    /// There was no thread to be had, which says nothing of any disk.
    #[error(transparent)]
    Lost(#[from] JobLost),
}

impl Keeper {
    pub(super) fn new(
        place: Arc<Place>,
        wanted: watch::Receiver<StorePoint>,
        (volumes, loose, entropy): (Arc<dyn Volumes>, Arc<dyn Blocking>, Arc<dyn Entropy>),
        made: Arc<Made>,
        outbox: Arc<Outbox>,
        fullness: Arc<Fullness>,
    ) -> Self {
        Self {
            place,
            wanted,
            volumes,
            loose,
            entropy,
            made,
            outbox,
            fullness,
            is_online: watch::Sender::new(false),
            last: Mutex::default(),
        }
    }

    /// Keeps it until the store point is gone.
    pub(super) async fn keep(self) -> Infallible {
        tokio::select! {
            never = self.watch_over() => never,
            never = self.measure() => never,
        }
    }

    async fn watch_over(&self) -> Infallible {
        let mut wanted = self.wanted.clone();
        let is_to_be_made = wanted.borrow_and_update().making == Making::Wanted;
        if is_to_be_made && let Err(failure) = self.make().await {
            warn!(store_point = %self.place.store_point, path = %self.place.path.display(), ?failure, "a directory could not be made");
            self.say(Report::Failed(failure));
            return std::future::pending().await;
        }
        loop {
            let begun = Instant::now();
            // One whose directory could not be made is none; it stays so.
            let was_made = wanted.borrow_and_update().making != Making::Failed;
            if was_made {
                self.check().await;
            }
            tokio::select! {
                () = sleep_until(begun + INTERVAL) => {}
                changed = wanted.changed() => if changed.is_err() {
                    // The store point is gone, and its keeper is about to be ended.
                    return std::future::pending().await;
                },
            }
        }
    }

    /// Makes its directory. Trouble with the server's own disk says nothing of the store point's: it is tried again.
    async fn make(&self) -> Result<(), CreationFailure> {
        loop {
            match self.try_to_make().await {
                Ok(()) => return Ok(()),
                Err(Unmade::Failed(failure)) => return Err(failure),
                Err(unmade) => {
                    error!(store_point = %self.place.store_point, error = %unmade, "a directory is not made yet, and is tried again");
                }
            }
            sleep(INTERVAL).await;
        }
    }

    /// Makes it, unless it was made before: what has become of it since is for the checks to tell.
    async fn try_to_make(&self) -> Result<(), Unmade> {
        let store_point = self.place.store_point;
        if self.on_own_disk(move |made| made.holds(store_point)).await? {
            return Ok(());
        }
        let id = self.entropy.array();
        let prepared = self.on_its_disk(move |volumes, place| prepare(volumes, place, id)).await?;
        self.on_own_disk(move |made| made.note(store_point)).await?;
        bursar_net::point!("store-point.noted");
        self.on_its_disk(move |_, place| prepared.give_name(place)).await
    }

    /// Does something on the server's own disk, however long that takes: it is not the store point's fault.
    async fn on_own_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Made) -> Result<T, MadeError> + Send + 'static,
    ) -> Result<T, Unmade> {
        let made = Arc::clone(&self.made);
        Ok(patiently("note which store points were made", self.loose.run(move || work(&made))).await??)
    }

    /// Does something on the store point's disk; one that hangs over a step has failed, whatever comes of it later.
    async fn on_its_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Volumes, &Place) -> Result<T, CreationFailure> + Send + 'static,
    ) -> Result<T, Unmade> {
        let (volumes, place) = (Arc::clone(&self.volumes), Arc::clone(&self.place));
        let working = self.loose.run(move || work(&*volumes, &place));
        let hangs = |_elapsed| Unmade::Failed(CreationFailure::IoFailing);
        timeout(HANGS_AFTER, working).await.map_err(hangs)??.map_err(Unmade::Failed)
    }

    /// Looks how it is, and says so. It waits for a disk that hangs, and says so meanwhile; so no second check is ever under way.
    async fn check(&self) {
        let (volumes, place) = (Arc::clone(&self.volumes), Arc::clone(&self.place));
        let mut checking = pin!(self.loose.run(move || check(&*volumes, &place)));
        let checked = match timeout(HANGS_AFTER, &mut checking).await {
            Ok(checked) => checked,
            Err(_elapsed) => {
                self.found(Checked { report: Report::Offline(OfflineReason::IoFailing), space: None });
                checking.await
            }
        };
        match checked {
            Ok(checked) => self.found(checked),
            // There was no thread to be had, which says nothing of the disk.
            Err(lost) => warn!(store_point = %self.place.store_point, %lost, "a store point could not be looked at"),
        }
    }

    fn found(&self, Checked { report, space }: Checked) {
        self.fullness.set_space(self.place.store_point, space);
        self.is_online.send_replace(report == Report::Online);
        self.tell_the_log(report);
        self.say(report);
    }

    /// Says how it is where that is news, for whoever looks at this machine first.
    fn tell_the_log(&self, report: Report) {
        let before = self.last.lock().unwrap_or_else(PoisonError::into_inner).replace(report);
        let (store_point, path) = (self.place.store_point, self.place.path.display());
        match report {
            _ if before == Some(report) => {}
            Report::Online => info!(%store_point, %path, "a store point is online"),
            Report::Offline(reason) => warn!(%store_point, %path, ?reason, "a store point is offline"),
            Report::Failed(failure) => warn!(%store_point, %path, ?failure, "a store point could not be made"),
        }
    }

    fn say(&self, report: Report) {
        let store_point = self.place.store_point;
        self.outbox.say(Notice::StorePoint { store_point, report });
    }

    /// Measures again and again what the store point takes, while it can be looked at.
    async fn measure(&self) -> Infallible {
        let mut is_online = self.is_online.subscribe();
        loop {
            // The sender is our own.
            let _ = is_online.wait_for(|is_online| *is_online).await;
            let (volumes, place) = (Arc::clone(&self.volumes), Arc::clone(&self.place));
            if let Ok(Some(used)) = self.loose.run(move || measure(&*volumes, &place)).await {
                self.fullness.set_used(self.place.store_point, used);
            }
            sleep(MEASURED_EVERY).await;
        }
    }
}
