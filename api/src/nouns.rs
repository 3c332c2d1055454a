//! The routes, one file a noun, and where each object is found.

pub(crate) mod cluster;
pub(crate) mod destinations;
pub(crate) mod operations;
pub(crate) mod sites;
pub(crate) mod status;
pub(crate) mod tokens;

use bursar_API;
use bursar_domain::ObjectRef;

/// The path of an object.
pub(crate) fn path(object: ObjectRef) -> String {
    let collection = match object {
        ObjectRef::Cluster => return format!("{}/cluster/level", API),
        ObjectRef::Site(_) => "sites",
        ObjectRef::Destination(_) => "destinations",
        ObjectRef::AuthorityNode(_) => "cluster/members",
        ObjectRef::JoinToken(_) => "cluster/invitations",
        ObjectRef::Operation(_) => "operations",
        ObjectRef::Token(_) => "tokens",
    };
    format!("{}/{collection}/{}", API, object.number())
}
