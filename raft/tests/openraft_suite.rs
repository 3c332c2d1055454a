//! openraft's own storage suite over our log store and state machine, on every engine.

use std::sync::Arc;

use bursar_domain::{Level, StoreId};
use bursar_net::{Blocking, ThreadBlocking};
use bursar_raft::{LogStore, StateMachine, StopSignal, TypeConfig};
use bursar_storage::{
    engine::{Engine, MemoryEngine},
    ledger::Ledger,
    log::RaftLog,
};
use openraft::{
    StorageError,
    testing::log::{StoreBuilder, Suite},
};

/// The data directory that all of them belong to.
const STORE: StoreId = StoreId([1; 16]);

fn stores(log: Arc<dyn Engine>, ledger: Arc<dyn Engine>) -> (LogStore, StateMachine) {
    let (blocking, stop) = (Arc::new(ThreadBlocking), StopSignal::default());
    RaftLog::make(&*log, STORE).expect("an empty engine");
    Ledger::make(&*ledger, STORE).expect("an empty engine");
    let log = RaftLog::open(log, STORE, blocking.worker("raft-log"), 1 << 20).expect("the log is empty");
    let (ledger, recovered) = Ledger::open(ledger, STORE).expect("the ledger is empty");
    (LogStore::new(1, log, stop.clone()), StateMachine::new(ledger, recovered, Level::SUPPORTED, blocking, stop))
}

struct InMemory;

impl StoreBuilder<TypeConfig, LogStore, StateMachine> for InMemory {
    async fn build(&self) -> Result<((), LogStore, StateMachine), StorageError<TypeConfig>> {
        let (log, state_machine) = stores(Arc::new(MemoryEngine::new()), Arc::new(MemoryEngine::new()));
        Ok(((), log, state_machine))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_suite_holds_in_memory() {
    Suite::test_all(InMemory).await.expect("the suite holds");
}

#[cfg(feature = "rocksdb")]
mod on_disk {
    use bursar_storage::engine::{Profile, RocksEngine};
    use tempfile::TempDir;

    use super::*;

    struct OnDisk;

    impl StoreBuilder<TypeConfig, LogStore, StateMachine, TempDir> for OnDisk {
        async fn build(&self) -> Result<(TempDir, LogStore, StateMachine), StorageError<TypeConfig>> {
            let directory = TempDir::new().expect("there is room for temporary files");
            let open = |name: &str, profile| -> Arc<dyn Engine> {
                Arc::new(RocksEngine::create(&directory.path().join(name), profile).expect("a new database"))
            };
            let (log, state_machine) = stores(open("log", Profile::Log), open("ledger", Profile::Ledger));
            Ok((directory, log, state_machine))
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_suite_holds_on_rocksdb() {
        Suite::test_all(OnDisk).await.expect("the suite holds");
    }
}
