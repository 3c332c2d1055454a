//! The server's own disk, on which its data directory is.
//!
//! What the server does there it does however long that takes: nothing shows what it has learned before that rests. So where the
//! disk hangs the server stands still in part, and its log alone can tell why.

use std::{pin::pin, time::Duration};

use tokio::time::{Instant, timeout};
use tracing::{info, warn};

/// A disk that takes longer than this over a step hangs.
pub(crate) const HANGS_AFTER: Duration = Duration::from_secs(10);

/// Waits for a step on the server's own disk, and tells the log once where it hangs, and once when it goes on. `step` completes
/// "to …".
pub(crate) async fn patiently<T>(step: &str, working: impl Future<Output = T>) -> T {
    let begun = Instant::now();
    let mut working = pin!(working);
    if let Ok(done) = timeout(HANGS_AFTER, &mut working).await {
        return done;
    }
    warn!(step, "the disk of the data directory hangs: the server waits for it, and works on with what it knew before");
    let done = working.await;
    info!(step, seconds = begun.elapsed().as_secs(), "the disk of the data directory goes on");
    done
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tokio::time::sleep;
    use tracing::{
        Event, Level, Metadata, Subscriber,
        span::{Attributes, Id, Record},
    };

    use super::*;

    /// How bad what was said was, in the order in which it was said.
    #[derive(Clone, Default)]
    struct Said(Arc<Mutex<Vec<Level>>>);

    impl Said {
        fn so_far(&self) -> Vec<Level> {
            self.0.lock().expect("nobody panics with it").clone()
        }
    }

    impl Subscriber for Said {
        fn enabled(&self, metadata: &Metadata<'_>) -> bool {
            metadata.target() == module_path!().trim_end_matches("::tests")
        }

        fn new_span(&self, _span: &Attributes<'_>) -> Id {
            Id::from_u64(1)
        }

        fn record(&self, _span: &Id, _values: &Record<'_>) {}

        fn record_follows_from(&self, _span: &Id, _follows: &Id) {}

        fn event(&self, event: &Event<'_>) {
            self.0.lock().expect("nobody panics with it").push(*event.metadata().level());
        }

        fn enter(&self, _span: &Id) {}

        fn exit(&self, _span: &Id) {}
    }

    #[tokio::test(start_paused = true)]
    async fn a_disk_that_hangs_is_told_of_once_and_once_when_it_goes_on() {
        let said = Said::default();
        let _logging = tracing::subscriber::set_default(said.clone());
        let step = async |seconds| patiently("keep something", sleep(Duration::from_secs(seconds))).await;
        step(9).await;
        assert!(said.so_far().is_empty());
        let hangs = async {
            sleep(Duration::from_secs(60)).await;
            assert_eq!(said.so_far(), [Level::WARN], "it is said while it hangs");
        };
        tokio::join!(step(3_600), hangs);
        assert_eq!(said.so_far(), [Level::WARN, Level::INFO]);
    }
}
