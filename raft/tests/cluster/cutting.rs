//! A network in which nodes can be cut off from all others, and healed.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use async_trait::async_trait;
use bursar_net::{Address, BoxedStream, Listener, Network, TcpNetwork};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Who is cut off, and who listens where. Clones share it.
#[derive(Clone, Default)]
pub struct Cuts(Arc<Mutex<Map>>);

#[derive(Default)]
struct Map {
    cut: BTreeSet<u64>,
    by_port: BTreeMap<u16, u64>,
}

impl Cuts {
    pub fn listens(&self, id: u64, address: &Address) {
        self.0.lock().unwrap().by_port.insert(address.port(), id);
    }

    pub fn cut_off(&self, id: u64) {
        self.0.lock().unwrap().cut.insert(id);
    }

    pub fn heal(&self, id: u64) {
        self.0.lock().unwrap().cut.remove(&id);
    }

    /// The network as node `id` dials in it. Every connection is dialled by one of its ends, so that is enough.
    pub fn network(&self, id: u64) -> Arc<dyn Network> {
        Arc::new(CutNetwork { cuts: self.clone(), id })
    }

    /// Fails where one end of the connection that `from` has made to `port` is cut off. Who listens there is looked up each time:
    /// a node that joins is called before it is known which one it is.
    fn severed(&self, from: u64, port: u16) -> io::Result<()> {
        let map = self.0.lock().unwrap();
        let cut = [Some(&from), map.by_port.get(&port)].into_iter().flatten().any(|end| map.cut.contains(end));
        if cut { Err(io::ErrorKind::ConnectionReset.into()) } else { Ok(()) }
    }
}

struct CutNetwork {
    cuts: Cuts,
    id: u64,
}

#[async_trait]
impl Network for CutNetwork {
    async fn connect(&self, address: &Address) -> io::Result<BoxedStream> {
        let (from, port) = (self.id, address.port());
        self.cuts.severed(from, port)?;
        let stream = TcpNetwork.connect(address).await?;
        Ok(Box::new(Severable { stream, cuts: self.cuts.clone(), from, port }))
    }

    async fn bind(&self, address: &Address) -> io::Result<Box<dyn Listener>> {
        TcpNetwork.bind(address).await
    }
}

/// A connection that breaks with the first byte after the cut.
struct Severable {
    stream: BoxedStream,
    cuts: Cuts,
    from: u64,
    port: u16,
}

impl AsyncRead for Severable {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.cuts.severed(self.from, self.port)?;
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl AsyncWrite for Severable {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.cuts.severed(self.from, self.port)?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.cuts.severed(self.from, self.port)?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
