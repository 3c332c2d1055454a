//! The demo's nodes: making them, starting them, ending them.

use std::{future::Future, path::PathBuf, time::Duration};

use bursar_domain::ClusterId;
use bursar_net::{DiskFiles, Files};
use bursar_wire::{
    Secret,
    client::{Change, Client, ClientConfig, ClientError, ClientParts},
    cluster::{InviteMember, IssuedInvitation, MemberIntent},
    destinations::CreateDestination,
    invitation::Invitation,
    query::ReadQuery,
    sites::{CreateSite, Site},
    status::Status,
    tokens::{IssueToken, IssuedToken},
};
use serde::Serialize;
use tokio::time::{Instant, interval, sleep};

use super::{DemoError, credentials::Credentials, places::Place, process::Process, program};
use crate::{
    World,
    authority::{Founding, Joining, found, join},
};

/// The first node, among places and among processes: it is started before all others.
const FIRST: usize = 0;
/// How long a node may take to answer, and the cluster to be complete.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often to look again.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// How often to look whether somebody has started a node again.
const LOOK_FOR_STARTED: Duration = Duration::from_millis(500);

/// The demo's nodes.
pub struct Fleet {
    folder: PathBuf,
    places: Vec<Place>,
    talkative: bool,
    processes: Vec<Process>,
}

impl Fleet {
    /// The fleet of a demo's places, not yet started.
    pub fn new(folder: PathBuf, places: Vec<Place>, talkative: bool) -> Self {
        Self { folder, places, talkative, processes: Vec::new() }
    }

    /// The processes, running or ended.
    pub fn processes(&self) -> &[Process] {
        &self.processes
    }

    /// Starts all nodes; the first time makes them, and something to look at. Returns once the cluster is complete.
    pub async fn start(&mut self) -> Result<Credentials, DemoError> {
        let cluster = match self.places[FIRST].cluster {
            Some(cluster) => cluster,
            None => self.found()?,
        };
        // Those that exist are started before the cluster is asked for anything: without them there may be no quorum.
        let (made, missing): (Vec<usize>, Vec<usize>) = (0..self.places.len()).partition(|index| self.places[*index].is_made());
        for index in made {
            self.start_node(index)?;
        }
        self.must_answer_as(cluster).await?;
        let mut credentials = match Credentials::read(&self.folder)? {
            Some(credentials) => credentials,
            None => self.claim_setup().await?,
        };
        for index in missing {
            let client = self.client(Some(&credentials.token))?;
            self.join_node(&client, index).await?;
            self.start_node(index)?;
            self.must_answer_as(cluster).await?;
        }
        let client = self.client(Some(&credentials.token))?;
        self.tell("waiting until all nodes vote");
        self.wait_until_complete(&client, &credentials.token).await?;
        furnish(&client).await?;
        credentials.urls = self.processes.iter().map(|process| process.api().to_owned()).collect();
        credentials.write(&self.folder)?;
        Ok(credentials)
    }

    /// Stays until `end` comes; says so when a node ends by itself, and when somebody starts it again.
    pub async fn watch(&mut self, end: impl Future) -> Result<(), DemoError> {
        tokio::pin!(end);
        let mut look = interval(LOOK_FOR_STARTED);
        loop {
            let mut ends: Vec<_> = self
                .processes
                .iter_mut()
                .enumerate()
                .map(|(at, process)| Box::pin(async move { (at, process.ended().await) }))
                .collect();
            let ended = tokio::select! {
                _ = &mut end => return Ok(()),
                ended = first_of(&mut ends) => Some(ended),
                _ = look.tick() => None,
            };
            drop(ends);
            if let Some((at, how)) = ended {
                let (node, directory) = (self.processes[at].id(), self.processes[at].directory().display());
                eprintln!("authority node {node} ended{how}; start it again with: {} authority run --dir {directory}", program());
            }
            for process in &mut self.processes {
                if process.is_started_again()? {
                    eprintln!("authority node {} runs again (pid {}); Ctrl-C ends it too", process.id(), process.pid());
                }
            }
        }
    }

    /// Ends all nodes.
    pub async fn end(&mut self) {
        for process in &mut self.processes {
            process.end().await;
        }
    }

    /// Makes the first node of a new cluster.
    fn found(&mut self) -> Result<ClusterId, DemoError> {
        self.tell("founding a cluster");
        let place = &mut self.places[FIRST];
        let founded = found(Founding {
            world: &World::real(),
            directory: &place.directory,
            config: place.config.clone(),
            license_key: None,
        })?;
        place.cluster = Some(founded.cluster);
        Ok(founded.cluster)
    }

    fn start_node(&mut self, index: usize) -> Result<(), DemoError> {
        let place = &self.places[index];
        self.tell(&format!("starting authority node {}", place.node));
        let process = Process::start(place)?;
        self.processes.push(process);
        Ok(())
    }

    /// Waits until every node that was started answers, and has the demo's own cluster. Whoever else may answer on its port
    /// is told no secret.
    async fn must_answer_as(&mut self, expected: ClusterId) -> Result<(), DemoError> {
        for index in 0..self.processes.len() {
            let api = self.processes[index].api().to_owned();
            let client = self.client_of(index, None)?;
            let what = format!("authority node {} does not know its cluster", self.processes[index].id());
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
        let client = self.client_of(FIRST, None)?;
        let secret = DiskFiles.read_private(&self.places[FIRST].directory.join("setup-secret"), 1024)?;
        let request = IssueToken {
            name: "demo administrator".into(),
            expires_at: None,
            setup_secret: Some(Secret::new(String::from_utf8_lossy(&secret).into_owned())),
        };
        self.wait_for("authority node 1 is not ready", async || Ok(client.probe("/readyz").await.is_ok())).await?;
        let issued: IssuedToken = client.post("tokens", &request, Change::default()).await?.json()?;
        let url = self.processes[FIRST].api().to_owned();
        let credentials = Credentials { urls: vec![url.clone()], url, token: issued.secret.expose().to_owned() };
        credentials.write(&self.folder)?;
        Ok(credentials)
    }

    async fn join_node(&mut self, client: &Client, index: usize) -> Result<(), DemoError> {
        let place = &self.places[index];
        self.tell(&format!("authority node {} joins", place.node));
        let invited = client.post("cluster/members", &InviteMember::default(), Change::default()).await?;
        let token = invited.json::<IssuedInvitation>()?.join_token;
        let invitation: Invitation = token.expose().parse().expect("the API issues well-formed join tokens");
        join(Joining {
            world: &World::real(),
            directory: &place.directory,
            config: place.config.clone(),
            invitation,
            patience: PATIENCE,
        })
        .await?;
        Ok(())
    }

    async fn wait_until_complete(&mut self, client: &Client, token: &str) -> Result<(), DemoError> {
        let nodes = self.places.len();
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
        for index in 0..nodes {
            let node = self.client_of(index, Some(token))?;
            self.wait_for("a node does not answer", async || Ok(node.get("sites", &ReadQuery::default()).await.is_ok())).await?;
        }
        Ok(())
    }

    /// Asks again and again, as long as all processes run and patience lasts.
    async fn wait_for(&mut self, what: &str, mut reached: impl AsyncFnMut() -> Result<bool, DemoError>) -> Result<(), DemoError> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            for process in &mut self.processes {
                process.must_run()?;
            }
            if reached().await? {
                return Ok(());
            }
            if Instant::now() >= deadline {
                let log = self.processes.first().map(|process| process.log().to_owned()).unwrap_or_default();
                return Err(DemoError::Slow { what: what.to_owned(), waited: PATIENCE, log });
            }
            sleep(LOOK_AGAIN).await;
        }
    }

    /// A client of all nodes that were started.
    fn client(&self, token: Option<&str>) -> Result<Client, ClientError> {
        client_for(&self.processes, token)
    }

    /// A client of one node.
    fn client_of(&self, index: usize, token: Option<&str>) -> Result<Client, ClientError> {
        client_for(std::slice::from_ref(&self.processes[index]), token)
    }

    fn tell(&self, what: &str) {
        if self.talkative {
            eprintln!("{what} …");
        }
    }
}

fn client_for(processes: &[Process], token: Option<&str>) -> Result<Client, ClientError> {
    let nodes = processes.iter().map(|process| process.api().parse().expect("the demo's URLs are well-formed")).collect();
    let token = token.map(|token| Secret::new(token.to_owned()));
    Client::new(ClientConfig::new(nodes, token), ClientParts::real(None))
}

/// Two sites and a destination, unless they are there already.
async fn furnish(client: &Client) -> Result<(), ClientError> {
    let dublin = make(client, "sites", "demo-site-1", &CreateSite { name: "Dublin".into(), expected_latency_ms: 2 }).await?;
    make(client, "sites", "demo-site-2", &CreateSite { name: "Frankfurt".into(), expected_latency_ms: 12 }).await?;
    if let Some(dublin) = dublin {
        let site: Site = dublin.json()?;
        let destination = CreateDestination { name: "Main".into(), site: site.id, ..CreateDestination::default() };
        make(client, "destinations", "demo-destination-1", &destination).await?;
    }
    Ok(())
}

/// Makes something, once: `None` where its name is taken, so it is there already.
async fn make(
    client: &Client,
    path: &str,
    request_id: &str,
    request: &impl Serialize,
) -> Result<Option<bursar_wire::client::Answer>, ClientError> {
    let change = Change { request_id: Some(request_id.to_owned()), ..Change::default() };
    match client.post(path, request, change).await {
        Ok(answer) => Ok(Some(answer)),
        Err(ClientError::Problem { problem, .. }) if problem.code == "name_taken" => Ok(None),
        Err(other) => Err(other),
    }
}

/// The first of several futures that is done.
async fn first_of<T, F: Future<Output = T> + Unpin>(futures: &mut [F]) -> T {
    std::future::poll_fn(|context| {
        let ready = futures.iter_mut().find_map(|future| match std::pin::Pin::new(future).poll(context) {
            std::task::Poll::Ready(value) => Some(value),
            std::task::Poll::Pending => None,
        });
        ready.map_or(std::task::Poll::Pending, std::task::Poll::Ready)
    })
    .await
}
