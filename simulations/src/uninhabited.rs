//! A world in which nobody lives: machines, weather and faults alone.

use std::sync::Arc;

use async_trait::async_trait;

use crate::network::HostId;
use crate::plan::Operation;
use crate::world::{Inhabitants, World};

/// Nobody.
#[derive(Clone, Copy, Debug)]
pub struct Uninhabited;

#[async_trait]
impl Inhabitants for Uninhabited {
    fn settle(&self, world: &Arc<World>) {
        for (host, process) in
            world.plan.topology.hosts.iter().flat_map(|host| host.processes.iter().map(move |process| (host, process)))
        {
            world.host(&host.name).install(&process.name, None, Arc::new(|_| Box::pin(std::future::pending())));
            world.host(&host.name).start(&process.name);
        }
    }

    async fn operate(&self, _world: &Arc<World>, _operation: Operation) {}

    fn leader(&self, _world: &World) -> Option<HostId> {
        None
    }

    async fn judge(&self, _world: &Arc<World>) -> Result<(), String> {
        Ok(())
    }
}
