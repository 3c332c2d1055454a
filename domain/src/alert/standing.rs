//! Whether an alert should fire.

use crate::{
    authority_node,
    ids::{DestinationId, ObjectRef, ServerId, StorePointId},
    server::{self, ProjectionState, Server},
    state::State,
    store_point::{self, OfflineReason},
    text::Name,
};

use super::{Extent, Kind, Reason};

/// Whether an alert should fire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// There is no trouble.
    Quiet,
    /// There is.
    Fires {
        /// Why.
        reason: Reason,
        /// How much of the subject is affected.
        extent: Extent,
        /// What covers the alert.
        inhibited_by: Option<ObjectRef>,
    },
    /// Nobody can tell now: the alert stays as it is.
    Unsettled,
}

/// Whether the alert of a kind should fire for a subject.
pub fn standing(state: &State, kind: Kind, subject: ObjectRef) -> Standing {
    match (kind, subject) {
        (Kind::StorePointOffline, ObjectRef::StorePoint(id)) => store_point_offline(state, id),
        (Kind::DestinationOffline, ObjectRef::Destination(id)) => destination_offline(state, id),
        (Kind::ServerOffline, ObjectRef::Server(id)) => of_server(state, id, server_offline),
        (Kind::VersionConflict, ObjectRef::Server(id)) => of_server(state, id, version_conflict),
        (Kind::ProjectionMismatch, ObjectRef::Server(id)) => of_server(state, id, projection_mismatch),
        _ => Standing::Quiet,
    }
}

/// Nothing is amiss with a server that was removed.
fn of_server(state: &State, server: ServerId, standing: fn(&State, &Server) -> Standing) -> Standing {
    match state.servers().get(server).filter(|server| server.is_present()) {
        Some(server) => standing(state, server),
        None => Standing::Quiet,
    }
}

/// While its server is offline, nothing is known of a store point, but that nobody can use it: the server's alert covers that.
/// When the server answers again, its report settles it.
fn store_point_offline(state: &State, store_point: StorePointId) -> Standing {
    let Some(row) = state.store_points().get(store_point).filter(|row| row.is_present()) else { return Standing::Quiet };
    let Some(server) = state.servers().get(row.server) else { return Standing::Quiet };
    match row.condition {
        store_point::Condition::Creating | store_point::Condition::Failed(_) | store_point::Condition::Online => Standing::Quiet,
        store_point::Condition::Offline(reason) => {
            let extent = match reason {
                OfflineReason::ReadOnly => Extent::Partial,
                OfflineReason::Missing | OfflineReason::ForeignIdentity | OfflineReason::IoFailing => Extent::Whole,
            };
            Standing::Fires { reason: Reason::Unusable(reason), extent, inhibited_by: maintenance(server) }
        }
        store_point::Condition::Unknown if server.condition == server::Condition::Offline => {
            whole(Reason::ServerSilent, firing(state, Kind::ServerOffline, server.id.into()))
        }
        store_point::Condition::Unknown => Standing::Unsettled,
    }
}

fn server_offline(state: &State, server: &Server) -> Standing {
    match server.condition {
        server::Condition::Online | server::Condition::Excluded => Standing::Quiet,
        server::Condition::Joining { .. } => Standing::Unsettled,
        server::Condition::Offline => {
            let destination = || firing(state, Kind::DestinationOffline, server.destination.into());
            whole(Reason::Silent, maintenance(server).or_else(destination))
        }
    }
}

/// A destination is offline when all its servers are. One that was never taken in does not count; one that takes a dead
/// server's place leaves it open. Where all of them are being worked upon, it is expected.
fn destination_offline(state: &State, destination: DestinationId) -> Standing {
    let present = || state.servers().iter().filter(|server| server.destination == destination && server.is_present());
    let offline = || present().filter(|server| server.condition == server::Condition::Offline);
    if present().any(|server| server.condition == server::Condition::Online) {
        return Standing::Quiet;
    }
    if present().any(|server| server.replaces()) {
        return Standing::Unsettled;
    }
    let Some(first) = offline().next() else { return Standing::Quiet };
    let expected = offline().all(|server| maintenance(server).is_some());
    whole(Reason::AllServersSilent, expected.then_some(first.id.into()))
}

/// While the authority's own nodes run different versions, nobody can be at odds with them.
fn version_conflict(state: &State, server: &Server) -> Standing {
    match (server.condition, authority_version(state)) {
        (server::Condition::Joining { .. }, _) | (_, None) => Standing::Unsettled,
        (_, Some(version)) if *version == server.facts.program.version => Standing::Quiet,
        (_, Some(_)) => whole(Reason::VersionDiffers, None),
    }
}

fn projection_mismatch(_: &State, server: &Server) -> Standing {
    match server.projection {
        ProjectionState::Matching => Standing::Quiet,
        ProjectionState::Mismatched => whole(Reason::DigestDiffers, None),
    }
}

/// It fires, and all of the subject is affected.
const fn whole(reason: Reason, inhibited_by: Option<ObjectRef>) -> Standing {
    Standing::Fires { reason, extent: Extent::Whole, inhibited_by }
}

/// The version that all voting nodes run; none while they differ.
fn authority_version(state: &State) -> Option<&Name> {
    let mut versions =
        state.authority_nodes().iter().filter(|node| node.intent == authority_node::Intent::Voting).map(|node| &node.version);
    let first = versions.next()?;
    versions.all(|version| version == first).then_some(first)
}

/// The server itself, where it is being worked upon: its silence is expected.
fn maintenance(server: &Server) -> Option<ObjectRef> {
    matches!(server.intent, server::Intent::Maintenance { .. }).then(|| server.id.into())
}

fn firing(state: &State, kind: Kind, subject: ObjectRef) -> Option<ObjectRef> {
    let alert = state.alerts().find(&(kind, subject)).filter(|alert| alert.is_firing());
    alert.map(|alert| alert.id.into())
}

/// The trouble in one line.
pub(super) fn text(state: &State, kind: Kind, subject: ObjectRef) -> String {
    let name = match subject {
        ObjectRef::StorePoint(id) => state.store_points().get(id).map(|row| row.name.to_string()),
        ObjectRef::Server(id) => state.servers().get(id).map(|server| server.name.to_string()),
        ObjectRef::Destination(id) => state.destinations().get(id).map(|destination| destination.name.to_string()),
        _ => None,
    };
    let name = name.unwrap_or_else(|| subject.to_string());
    match kind {
        Kind::StorePointOffline => format!("Store point is unavailable: {name}"),
        Kind::ServerOffline => format!("Server is offline: {name}"),
        Kind::DestinationOffline => format!("Destination is offline: {name}"),
        Kind::ProjectionMismatch => format!("Server holds another state than the authority: {name}"),
        Kind::VersionConflict => {
            let version = match subject {
                ObjectRef::Server(id) => state.servers().get(id).map(|server| server.facts.program.version.to_string()),
                _ => None,
            };
            format!("Server version is not the same as the master: {name}, version = {}", version.unwrap_or_default())
        }
    }
}
