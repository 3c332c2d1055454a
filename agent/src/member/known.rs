//! What the server knows of the fleet, as it rests on its disk.

use std::{collections::BTreeMap, sync::Arc};

use bursar_domain::{
    AuthorityNodeId, Cursor, Projection, ServerId,
    encoding::{decode, encode},
    projection::SCHEMA,
};
use bursar_net::{Address, Blocking};
use tracing::{info, warn};

use super::MemberError;
use crate::{
    own_disk::patiently,
    projection_file::{ProjectionFile, ProjectionFileError, Saved},
};

/// What the server knows, and up to where it has read: nothing, or both.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    /// What, and as of when.
    pub projection: Option<(Arc<Projection>, Cursor)>,
}

impl Known {
    /// What rests on the disk. What another program has kept in another shape is read anew from the authority.
    pub(super) async fn load(
        blocking: &Arc<dyn Blocking>,
        file: &Arc<ProjectionFile>,
        me: ServerId,
    ) -> Result<Self, MemberError> {
        let reading = Arc::clone(file);
        let loaded = patiently("read what the server knows", blocking.run(move || reading.load())).await;
        let Some(Saved { position, schema, projection }) = loaded.expect("reading a file does not panic")? else {
            return Ok(Self::default());
        };
        if schema != u32::from(SCHEMA) {
            info!(schema, "what the server knew has another shape than this program's, it reads the fleet anew");
            return Ok(Self::default());
        }
        let projection: Projection = decode(&projection)
            .map_err(|error| ProjectionFileError::Damaged { path: file.path().to_owned(), detail: error.to_string() })?;
        if projection.server != me {
            warn!(was = %projection.server, "the server has another number than before, it reads the fleet anew");
            return Ok(Self::default());
        }
        Ok(Self { projection: Some((Arc::new(projection), position)) })
    }

    /// Puts it on the disk; on return it is durable.
    pub(super) async fn save(&self, blocking: &Arc<dyn Blocking>, file: &Arc<ProjectionFile>) -> Result<(), ProjectionFileError> {
        let Some((projection, position)) = self.projection.clone() else { return Ok(()) };
        let file = Arc::clone(file);
        let saving = move || {
            let projection = encode(&*projection);
            file.save(Saved { position, schema: u32::from(SCHEMA), projection })
        };
        patiently("keep what the server knows", blocking.run(saving)).await.expect("writing a file does not panic")
    }

    /// Up to where it has read.
    pub(crate) fn position(&self) -> Option<Cursor> {
        self.projection.as_ref().map(|(_, position)| *position)
    }

    /// What it knows of the fleet.
    pub(crate) fn fleet(&self) -> Option<&Arc<Projection>> {
        self.projection.as_ref().map(|(projection, _)| projection)
    }

    /// Where the authority's nodes listen for storage servers.
    pub(super) fn authority(&self) -> BTreeMap<AuthorityNodeId, Address> {
        let nodes = self.fleet().into_iter().flat_map(|projection| &projection.authority);
        nodes.filter_map(|(node, listens)| Some((*node, dialled(&listens.control)?))).collect()
    }
}

/// An address of the ledger as one that can be dialled; some that the ledger takes cannot, such as those with zones.
pub(super) fn dialled(address: &bursar_domain::text::Address) -> Option<Address> {
    address.as_str().parse().ok()
}
