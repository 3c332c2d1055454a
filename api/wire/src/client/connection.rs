//! Connections to one node, kept for the next request.

use std::sync::Mutex;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{HeaderMap, Request, Response, StatusCode, body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;

use super::{ClientParts, Failure, NodeUrl};

/// What a request carries.
pub(super) type Body = Full<Bytes>;

/// The most idle connections to one node.
const IDLE_MAX: usize = 64;
/// The largest body of an answer, in bytes. Pages have at most 1,000 items of some kilobytes.
const ANSWER_BYTES_MAX: usize = 32 << 20;

/// The connections to one node.
pub(super) struct Connections {
    node: NodeUrl,
    parts: ClientParts,
    idle: Mutex<Vec<http1::SendRequest<Body>>>,
}

/// What a node answered, as it came.
pub(super) struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Connections {
    pub fn new(node: NodeUrl, parts: ClientParts) -> Self {
        Self { node, parts, idle: Mutex::new(Vec::new()) }
    }

    /// Sends a request and reads the whole answer.
    pub async fn exchange(&self, request: impl Fn() -> Result<Request<Body>, Failure>) -> Result<Reply, Failure> {
        let (sender, response) = self.send(request).await?;
        let reply = read(response).await?;
        self.keep(sender);
        Ok(reply)
    }

    /// Sends a request and hands the answer out as it comes. The connection lives as long as the sender.
    pub async fn send(
        &self,
        request: impl Fn() -> Result<Request<Body>, Failure>,
    ) -> Result<(http1::SendRequest<Body>, Response<Incoming>), Failure> {
        // The node may have closed an idle connection just now, which is only seen once it is used.
        while let Some(mut sender) = self.take_idle() {
            if sender.ready().await.is_ok()
                && let Ok(response) = sender.send_request(request()?).await
            {
                return Ok((sender, response));
            }
        }
        let mut sender = self.connect().await?;
        let response = sender.send_request(request()?).await?;
        Ok((sender, response))
    }

    async fn connect(&self) -> Result<http1::SendRequest<Body>, Failure> {
        let address = self.node.address();
        let mut stream = self.parts.network.connect(address).await.map_err(Failure::Connect)?;
        if let Some(trust) = self.parts.trust.as_ref().filter(|_| self.node.is_secure()) {
            stream = trust.secure(address, stream).await.map_err(Failure::Secure)?;
        }
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // It ends by itself once the sender is dropped; how it fails, the sender tells.
        bursar_net::tasks::spawn(connection);
        Ok(sender)
    }

    fn take_idle(&self) -> Option<http1::SendRequest<Body>> {
        let mut idle = self.idle.lock().expect("nothing panics while it holds the lock");
        while let Some(sender) = idle.pop() {
            if !sender.is_closed() {
                return Some(sender);
            }
        }
        None
    }

    fn keep(&self, sender: http1::SendRequest<Body>) {
        let mut idle = self.idle.lock().expect("nothing panics while it holds the lock");
        if idle.len() < IDLE_MAX && !sender.is_closed() {
            idle.push(sender);
        }
    }
}

/// The whole of an answer, within bounds.
pub(super) async fn read(response: Response<Incoming>) -> Result<Reply, Failure> {
    let (head, body) = response.into_parts();
    let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await.map_err(|error| match error.downcast::<hyper::Error>() {
        Ok(error) => Failure::Broken(*error),
        // The only other way to fail is that the limit is reached.
        Err(_) => Failure::TooLarge { bytes_max: ANSWER_BYTES_MAX },
    })?;
    Ok(Reply { status: head.status, headers: head.headers, body: body.to_bytes() })
}
