//! The commands of the README, run as they stand there.

mod support;

use std::fs;

use support::{
    free_addresses,
    pages::fences,
    shell::{Background, Shell},
    until,
};
use tempfile::TempDir;

const README: &str = include_str!("../README.md");
/// Where the README has a node keep its data, on whichever machine.
const DATA: &str = "/var/lib/bursar";
/// What stands behind `sh` on a fence whose commands are not run here, and why they are not.
const NOT_RUN: [(&str, &str); 2] = [
    ("installs", "they install packages, and build the program that is under test"),
    ("tests", "they run all tests, this one among them"),
];
/// The machine that a reader has first.
const FIRST: usize = 1;
/// The machines for which a reader repeats what is said of each further node.
const FURTHER: [usize; 2] = [2, 3];

/// The machines of a reader who follows the README. All of them are this one: a folder stands for the place where each keeps its
/// data, three ports for its name.
struct Reader {
    folder: TempDir,
    shell: Shell,
    /// The addresses of each machine: for the other nodes, for people, and for storage servers.
    addresses: Vec<[String; 3]>,
    nodes: Vec<Background>,
}

#[tokio::test]
async fn the_commands_of_the_readme_make_a_cluster() {
    let mut reader = Reader::new();
    let mut lines_run = 0;
    for (info, block) in fences(README) {
        match info.split_once(' ').unwrap_or((&info, "")) {
            ("text", "") => {}
            ("sh", "") => lines_run += reader.follow(&block).await,
            ("sh", word) if NOT_RUN.iter().any(|(known, _why)| *known == word) => {}
            _ => panic!("```{info}: are these commands to be run? If not, the word behind `sh` must say why:\n{block}"),
        }
    }
    assert!(lines_run >= 10, "the README tells how to run a real cluster: {lines_run} lines");
    reader.assert_all_is_as_told().await;
}

impl Reader {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let machines = FIRST..=FURTHER.len() + 1;
        let addresses = machines.map(|_| free_addresses(folder.path())).collect();
        Self { shell: Shell::in_folder(folder.path()), folder, addresses, nodes: Vec::new() }
    }

    /// Types what a block says, paragraph by paragraph: what is said of each further node, for each. Returns how many commands
    /// were run.
    async fn follow(&mut self, block: &str) -> usize {
        let mut count = 0;
        for paragraph in block.split("\n\n") {
            let machines = if paragraph.contains("each further node") { &FURTHER[..] } else { &[FIRST] };
            for machine in machines {
                for line in paragraph.lines().filter(|line| !line.starts_with('#')) {
                    self.type_in(*machine, line).await;
                    count += 1;
                }
            }
        }
        count
    }

    /// Runs a command on a machine: to its end, or where it is one that goes on, until it says that it does.
    async fn type_in(&mut self, machine: usize, line: &str) {
        let line = self.on(machine, line);
        println!("$ {line}");
        if line.starts_with("bursar authority run ") {
            let mut node = self.shell.start(&line, &format!("node-{machine}.log"));
            until("the node runs", async || {
                node.expect_running();
                node.said().contains("the node runs").then_some(())
            })
            .await;
            self.nodes.push(node);
        } else {
            println!("{}", self.shell.prints(&line));
        }
    }

    /// A command with this reader's places and names. What is said of a further node is said of the second one.
    fn on(&self, machine: usize, line: &str) -> String {
        let mut line = line.replace(DATA, &self.data(machine));
        if FURTHER.contains(&machine) {
            line = line.replace("auth-2.", &format!("auth-{machine}."));
        }
        for (number, [peer, api, control]) in (FIRST..).zip(&self.addresses) {
            // A port that the README leaves to custom is customary on a machine of its own alone.
            let of_nodes = format!("--peer-address auth-{number}.example:4283");
            line = line.replace(&of_nodes, &format!("{of_nodes} --control-address {control}"));
            line =
                line.replace(&format!("auth-{number}.example:4283"), peer).replace(&format!("auth-{number}.example:4285"), api);
        }
        assert!(!line.contains(".example"), "it names a machine that the reader does not have: {line}");
        line
    }

    fn data(&self, machine: usize) -> String {
        self.folder.path().join(format!("machine-{machine}")).display().to_string()
    }

    /// All nodes vote, the setup secret is gone, and the command line knows all members.
    async fn assert_all_is_as_told(&self) {
        assert_eq!(self.nodes.len(), 1 + FURTHER.len());
        until("all nodes vote", async || {
            self.shell.prints("bursar status").contains("2 of 3 voters needed, 3 answering").then_some(())
        })
        .await;
        let secret = format!("{}/setup-secret", self.data(FIRST));
        until("the setup secret is removed", async || (!fs::exists(&secret).expect("a folder")).then_some(())).await;
        let context = self.shell.prints("bursar context show");
        for [_, api, _] in &self.addresses {
            assert!(context.contains(api), "{api}: {context}");
        }
    }
}
