//! Who may connect to a node, beyond what certificates tell.

use std::sync::Arc;

use bursar_domain::{
    AuthorityNodeId,
    authority_node::Intent,
    mutants::{Mutant, planted},
};
use bursar_net::{Admission, Attested, Hello, Lane, Refusal, RefusalCode, Role};

use crate::{convert::net_store, published::Published};

/// Judges by the state: who was removed, and who belongs on which store.
///
/// A node that the state does not know yet, with a number that is still to be given here, is let in. Its certificate says
/// that the cluster has admitted it, so it is this node that lags; were the newcomer the leader by now, a refusal would keep
/// this node from ever learning of it.
pub(crate) struct MemberAdmission {
    pub(crate) published: Arc<Published>,
}

impl Admission for MemberAdmission {
    fn admit(&self, hello: &Hello, _certificate: Option<&Attested>) -> Result<(), Refusal> {
        let refuse = |code, reason: String, remedy: &str| Err(Refusal { code, reason, remedy: remedy.to_owned() });
        // A probe says nothing: that its certificate holds is enough.
        if matches!(hello.lane, Lane::Join | Lane::Probe) {
            return Ok(());
        }
        // Whoever asks for these has come to the wrong port, also a member: nobody would answer it here.
        if matches!(hello.lane, Lane::Follow | Lane::Control) {
            return refuse(
                RefusalCode::Unavailable,
                format!("the port between authority nodes does not serve {:?}", hello.lane),
                "use the control port, customarily 4288",
            );
        }
        let Some(caller) = hello.from.filter(|caller| caller.role == Role::Authority) else {
            return refuse(
                RefusalCode::UnknownNode,
                "the caller is no authority node".to_owned(),
                "let it join as an authority node, with a join token",
            );
        };
        let (id, state) = (AuthorityNodeId(caller.id), self.published.state());
        match state.authority_nodes().get(id) {
            Some(node) if node.intent == Intent::Removed => refuse(
                RefusalCode::RemovedNode,
                format!("{id} was removed from the cluster"),
                "to take the machine in again, start it on a new data directory with a join token",
            ),
            Some(node) if net_store(node.store) != hello.from_store && !planted(Mutant::WipedNodeAccepted) => refuse(
                RefusalCode::ForeignStore,
                format!("{id} was admitted on store {}, the caller runs on store {}", node.store, hello.from_store),
                "its data directory was replaced: remove the node, and let the machine join under a new id",
            ),
            Some(_) => Ok(()),
            None if id.0 >= state.next().authority_node => Ok(()),
            None => {
                refuse(RefusalCode::UnknownNode, format!("{id} was never admitted"), "let the machine join, with a join token")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bursar_domain::State;
    use bursar_net::{ClusterId, Member, PROTOCOL, StoreId};

    use super::*;

    fn told(role: Role, lane: Lane) -> Result<(), Refusal> {
        let admission = MemberAdmission { published: Arc::new(Published::new(State::default(), None)) };
        let hello = Hello {
            protocol: PROTOCOL,
            cluster: ClusterId::new("test").expect("a name of a cluster"),
            from: Some(Member { role, id: 7 }),
            from_store: StoreId([7; 16]),
            to: Member::authority(1),
            to_store: None,
            lane,
        };
        admission.admit(&hello, None)
    }

    #[test]
    fn who_comes_for_the_control_port_is_sent_there() {
        for role in [Role::Authority, Role::Server] {
            for lane in [Lane::Follow, Lane::Control] {
                let refusal = told(role, lane).expect_err("nobody serves it here");
                assert_eq!(refusal.code, RefusalCode::Unavailable, "{refusal}");
                assert_eq!(refusal.remedy, "use the control port, customarily 4288");
            }
        }
    }

    #[test]
    fn a_node_that_is_still_unknown_is_let_in_and_a_storage_server_is_not() {
        for lane in [Lane::Append, Lane::Vote, Lane::Snapshot, Lane::Forward] {
            assert_eq!(told(Role::Authority, lane), Ok(()));
            assert_eq!(told(Role::Server, lane).map_err(|refusal| refusal.code), Err(RefusalCode::UnknownNode));
        }
    }
}
