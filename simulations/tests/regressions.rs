//! Plans that failed once, and must not again: `regressions/NAME.json`, as `bursar-simulate` kept or shrank them, or written
//! after the story of a bug, failing where its mend is taken out.
#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

macro_rules! regressions {
    ($($name:ident: $story:literal,)*) => {
        const NAMES: &[&str] = &[$(stringify!($name)),*];

        $(#[doc = $story]
        #[test]
        fn $name() {
            passes(stringify!($name));
        })*
    };
}

regressions! {
    a_log_that_has_lost_its_tail: "A power cut took the tail of a node's log and left what it had applied: it did not start again.",
    a_server_that_was_held_up_tells_again_how_its_store_points_are: "A server was paused for longer than the detection window, on a connection that outlived \
        it: nothing was known of its store points any more.",
    a_directory_whose_sync_failed_is_made_anew: "The sync of a new node's directory failed, the next attempt found it and \
        took it for durable: a power cut took all of the node.",
    a_node_that_joins_under_load_comes_to_vote: "The log was purged right at each checkpoint: a node that joined under load \
        got one snapshot after the other, and never voted.",
    a_leader_whom_no_majority_confirmed_gives_everybody_a_window: "A leader without a majority sent heartbeats back: when \
        the majority was there again, servers had been silent for a window.",
    a_leader_whom_no_majority_confirms_calls_nobody_silent: "Servers that looked for another node were called silent just \
        after the majority was lost: that was decided once it was back.",
    a_leader_that_was_briefly_unconfirmed_calls_nobody_silent: "A heartbeat was refused by a leader that had lost its majority \
        for a quarter of a window: the server was called silent as soon as it was back.",
    a_leader_whom_nobody_has_confirmed_yet_calls_nobody_silent: "A leader was elected, cut off at once, and reached again after \
        more than a window: it called everybody silent, as if it had been confirmed all the time.",
    a_server_does_not_wait_for_one_node_after_the_other: "Of five nodes one lost its power and one was paused: servers that tried \
        both of them, one after the other, were called silent.",
    an_edit_that_is_repeated_after_the_removal_says_that_it_was_made: "A rename whose answer was lost was sent again when \
        its object was removed: 404, as if it had never been made.",
    a_node_that_joins_over_a_thin_link_catches_up: "An append carried up to a megabyte, and was never answered in time over \
        a thin link: the node that joined there never voted.",
    a_conversation_that_finds_a_node_brings_the_other_back: "One of a server's conversations had found the authority again, \
        and the one with the heartbeats rested on: the server was called silent.",
    a_server_finds_those_who_have_taken_the_places_of_all_that_it_knew: "While a server was paused, both nodes were replaced: it \
        refused their successors, who answered at the same addresses, for good.",
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/regressions")
}

fn passes(name: &str) {
    let plan = directory().join(format!("{name}.json"));
    let output = Command::new(env!("CARGO_BIN_EXE_bursar-simulate")).arg("replay").arg(plan).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn every_plan_is_run_by_a_test() {
    let files = fs::read_dir(directory()).unwrap().map(|file| file.unwrap().path());
    let plans: BTreeSet<String> = files.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    assert_eq!(plans, NAMES.iter().map(|name| (*name).to_owned()).collect());
}
