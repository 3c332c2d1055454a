//! Calling machines that are no members yet: pinned to the certificate that each signed itself.

use std::{io, sync::Arc, time::Duration};

use bursar_domain::Hash;
use bursar_net::{Address, CallError, Caller, Fingerprint, Network, PinnedConnector, frame};
use bursar_wire::control::{NewcomerAnswer, NewcomerQuestion};
use tokio::time::{Instant, timeout_at};

use crate::calls::DIAL_TIMEOUT;

/// How long a newcomer may take to answer. It may be asked to look at addresses, which takes its time.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// The largest message, in bytes.
const MESSAGE_BYTES_MAX: usize = 64 * 1024;
/// A connection is for one question after the other.
const QUESTIONS: usize = 1;

/// Why a machine did not answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unmet {
    /// Somebody else answers there, or it is a member already.
    #[error("{address} is answered by another machine, or by one that is a member already: {detail}")]
    AnotherIdentity {
        /// Where.
        address: Address,
        /// What TLS says.
        detail: String,
    },
    /// Nobody answers there.
    #[error("{address} cannot be reached: {detail}")]
    Unreachable {
        /// Where.
        address: Address,
        /// What was tried, and how it went.
        detail: String,
    },
}

/// Calls machines that are no members yet.
pub(crate) struct Newcomers {
    pub(crate) network: Arc<dyn Network>,
    pub(crate) pinned: Arc<dyn PinnedConnector>,
}

/// A machine that has proved to hold the certificate with the fingerprint that is known.
pub(crate) struct Met {
    address: Address,
    caller: Caller,
}

impl Newcomers {
    /// Connects to the machine with this certificate, by `deadline` and within three seconds.
    pub(crate) async fn meet(&self, address: &Address, certificate: Hash, deadline: Instant) -> Result<Met, Unmet> {
        let unreachable = |detail: String| Unmet::Unreachable { address: address.clone(), detail };
        let connected = async {
            let stream = self.network.connect(address).await.map_err(|error| unreachable(error.to_string()))?;
            let stream = self.pinned.connect_self_signed(stream, Fingerprint::from(certificate.0)).await;
            stream.map_err(|error| match error.kind() {
                // TLS spoke, and the certificate is another.
                io::ErrorKind::InvalidData => Unmet::AnotherIdentity { address: address.clone(), detail: error.to_string() },
                _ => unreachable(error.to_string()),
            })
        };
        let deadline = deadline.min(Instant::now() + DIAL_TIMEOUT);
        let late = |_elapsed| unreachable(format!("no answer within {} ms", DIAL_TIMEOUT.as_millis()));
        let stream = timeout_at(deadline, connected).await.map_err(late)??;
        let (reader, writer) = frame::frames(stream, MESSAGE_BYTES_MAX);
        Ok(Met { address: address.clone(), caller: Caller::new(reader, writer, QUESTIONS) })
    }
}

impl Met {
    /// Asks it.
    pub(crate) async fn ask(&self, question: &NewcomerQuestion, deadline: Instant) -> Result<NewcomerAnswer, Unmet> {
        let deadline = deadline.min(Instant::now() + ANSWER_TIMEOUT);
        let lost = |error: CallError| Unmet::Unreachable { address: self.address.clone(), detail: error.to_string() };
        self.caller.call(question, deadline).await.map_err(lost)
    }
}
