//! A cluster of one authority node, made by the commands that people use.

use std::{path::Path, process::Command};

use bursar_wire::{
    Secret,
    client::{Change, Client, ClientConfig, ClientParts, NodeUrl},
    tokens::{IssueToken, IssuedToken},
};
use tempfile::TempDir;

use super::{BURSAR, Fleet, Node, errors_of, free_addresses, members::Home, until, write_private};

impl Fleet {
    /// A fresh cluster of one node, which runs and has an administrator, and serves people without TLS.
    pub async fn of_one() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let [peer, api] = free_addresses(folder.path());
        let mut node = found(folder.path(), Home { peer, api, namespace: None });
        serve_plain_http(&node.dir);
        node.api = node.api.replace("https://", "http://");
        Self::begin(folder, node).await
    }

    /// A fresh cluster of one node that lives there.
    pub async fn of_one_at(home: Home) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let node = found(folder.path(), home);
        Self::begin(folder, node).await
    }

    async fn begin(folder: TempDir, mut node: Node) -> Self {
        node.start(&[]);
        let (token, token_file) = (claim(&node).await, folder.path().join("token"));
        write_private(&token_file, &token);
        Self { folder, token, token_file, nodes: vec![node] }
    }
}

/// Makes the first node of a cluster.
fn found(folder: &Path, home: Home) -> Node {
    let dir = folder.join("node");
    let mut command = Command::new(BURSAR);
    command.args(["authority", "init"]).args(home.arguments()).arg("--dir").arg(&dir);
    let made = command.output().expect("the program starts");
    assert!(made.status.success(), "no node is made: {}", errors_of(&made));
    let Home { peer, api, namespace } = home;
    Node { id: 1, dir, log: folder.join("node.log"), api: format!("https://{api}"), peer, namespace, pid: 0, child: None }
}

/// The setting that the demo makes too.
fn serve_plain_http(dir: &Path) {
    let file = dir.join("bursar.toml");
    let settings = std::fs::read_to_string(&file).expect("the settings");
    let (off, on) = ("plain_http_on_loopback = false", "plain_http_on_loopback = true");
    assert!(settings.contains(off), "{settings}");
    std::fs::write(&file, settings.replace(off, on)).expect("the settings");
}

/// Makes the first administrator.
async fn claim(node: &Node) -> String {
    let secret = std::fs::read_to_string(node.dir.join("setup-secret")).expect("the setup secret");
    let request = IssueToken { name: "test".into(), expires_at: None, setup_secret: Some(Secret::new(secret)) };
    let url: NodeUrl = node.api.parse().expect("a URL");
    let trust = url.is_secure().then(|| node.trust());
    let client = Client::new(ClientConfig::new(vec![url], None), ClientParts::real(trust)).expect("a client of the node's URL");
    until("the node takes requests", async || client.probe("/readyz").await.ok()).await;
    let answer = client.post("tokens", &request, Change::default()).await.expect("an administrator");
    answer.json::<IssuedToken>().expect("a token").secret.expose().to_owned()
}
