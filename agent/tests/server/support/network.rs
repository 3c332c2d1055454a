//! Connections within the process.

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use bursar_net::{Address, BoxedStream, Listener, Network};
use tokio::{
    io::duplex,
    sync::{Mutex as AsyncMutex, mpsc},
    task::yield_now,
    time::sleep,
};

const BUFFER_BYTES: usize = 256 * 1024;
const PATIENCE_TURNS: usize = 10_000;

/// A network on which every host is the same process.
#[derive(Clone, Default)]
pub struct MemoryNetwork {
    listening: Arc<Mutex<BTreeMap<Address, mpsc::Sender<BoxedStream>>>>,
    takes: Arc<Mutex<Duration>>,
}

impl MemoryNetwork {
    /// From now on it takes so long until a connection stands.
    pub fn takes(&self, takes: Duration) {
        *self.takes.lock().unwrap() = takes;
    }

    fn bind_now(&self, address: &Address) -> Option<MemoryListener> {
        let mut listening = self.listening.lock().unwrap();
        if listening.get(address).is_some_and(|listener| !listener.is_closed()) {
            return None;
        }
        let (sender, connections) = mpsc::channel(64);
        listening.insert(address.clone(), sender);
        Some(MemoryListener { connections: AsyncMutex::new(connections) })
    }
}

struct MemoryListener {
    connections: AsyncMutex<mpsc::Receiver<BoxedStream>>,
}

#[async_trait]
impl Network for MemoryNetwork {
    async fn connect(&self, address: &Address) -> io::Result<BoxedStream> {
        let takes = *self.takes.lock().unwrap();
        sleep(takes).await;
        let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
        let listener = self.listening.lock().unwrap().get(address).cloned().ok_or_else(refused)?;
        let (here, there) = duplex(BUFFER_BYTES);
        listener.send(Box::new(there)).await.map_err(|_| refused())?;
        Ok(Box::new(here))
    }

    async fn bind(&self, address: &Address) -> io::Result<Box<dyn Listener>> {
        // Who was ended leaves its port when its task comes to its turn.
        for _ in 0..PATIENCE_TURNS {
            if let Some(listener) = self.bind_now(address) {
                return Ok(Box::new(listener));
            }
            yield_now().await;
        }
        Err(io::ErrorKind::AddrInUse.into())
    }
}

#[async_trait]
impl Listener for MemoryListener {
    async fn accept(&self) -> io::Result<(BoxedStream, SocketAddr)> {
        let stream = self.connections.lock().await.recv().await.expect("the network lives as long as its listeners");
        Ok((stream, self.local_address()?))
    }

    fn local_address(&self) -> io::Result<SocketAddr> {
        Ok(([127, 0, 0, 1], 1).into())
    }
}
