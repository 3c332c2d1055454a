//! A cluster of one authority node, made by the commands that people use.

use std::{
    path::Path,
    process::{Command, Output},
};

use bursar_wire::{
    Secret,
    client::{Change, Client, ClientConfig, ClientParts, NodeUrl},
    tokens::{IssueToken, IssuedToken},
};
use tempfile::TempDir;

use super::{BURSAR, Fleet, Node, errors_of, members::Home, write_private};

/// The first node of a cluster.
const FIRST: u64 = 1;

impl Fleet {
    /// A fresh cluster of one node, which runs and has an administrator, and serves people without TLS.
    pub async fn of_one() -> Self {
        let mut fleet = Self::of_one_never_started();
        fleet.restart(FIRST);
        fleet.claim().await;
        fleet
    }

    /// The same before anything of it was started.
    pub fn of_one_never_started() -> Self {
        let mut fleet = Self::founded(Home::free);
        let node = fleet.node_mut(FIRST);
        serve_plain_http(&node.dir);
        node.api = node.api.replace("https://", "http://");
        fleet
    }

    /// A fresh cluster of one node that lives there, runs and has an administrator.
    pub async fn of_one_at(home: Home) -> Self {
        let mut fleet = Self::founded(|_| home);
        fleet.restart(FIRST);
        fleet.claim().await;
        fleet
    }

    fn founded(home: impl FnOnce(&Path) -> Home) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (home, dir) = (home(folder.path()), folder.path().join("node"));
        let made = found(&home, &dir, &[]);
        assert!(made.status.success(), "no node is made: {}", errors_of(&made));
        Self::of_first(folder, Node::member(home, &dir))
    }

    /// The cluster of a first node, which has no administrator yet.
    pub fn of_first(folder: TempDir, first: Node) -> Self {
        let token_file = folder.path().join("token");
        Self { folder, token: String::new(), token_file, nodes: vec![first] }
    }

    /// Makes the first administrator.
    pub async fn claim(&mut self) {
        self.ready(FIRST).await;
        self.token = claim(self.node(FIRST)).await;
        write_private(&self.token_file, &self.token);
    }
}

/// Has a machine found a cluster, in an environment.
pub fn found(home: &Home, dir: &Path, environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(BURSAR);
    command.args(["authority", "init"]).args(home.arguments()).arg("--dir").arg(dir).envs(environment.iter().copied());
    command.output().expect("the program starts")
}

/// The setting that the demo makes too.
fn serve_plain_http(dir: &Path) {
    let file = dir.join("bursar.toml");
    let settings = std::fs::read_to_string(&file).expect("the settings");
    let (off, on) = ("plain_http_on_loopback = false", "plain_http_on_loopback = true");
    assert!(settings.contains(off), "{settings}");
    std::fs::write(&file, settings.replace(off, on)).expect("the settings");
}

/// The token of the first administrator.
async fn claim(node: &Node) -> String {
    let secret = std::fs::read_to_string(node.dir.join("setup-secret")).expect("the setup secret");
    let request = IssueToken { name: "test".into(), expires_at: None, setup_secret: Some(Secret::new(secret)) };
    let url: NodeUrl = node.api.parse().expect("a URL");
    let trust = url.is_secure().then(|| node.trust());
    let client = Client::new(ClientConfig::new(vec![url], None), ClientParts::real(trust)).expect("a client of the node's URL");
    let answer = client.post("tokens", &request, Change::default()).await.expect("an administrator");
    answer.json::<IssuedToken>().expect("a token").secret.expose().to_owned()
}
