//! Members come and go as processes: one joins with its token alone, one that led leaves, one whose stores were emptied is
//! refused.

mod support;

use std::{fs, path::Path, process::Output};

use bursar_wire::{
    client::Change,
    cluster::TransferLeadership,
    invitation::Invitation,
    operations::{Operation, OperationStatus},
};
use support::{
    Fleet, Node,
    ended::{bursar, doctor},
    errors_of,
    members::Home,
    shim, site,
    traffic::{Temper, Traffic, settled},
};
use tokio::sync::Mutex;

/// One fleet at a time, so that two processors suffice.
static TURN: Mutex<()> = Mutex::const_new(());

/// The shortest time that an invitation can hold, in seconds.
const SHORT: u64 = 60;
/// A time that no test takes, in seconds.
const LONG: u64 = 3_600;

/// How the program ends, by its contract.
const FAILED: Option<i32> = Some(1);
const USAGE: Option<i32> = Some(2);
const NOT_LET_IN: Option<i32> = Some(3);

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_joins_with_its_token_alone_and_its_vote_counts() {
    let _turn = TURN.lock().await;
    let mut fleet = Fleet::start();
    let short = fleet.invite(SHORT);
    let token = fleet.invite(LONG);
    let before = settled(&fleet).await;
    // What is no token, or was one of another cluster, or has another secret.
    refused(fleet.join("cut-off", &token[..token.len() - 1]), USAGE, "cut off or mistyped");
    refused(fleet.join("no-token", "let me in"), USAGE, "a join token begins with");
    let mistyped = token.replacen(|letter: char| letter.is_ascii_uppercase(), "_", 1);
    refused(fleet.join("mistyped", &mistyped), USAGE, "cut off or mistyped");
    let mut forged: Invitation = token.parse().expect("a token");
    forged.secret = forged.secret.chars().rev().collect();
    refused(fleet.join("forged", &forged.to_string()), NOT_LET_IN, "join_token_unknown");
    let mut astray: Invitation = token.parse().expect("a token");
    astray.certificate_authority = [7; 32].into();
    let gave_up = fleet.try_to_join_for(1, &Home::free(fleet.folder()), "astray", &astray.to_string(), &[]);
    refused(Err(gave_up), FAILED, "no authority node let this machine in");
    assert_eq!(settled(&fleet).await, before, "nothing has changed");

    let node = fleet.join("authority-4", &token).expect("the machine joins");
    refused(fleet.join("too-late", &token), NOT_LET_IN, "join_token_used");
    let never_made = bursar(&["authority", "run", "--dir"], &fleet.folder().join("too-late"));
    assert!(errors_of(&never_made).contains("holds no authority node"), "{}", errors_of(&never_made));

    let fourth = fleet.take_in(node);
    assert_eq!(fourth, 4);
    fleet.until_voting(&[1, 2, 3, 4]).await;
    // With one of four down, all that are left must vote.
    let leader = fleet.leader().await;
    fleet.kill(leader);
    fleet.client().post("sites", &site("decided by three of four"), Change::default()).await.expect("the fourth votes");
    fleet.restart(leader);
    fleet.ready(leader).await;

    settled(&fleet).await;
    fleet.stop_and_examine();

    // A minute later, as the authority sees it.
    let Some(clock) = shim::compile("clock") else { return };
    let (library, ahead) = (clock.display().to_string(), SHORT.to_string());
    for id in fleet.ids() {
        fleet.restart_with(id, &[("LD_PRELOAD", &library), ("CLOCK_AHEAD_S", &ahead)]);
    }
    fleet.leader().await;
    refused(fleet.join("expired", &short), NOT_LET_IN, "join_token_expired");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_removed_hands_over_ends_and_stays_out() {
    let _turn = TURN.lock().await;
    let mut fleet = Fleet::start();
    // The test's own child, so that it sees how it ends.
    let leaving = 3;
    fleet.stop(leaving);
    fleet.restart(leaving);
    fleet.ready(leaving).await;
    let to = TransferLeadership { to: Some(leaving) };
    fleet.client().post("cluster/transfer-leadership", &to, Change::default()).await.expect("it leads");

    let mut traffic = Traffic::new();
    for number in 0..3 {
        traffic.write(fleet.client_from(number), Temper::Stubborn);
        traffic.follow(&format!("follower {number}"), fleet.client_from(number), Some(0));
    }
    traffic.progress(20).await;
    let began = traffic.record().now();
    let removed = fleet.operate(["cluster", "remove", &leaving.to_string(), "--yes", "--wait", "-o", "json"]);
    assert!(removed.status.success(), "{}", errors_of(&removed));
    let operation: Operation = serde_json::from_slice(&removed.stdout).expect("an operation as JSON");
    assert_eq!(operation.status, OperationStatus::Succeeded);
    assert!(!fleet.node_mut(leaving).wait_for_end(), "a node that was removed does not end well");
    assert_says_removed(fleet.node(leaving), 1);
    let diagnosis = doctor(&fleet.node(leaving).dir);
    assert!(!diagnosis.healthy, "what was removed is not healthy, whatever its files are");
    assert!(diagnosis.of("membership").detail.contains("erase this directory"), "{diagnosis:?}");
    traffic.progress(20).await;
    println!("gap in acknowledged writes while the leader was removed: {:.2?}", traffic.longest_gap(began));

    // Its machine starts it again, as machines do.
    fleet.restart(leaving);
    assert!(!fleet.node_mut(leaving).wait_for_end(), "a node that was removed does not run again");
    assert_says_removed(fleet.node(leaving), 2);
    assert!(traffic.failures().is_empty(), "{:#?}", traffic.failures());
    fleet.give_up(leaving);
    fleet.until_voting(&[1, 2]).await;

    // The machine comes back as another node.
    let newcomer = fleet.join("authority-4", &fleet.invite(LONG)).expect("the machine joins");
    assert_eq!(fleet.take_in(newcomer), 4, "numbers are never given again");
    fleet.until_voting(&[1, 2, 4]).await;
    fleet.ready(4).await;
    let history = traffic.end(&fleet).await;
    history.assert_sound();
    fleet.stop_and_examine();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_stores_were_emptied_or_replaced_is_refused() {
    let _turn = TURN.lock().await;
    let mut fleet = Fleet::start();
    let leader = fleet.leader().await;
    let wiped = fleet.others(leader)[0];
    fleet.kill(wiped);

    // It has voted, and no longer knows for whom.
    let dir = fleet.node(wiped).dir.clone();
    for stores in [&["log"][..], &["ledger"], &["log", "ledger"]] {
        for store in stores {
            fs::rename(dir.join(store), dir.join(format!("{store}.kept"))).expect("the store is moved away");
        }
        assert!(!doctor(&dir).healthy, "the doctor notices that {stores:?} are gone");
        fleet.restart(wiped);
        assert!(!fleet.node_mut(wiped).wait_for_end(), "it does not run without its {stores:?}");
        let log = fleet.node(wiped).end_of_log();
        assert!(log.contains("remove the node from the cluster") && log.contains("join"), "it says what to do:\n{log}");
        for store in stores {
            assert!(!dir.join(store).exists(), "nothing is made in its place");
            fs::rename(dir.join(format!("{store}.kept")), dir.join(store)).expect("the store is brought back");
        }
    }

    // Another data directory under its number: the stores know the one that they were made with.
    let identity = fs::read_to_string(dir.join("identity.toml")).expect("an identity");
    let store = identity.lines().find(|line| line.starts_with("store = ")).expect("an identity names its store");
    replace(&dir.join("identity.toml"), store, "store = \"00112233445566778899aabbccddeeff\"");
    fleet.restart(wiped);
    assert!(!fleet.node_mut(wiped).wait_for_end(), "it does not run on another store");
    let log = fleet.node(wiped).end_of_log();
    assert!(log.contains("says store 00112233445566778899aabbccddeeff") && log.contains("identity.toml"), "it says why:\n{log}");
    fleet.client().post("sites", &site("decided by two of three"), Change::default()).await.expect("the others go on");

    // As it was, it belongs.
    replace(&dir.join("identity.toml"), "store = \"00112233445566778899aabbccddeeff\"", store);
    fleet.restart(wiped);
    fleet.ready(wiped).await;
    settled(&fleet).await;
    fleet.stop_and_examine();
}

/// The program has ended as it must, and says why.
fn refused(joined: Result<Node, Output>, code: Option<i32>, why: &str) {
    let output = joined.err().expect("the machine is not let in");
    let errors = errors_of(&output);
    assert!(errors.contains(why), "“{why}” is why: {errors}");
    assert_eq!(output.status.code(), code, "{errors}");
}

/// The node's log says, so many times, that it was removed, and what to do.
fn assert_says_removed(node: &Node, times: usize) {
    let log = fs::read_to_string(&node.log).expect("the log file");
    let said = log.lines().filter(|line| line.starts_with("error: ") && line.contains("was removed from the cluster")).count();
    assert_eq!(said, times, "it says why it ends:\n{}", node.end_of_log());
    assert!(log.contains("new data directory with a join token"), "it says what to do");
}

fn replace(path: &Path, old: &str, new: &str) {
    let text = fs::read_to_string(path).expect("a text file");
    assert!(text.contains(old), "{text}");
    fs::write(path, text.replace(old, new)).expect("the file is written");
}
