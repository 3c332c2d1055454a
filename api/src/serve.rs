//! The port: HTTP/1.1 and HTTP/2 over the accept loop that all ports have.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use async_trait::async_trait;
use axum::{Router, extract::Request};
use bursar_net::{Acceptor, BoxedStream, Connection, ConnectionHandler, ConnectionMeter, Listener, Shutdown, tasks};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep, sleep_until},
};
use tower::ServiceExt;
use tracing::debug;

use crate::{config::ServeLimits, health::RemoteAddress};

/// Serves `router` on a port until the shutdown is asked for and the last request is answered. Without an acceptor it speaks
/// plaintext.
pub async fn serve(
    listener: Box<dyn Listener>,
    acceptor: Option<Arc<dyn Acceptor>>,
    limits: ServeLimits,
    meter: Arc<ConnectionMeter>,
    router: Router,
    shutdown: Shutdown,
) {
    let handler = Arc::new(Http { router, server: server(&limits), write_timeout: limits.write_timeout });
    bursar_net::serve(listener, acceptor, limits.connections, meter, handler, shutdown).await;
}

fn server(limits: &ServeLimits) -> auto::Builder<Tasks> {
    let mut server = auto::Builder::new(Tasks);
    server
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_timeout)
        .max_buf_size(limits.head_bytes_max)
        .half_close(false)
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.requests_per_connection)
        .max_header_list_size(u32::try_from(limits.head_bytes_max).unwrap_or(u32::MAX))
        .keep_alive_interval(limits.head_timeout)
        .keep_alive_timeout(limits.write_timeout);
    server
}

/// Where the streams of an HTTP/2 connection get their tasks from.
#[derive(Clone, Copy)]
struct Tasks;

impl<F> hyper::rt::Executor<F> for Tasks
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, stream: F) {
        tasks::spawn(stream);
    }
}

struct Http {
    router: Router,
    server: auto::Builder<Tasks>,
    write_timeout: Duration,
}

#[async_trait]
impl ConnectionHandler for Http {
    async fn serve(&self, connection: Connection) {
        let Connection { stream, remote, handshake_deadline, shutdown, .. } = connection;
        let service = service_fn(|request: Request<Incoming>| {
            let (mut parts, body) = request.into_parts();
            parts.extensions.insert(RemoteAddress(remote));
            self.router.clone().oneshot(Request::from_parts(parts, axum::body::Body::new(body)))
        });
        let stream = TokioIo::new(Patient::new(stream, handshake_deadline, self.write_timeout));
        let http = self.server.serve_connection(stream, service);
        tokio::pin!(http);
        let outcome = tokio::select! {
            outcome = http.as_mut() => outcome,
            () = shutdown.requested() => {
                http.as_mut().graceful_shutdown();
                http.await
            }
        };
        if let Err(error) = outcome {
            debug!(%remote, %error, "an HTTP connection ended early");
        }
    }
}

/// What a client sends first where it speaks HTTP/2 (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A stream that loses patience: with a peer that does not say which HTTP it speaks, which hyper would wait for without end,
/// and with a peer that takes nothing of what it is sent.
struct Patient {
    stream: BoxedStream,
    /// Runs until the peer has said enough.
    opening: Option<Opening>,
    write_timeout: Duration,
    /// Runs while a write waits.
    write_patience: Option<Pin<Box<Sleep>>>,
}

struct Opening {
    patience: Pin<Box<Sleep>>,
    /// How much of the preface of HTTP/2 was read; anything else is HTTP/1, whose head has a timeout of its own.
    matched: usize,
}

impl Patient {
    fn new(stream: BoxedStream, opening_deadline: Instant, write_timeout: Duration) -> Self {
        let opening = Opening { patience: Box::pin(sleep_until(opening_deadline)), matched: 0 };
        Self { stream, opening: Some(opening), write_timeout, write_patience: None }
    }

    /// Passes a write's outcome on, or gives up where it has waited long enough.
    fn within_patience<T>(&mut self, context: &mut Context<'_>, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.write_patience = None;
            return outcome;
        }
        let write_timeout = self.write_timeout;
        let patience = self.write_patience.get_or_insert_with(|| Box::pin(sleep(write_timeout)));
        ready!(patience.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the peer takes nothing")))
    }
}

impl Opening {
    /// Whether the peer has said which HTTP it speaks, or that it says nothing more.
    fn is_over(&mut self, read: &[u8]) -> bool {
        let matching = PREFACE[self.matched..].iter().zip(read).take_while(|(expected, byte)| expected == byte).count();
        self.matched += matching;
        matching < read.len() || self.matched == PREFACE.len() || read.is_empty()
    }
}

impl AsyncRead for Patient {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let outcome = Pin::new(&mut self.stream).poll_read(context, buffer);
        let Some(opening) = &mut self.opening else { return outcome };
        if outcome.is_pending() {
            ready!(opening.patience.as_mut().poll(context));
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the peer does not say what it wants")));
        }
        if opening.is_over(&buffer.filled()[before..]) {
            self.opening = None;
        }
        outcome
    }
}

impl AsyncWrite for Patient {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.within_patience(context, outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.within_patience(context, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_flush(context);
        self.within_patience(context, outcome)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_shutdown(context);
        self.within_patience(context, outcome)
    }
}
