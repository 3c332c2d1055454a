//! The routes, one file a noun, and where each object is found.

pub(crate) mod alerts;
pub(crate) mod cluster;
pub(crate) mod destinations;
pub(crate) mod operations;
pub(crate) mod servers;
pub(crate) mod sites;
pub(crate) mod status;
pub(crate) mod store_points;
pub(crate) mod tokens;

use bursar_domain::ObjectRef;
use bursar_wire::API;

/// The path of an object.
pub(crate) fn path(object: ObjectRef) -> String {
    let collection = match object {
        ObjectRef::Cluster => return format!("{API}/cluster/level"),
        ObjectRef::Site(_) => "sites",
        ObjectRef::Destination(_) => "destinations",
        ObjectRef::Server(_) => "servers",
        ObjectRef::StorePoint(_) => "store-points",
        ObjectRef::Alert(_) => "alerts",
        ObjectRef::AuthorityNode(_) => "cluster/members",
        ObjectRef::JoinToken(_) => "cluster/invitations",
        ObjectRef::Operation(_) => "operations",
        ObjectRef::Token(_) => "tokens",
    };
    format!("{API}/{collection}/{}", object.number())
}

#[cfg(test)]
mod tests {
    use bursar_domain::{
        AlertId, AuthorityNodeId, DestinationId, JoinTokenId, OperationId, ServerId, SiteId, StorePointId, TokenId,
    };

    use super::*;

    /// One object of each kind. The match has no arm for whatever comes anew: who adds a kind adds it here.
    fn one_of_each() -> Vec<ObjectRef> {
        let mut all = vec![ObjectRef::Cluster];
        while let Some(next) = match all[all.len() - 1] {
            ObjectRef::Cluster => Some(SiteId(7).into()),
            ObjectRef::Site(_) => Some(DestinationId(7).into()),
            ObjectRef::Destination(_) => Some(AuthorityNodeId(7).into()),
            ObjectRef::AuthorityNode(_) => Some(OperationId(7).into()),
            ObjectRef::Operation(_) => Some(TokenId(7).into()),
            ObjectRef::Token(_) => Some(JoinTokenId(7).into()),
            ObjectRef::JoinToken(_) => Some(ServerId(7).into()),
            ObjectRef::Server(_) => Some(StorePointId(7).into()),
            ObjectRef::StorePoint(_) => Some(AlertId(7).into()),
            ObjectRef::Alert(_) => None,
        } {
            all.push(next);
        }
        all
    }

    #[test]
    fn every_object_is_read_where_answers_say_that_it_is() {
        let document = crate::openapi();
        for object in one_of_each() {
            let route = path(object).replace("/7", "/{id}");
            let item = document.paths.paths.get(&route);
            assert!(item.is_some_and(|item| item.get.is_some()), "{object} is said to be at {route}, which nothing answers");
        }
    }
}
