//! The handle: what a node is asked of storage servers, and what it does by itself.

use std::{convert::Infallible, sync::Arc};

use bursar_domain::{DestinationId, ServerGuid, ServerId, store_point::Findings};
use bursar_net::{Admission, Dialer, LaneHandler, WallClock};
use bursar_raft::{Node, ReadError};
use bursar_wire::{ConnectionString, control::NewcomerAnswer};
use tokio::time::Instant;

use crate::{
    calls::{CallFailure, Calls},
    certificates::Issuer,
    config::{FleetConfig, FleetParts},
    counters::{Counters, Meter},
    duties,
    inspection::{self, Inspection},
    newcomer::{Newcomers, Unmet},
    observed::{Observation, Observations},
    port::{ControlAdmission, ControlLanes},
    probes,
    relayed::{self, Answer, Question},
    sights::Look,
};

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

    /// Looks at the servers' ports, and after the servers whenever this node leads, for ever.
    pub async fn look_after(&self) -> Infallible {
        tokio::select! {
            never = duties::run(&self.0) => match never {},
            never = probes::run(&self.0) => match never {},
        }
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
        self.0.meter.read(self.0.observations.tally())
    }

    /// Looks at the machine that a connection string is of, and at the ports between it and the neighbours that it would have:
    /// the authority's nodes, and the servers of `destination`.
    pub async fn inspect(&self, string: &ConnectionString, destination: Option<DestinationId>, deadline: Instant) -> Inspection {
        inspection::inspect(&self.0, string, destination, deadline).await
    }

    /// Calls the machine that a connection string is of at its primary, else its secondary address, and asks who it is: what it
    /// answers, or why nobody does.
    ///
    /// # Errors
    /// What went wrong at each address, where none of them is answered by the machine.
    pub async fn contact(&self, string: &ConnectionString, deadline: Instant) -> Result<NewcomerAnswer, Vec<Unmet>> {
        let mut unmet = Vec::new();
        for address in inspection::addresses_of(string) {
            match inspection::look_at(&self.0, string, &address, Vec::new(), deadline).await.answer {
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

    /// What the leader has observed of each server, in the order of their numbers, wherever it is.
    ///
    /// # Errors
    /// See [`ObservedError`].
    pub async fn observed(&self, deadline: Instant) -> Result<Vec<Observation>, ObservedError> {
        let mut observed: Vec<Observation> = Vec::new();
        loop {
            let behind = observed.last().map(|last| last.server);
            match self.ask_the_leader(&Question::Observations { behind }, deadline).await? {
                Answer::Observations { observations, more } => {
                    observed.extend(observations);
                    if !more {
                        return Ok(observed);
                    }
                }
                _ => return Err(another_question()),
            }
        }
    }

    /// What was seen last of the ports between a server and others, by either, as the leader has it, wherever it is.
    ///
    /// # Errors
    /// See [`ObservedError`].
    pub async fn looks(&self, server: ServerId, deadline: Instant) -> Result<Vec<Look>, ObservedError> {
        let mut looks: Vec<Look> = Vec::new();
        loop {
            let behind = looks.last().map(|last| (last.by, last.of, last.port));
            match self.ask_the_leader(&Question::Looks { server, behind }, deadline).await? {
                Answer::Looks { looks: following, more } => {
                    looks.extend(following);
                    if !more {
                        return Ok(looks);
                    }
                }
                _ => return Err(another_question()),
            }
        }
    }

    async fn ask_the_leader(&self, question: &Question, deadline: Instant) -> Result<Answer, ObservedError> {
        let answer = self.0.node.relay(relayed::encode(question), deadline).await?;
        relayed::decode(&answer).map_err(|error| ObservedError::NotUnderstood(error.to_string()))
    }
}

fn another_question() -> ObservedError {
    ObservedError::NotUnderstood("it is another question's".to_owned())
}

impl Shared {
    /// Whether the machine `guid` has the place of `server`, as far as this node knows.
    pub(crate) fn has_place(&self, server: ServerId, guid: ServerGuid) -> bool {
        let state = self.node.latest();
        state.servers().get(server).is_some_and(|row| row.is_present() && row.facts.guid == guid)
    }
}
