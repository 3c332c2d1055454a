//! How a program holds an end of the network.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use bursar_net::{Address, BoxedStream, Listener, Network};
use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::timeout;

use super::connection::{Connection, ConnectionId, End, Port, Segment, Side};
use super::wire::State;
use super::{HostId, Internet};

/// How long a caller knocks before it knocks again; each time twice as long.
const KNOCK_AGAIN_AFTER: Duration = Duration::from_secs(1);
/// How often it knocks in all: after two minutes and seven seconds it gives up.
const KNOCKS: u32 = 7;
/// The most that travels in one piece.
const SEGMENT_BYTES_MAX: usize = 64 << 10;

/// The network as the programs of a machine see it, until the machine loses its power.
#[derive(Clone, Debug)]
pub struct HostNetwork {
    pub(super) internet: Internet,
    pub(super) host: HostId,
    pub(super) boot: u32,
}

#[async_trait]
impl Network for HostNetwork {
    async fn connect(&self, address: &Address) -> io::Result<BoxedStream> {
        let id = self.internet.with(|state| {
            check_boot(state, self.host, self.boot)?;
            let target = target_of(state, self.host, address.host())?;
            let from_port = state.host(self.host).free_port()?;
            let id = ConnectionId(state.next_connection);
            state.next_connection += 1;
            let connection = Connection {
                dialler: End::new(self.host, Some(self.boot)),
                acceptor: End::new(target, None),
                port: address.port(),
                from_port,
            };
            state.connections.insert(id, connection);
            io::Result::Ok(id)
        })?;
        let socket = Socket { internet: self.internet.clone(), id, side: Side::Dialler };
        for attempt in 0..KNOCKS {
            self.internet.with(|state| state.send(id, Side::Dialler, Segment::Syn));
            match timeout(KNOCK_AGAIN_AFTER * 2_u32.pow(attempt), poll_fn(|context| socket.poll_open(context))).await {
                Ok(Ok(())) => return Ok(Box::new(socket)),
                Ok(Err(refused)) => return Err(refused),
                Err(_elapsed) => {}
            }
        }
        Err(io::ErrorKind::TimedOut.into())
    }

    async fn bind(&self, address: &Address) -> io::Result<Box<dyn Listener>> {
        let port = self.internet.with(|state| {
            check_boot(state, self.host, self.boot)?;
            if !address.is_unspecified() && target_of(state, self.host, address.host())? != self.host {
                return Err(io::Error::from(io::ErrorKind::AddrNotAvailable));
            }
            let machine = state.host(self.host);
            let port = if address.port() == 0 { machine.free_port()? } else { address.port() };
            if machine.ports.contains_key(&port) {
                return Err(io::ErrorKind::AddrInUse.into());
            }
            machine.ports.insert(port, Port { loopback: address.is_loopback(), backlog: VecDeque::new(), acceptor: None });
            Ok(port)
        })?;
        Ok(Box::new(PortHeld { internet: self.internet.clone(), host: self.host, boot: self.boot, port }))
    }
}

/// Who is called `name`, as seen from `host`.
fn target_of(state: &State, host: HostId, name: &str) -> io::Result<HostId> {
    if let Ok(ip) = name.parse::<IpAddr>() {
        if ip.is_loopback() {
            return Ok(host);
        }
        let found = state.hosts.iter().find(|(_, machine)| IpAddr::from(machine.address) == ip);
        return found.map(|(id, _)| *id).ok_or_else(|| io::ErrorKind::HostUnreachable.into());
    }
    if name == "localhost" {
        return Ok(host);
    }
    let found = state.names.get(name).copied();
    found.ok_or_else(|| io::Error::other("failed to lookup address information: Name or service not known"))
}

/// A program of a machine that has lost its power since reaches nothing.
fn check_boot(state: &State, host: HostId, boot: u32) -> io::Result<()> {
    if state.hosts[&host].boot == boot { Ok(()) } else { Err(io::ErrorKind::NetworkDown.into()) }
}

/// A port, as the program that listens holds it.
struct PortHeld {
    internet: Internet,
    host: HostId,
    boot: u32,
    port: u16,
}

#[async_trait]
impl Listener for PortHeld {
    async fn accept(&self) -> io::Result<(BoxedStream, SocketAddr)> {
        let (id, remote) = poll_fn(|context| self.poll_accept(context)).await?;
        Ok((Box::new(Socket { internet: self.internet.clone(), id, side: Side::Acceptor }), remote))
    }

    fn local_address(&self) -> io::Result<SocketAddr> {
        Ok((self.internet.address_of(self.host), self.port).into())
    }
}

impl PortHeld {
    fn poll_accept(&self, context: &mut Context<'_>) -> Poll<io::Result<(ConnectionId, SocketAddr)>> {
        self.internet.with(|state| {
            check_boot(state, self.host, self.boot)?;
            let port = state.host(self.host).ports.get_mut(&self.port).expect("who listens holds the port");
            let Some(id) = port.backlog.pop_front() else {
                port.acceptor = Some(context.waker().clone());
                return Poll::Pending;
            };
            let connection = &state.connections[&id];
            let remote = (state.hosts[&connection.dialler.host].address, connection.from_port);
            Poll::Ready(Ok((id, remote.into())))
        })
    }
}

impl Drop for PortHeld {
    fn drop(&mut self) {
        self.internet.with(|state| {
            if check_boot(state, self.host, self.boot).is_err() {
                return;
            }
            let port = state.host(self.host).ports.remove(&self.port).expect("who listens holds the port");
            for id in port.backlog {
                let end = state.connections.get_mut(&id).expect("whoever waits holds the connection").end(Side::Acceptor);
                end.held = false;
                end.fail(io::ErrorKind::ConnectionReset);
                state.send(id, Side::Acceptor, Segment::Reset);
            }
        });
    }
}

/// An end of a connection, as a program holds it.
struct Socket {
    internet: Internet,
    id: ConnectionId,
    side: Side,
}

impl Socket {
    /// Does something with this end, unless it is no more.
    fn with<T>(
        &self,
        act: impl FnOnce(&mut State, &mut Context<'_>) -> Poll<io::Result<T>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        self.internet.with(|state| {
            if !state.knows(self.id, self.side) {
                return Poll::Ready(Err(io::ErrorKind::NetworkDown.into()));
            }
            match self.end(state).failed {
                Some(reason) => Poll::Ready(Err(reason.into())),
                None => act(state, context),
            }
        })
    }

    fn end<'a>(&self, state: &'a mut State) -> &'a mut End {
        state.connections.get_mut(&self.id).expect("whose end is held, is there").end(self.side)
    }

    fn poll_open(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(
            |state, context| {
                let end = self.end(state);
                if end.open {
                    return Poll::Ready(Ok(()));
                }
                end.reader = Some(context.waker().clone());
                Poll::Pending
            },
            context,
        )
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.with(
            |state, context| {
                let end = self.end(state);
                let before = buffer.filled().len();
                while let Some(bytes) = end.read(buffer.remaining()) {
                    buffer.put_slice(&bytes);
                }
                let read = buffer.filled().len() - before;
                if read > 0 {
                    state.send(self.id, self.side, Segment::Ack(read));
                    return Poll::Ready(Ok(()));
                }
                if end.ended || buffer.remaining() == 0 {
                    return Poll::Ready(Ok(()));
                }
                end.reader = Some(context.waker().clone());
                Poll::Pending
            },
            context,
        )
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(bytes)])
    }

    /// What is written at once travels at once, as far as there is room for it.
    fn poll_write_vectored(self: Pin<&mut Self>, context: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let wanted: usize = slices.iter().map(|slice| slice.len()).sum();
        self.with(
            |state, context| {
                let buffer_bytes = state.distances.buffer_bytes;
                let end = self.end(state);
                if end.finished {
                    return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
                }
                let length = wanted.min(SEGMENT_BYTES_MAX).min(buffer_bytes.saturating_sub(end.unacknowledged));
                if length == 0 && wanted > 0 {
                    end.writer = Some(context.waker().clone());
                    return Poll::Pending;
                }
                end.unacknowledged += length;
                if length > 0 {
                    state.send(self.id, self.side, Segment::Data(gather(slices, length)));
                }
                Poll::Ready(Ok(length))
            },
            context,
        )
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// What was written is on its way already.
    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(|_, _| Poll::Ready(Ok(())), context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(
            |state, _| {
                let end = self.end(state);
                if !std::mem::replace(&mut end.finished, true) {
                    state.send(self.id, self.side, Segment::Fin);
                }
                Poll::Ready(Ok(()))
            },
            context,
        )
    }
}

/// The first `length` bytes of `slices`.
fn gather(slices: &[IoSlice<'_>], length: usize) -> Bytes {
    let mut bytes = BytesMut::with_capacity(length);
    for slice in slices {
        let room = length - bytes.len();
        bytes.extend_from_slice(&slice[..room.min(slice.len())]);
    }
    bytes.freeze()
}

impl Drop for Socket {
    /// Closes the connection as a kernel does for a program that ends: what was written still arrives, and whoever sent what was
    /// never read is told that it was not.
    fn drop(&mut self) {
        self.internet.with(|state| {
            let known = state.knows(self.id, self.side);
            let end = self.end(state);
            end.held = false;
            let heard_out = !end.has_unread();
            if known && end.open && end.failed.is_none() {
                if !heard_out {
                    end.fail(io::ErrorKind::ConnectionReset);
                    state.send(self.id, self.side, Segment::Reset);
                } else if !std::mem::replace(&mut end.finished, true) {
                    state.send(self.id, self.side, Segment::Fin);
                }
            }
            state.forget_if_over(self.id);
        });
    }
}
