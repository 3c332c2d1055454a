//! The control port: who may come in, and what they come in for.

use std::sync::Arc;

use async_trait::async_trait;
use bursar_domain::{Hash, ServerGuid, ServerId, State, server::Server};
use bursar_net::{Admission, Attested, FrameReader, FrameWriter, Hello, Lane, LaneHandler, Refusal, RefusalCode, Role, StoreId};
use bursar_raft::Node;

use crate::{feed, fleet::Shared, questions};

/// Judges by the state of this node, which may lag: whom it does not know yet is told to ask elsewhere.
pub(crate) struct ControlAdmission {
    pub(crate) node: Node,
}

impl Admission for ControlAdmission {
    fn admit(&self, hello: &Hello, certificate: Option<&Attested>) -> Result<(), Refusal> {
        // A probe says nothing: that its certificate holds is enough.
        if hello.lane == Lane::Probe {
            return Ok(());
        }
        let caller = hello.from.filter(|caller| caller.role == Role::Server);
        let (Some(caller), Some(certificate)) = (caller, certificate) else {
            return refuse(RefusalCode::UnknownNode, "the caller is no storage server".to_owned(), "use the peer port");
        };
        if !matches!(hello.lane, Lane::Follow | Lane::Control) {
            let reason = "this port has no such lane".to_owned();
            return refuse(RefusalCode::Unavailable, reason, "run the same version everywhere");
        }
        judge(&self.node.latest(), ServerId(caller.id), hello.from_store, certificate)
    }
}

fn judge(state: &State, id: ServerId, store: StoreId, certificate: &Attested) -> Result<(), Refusal> {
    const ELSEWHERE: &str = "call another authority node, or this one later";
    let Some(server) = state.servers().get(id) else {
        return if id.0 >= state.next().server {
            refuse(RefusalCode::Unavailable, format!("this node has not heard of {id} yet"), ELSEWHERE)
        } else {
            refuse(RefusalCode::UnknownNode, format!("{id} never was a storage server"), "add the machine to the fleet anew")
        };
    };
    let (guid, public_key) = (ServerGuid(store.0), Hash::of(certificate.public_key.as_der()));
    if server.is_present() && server.gives_way(guid) {
        let reason = format!("the place of {id} is being given to another machine");
        refuse(RefusalCode::Unavailable, reason, "wait: where the other machine does not come, this one has its place again")
    } else if !server.is_present() || (server.was_ever(guid) && server.facts.guid != guid) {
        refuse(
            RefusalCode::RemovedNode,
            format!("{id} was removed from the fleet, or its place was given to another machine"),
            "to take the machine in again, make a new server of it with `bursar storage-server init`",
        )
    } else if is(server, guid, public_key) {
        Ok(())
    } else if server.facts.public_key == public_key {
        refuse(
            RefusalCode::ForeignStore,
            format!("{id} has another identity than {guid}"),
            "restore the identity.toml that the server was made with",
        )
    } else {
        // The cluster has certified the caller, so it is this node that does not know it yet.
        refuse(RefusalCode::Unavailable, format!("this node knows another machine as {id}"), ELSEWHERE)
    }
}

fn is(server: &Server, guid: ServerGuid, public_key: Hash) -> bool {
    server.facts.guid == guid && server.facts.public_key == public_key
}

fn refuse(code: RefusalCode, reason: String, remedy: &str) -> Result<(), Refusal> {
    Err(Refusal { code, reason, remedy: remedy.to_owned() })
}

/// Serves the lanes of the control port.
pub(crate) struct ControlLanes(pub(crate) Arc<Shared>);

#[async_trait]
impl LaneHandler for ControlLanes {
    async fn serve(&self, hello: Hello, reader: FrameReader, writer: FrameWriter) {
        let Some(caller) = hello.from.filter(|caller| caller.role == Role::Server) else { return };
        let (server, guid) = (ServerId(caller.id), ServerGuid(hello.from_store.0));
        match hello.lane {
            Lane::Follow => feed::serve(&self.0, server, guid, reader, writer).await,
            Lane::Control => questions::serve(&self.0, server, guid, reader, writer).await,
            // Of a probe the welcome was the answer; nobody is let in for another lane.
            _ => {}
        }
    }
}
