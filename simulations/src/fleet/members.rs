//! Authority nodes that come, lose what they keep, and come back as other members: what operators do about it.

use std::time::Duration;

use bursar_wire::client::{Change, Client};
use bursar_wire::cluster::{InviteMember, IssuedInvitation, Member, MemberIntent};
use bursar_wire::invitation::Invitation;
use bursar_wire::query::ReadQuery;
use tokio::time::sleep;

use super::authority_nodes::Making;
use super::{AuthorityNode, Fleet, SetUpError, lock, parsed, until};
use crate::nemesis::Due;
use crate::plan::{FaultKind, Loss};
use crate::verdict::Broken;
use crate::world::World;

/// How long a process is down before anybody touches what it keeps.
const DOWN_FOR: Duration = Duration::from_millis(100);

impl Fleet {
    /// Has a node join that never was a member, or is none any more, and returns once it votes. Whatever fails is tried again.
    pub(super) async fn take_in_node(&self, client: &Client, node: &AuthorityNode) -> Result<(), SetUpError> {
        let former = node.id();
        let invited = until("a node is invited", async || {
            client.post("cluster/members", &InviteMember::default(), Change::default()).await.ok()
        });
        let invited: IssuedInvitation = parsed("inviting a node", invited.await?.json())?;
        let token = invited.join_token.expose();
        let invitation: Invitation = token.parse().expect("the API issues well-formed join tokens");
        self.secrets.text(format_args!("a join token for {}", node.place.process), token, &[]);
        self.secrets.text(format_args!("the secret of a join token for {}", node.place.process), &invitation.secret, &[]);
        node.invitation.send_replace(Some(invitation));
        lock(&node.started).lost = None;
        node.place.host.open(&node.place.process);
        let id = until("a node has joined", async || Some(node.id()).filter(|id| *id != former)).await?;
        until("a node votes", async || {
            let member = member(client, id).await?;
            (member.intent == MemberIntent::Voting).then_some(())
        })
        .await
    }

    /// Has the node of a process join for the first time, unless it has.
    ///
    /// # Errors
    /// Why it does not.
    pub async fn join_late(&self, client: &Client, process: &str, due: &mut Due<'_>) -> Result<(), SetUpError> {
        let node = self.node_of(process);
        let _alone = self.losing.lock().await;
        if node.id() > 0 {
            return Ok(());
        }
        due.strikes();
        self.take_in_node(client, node).await
    }

    /// Lets the node of a process lose what it keeps, and go on with what is left for `lasting`, as far as it does. Then has it removed
    /// from the cluster, erases the rest, and takes it in under another number. Does nothing where another one is being taken in for
    /// as long as the plan goes on, or where the node is no member yet.
    ///
    /// # Errors
    /// Why it is not a voter again, or that it went on as if nothing was lost.
    pub async fn lose(
        &self,
        world: &World,
        client: &Client,
        process: &str,
        loss: Loss,
        lasting: Duration,
        due: &mut Due<'_>,
    ) -> Result<(), Broken> {
        let node = self.node_of(process);
        let (host, root) = (&node.place.host, node.place.root());
        let _alone = self.losing.lock().await;
        if world.elapsed() >= world.plan.duration() || node.id() == 0 {
            return Ok(());
        }
        let going_on = world.befallen.begin(&FaultKind::LostCopy { process: process.to_owned(), loss });
        lock(&node.started).lost = Some(loss);
        host.close(process);
        sleep(DOWN_FOR).await;
        let starts = {
            let mut started = lock(&node.started);
            started.node = None;
            started.starts
        };
        let lost = match loss {
            Loss::Everything => {
                host.disks().erase(&root);
                "everything".to_owned()
            }
            Loss::Stores => {
                host.disks().erase_stores(&root);
                "its stores".to_owned()
            }
            Loss::AllButKeys => {
                host.disks().erase(&root);
                self.put_keys_back(node);
                "all but its keys".to_owned()
            }
            Loss::Bit { place, bit } => host.disks().rot_stores(&root, place, bit).unwrap_or_default(),
        };
        if !lost.is_empty() {
            due.strikes();
        }
        world.trace.record("fault", format_args!("{process} has lost {lost}"));
        // Somebody tries all the same, and be it with the invitation of back then.
        host.open(process);
        sleep(lasting).await;
        self.erase(node).await;
        // Who comes next has lost nothing, and may not end by itself.
        drop(going_on);
        // A bit may be one that nobody has looked at; and how others take one who has keys is looked at all the time.
        let may_start = matches!(loss, Loss::Bit { .. } | Loss::AllButKeys);
        if lock(&node.started).starts > starts && !may_start {
            return Err(Broken::new("no-second-life", format_args!("{process} lost {lost}, and went on as node {}", node.id())));
        }
        let not_repaired = |error: SetUpError| Broken::new("repair", format_args!("{process} lost {lost}: {error}"));
        self.remove(client, node.id()).await.map_err(not_repaired)?;
        self.take_in_node(client, node).await.map_err(not_repaired)
    }

    /// Has the node of a process leave the cluster while it runs, as far as it does, and looks on for `lasting`: it ends, whoever starts
    /// it again. Then erases what it keeps, and takes it in under another number. Does nothing where another one is being taken in for
    /// as long as the plan goes on, or where the node is no member yet.
    ///
    /// # Errors
    /// Why it is not a voter again.
    pub async fn retire(
        &self,
        world: &World,
        client: &Client,
        process: &str,
        lasting: Duration,
        due: &mut Due<'_>,
    ) -> Result<(), SetUpError> {
        let node = self.node_of(process);
        let _alone = self.losing.lock().await;
        if world.elapsed() >= world.plan.duration() || node.id() == 0 {
            return Ok(());
        }
        due.strikes();
        let going_on = world.befallen.begin(&due.fault.kind);
        self.remove(client, node.id()).await?;
        sleep(lasting).await;
        self.erase(node).await;
        drop(going_on);
        self.take_in_node(client, node).await
    }

    /// Ends the process of a node, and takes away all that it keeps: what comes next joins, once it is invited.
    async fn erase(&self, node: &AuthorityNode) {
        let place = &node.place;
        {
            let mut started = lock(&node.started);
            (started.lost, started.making) = (started.lost.or(Some(Loss::Everything)), Making::Joins);
        }
        place.host.close(&place.process);
        sleep(DOWN_FOR).await;
        lock(&node.started).node = None;
        place.host.disks().erase(&place.root());
        node.invitation.send_replace(None);
    }

    /// Lets a node start from its backup the next time, and tells it whom else there is.
    fn put_keys_back(&self, node: &AuthorityNode) {
        let running = self.authority_nodes.iter().filter_map(|other| other.running()).map(|(_, other)| other.latest());
        let newest = running.max_by_key(|state| state.revision()).unwrap_or_default();
        let mut started = lock(&node.started);
        let backup = started.backup.clone().expect("a node that is a member has started");
        let members = backup.others_in(&newest);
        started.making = Making::Restores(backup, members);
    }

    /// Has a member leave, and returns once it has.
    async fn remove(&self, client: &Client, id: u64) -> Result<(), SetUpError> {
        until("a node is removed", async || match member(client, id).await?.intent {
            MemberIntent::Removed => Some(()),
            MemberIntent::Leaving => None,
            MemberIntent::Joining | MemberIntent::Voting => {
                // What comes of it the next look tells.
                let _ = client.delete(&path_of(id), Change::default()).await;
                None
            }
        })
        .await
    }

    fn node_of(&self, process: &str) -> &AuthorityNode {
        let found = self.authority_nodes.iter().find(|node| node.place.process == process);
        found.expect("a plan names authority nodes that it has")
    }
}

async fn member(client: &Client, id: u64) -> Option<Member> {
    client.get(&path_of(id), &ReadQuery::default()).await.ok()?.json().ok()
}

fn path_of(id: u64) -> String {
    format!("cluster/members/{id}")
}
