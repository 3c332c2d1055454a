//! The handle: what a node is asked of storage servers, and what it does by itself.

use std::{convert::Infallible, sync::Arc, time::Duration};

use bursar_domain::{Hash, ServerGuid, ServerId, store_point::Findings};
use bursar_net::{Address, Admission, Dialer, LaneHandler, WallClock};
use bursar_raft::{Node, ReadError};
use bursar_wire::{
    ConnectionString,
    control::{Introduced, NewcomerAnswer, NewcomerQuestion, PROBED_MAX, Port, Probed},
};
use futures_util::future::join_all;
use tokio::time::{Instant, timeout_at};

use crate::{
    calls::{CallFailure, Calls, at_port, dialled},
    certificates::Issuer,
    config::{FleetConfig, FleetParts},
    counters::{Counters, Meter},
    duties,
    newcomer::{Newcomers, Unmet},
    observed::{Observation, Observations},
    port::{ControlAdmission, ControlLanes},
    relayed::{self, Answer, Question},
};

/// How long a port may take to be connected to.
const PORT_TIMEOUT: Duration = Duration::from_secs(1);

/// The storage servers, as an authority node speaks with them. Clones are handles on the same.
#[derive(Clone)]
pub struct Fleet(Arc<Shared>);

/// What all of its parts share.
pub(crate) struct Shared {
    pub(crate) node: Node,
    pub(crate) config: FleetConfig,
    pub(crate) clock: Arc<dyn WallClock>,
    pub(crate) dialer: Arc<Dialer>,
    pub(crate) calls: Calls,
    pub(crate) newcomers: Newcomers,
    pub(crate) issuer: Issuer,
    pub(crate) observations: Arc<Observations>,
    pub(crate) meter: Arc<Meter>,
}

/// What was found at the machine that a connection string is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// At its addresses, the first first.
    pub addresses: Vec<AddressInspected>,
    /// At its ports, from here, at the first address that answered; else at the first.
    pub ports: Vec<PortInspected>,
}

/// What was found at one address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressInspected {
    /// Which.
    pub address: Address,
    /// How long it took until the machine had proved who it is; nothing where it did not.
    pub latency: Option<Duration>,
    /// What it answered: who it is and what it sees, or that the string does not stand.
    pub answer: Result<NewcomerAnswer, Unmet>,
}

/// Whether a port is reached from here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortInspected {
    /// Which.
    pub port: Port,
    /// Where, and what came of it.
    pub probed: Probed,
}

/// Why it is not known what the leader observes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ObservedError {
    /// The leader did not answer.
    #[error(transparent)]
    Unanswered(#[from] ReadError),
    /// It answered something else.
    #[error("the leader's answer cannot be understood: {0}")]
    NotUnderstood(String),
}

impl Fleet {
    /// The storage servers of a node's cluster.
    pub fn new(node: Node, config: FleetConfig, parts: FleetParts) -> Self {
        let FleetParts { clock, dialer, pinned, issuer, observations } = parts;
        Self(Arc::new(Shared {
            node,
            config,
            clock,
            calls: Calls { dialer: Arc::clone(&dialer) },
            newcomers: Newcomers { network: Arc::clone(&dialer.network), pinned },
            dialer,
            issuer,
            observations,
            meter: Arc::default(),
        }))
    }

    /// Looks after the servers whenever this node leads, for ever.
    pub async fn look_after(&self) -> Infallible {
        duties::run(&self.0).await
    }

    /// Who may come in at the control port.
    pub fn admission(&self) -> Arc<dyn Admission> {
        Arc::new(ControlAdmission { node: self.0.node.clone() })
    }

    /// What they come in for.
    pub fn lanes(&self) -> Arc<dyn LaneHandler> {
        Arc::new(ControlLanes(Arc::clone(&self.0)))
    }

    /// What was counted.
    pub fn counters(&self) -> Counters {
        self.0.meter.read(self.0.observations.heard_count())
    }

    /// Calls the machine that a connection string is of at all its addresses, has it look at the authority's control ports,
    /// and looks at its own.
    pub async fn inspect(&self, string: &ConnectionString, deadline: Instant) -> Inspection {
        let addresses = addresses_of(string);
        let looks = addresses.iter().map(|address| self.inspect_at(string, address, deadline));
        let addresses_inspected = join_all(looks).await;
        let answering = addresses_inspected.iter().find(|found| found.latency.is_some());
        let host = answering.map_or(&string.primary_address, |found| &found.address);
        let ports = [
            (Port::Control, host.clone()),
            (Port::Peer, at_port(host, string.peer_port)),
            (Port::Transfer, at_port(host, string.transfer_port)),
        ];
        let ports = ports.map(|(port, address)| async move {
            let fault = self.connect(&address, deadline).await.err();
            PortInspected { port, probed: Probed { address, fault } }
        });
        Inspection { addresses: addresses_inspected, ports: join_all(ports).await }
    }

    /// Calls the machine that a connection string is of at its primary, else its secondary address, and asks who it is: what it
    /// answers, or why nobody does.
    ///
    /// # Errors
    /// What went wrong at each address, where none of them is answered by the machine.
    pub async fn contact(&self, string: &ConnectionString, deadline: Instant) -> Result<NewcomerAnswer, Vec<Unmet>> {
        let mut unmet = Vec::new();
        for address in addresses_of(string) {
            match self.inspect_at(string, &address, deadline).await.answer {
                Ok(answer) => return Ok(answer),
                Err(error) => unmet.push(error),
            }
        }
        Err(unmet)
    }

    /// Has a server look at a path on its disks, where a store point is to be.
    ///
    /// # Errors
    /// See [`CallFailure`].
    pub async fn examine(&self, server: ServerId, path: &str, deadline: Instant) -> Result<Findings, CallFailure> {
        let state = self.0.node.latest();
        let found = state.servers().get(server).filter(|server| server.is_present());
        self.0.calls.examine(found.ok_or(CallFailure::Unknown { server })?, path, deadline).await
    }

    /// Has a server try to connect to addresses; what is beyond [`PROBED_MAX`] is left out.
    ///
    /// # Errors
    /// See [`CallFailure`].
    pub async fn probe(
        &self,
        server: ServerId,
        mut addresses: Vec<Address>,
        deadline: Instant,
    ) -> Result<Vec<Probed>, CallFailure> {
        addresses.truncate(PROBED_MAX);
        let state = self.0.node.latest();
        let found = state.servers().get(server).filter(|server| server.is_present());
        self.0.calls.probe(found.ok_or(CallFailure::Unknown { server })?, addresses, deadline).await
    }

    /// What the leader has observed of each server, in the order of their numbers, wherever it is.
    ///
    /// # Errors
    /// See [`ObservedError`].
    pub async fn observed(&self, deadline: Instant) -> Result<Vec<Observation>, ObservedError> {
        let mut observed: Vec<Observation> = Vec::new();
        loop {
            let behind = observed.last().map(|last| last.server);
            let question = relayed::encode(&Question::Observations { behind });
            let answer = self.0.node.relay(question, deadline).await?;
            match relayed::decode(&answer) {
                Ok(Answer::Observations { observations, more }) => {
                    observed.extend(observations);
                    if !more {
                        return Ok(observed);
                    }
                }
                Ok(Answer::Heard { .. }) => return Err(ObservedError::NotUnderstood("it is another question's".to_owned())),
                Err(error) => return Err(ObservedError::NotUnderstood(error.to_string())),
            }
        }
    }

    async fn inspect_at(&self, string: &ConnectionString, address: &Address, deadline: Instant) -> AddressInspected {
        let began = Instant::now();
        let certificate = Hash(*string.certificate.as_bytes());
        let met = self.0.newcomers.meet(address, certificate, deadline).await;
        let latency = met.is_ok().then(|| began.elapsed());
        let answer = match met {
            Ok(met) => {
                let introduce = NewcomerQuestion::Introduce { secret: string.secret.hash(), probe: self.control_addresses() };
                met.ask(&introduce, deadline).await.and_then(|answer| checked(string, address, answer))
            }
            Err(unmet) => Err(unmet),
        };
        AddressInspected { address: address.clone(), latency, answer }
    }

    fn control_addresses(&self) -> Vec<Address> {
        let state = self.0.node.latest();
        let nodes = state.authority_nodes().iter().filter(|node| node.intent.is_present());
        nodes.filter_map(|node| dialled(&node.control_address)).take(PROBED_MAX).collect()
    }

    async fn connect(&self, address: &Address, deadline: Instant) -> Result<(), String> {
        let deadline = deadline.min(Instant::now() + PORT_TIMEOUT);
        match timeout_at(deadline, self.0.dialer.network.connect(address)).await {
            Ok(Ok(_stream)) => Ok(()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_elapsed) => Err(format!("no answer within {} ms", PORT_TIMEOUT.as_millis())),
        }
    }
}

fn addresses_of(string: &ConnectionString) -> Vec<Address> {
    [Some(&string.primary_address), string.secondary_address.as_ref()].into_iter().flatten().cloned().collect()
}

/// The machine has the certificate; that it is the one of the string it must say too.
fn checked(string: &ConnectionString, address: &Address, answer: NewcomerAnswer) -> Result<NewcomerAnswer, Unmet> {
    match answer {
        NewcomerAnswer::Introduced(introduced) if !is_of(string, &introduced) => {
            let detail = format!("it says that it is {}", introduced.guid);
            Err(Unmet::AnotherIdentity { address: address.clone(), detail })
        }
        answer => Ok(answer),
    }
}

fn is_of(string: &ConnectionString, introduced: &Introduced) -> bool {
    let key = introduced.certificate_request.public_key();
    introduced.guid == string.guid && key.is_ok_and(|key| key == string.public_key.as_der())
}

impl Shared {
    /// Whether the machine `guid` has the place of `server`, as far as this node knows.
    pub(crate) fn has_place(&self, server: ServerId, guid: ServerGuid) -> bool {
        let state = self.node.latest();
        state.servers().get(server).is_some_and(|row| row.is_present() && row.facts.guid == guid)
    }
}
