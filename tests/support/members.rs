//! Members that come and go.

use std::{
    fs,
    path::Path,
    process::{Command, Output, Stdio},
};

use bursar_wire::{
    cluster::{IssuedInvitation, MemberIntent},
    status::Status,
};

use super::{BURSAR, Fleet, Node, errors_of, free_addresses, until, write_private};

/// Where a node is to be found, and lives.
pub struct Home {
    pub peer: String,
    pub api: String,
    pub control: String,
    /// The network that it lives in, where that is not everybody's.
    pub namespace: Option<String>,
}

impl Home {
    /// On this machine, for as long as the folder is there.
    pub fn free(folder: &Path) -> Self {
        let [peer, api, control] = free_addresses(folder);
        Self { peer, api, control, namespace: None }
    }

    /// The words that tell the program, behind `init` and `join`.
    pub fn arguments(&self) -> [&str; 12] {
        let Self { peer, api, control, .. } = self;
        [
            "--peer-address",
            peer,
            "--listen-peer",
            peer,
            "--api-address",
            api,
            "--listen-api",
            api,
            "--control-address",
            control,
            "--listen-control",
            control,
        ]
    }
}

impl Fleet {
    /// An invitation for one machine: the line that it joins with.
    pub fn invite(&self, seconds: u64) -> String {
        let invited = self.operate(["cluster", "invite", "--expires-in", &seconds.to_string(), "-o", "json"]);
        assert!(invited.status.success(), "{}", errors_of(&invited));
        let invited: IssuedInvitation = serde_json::from_slice(&invited.stdout).expect("an invitation as JSON");
        invited.join_token.expose().to_owned()
    }

    /// Has a machine join with a token: its node, not yet started, or what the program says.
    pub fn join(&self, name: &str, token: &str) -> Result<Node, Output> {
        self.join_at(Home::free(self.folder()), name, token)
    }

    /// The same, where its home is known.
    pub fn join_at(&self, home: Home, name: &str, token: &str) -> Result<Node, Output> {
        let joined = self.try_to_join(&home, name, token, &[]);
        if joined.status.success() { Ok(Node::member(home, &self.folder().join(name))) } else { Err(joined) }
    }

    /// What the program says to a machine that joins, in an environment.
    pub fn try_to_join(&self, home: &Home, name: &str, token: &str, environment: &[(&str, &str)]) -> Output {
        let (dir, token_file) = (self.folder().join(name), self.folder().join(format!("{name}.token")));
        write_private(&token_file, token);
        Command::new(BURSAR)
            .args(["authority", "join", "--patience", "3"])
            .args(home.arguments())
            .args(["--dir".as_ref(), dir.as_os_str(), "--token-file".as_ref(), token_file.as_os_str()])
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .output()
            .expect("the program starts")
    }

    /// Takes a further node in, whose data directory was made by `bursar authority join`, and starts it.
    pub fn take_in(&mut self, node: Node) -> u64 {
        let id = node.id;
        self.nodes.push(node);
        self.restart(id);
        id
    }

    /// Forgets a node whose process has ended, and hands it out.
    pub fn give_up(&mut self, id: u64) -> Node {
        let at = self.nodes.iter().position(|node| node.id == id).expect("a node of the fleet");
        assert!(!self.nodes[at].runs(), "authority node {id} has ended");
        self.nodes.remove(at)
    }

    /// Waits until exactly these members vote, by what one of them says who has applied it.
    pub async fn until_voting(&self, ids: &[u64]) {
        until("the members vote", async || {
            let status: Status = self.client().get("status", &()).await.ok()?.json().ok()?;
            let voting = status.members.iter().filter(|member| member.intent == MemberIntent::Voting).map(|member| member.id);
            (voting.eq(ids.iter().copied()) && status.members.len() == ids.len() && status.node.voters == ids).then_some(())
        })
        .await;
    }
}

impl Node {
    /// The node of a data directory that was made, not yet started.
    pub fn member(home: Home, dir: &Path) -> Self {
        let identity = fs::read_to_string(dir.join("identity.toml")).expect("a member has an identity");
        let id = identity.lines().find_map(|line| line.strip_prefix("node = ")?.parse().ok()).expect("a member has a number");
        let Home { peer, api, namespace, .. } = home;
        // Beside the directory, in which nothing is but what the program makes.
        let log = dir.with_extension("node-log");
        Self { id, dir: dir.to_owned(), log, api: format!("https://{api}"), peer, namespace, pid: 0, child: None }
    }
}
