//! What has befallen a world, and when: some of what a plan wants begins later than the plan says, or never.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::{Duration, Instant};

use crate::plan::FaultKind;

/// Everything so far. Clones are of the same world.
#[derive(Clone, Default)]
pub struct Befallen {
    spells: Arc<Mutex<Vec<Spell>>>,
}

struct Spell {
    kind: FaultKind,
    /// None while it goes on.
    until: Option<Instant>,
}

/// Something that goes on until this is dropped.
pub struct GoingOn {
    befallen: Befallen,
    place: usize,
}

impl Befallen {
    /// It begins now.
    pub fn begin(&self, kind: &FaultKind) -> GoingOn {
        let mut spells = self.spells();
        spells.push(Spell { kind: kind.clone(), until: None });
        GoingOn { befallen: self.clone(), place: spells.len() - 1 }
    }

    /// Whether anything like this went on within the last so many milliseconds.
    pub fn had(&self, within_ms: u64, is_like: impl Fn(&FaultKind) -> bool) -> bool {
        let (now, within) = (Instant::now(), Duration::from_millis(within_ms));
        let is_recent = |until: Option<Instant>| until.is_none_or(|until| until + within >= now);
        self.spells().iter().any(|spell| is_recent(spell.until) && is_like(&spell.kind))
    }

    fn spells(&self) -> MutexGuard<'_, Vec<Spell>> {
        // Nothing panics between two changes of it that belong together.
        self.spells.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for GoingOn {
    fn drop(&mut self) {
        self.befallen.spells()[self.place].until = Some(Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_over_counts_for_as_long_as_is_asked() {
        let befallen = Befallen::default();
        let is_loss = |kind: &FaultKind| *kind == FaultKind::PowerLossEverywhere;
        assert!(!befallen.had(u64::MAX / 2, is_loss));
        let loss = befallen.begin(&FaultKind::PowerLossEverywhere);
        sleep(Duration::from_secs(60)).await;
        assert!(befallen.had(0, is_loss), "it goes on");
        assert!(!befallen.had(0, |kind| *kind == FaultKind::IsolateLeader));
        drop(loss);
        sleep(Duration::from_secs(5)).await;
        assert!(befallen.had(5_000, is_loss) && !befallen.had(4_999, is_loss));
    }
}
