//! The routes, one file a noun, and where each object is found.

pub(crate) mod cluster;
pub(crate) mod destinations;
pub(crate) mod operations;
pub(crate) mod sites;
pub(crate) mod status;
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
