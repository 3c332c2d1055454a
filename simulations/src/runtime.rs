//! One thread, one tokio runtime, one clock that moves only when nobody has anything to do.

use std::future::Future;
use std::panic::resume_unwind;
use std::thread;

use tokio::runtime::Builder;
use tokio::time::Instant;

use crate::shim;

/// Room for the deep futures of unoptimised builds, in bytes.
const STACK_BYTES: usize = 64 << 20;

/// Runs what `make` makes, to its end, in a world of its own: on a thread whose chance and time come from `seed`, and in which
/// time passes at once where nothing happens. Nothing of it waits for the real world, which has no way in.
///
/// A process that is to repeat a run bit by bit makes one world only: some counters of libraries belong to the process.
pub fn simulate<F, T>(seed: u64, make: impl FnOnce() -> F + Send) -> T
where
    F: Future<Output = T>,
    T: Send,
{
    thread::scope(|scope| {
        // A thread of its own, for what libraries draw once a thread is drawn here after the seed is set.
        let world = thread::Builder::new().name("world".to_owned()).stack_size(STACK_BYTES).spawn_scoped(scope, || {
            let _armed = shim::arm(seed);
            run(make)
        });
        world.expect("the operating system starts a thread").join().unwrap_or_else(|panic| resume_unwind(panic))
    })
}

fn run<F: Future>(make: impl FnOnce() -> F) -> F::Output {
    let mut builder = Builder::new_current_thread();
    // No `enable_io`: whatever reaches for a real socket, signal or process fails here.
    builder.enable_time().start_paused(true);
    let begun = std::time::Instant::now();
    // Virtual time moves only while the thread is parked, so after that is when others have to hear of it.
    builder.on_thread_unpark(move || shim::set_elapsed(Instant::now().into_std().saturating_duration_since(begun)));
    let runtime = builder.build().expect("a runtime without sockets needs nothing of the operating system");
    runtime.block_on(async { make().await })
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime, UNIX_EPOCH};

    use tokio::time::sleep;

    use super::*;

    #[test]
    fn a_day_passes_at_once_and_every_clock_shows_it() {
        const DAY: Duration = Duration::from_secs(86_400);
        let real = std::time::Instant::now();
        let (virtually, standard, of_day) = simulate(7, || async {
            let (begun, begun_standard) = (Instant::now(), std::time::Instant::now());
            sleep(DAY).await;
            (begun.elapsed(), begun_standard.elapsed(), SystemTime::now().duration_since(UNIX_EPOCH).unwrap())
        });
        assert_eq!((virtually, standard), (DAY, DAY));
        assert_eq!(of_day, Duration::from_secs(shim::EPOCH_SECONDS) + DAY);
        assert!(real.elapsed() < DAY);
    }

    #[test]
    fn a_panic_within_is_a_panic_without() {
        let panic = std::panic::catch_unwind(|| simulate(7, || async { panic!("planted") })).unwrap_err();
        assert_eq!(bursar_net::words_of(panic.as_ref()), "planted");
    }
}
