//! The cluster: what the authority's nodes have in common.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::{
    authority_node::{self, Facts},
    decision::{Outcome, Reply},
    draft::Draft,
    encoding::{Encoded, Kind},
    excerpt::Excerpt,
    hash::Hash,
    ids::{ClusterId, ObjectRef},
    level::Level,
    rejection::Rejection,
    state::{Stamp, State},
};

/// What the authority's nodes have in common.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cluster {
    /// Its random identity.
    pub id: ClusterId,
    /// The Ed25519 public key that is derived from the master license key.
    #[serde(with = "serde_bytes")]
    pub license_key: Vec<u8>,
    /// The certificate of the cluster's own authority, PEM.
    pub ca_certificate: String,
    /// The private key that belongs to it, sealed with the cluster key, which rests outside the ledger.
    #[serde(with = "serde_bytes")]
    pub sealed_ca_key: Vec<u8>,
    /// The hash of the secret that makes the first administrator; none once it was used.
    pub setup_secret: Option<Hash>,
    /// When it was founded.
    pub created: Stamp,
    /// When it was last changed.
    pub changed: Stamp,
}

impl Encoded for Cluster {
    const KIND: Kind = Kind::Cluster;
}

/// What can be asked of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[allow(clippy::large_enum_variant, reason = "a command lives in one place at a time, and is never kept in numbers")]
pub enum Command {
    /// Found it, with its first node.
    Found {
        /// See [`Cluster::id`].
        cluster: ClusterId,
        /// See [`Cluster::license_key`].
        #[serde(with = "serde_bytes")]
        license_key: Vec<u8>,
        /// See [`Cluster::ca_certificate`].
        ca_certificate: String,
        /// See [`Cluster::sealed_ca_key`].
        #[serde(with = "serde_bytes")]
        sealed_ca_key: Vec<u8>,
        /// The hash of the setup secret.
        setup_secret: Hash,
        /// The first node.
        node: Facts,
    },
    /// Agree on a higher level.
    RaiseLevel {
        /// The level that follows the current one.
        level: Level,
    },
}

/// What can have happened to the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Event {
    /// It was founded.
    Founded {
        /// See [`Cluster::id`].
        cluster: ClusterId,
        /// See [`Cluster::license_key`].
        #[serde(with = "serde_bytes")]
        license_key: Vec<u8>,
        /// See [`Cluster::ca_certificate`].
        ca_certificate: String,
        /// See [`Cluster::sealed_ca_key`].
        #[serde(with = "serde_bytes")]
        sealed_ca_key: Vec<u8>,
        /// The hash of the setup secret.
        setup_secret: Hash,
    },
    /// The setup secret was used, and is no more.
    SetupClaimed,
    /// The members agreed on a level.
    LevelRaised {
        /// Which.
        level: Level,
    },
}

/// The rules of the cluster.
pub(crate) fn decide(draft: &mut Draft<'_>, command: &Command) -> Outcome {
    match command {
        Command::Found { cluster, license_key, ca_certificate, sealed_ca_key, setup_secret, node } => {
            if draft.state().cluster().is_some() {
                return Err(Rejection::AlreadyFounded);
            }
            let node = authority_node::checked(draft.state(), node)?;
            draft.emit(
                Event::Founded {
                    cluster: *cluster,
                    license_key: license_key.clone(),
                    ca_certificate: ca_certificate.clone(),
                    sealed_ca_key: sealed_ca_key.clone(),
                    setup_secret: *setup_secret,
                }
                .into(),
            );
            let first = authority_node::next_id(draft.state());
            draft.emit(authority_node::Event::Founded { node: first, facts: node }.into());
            Ok(Reply::created(first))
        }
        Command::RaiseLevel { level } => {
            let state = draft.state();
            founded(state)?;
            let current = state.level();
            if *level != current.next() {
                return Err(Rejection::LevelNotNext { asked: *level, current });
            }
            let behind = |supported| supported < *level;
            let nodes = state.authority_nodes().iter().filter(|node| node.intent.is_present() && behind(node.supported));
            let servers = state.servers().iter().filter(|row| row.is_present() && behind(row.supported()));
            let nodes = nodes.map(|node| ObjectRef::from(node.id));
            let by: Excerpt<_> = nodes.chain(servers.map(|server| server.id.into())).collect();
            if !by.is_empty() {
                return Err(Rejection::LevelUnsupported { asked: *level, by });
            }
            draft.emit(Event::LevelRaised { level: *level }.into());
            Ok(Reply::changed(ObjectRef::Cluster))
        }
    }
}

/// The cluster, or the refusal that says that there is none yet.
pub(crate) fn founded(state: &State) -> Result<&Cluster, Rejection> {
    state.cluster().map(|cluster| &**cluster).ok_or(Rejection::NotFounded)
}

/// Carries an event into the state.
pub(crate) fn evolve(state: &mut State, event: &Event, stamp: Stamp) {
    match event {
        Event::Founded { cluster, license_key, ca_certificate, sealed_ca_key, setup_secret } => {
            state.cluster = Some(Arc::new(Cluster {
                id: *cluster,
                license_key: license_key.clone(),
                ca_certificate: ca_certificate.clone(),
                sealed_ca_key: sealed_ca_key.clone(),
                setup_secret: Some(*setup_secret),
                created: stamp,
                changed: stamp,
            }));
        }
        Event::SetupClaimed => change(state, stamp, |cluster| cluster.setup_secret = None),
        Event::LevelRaised { level } => {
            state.header.level = *level;
            change(state, stamp, |_| {});
        }
    }
}

fn change(state: &mut State, stamp: Stamp, change: impl FnOnce(&mut Cluster)) {
    if let Some(cluster) = state.cluster.as_mut().map(Arc::make_mut) {
        change(cluster);
        cluster.changed = stamp;
    }
}

impl Command {
    pub(crate) const fn subject(&self) -> Option<ObjectRef> {
        match self {
            Self::Found { .. } => None,
            Self::RaiseLevel { .. } => Some(ObjectRef::Cluster),
        }
    }
}

impl Event {
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Founded { .. } => "cluster.founded",
            Self::SetupClaimed => "cluster.setup_claimed",
            Self::LevelRaised { .. } => "cluster.level_raised",
        }
    }
}

impl From<Event> for crate::Event {
    fn from(event: Event) -> Self {
        Self::Cluster(event)
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Found { cluster, .. } => write!(f, "found cluster {cluster}"),
            Self::RaiseLevel { level } => write!(f, "raise to {level}"),
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Founded { cluster, .. } => write!(f, "cluster {cluster} founded"),
            Self::SetupClaimed => f.write_str("setup secret claimed"),
            Self::LevelRaised { level } => write!(f, "{level} reached"),
        }
    }
}
