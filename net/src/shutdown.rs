//! The request to end, from one place to many tasks.

use tokio::sync::watch;

/// Asks every holder of the paired [`Shutdown`] to end. Dropping it asks as well: nobody could ask
/// any more.
#[derive(Debug)]
pub struct ShutdownTrigger {
    requested: watch::Sender<bool>,
}

/// Tells a task when to end.
#[derive(Clone, Debug)]
pub struct Shutdown {
    requested: watch::Receiver<bool>,
}

/// Makes a trigger and what listens to it.
pub fn shutdown_channel() -> (ShutdownTrigger, Shutdown) {
    let (sender, receiver) = watch::channel(false);
    (ShutdownTrigger { requested: sender }, Shutdown { requested: receiver })
}

impl ShutdownTrigger {
    /// Asks; asking again changes nothing.
    pub fn request(&self) {
        self.requested.send_replace(true);
    }
}

impl Shutdown {
    /// Returns once the end is asked for.
    pub async fn requested(&self) {
        // An error says that the trigger is gone, which asks as well.
        let _ = self.requested.clone().wait_for(|requested| *requested).await;
    }

    /// Whether the end was asked for.
    pub fn is_requested(&self) -> bool {
        *self.requested.borrow() || self.requested.has_changed().is_err()
    }
}
