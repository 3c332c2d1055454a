//! The demo's authority nodes: one cluster, and its first administrator.

use bursar_domain::ClusterId;
use bursar_net::{DiskFiles, FileError, Files};
use bursar_wire::{
    Credentials, Secret,
    client::{Change, Client, ClientError},
    cluster::{InviteMember, IssuedInvitation, MemberIntent},
    invitation::Invitation,
    query::ReadQuery,
    status::Status,
    tokens::{IssueToken, IssuedToken},
};

use super::{Fleet, PATIENCE, client_of};
use crate::{
    World,
    authority::{Founding, JoinError, Joining, found, join},
    demo::{DemoError, credentials, invited::Invited, process::Process},
};

/// The first node: it founds the cluster.
const FIRST: usize = 0;
const SETUP_SECRET_FILE: &str = "setup-secret";
const SECRET_BYTES_MAX: usize = 1024;

impl Fleet {
    /// Starts the nodes that there are, and makes the others. Returns once all of them vote and answer.
    pub(super) async fn start_authority(&mut self) -> Result<Credentials, DemoError> {
        let cluster = match self.survey.nodes[FIRST].cluster {
            Some(cluster) => cluster,
            None => self.found()?,
        };
        // Those that exist are started before the cluster is asked for anything: without them there may be no quorum.
        let (made, missing): (Vec<usize>, Vec<usize>) =
            (0..self.survey.nodes.len()).partition(|index| self.survey.nodes[*index].cluster.is_some());
        for index in made {
            self.start_node(index)?;
        }
        self.must_answer_as(cluster).await?;
        let credentials = match credentials::read(&self.folder)? {
            Some(credentials) => credentials,
            None => self.claim_setup().await?,
        };
        for index in missing {
            let client = self.client(Some(&credentials.token))?;
            self.join_node(&client, index).await?;
            self.start_node(index)?;
            self.must_answer_as(cluster).await?;
        }
        self.tell("waiting until all nodes vote");
        self.wait_until_all_vote(&credentials.token).await?;
        Ok(credentials)
    }

    /// Makes the first node of a new cluster.
    fn found(&mut self) -> Result<ClusterId, DemoError> {
        self.tell("founding a cluster");
        let node = &mut self.survey.nodes[FIRST];
        let founded = found(Founding {
            world: &World::real(),
            directory: &node.place.directory,
            config: node.config.clone(),
            license_key: None,
        })?;
        node.cluster = Some(founded.cluster);
        Ok(founded.cluster)
    }

    fn start_node(&mut self, index: usize) -> Result<(), DemoError> {
        let node = &self.survey.nodes[index];
        self.tell(&format!("starting {}", node.place));
        let process = Process::start_node(node)?;
        self.processes.push(process);
        Ok(())
    }

    /// Waits until every node that was started answers, and has the demo's own cluster. Whoever else may answer on its port
    /// is told no secret.
    async fn must_answer_as(&mut self, expected: ClusterId) -> Result<(), DemoError> {
        let apis: Vec<_> = self.apis().map(str::to_owned).collect();
        for api in apis {
            let client = client_of([api.as_str()], None)?;
            let what = format!("the authority node at {api} does not know its cluster");
            self.wait_for(&what, async || match client.readiness().await.ok().and_then(|readiness| readiness.cluster) {
                Some(found) if found != expected.to_string() => Err(DemoError::Foreign { api: api.clone(), found, expected }),
                known => Ok(known.is_some()),
            })
            .await?;
        }
        Ok(())
    }

    /// Makes the first administrator, and writes the credentials down.
    async fn claim_setup(&mut self) -> Result<Credentials, DemoError> {
        let first = &self.survey.nodes[FIRST];
        let (url, secret_file) = (first.api(), first.place.directory.join(SETUP_SECRET_FILE));
        let secret = DiskFiles.read_private(&secret_file, SECRET_BYTES_MAX).map_err(|error| match error {
            // An earlier start has used it up, and was interrupted before it wrote down what it got for it.
            FileError::NotFound { .. } => DemoError::Credentials(credentials::file(&self.folder)),
            other => other.into(),
        })?;
        let request = IssueToken {
            name: "demo administrator".into(),
            expires_at: None,
            setup_secret: Some(Secret::new(String::from_utf8_lossy(&secret).into_owned())),
        };
        let client = client_of([url.as_str()], None)?;
        self.wait_for("authority node 1 is not ready", async || Ok(client.probe("/readyz").await.is_ok())).await?;
        let issued: IssuedToken = client.post("tokens", &request, Change::default()).await?.json()?;
        let credentials = Credentials { urls: vec![url.clone()], url, token: issued.secret };
        credentials::write(&self.folder, &credentials)?;
        Ok(credentials)
    }

    /// Has a node join: with what an interrupted start has left for it, or else with a new invitation.
    async fn join_node(&self, client: &Client, index: usize) -> Result<(), DemoError> {
        let node = &self.survey.nodes[index];
        self.tell(&format!("{} joins", node.place));
        let joined = match node.invitation.clone() {
            None => None,
            Some(kept) => match self.join_with(index, kept).await {
                // It was made too long ago, or somebody took it back: as good as none.
                Err(JoinError::Refused { .. }) => None,
                joined => Some(joined),
            },
        };
        match joined {
            Some(joined) => joined?,
            None => {
                let invited = Invited { invitation: invitation(client).await?, config: node.config.clone() };
                invited.write(&node.place)?;
                self.join_with(index, invited.invitation).await?;
            }
        }
        Invited::remove(&node.place)
    }

    async fn join_with(&self, index: usize, invitation: Invitation) -> Result<(), JoinError> {
        let node = &self.survey.nodes[index];
        join(Joining {
            world: &World::real(),
            directory: &node.place.directory,
            config: node.config.clone(),
            invitation,
            patience: PATIENCE,
        })
        .await
        .map(drop)
    }

    async fn wait_until_all_vote(&mut self, token: &Secret) -> Result<(), DemoError> {
        let (client, nodes) = (self.client(Some(token))?, self.survey.nodes.len());
        self.wait_for("the cluster is not complete", async || {
            let status = client.get("status", &()).await.and_then(|answer| answer.json::<Status>());
            Ok(status.is_ok_and(|status| {
                status.leader.is_some()
                    && status.members.len() == nodes
                    && status.members.iter().all(|member| member.intent == MemberIntent::Voting)
            }))
        })
        .await?;
        // And each of them answers, with all that the others know.
        let apis: Vec<_> = self.apis().map(str::to_owned).collect();
        for api in apis {
            let node = client_of([api.as_str()], Some(token))?;
            let what = format!("the authority node at {api} does not answer");
            self.wait_for(&what, async || Ok(node.get("sites", &ReadQuery::default()).await.is_ok())).await?;
        }
        Ok(())
    }
}

async fn invitation(client: &Client) -> Result<Invitation, ClientError> {
    let invited = client.post("cluster/members", &InviteMember::default(), Change::default()).await?;
    let token = invited.json::<IssuedInvitation>()?.join_token;
    Ok(token.expose().parse().expect("the API issues well-formed join tokens"))
}
