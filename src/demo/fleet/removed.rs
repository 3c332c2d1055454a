//! Which storage servers of a demo that runs the fleet has removed: asked of the fleet, which alone knows.

use std::{path::Path, sync::Arc, time::Duration};

use bursar_agent::{DataDirectory, DirectoryError};
use bursar_domain::{ClusterId, ServerGuid};
use bursar_net::DiskFiles;
use bursar_wire::{Credentials, client::Client, servers};
use tokio::time::timeout;

use super::{
    client_of,
    storage::{is_removed, present_and_former},
};
use crate::demo::{credentials, places::Place, role::Role};

/// How long the fleet may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Parts those of the places that hold a storage server which the fleet has removed, or replaced, from the others. Where nobody can
/// be asked they are with the others.
pub async fn tell_removed(folder: &Path, places: Vec<Place>) -> (Vec<Place>, Vec<Place>) {
    // Whatever is the matter with the credentials, a start that goes on tells.
    let Ok(Some(credentials)) = credentials::read(folder) else { return (Vec::new(), places) };
    let (mut removed, mut others) = (Vec::new(), Vec::new());
    for place in places {
        let asked = timeout(PATIENCE, was_removed(&credentials, &place)).await;
        if asked.unwrap_or(false) { removed.push(place) } else { others.push(place) }
    }
    (removed, others)
}

async fn was_removed(credentials: &Credentials, place: &Place) -> bool {
    let member = (place.role == Role::StorageServer).then(|| member(place));
    let Some(Ok(Some((guid, cluster)))) = member else { return false };
    for api in &credentials.urls {
        if let Some(known) = known(api, credentials, cluster).await {
            return known.iter().any(|server| is_removed(server, guid));
        }
    }
    false
}

/// Who a storage server is, and of which cluster; nothing where it was never taken in.
fn member(place: &Place) -> Result<Option<(ServerGuid, ClusterId)>, DirectoryError> {
    let directory = DataDirectory::open(Arc::new(DiskFiles), &place.directory)?;
    let server = directory.server()?;
    let membership = directory.membership(&server)?;
    Ok(membership.map(|membership| (server.identity.guid, membership.cluster)))
}

/// The servers that a node knows, present and former. Whoever answers for another cluster is told no secret.
async fn known(api: &str, credentials: &Credentials, cluster: ClusterId) -> Option<Vec<servers::Server>> {
    let stranger: Client = client_of([api], None).ok()?;
    let answers_for = stranger.readiness().await.ok()?.cluster;
    if answers_for != Some(cluster.to_string()) {
        return None;
    }
    present_and_former(&client_of([api], Some(&credentials.token)).ok()?, "servers").await.ok()
}
