//! Calling storage servers that are members.

use std::{sync::Arc, time::Duration};

use bursar_domain::{ServerId, server::Server, store_point::Findings, text};
use bursar_net::{Address, CallError, Caller, DialError, Dialer, Lane, Link, Member, StoreId};
use bursar_wire::control::{AuthorityAnswer, AuthorityQuestion, Probed};
use tokio::time::Instant;

/// How long an attempt to reach an address may take.
pub(crate) const DIAL_TIMEOUT: Duration = Duration::from_secs(3);
/// A connection is for one question.
const QUESTIONS: usize = 1;

/// Why a storage server did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallFailure {
    /// It is not part of the fleet.
    #[error("{server} is not part of the fleet")]
    Unknown {
        /// Which.
        server: ServerId,
    },
    /// It does not answer.
    #[error("{server} does not answer: {detail}")]
    Unreachable {
        /// Which.
        server: ServerId,
        /// What was tried, and how it went.
        detail: String,
    },
    /// It answers that it cannot tell.
    #[error("{server} cannot tell: {detail}")]
    Failed {
        /// Which.
        server: ServerId,
        /// What it says.
        detail: String,
    },
}

/// Calls storage servers as the node that this is.
pub(crate) struct Calls {
    pub(crate) dialer: Arc<Dialer>,
}

impl Calls {
    /// Has a server look at a path on its disks.
    pub(crate) async fn examine(&self, server: &Server, path: &str, deadline: Instant) -> Result<Findings, CallFailure> {
        match self.ask(server, &AuthorityQuestion::Examine { path: path.to_owned() }, deadline).await? {
            AuthorityAnswer::Found(findings) => Ok(findings),
            other => Err(unanswered(server.id, other)),
        }
    }

    /// Has a server try to connect to addresses.
    pub(crate) async fn probe(
        &self,
        server: &Server,
        addresses: Vec<Address>,
        deadline: Instant,
    ) -> Result<Vec<Probed>, CallFailure> {
        match self.ask(server, &AuthorityQuestion::Probe { addresses }, deadline).await? {
            AuthorityAnswer::Probed(probed) => Ok(probed),
            other => Err(unanswered(server.id, other)),
        }
    }

    /// Asks at the first address, else at the second: no question changes anything, so one may be put twice.
    async fn ask(
        &self,
        server: &Server,
        question: &AuthorityQuestion,
        deadline: Instant,
    ) -> Result<AuthorityAnswer, CallFailure> {
        let mut faults = Vec::new();
        for address in addresses(server) {
            match self.ask_at(server, &address, question, deadline).await {
                Ok(answer) => return Ok(answer),
                Err(fault) => faults.push(fault),
            }
        }
        Err(CallFailure::Unreachable { server: server.id, detail: faults.join("; ") })
    }

    async fn ask_at(
        &self,
        server: &Server,
        address: &Address,
        question: &AuthorityQuestion,
        deadline: Instant,
    ) -> Result<AuthorityAnswer, String> {
        let link = self.dial_until(server, address, Lane::Control, deadline).await.map_err(|error| error.to_string())?;
        let caller = Caller::new(link.reader, link.writer, QUESTIONS);
        caller.call(question, deadline).await.map_err(|error: CallError| format!("{address}: {error}"))
    }

    /// Connects to a server at one of its addresses.
    pub(crate) async fn dial_at(&self, server: &Server, address: &Address, lane: Lane) -> Result<Link, DialError> {
        self.dial_until(server, address, lane, Instant::now() + DIAL_TIMEOUT).await
    }

    async fn dial_until(&self, server: &Server, address: &Address, lane: Lane, deadline: Instant) -> Result<Link, DialError> {
        let after = deadline.saturating_duration_since(Instant::now()).min(DIAL_TIMEOUT);
        let store = Some(StoreId(server.facts.guid.0));
        self.dialer.dial(address, Member::server(server.id.0), store, lane, after).await
    }
}

/// Where a server's control port is: the address that is tried first, then the other one.
pub(crate) fn addresses(server: &Server) -> Vec<Address> {
    let known = &server.facts.addresses;
    // The ledger checks the shape of what it takes in less strictly than whoever dials.
    [Some(&known.primary), known.secondary.as_ref()].into_iter().flatten().filter_map(dialled).collect()
}

/// An address of the ledger as one to dial.
pub(crate) fn dialled(address: &text::Address) -> Option<Address> {
    address.as_str().parse().ok()
}

fn unanswered(server: ServerId, answer: AuthorityAnswer) -> CallFailure {
    let detail = match answer {
        AuthorityAnswer::Failed { detail } => detail,
        AuthorityAnswer::Found(_) | AuthorityAnswer::Probed(_) => "it answers another question".to_owned(),
    };
    CallFailure::Failed { server, detail }
}
