//! Machines that are made members or founders by commands that break off at any step: repeated, each comes to the same end.

mod support;

use std::{fs::DirBuilder, os::unix::fs::DirBuilderExt, path::Path, process::Output};

use support::{
    Fleet, Node,
    disk::{EventKind, Fault, Shim, Watched},
    ended::{Run, bursar},
    errors_of,
    lone::found,
    members::Home,
    traffic::{journal_of, settled},
    until,
};
use tokio::sync::Mutex;

/// One fleet at a time, so that two processors suffice.
static TURN: Mutex<()> = Mutex::const_new(());

/// A time that no test takes, in seconds.
const LONG: u64 = 3_600;
/// More steps than any of the commands takes.
const STEPS_MAX: u64 = 100;

/// Makes the disk such that a command on it breaks off.
type Break = fn(Watched) -> Watched;

/// The ways in which a command breaks off: its disk fails, or it dies.
const BREAKS: [(&str, Break); 4] = [
    ("a-sync-fails", |watched| watched.failing(Fault::SyncFails, "")),
    ("the-disk-is-full", |watched| watched.failing(Fault::DiskFull, "")),
    ("dies-before-a-sync", |watched| watched.dying_in(EventKind::Sync, "")),
    ("dies-within-a-write", |watched| watched.dying_in(EventKind::Write, "")),
];

fn make_private(dir: &Path) {
    DirBuilder::new().mode(0o700).create(dir).expect("a new folder");
}

/// Repeats a command, which breaks off one step later each time, until it has made a node.
fn repeat(shim: &Shim, dir: &Path, breaks: Break, command: impl Fn(&[(&str, &str)]) -> Output) {
    make_private(dir);
    for step in 0..STEPS_MAX {
        let watched = breaks(shim.watch_folder(dir, &dir.with_extension("disk")));
        watched.arm(step);
        let output = command(&watched.environment());
        let broke_off = !watched.disarm();
        assert_eq!(output.status.success(), !broke_off, "step {step}: {}", errors_of(&output));
        if dir.join("identity.toml").exists() {
            return println!("{}: a node at attempt {}, which ended with {}", dir.display(), step + 1, output.status);
        }
        assert!(broke_off, "a command that ends well has made a node");
    }
    panic!("{}: no node is made", dir.display());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_join_that_breaks_off_is_repeated_with_the_same_token_and_makes_one_member() {
    let _turn = TURN.lock().await;
    let Some(shim) = Shim::build() else { return };
    let mut fleet = Fleet::of_one().await;
    let mut members = vec![1];
    for (name, breaks) in BREAKS {
        let (token, home, dir) = (fleet.invite(LONG), Home::free(fleet.folder()), fleet.folder().join(name));
        repeat(shim, &dir, breaks, |environment| fleet.try_to_join(&home, name, &token, environment));

        // By then it is a member: it neither joins again, nor does another machine in its place.
        let again = fleet.try_to_join(&home, name, &token, &[]);
        assert!(errors_of(&again).contains("holds a node already"), "{}", errors_of(&again));
        let other = fleet.join(&format!("other-{name}"), &token).err().expect("a token is for one machine");
        assert!(errors_of(&other).contains("join_token_used"), "{}", errors_of(&other));

        let id = fleet.take_in(Node::member(home, &dir));
        members.push(members.len() as u64 + 1);
        assert_eq!(id, members[members.len() - 1], "every attempt was given the same number");
        fleet.until_voting(&members).await;
    }
    settled(&fleet).await;
    fleet.stop_and_examine();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_founding_that_breaks_off_is_repeated_and_founds_one_cluster() {
    // No turn: for most of its time no node runs.
    let Some(shim) = Shim::build() else { return };
    for (name, breaks) in BREAKS {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (home, dir) = (Home::free(folder.path()), folder.path().join(name));
        repeat(shim, &dir, breaks, |environment| found(&home, &dir, environment));
        let mut fleet = Fleet::of_first(folder, Node::member(home, &dir));
        fleet.restart(1);
        fleet.claim().await;
        assert_founded_once(&fleet).await;
        assert!(!dir.join("founding").exists(), "what has founded the cluster is not kept");
        fleet.stop_and_examine();
    }
}

/// What founds a cluster stands first in its journal, and nowhere else.
async fn assert_founded_once(fleet: &Fleet) {
    let journal = journal_of(fleet, 1).await;
    let founded: Vec<u64> = journal.iter().filter(|line| line.kind == "cluster.founded").map(|line| line.revision).collect();
    assert_eq!(founded, [1], "{journal:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_began_to_found_a_cluster_may_join_another_one() {
    let _turn = TURN.lock().await;
    let Some(shim) = Shim::build() else { return };
    let mut fleet = Fleet::of_one().await;
    let (home, name) = (Home::free(fleet.folder()), "of-two-minds");
    let dir = fleet.folder().join(name);
    make_private(&dir);
    // The identity comes last: all else is there.
    let watched = shim.watch_folder(&dir, &dir.with_extension("disk")).dying_in(EventKind::Write, "identity.toml");
    watched.arm(0);
    let broken = found(&home, &dir, &watched.environment());
    assert!(!broken.status.success() && !watched.disarm(), "{broken:?}");
    let left = ["founding", "setup-secret", "license.key"].map(|file| dir.join(file));
    assert!(left.iter().all(|file| file.exists()), "{left:?}");
    let never_made = bursar(&["authority", "run", "--dir"], &dir);
    assert!(errors_of(&never_made).contains("holds no authority node"), "{}", errors_of(&never_made));

    let node = fleet.join_at(home, name, &fleet.invite(LONG)).expect("the machine joins");
    assert!(!left.iter().any(|file| file.exists()), "nothing is left of the other cluster: {left:?}");
    let id = fleet.take_in(node);
    fleet.until_voting(&[1, id]).await;
    assert_founded_once(&fleet).await;
    settled(&fleet).await;
    fleet.stop_and_examine();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_began_to_join_a_cluster_may_found_another_one() {
    let _turn = TURN.lock().await;
    let Some(shim) = Shim::build() else { return };
    let fleet = Fleet::of_one().await;
    let (home, name, token) = (Home::free(fleet.folder()), "of-two-minds", fleet.invite(LONG));
    let dir = fleet.folder().join(name);
    make_private(&dir);
    let watched = shim.watch_folder(&dir, &dir.with_extension("disk")).dying_in(EventKind::Write, "identity.toml");
    watched.arm(0);
    let broken = fleet.try_to_join(&home, name, &token, &watched.environment());
    assert!(!broken.status.success() && !watched.disarm(), "{broken:?}");
    let left = ["joining", "members"].map(|file| dir.join(file));
    assert!(left.iter().all(|file| file.exists()), "{left:?}");

    let founded = found(&home, &dir, &[]);
    assert!(founded.status.success(), "{}", errors_of(&founded));
    assert!(!left.iter().any(|file| file.exists()), "nothing is left of the other cluster: {left:?}");
    let mut run = Run::start(&dir);
    until("the cluster is founded", async || {
        assert!(!run.has_ended(), "{}", run.said());
        run.said().contains("the cluster is founded").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_joins_while_the_authority_changes_its_leader() {
    let _turn = TURN.lock().await;
    let mut fleet = Fleet::start();
    let token = fleet.invite(LONG);
    // It takes connections and does not answer; whoever is asked next waits until another one leads.
    let leader = fleet.leader().await;
    fleet.freeze(leader);
    let joined = fleet.join("authority-4", &token);
    let successor = fleet.leader_among(&fleet.others(leader)).await;
    fleet.thaw(leader);
    println!("authority node {successor} leads instead of {leader}");
    let fourth = fleet.take_in(joined.expect("the machine joins"));
    fleet.until_voting(&[1, 2, 3, fourth]).await;
    let other = fleet.join("other", &token).err().expect("a token is for one machine");
    assert!(errors_of(&other).contains("join_token_used"), "{}", errors_of(&other));
    settled(&fleet).await;
    fleet.stop_and_examine();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_is_removed_before_its_first_start_hears_of_it_and_ends() {
    let _turn = TURN.lock().await;
    let mut fleet = Fleet::of_one().await;
    let node = fleet.join("never-started", &fleet.invite(LONG)).expect("the machine joins");
    let (id, dir) = (node.id, node.dir.clone());
    assert!(dir.join("members").exists(), "it knows whom it may call");
    let removed = fleet.operate(["cluster", "remove", &id.to_string(), "--yes", "--wait"]);
    assert!(removed.status.success(), "{}", errors_of(&removed));

    fleet.take_in(node);
    let ended = fleet.ended(id).await;
    let advice = "was removed from the cluster; to take the machine in again, start it on a new data directory with a join token";
    assert!(!ended.success && ended.said.contains(advice), "{}", ended.said);
    assert!(dir.join("removed").exists(), "it is known without the cluster, too");
    fleet.give_up(id);

    // One that is not removed knows the members by itself soon.
    let (name, token) = ("started", fleet.invite(LONG));
    let second = fleet.join(name, &token).expect("the machine joins");
    let second = fleet.take_in(second);
    fleet.until_voting(&[1, second]).await;
    fleet.stop(second);
    fleet.restart(second);
    fleet.ready(second).await;
    assert!(!fleet.node(second).dir.join("members").exists(), "what its ledger knows is not kept beside it");
    settled(&fleet).await;
    fleet.stop_and_examine();
}
