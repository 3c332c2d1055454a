//! Single calls between programs: some are lost, answered into the void, repeated, or late, while their connections are sound.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bursar_net::overseer::CallFate;
use serde::{Deserialize, Serialize};

use crate::draws::Stream;

/// What is wrong with calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum CallTrouble {
    /// They never arrive.
    Lost,
    /// They are acted upon, and their answers never arrive.
    Unanswered,
    /// They arrive twice.
    Repeated {
        /// How long after the first time at most, in milliseconds.
        within_ms: u64,
    },
    /// They leave late, and others overtake them.
    Late {
        /// By how much at most, in milliseconds.
        within_ms: u64,
    },
}

/// How the calls fare that the programs of a machine make. Clones are of the same machine.
#[derive(Clone)]
pub struct Calls {
    weather: Arc<Mutex<Weather>>,
}

struct Weather {
    chance: Stream,
    next: u64,
    /// What is wrong, and how probable it is for each call, in parts per million.
    troubles: BTreeMap<u64, (CallTrouble, u32)>,
}

/// Something that is wrong with calls.
#[derive(Debug)]
pub struct Troubled(u64);

impl Calls {
    /// Nothing is wrong with them.
    pub fn new(chance: Stream) -> Self {
        Self { weather: Arc::new(Mutex::new(Weather { chance, next: 0, troubles: BTreeMap::new() })) }
    }

    /// Lets calls meet with `trouble`, each with this probability in parts per million, until [`relieve`](Self::relieve).
    pub fn trouble(&self, trouble: CallTrouble, probability: u32) -> Troubled {
        let mut weather = self.weather();
        let number = weather.next;
        weather.next += 1;
        weather.troubles.insert(number, (trouble, probability));
        Troubled(number)
    }

    /// Ends a trouble.
    pub fn relieve(&self, Troubled(number): Troubled) {
        self.weather().troubles.remove(&number);
    }

    /// Ends all troubles.
    pub fn relieve_all(&self) {
        self.weather().troubles.clear();
    }

    /// How the next call fares.
    pub fn next_fate(&self) -> CallFate {
        let Weather { chance, troubles, .. } = &mut *self.weather();
        for (trouble, probability) in troubles.values() {
            if chance.happens(*probability) {
                return trouble.fate(chance);
            }
        }
        CallFate::Carried
    }

    fn weather(&self) -> MutexGuard<'_, Weather> {
        // Nothing panics between two changes of it that belong together.
        self.weather.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CallTrouble {
    fn fate(self, chance: &mut Stream) -> CallFate {
        let mut drawn = |within_ms| Duration::from_millis(chance.within(0..=within_ms));
        match self {
            Self::Lost => CallFate::Lost,
            Self::Unanswered => CallFate::Unanswered,
            Self::Repeated { within_ms } => CallFate::Repeated { after: drawn(within_ms) },
            Self::Late { within_ms } => CallFate::Late { by: drawn(within_ms) },
        }
    }
}

impl fmt::Debug for Calls {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.weather().troubles.fmt(formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draws::{CERTAIN, Draws};

    #[test]
    fn each_trouble_meets_its_share_of_the_calls_until_it_ends() {
        let calls = Calls::new(Draws::of_seed(7).stream("calls"));
        assert_eq!(calls.next_fate(), CallFate::Carried);
        let (some, all) = (calls.trouble(CallTrouble::Lost, CERTAIN / 4), calls.trouble(CallTrouble::Unanswered, CERTAIN));
        let lost = (0..1_000).filter(|_| calls.next_fate() == CallFate::Lost).count();
        assert!((200..300).contains(&lost), "{lost} of 1,000");
        calls.relieve(some);
        assert_eq!(calls.next_fate(), CallFate::Unanswered);
        calls.relieve(all);
        assert_eq!(calls.next_fate(), CallFate::Carried);
        let _ = calls.trouble(CallTrouble::Late { within_ms: 10 }, CERTAIN);
        assert!(matches!(calls.next_fate(), CallFate::Late { by } if by <= Duration::from_millis(10)));
        calls.relieve_all();
        assert_eq!(calls.next_fate(), CallFate::Carried);
    }
}
