//! Connections within the process.

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use bursar_net::{Address, BoxedStream, Listener, Network};
use tokio::{
    io::duplex,
    sync::{Mutex as AsyncMutex, mpsc},
};

const BUFFER_BYTES: usize = 256 * 1024;

/// A network on which every host is the same process.
#[derive(Clone, Default)]
pub struct MemoryNetwork {
    listening: Arc<Mutex<BTreeMap<Address, mpsc::Sender<BoxedStream>>>>,
}

struct MemoryListener {
    connections: AsyncMutex<mpsc::Receiver<BoxedStream>>,
}

#[async_trait]
impl Network for MemoryNetwork {
    async fn connect(&self, address: &Address) -> io::Result<BoxedStream> {
        let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
        let listener = self.listening.lock().unwrap().get(address).cloned().ok_or_else(refused)?;
        let (here, there) = duplex(BUFFER_BYTES);
        listener.send(Box::new(there)).await.map_err(|_| refused())?;
        Ok(Box::new(here))
    }

    async fn bind(&self, address: &Address) -> io::Result<Box<dyn Listener>> {
        let mut listening = self.listening.lock().unwrap();
        if listening.get(address).is_some_and(|listener| !listener.is_closed()) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        let (sender, connections) = mpsc::channel(64);
        listening.insert(address.clone(), sender);
        Ok(Box::new(MemoryListener { connections: AsyncMutex::new(connections) }))
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
