//! Panics anywhere in a world: a program that caught one has a defect all the same, and one in a task that nobody waits for would
//! go unnoticed.

use std::cell::RefCell;
use std::panic::{PanicHookInfo, set_hook, take_hook};
use std::sync::Once;

use bursar_net::tasks::Group;
use bursar_net::words_of;

use crate::verdict::Broken;

thread_local! {
    /// The first panic in the world of this thread.
    static FIRST: RefCell<Option<Broken>> = const { RefCell::new(None) };
}

/// Notes panics on this thread from now on, and forgets those before.
pub fn watch() {
    static HOOKED: Once = Once::new();
    HOOKED.call_once(|| {
        let usual = take_hook();
        set_hook(Box::new(move |panic| {
            note(panic);
            usual(panic);
        }));
    });
    FIRST.set(None);
}

/// Fails where there was a panic, with what it said.
///
/// # Errors
/// What the first panic said, where, and in which process.
pub fn none() -> Result<(), Broken> {
    FIRST.with_borrow(|first| first.clone().map_or(Ok(()), Err))
}

fn note(panic: &PanicHookInfo<'_>) {
    let group = Group::current();
    let process = group.as_ref().map_or("the world", Group::name);
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    let told = Broken::new("no-panic", format_args!("{process} panicked at {place}: {}", words_of(panic.payload())));
    FIRST.with_borrow_mut(|first| {
        first.get_or_insert(told);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_that_nobody_waits_for_or_that_is_caught_is_told_with_its_process() {
        watch();
        assert_eq!(none(), Ok(()));
        let group = Group::named("authority-1");
        group.spawn(async { std::panic::catch_unwind(|| panic!("planted")).unwrap_err() });
        while none().is_ok() {
            tokio::task::yield_now().await;
        }
        let told = none().unwrap_err().to_string();
        assert!(told.starts_with("no-panic: authority-1 panicked at simulations/src/panics.rs:"), "{told}");
        assert!(told.ends_with(": planted"), "{told}");
        watch();
        assert_eq!(none(), Ok(()));
    }
}
