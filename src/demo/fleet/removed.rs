//! Which storage servers of a demo that runs the fleet has removed: asked of the fleet, which alone knows.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
    time::Duration,
};

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
    let member = |place: &Place| (place.role == Role::StorageServer).then(|| member(place).ok().flatten()).flatten();
    let places = places.into_iter().map(|place| (member(&place), place)).collect();
    part(places, async |cluster, servers| {
        let asked = timeout(PATIENCE, known(&credentials, cluster)).await;
        let known = asked.ok().flatten().unwrap_or_default();
        servers.retain(|guid| known.iter().any(|server| is_removed(server, *guid)));
    })
    .await
}

/// Parts the places of servers that were removed from the others. `keep_removed` leaves only those of a cluster's servers that are:
/// it is asked once for each cluster, of which there is one unless somebody has mixed folders.
async fn part(
    places: Vec<(Option<Member>, Place)>,
    keep_removed: impl AsyncFn(ClusterId, &mut BTreeSet<ServerGuid>),
) -> (Vec<Place>, Vec<Place>) {
    let mut servers: BTreeMap<ClusterId, BTreeSet<ServerGuid>> = BTreeMap::new();
    for (guid, cluster) in places.iter().filter_map(|(member, _)| *member) {
        servers.entry(cluster).or_default().insert(guid);
    }
    for (cluster, servers) in &mut servers {
        keep_removed(*cluster, servers).await;
    }
    let is_removed = |(guid, cluster): Member| servers[&cluster].contains(&guid);
    let (removed, others): (Vec<_>, Vec<_>) = places.into_iter().partition(|(member, _)| member.is_some_and(is_removed));
    let unnamed = |places: Vec<(_, Place)>| places.into_iter().map(|(_, place)| place).collect();
    (unnamed(removed), unnamed(others))
}

/// Who a storage server is, and of which cluster.
type Member = (ServerGuid, ClusterId);

/// Who a storage server is; nothing where it was never taken in.
fn member(place: &Place) -> Result<Option<Member>, DirectoryError> {
    let directory = DataDirectory::open(Arc::new(DiskFiles), &place.directory)?;
    let server = directory.server()?;
    let membership = directory.membership(&server)?;
    Ok(membership.map(|membership| (server.identity.guid, membership.cluster)))
}

/// The servers that the first node knows that answers, present and former.
async fn known(credentials: &Credentials, cluster: ClusterId) -> Option<Vec<servers::Server>> {
    for api in &credentials.urls {
        if let Some(known) = known_at(api, credentials, cluster).await {
            return Some(known);
        }
    }
    None
}

/// The servers that a node knows, present and former. Whoever answers for another cluster is told no secret.
async fn known_at(api: &str, credentials: &Credentials, cluster: ClusterId) -> Option<Vec<servers::Server>> {
    let stranger: Client = client_of([api], None).ok()?;
    let answers_for = stranger.readiness().await.ok()?.cluster;
    if answers_for != Some(cluster.to_string()) {
        return None;
    }
    present_and_former(&client_of([api], Some(&credentials.token)).ok()?, "servers").await.ok()
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    fn place(role: Role, number: u64) -> Place {
        Place { role, number, directory: format!("{}{number}", role.directory_prefix()).into() }
    }

    #[tokio::test]
    async fn a_cluster_is_asked_once_for_all_of_its_servers() {
        let cluster = ClusterId([7; 16]);
        let store = |number: u8| (Some((ServerGuid([number; 16]), cluster)), place(Role::StorageServer, number.into()));
        let newcomer = (None, place(Role::StorageServer, 4));
        let places = vec![(None, place(Role::Authority, 1)), store(1), store(2), newcomer, store(3)];
        let asked = Mutex::new(Vec::new());
        let (removed, others) = part(places, async |cluster, servers| {
            asked.lock().expect("nobody panics with it").push((cluster, servers.len()));
            servers.retain(|guid| *guid != ServerGuid([2; 16]));
        })
        .await;
        assert_eq!(asked.into_inner().expect("nobody panicked with it"), [(cluster, 3)]);
        let numbers = |places: Vec<Place>| places.into_iter().map(|place| (place.role, place.number)).collect::<Vec<_>>();
        assert_eq!(numbers(removed), [(Role::StorageServer, 1), (Role::StorageServer, 3)]);
        assert_eq!(numbers(others), [(Role::Authority, 1), (Role::StorageServer, 2), (Role::StorageServer, 4)]);
    }
}
