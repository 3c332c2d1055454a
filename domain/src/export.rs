//! The state as a sequence of encoded items: the form in which checkpoints and snapshots carry it.

use crate::{
    alert::Alert,
    authority_node::AuthorityNode,
    cluster::Cluster,
    destination::Destination,
    encoding::{DecodeError, Kind, decode, encode},
    join_token::JoinToken,
    operation::Operation,
    requests::Remembered,
    server::Server,
    site::Site,
    state::{Header, State},
    store_point::StorePoint,
    table::{Row, Table},
    token::Token,
};

/// Why items do not make up a state.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImportError {
    /// An item is damaged, or newer than this program.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// An item of a kind that is no part of a state.
    #[error("an item of kind {0} is no part of a state")]
    UnknownKind(u8),
    /// No header.
    #[error("the header is missing")]
    NoHeader,
}

impl State {
    /// The state's items: the header, the cluster, then every object. Encoded as they are drawn, so that a large state never
    /// stands in memory twice.
    pub fn export(&self) -> impl Iterator<Item = Vec<u8>> + '_ {
        fn rows<R: Row>(table: &Table<R>) -> impl Iterator<Item = Vec<u8>> + '_ {
            table.iter().map(|row| encode(&**row))
        }
        std::iter::once_with(|| encode(&self.header))
            .chain(self.cluster.iter().map(|cluster| encode(&**cluster)))
            .chain(rows(&self.authority_nodes))
            .chain(rows(&self.join_tokens))
            .chain(rows(&self.sites))
            .chain(rows(&self.destinations))
            .chain(rows(&self.servers))
            .chain(rows(&self.store_points))
            .chain(rows(&self.alerts))
            .chain(rows(&self.operations))
            .chain(rows(&self.tokens))
            .chain(rows(self.requests.given()))
            .chain(rows(self.requests.minted()))
    }

    /// The state that [`State::export`] took apart.
    pub fn import(items: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Result<Self, ImportError> {
        let mut state = Self::default();
        let mut header = None;
        for item in items {
            let item = item.as_ref();
            match item.first().copied().unwrap_or_default() {
                kind if kind == Kind::Header as u8 => header = Some(decode::<Header>(item)?),
                kind if kind == Kind::Cluster as u8 => state.cluster = Some(decode::<Cluster>(item)?.into()),
                kind if kind == Kind::AuthorityNode as u8 => state.authority_nodes.put(decode::<AuthorityNode>(item)?),
                kind if kind == Kind::JoinToken as u8 => state.join_tokens.put(decode::<JoinToken>(item)?),
                kind if kind == Kind::Site as u8 => state.sites.put(decode::<Site>(item)?),
                kind if kind == Kind::Destination as u8 => state.destinations.put(decode::<Destination>(item)?),
                kind if kind == Kind::Server as u8 => state.servers.put(decode::<Server>(item)?),
                kind if kind == Kind::StorePoint as u8 => state.store_points.put(decode::<StorePoint>(item)?),
                kind if kind == Kind::Alert as u8 => state.alerts.put(decode::<Alert>(item)?),
                kind if kind == Kind::Operation as u8 => state.operations.put(decode::<Operation>(item)?),
                kind if kind == Kind::Token as u8 => state.tokens.put(decode::<Token>(item)?),
                kind if kind == Kind::Remembered as u8 => state.requests.restore(decode::<Remembered>(item)?),
                kind => return Err(ImportError::UnknownKind(kind)),
            }
        }
        state.header = header.ok_or(ImportError::NoHeader)?;
        Ok(state)
    }
}
