//! Engines in memory: what the disk of one machine holds, which outlives the processes that open it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::{Engine, Engines, MemoryEngine, Profile};
use crate::StorageError;

/// The engines of one machine. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct MemoryEngines {
    stored: Arc<Mutex<BTreeMap<PathBuf, Stored>>>,
}

#[derive(Debug)]
struct Stored {
    engine: MemoryEngine,
    /// What was handed out last. It is in use for as long as it is alive.
    handed_out: Weak<MemoryEngine>,
}

impl MemoryEngines {
    /// A machine without any.
    pub fn new() -> Self {
        Self::default()
    }

    /// The engine at a path, to count what it is asked and to let it fail. It is not in use by that.
    pub fn at(&self, path: &Path) -> Option<MemoryEngine> {
        self.stored().get(path).map(|stored| stored.engine.clone())
    }

    /// Where there are engines, in order.
    pub fn paths(&self) -> Vec<PathBuf> {
        self.stored().keys().cloned().collect()
    }

    /// The machine loses its power, or a process of it is killed with what it had not handed to the disk: every engine keeps what
    /// was durable, and of the batches behind that the first `kept(path, how many there are)`, as [`MemoryEngine::crash_keeping`]
    /// does. Nobody holds any of them after that: whoever still does writes to what nobody reads.
    pub fn crash(&self, mut kept: impl FnMut(&Path, usize) -> usize) {
        for (path, stored) in self.stored().iter_mut() {
            let kept = kept(path, stored.engine.unsynced());
            *stored = Stored { engine: stored.engine.crash_keeping(kept), handed_out: Weak::new() };
        }
    }

    fn stored(&self) -> MutexGuard<'_, BTreeMap<PathBuf, Stored>> {
        // The tree is whole after every statement, so a panic elsewhere cannot have spoiled it.
        self.stored.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stored {
    /// Hands the engine out to a process, which has not seen it fail yet.
    fn hand_out(&mut self) -> Arc<dyn Engine> {
        let handed_out = Arc::new(self.engine.reopened());
        self.handed_out = Arc::downgrade(&handed_out);
        handed_out
    }
}

impl Engines for MemoryEngines {
    fn create(&self, path: &Path, _profile: Profile) -> Result<Arc<dyn Engine>, StorageError> {
        let mut stored = self.stored();
        if stored.contains_key(path) {
            return Err(StorageError::io(format!("create {}", path.display()), "there is an engine already"));
        }
        let new = Stored { engine: MemoryEngine::new(), handed_out: Weak::new() };
        Ok(stored.entry(path.to_owned()).or_insert(new).hand_out())
    }

    fn open(&self, path: &Path, _profile: Profile) -> Result<Arc<dyn Engine>, StorageError> {
        let refused = |why| StorageError::io(format!("open {}", path.display()), why);
        match self.stored().get_mut(path) {
            None => Err(refused("there is no engine")),
            Some(stored) if stored.handed_out.strong_count() > 0 => Err(refused("it is in use")),
            Some(stored) => Ok(stored.hand_out()),
        }
    }

    fn exists(&self, path: &Path) -> bool {
        self.stored().contains_key(path)
    }

    fn remove(&self, path: &Path) -> Result<(), StorageError> {
        self.stored().remove(path);
        Ok(())
    }
}
