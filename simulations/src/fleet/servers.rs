//! Storage servers that lose what they keep, and whose places others take: what operators do about it.

use std::time::Duration;

use bursar_wire::client::{Change, Client};
use bursar_wire::query::ReadQuery;
use bursar_wire::servers::{ReplaceServer, Server, ServerCondition};
use tokio::time::sleep;

use super::{Fleet, Introduction, SetUpError, StorageServer, lock, until};
use crate::plan::FaultKind;
use crate::world::World;

/// How long a process is down before anybody touches what it keeps.
const DOWN_FOR: Duration = Duration::from_millis(100);

impl StorageServer {
    /// How it introduces itself, once it is made.
    pub(super) async fn introduced(&self) -> Result<Introduction, SetUpError> {
        until("a storage server is made", async || lock(&self.introduction).clone()).await
    }
}

impl Fleet {
    /// Takes all that a storage server keeps of the fleet, and `lasting` later puts a new machine in its place, with the disks that it
    /// had. Returns once that one is online.
    ///
    /// # Errors
    /// Why it is not.
    pub async fn replace(&self, world: &World, client: &Client, process: &str, lasting: Duration) -> Result<(), SetUpError> {
        let (id, server) = self.server_of(process);
        let (host, root) = (&server.place.host, server.place.root());
        let _alone = server.replacing.lock().await;
        // Until another machine is there, the authority is right to miss it.
        let _going_on = world.befallen.begin(&FaultKind::LostServer { process: process.to_owned() });
        host.close(process);
        sleep(DOWN_FOR).await;
        host.disks().erase(&root);
        *lock(&server.introduction) = None;
        sleep(lasting).await;
        host.open(process);
        let Introduction { connection_string, guid } = server.introduced().await?;
        let replacing = ReplaceServer { connection_string };
        let path = format!("servers/{id}");
        until("another machine takes a server's place", async || {
            let now: Server = client.get(&path, &ReadQuery::default()).await.ok()?.json().ok()?;
            if now.guid == guid {
                return (now.condition == ServerCondition::Online).then_some(());
            }
            // It is refused until the authority has noticed that the old one is silent. What comes of it the next look tells.
            let _ = client.post(&format!("{path}/replace"), &replacing, Change::default()).await;
            None
        })
        .await
    }

    fn server_of(&self, process: &str) -> (u64, &StorageServer) {
        let numbered = (1..).zip(&self.storage_servers);
        let mut found = numbered.filter(|(_, server)| server.place.process == process);
        found.next().expect("a plan names storage servers that it has")
    }
}
