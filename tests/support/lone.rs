//! A cluster of one authority node, made by the commands that people use.

use std::{path::Path, process::Command};

use bursar_wire::{
    Secret,
    client::{Change, Client, ClientConfig, ClientParts},
    tokens::{IssueToken, IssuedToken},
};

use super::{BURSAR, Fleet, Node, free_addresses, until};

impl Fleet {
    /// A fresh cluster of one node, which runs and has an administrator.
    pub async fn of_one() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let dir = folder.path().join("node");
        let [peer, api] = free_addresses(folder.path());
        let made = Command::new(BURSAR)
            .args(["authority", "init", "--peer-address", &peer, "--listen-peer", &peer])
            .args(["--api-address", &api, "--listen-api", &api, "--dir"])
            .arg(&dir)
            .output()
            .expect("the program starts");
        assert!(made.status.success(), "no node is made: {}", String::from_utf8_lossy(&made.stderr));
        serve_plain_http(&dir);
        let log = folder.path().join("node.log");
        let mut node = Node { id: 1, dir, log, api: format!("http://{api}"), peer, pid: 0, child: None };
        node.start(&[]);
        let token = claim(&node).await;
        Self { folder, token, nodes: vec![node] }
    }
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
    let config = ClientConfig::new(vec![node.api.parse().expect("a URL")], None);
    let client = Client::new(config, ClientParts::real(None)).expect("a client of plain URLs");
    until("the node takes requests", async || client.probe("/readyz").await.ok()).await;
    let answer = client.post("tokens", &request, Change::default()).await.expect("an administrator");
    answer.json::<IssuedToken>().expect("a token").secret.expose().to_owned()
}
