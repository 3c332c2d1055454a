//! The routes, one file a noun, and what the nouns have in common: where an object is found, and how it is shown.

pub(crate) mod cluster;
pub(crate) mod destinations;
pub(crate) mod operations;
pub(crate) mod sites;
pub(crate) mod status;
pub(crate) mod tokens;

use bursar_domain::{Cursor, ObjectRef, Stamp, State};
use bursar_wire as wire;
use serde::Serialize;

use crate::{
    answer::{Shown, encode},
    api::Service,
};

/// The path of an object.
pub(crate) fn path(object: ObjectRef) -> String {
    let collection = match object {
        ObjectRef::Cluster => return format!("{}/cluster/level", wire::API),
        ObjectRef::Site(_) => "sites",
        ObjectRef::Destination(_) => "destinations",
        ObjectRef::AuthorityNode(_) => "cluster/members",
        ObjectRef::JoinToken(_) => "cluster/invitations",
        ObjectRef::Operation(_) => "operations",
        ObjectRef::Token(_) => "tokens",
    };
    format!("{}/{collection}/{}", wire::API, object.number())
}

impl Service {
    /// An object as it is shown; none where it does not exist.
    pub(crate) fn show(&self, state: &State, object: ObjectRef) -> Option<Shown> {
        fn shown(state: &State, changed: Stamp, body: &impl Serialize) -> Shown {
            Shown { body: encode(body), changed: Cursor { epoch: state.epoch(), revision: changed.revision } }
        }
        Some(match object {
            ObjectRef::Cluster => {
                let level = wire::cluster::AgreedLevel { level: state.level().0 };
                shown(state, state.cluster()?.changed, &level)
            }
            ObjectRef::Site(id) => {
                let site = state.sites().get(id)?;
                shown(state, site.changed, &wire::sites::Site::of(state, site))
            }
            ObjectRef::Destination(id) => {
                let destination = state.destinations().get(id)?;
                shown(state, destination.changed, &wire::destinations::Destination::of(state, destination))
            }
            ObjectRef::AuthorityNode(id) => {
                let node = state.authority_nodes().get(id)?;
                let role = cluster::role(&self.authority.status(), id);
                shown(state, node.changed, &wire::cluster::Member::of(state, node, role))
            }
            ObjectRef::JoinToken(id) => {
                let token = state.join_tokens().get(id)?;
                shown(state, token.changed, &wire::cluster::Invitation::of(state, token))
            }
            ObjectRef::Operation(id) => {
                let operation = state.operations().get(id)?;
                shown(state, operation.changed, &wire::operations::Operation::of(state, operation))
            }
            ObjectRef::Token(id) => {
                let token = state.tokens().get(id)?;
                shown(state, token.changed, &wire::tokens::Token::of(state, token))
            }
        })
    }
}
