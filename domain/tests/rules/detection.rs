//! The planner of failure detection: what was heard, when the leader looks, what it then proposes.

use bursar_domain::{
    Command, Text, Timestamp,
    plan::failure_detection::{Observed, WINDOW_MS, plan},
    server::{self, Intent},
};
use bursar_domain_testing::Dice;
use proptest::prelude::*;

use crate::{book::*, fleet::*, servers::an_offline_server};

/// How often the leader looks.
const LOOK_MS: u64 = WINDOW_MS / 10;
/// How often a server says that it is there.
const BEAT_MS: u64 = WINDOW_MS / 3;

fn misses() -> Command {
    Command::Server(server::Command::WentOffline { server: FIRST })
}

fn hears() -> Command {
    Command::Server(server::Command::CameOnline { server: FIRST })
}

fn ends_maintenance() -> Command {
    Command::Server(server::Command::EndMaintenance { server: FIRST })
}

/// A leader that begins to listen at 0.
fn a_leader() -> Observed {
    Observed::new(WINDOW_MS, 0)
}

/// It looks as it should, up to that moment.
fn looks_until(observed: &mut Observed, from_ms: u64, to_ms: u64) {
    for at_ms in (from_ms..to_ms).step_by(usize::try_from(LOOK_MS).expect("it fits")) {
        observed.look(at_ms, Some(0));
    }
    observed.look(to_ms, Some(0));
}

fn planned(given: Given, observed: &Observed) -> Vec<Command> {
    plan(&given.into_state(), observed, START)
}

#[test]
fn a_silent_server_went_offline_after_the_window_and_not_before() {
    let mut observed = a_leader();
    observed.hear(FIRST, guid(1), 1_000);
    looks_until(&mut observed, 0, 1_000 + WINDOW_MS - 1);
    assert_eq!(planned(servers(1), &observed), []);
    observed.look(1_000 + WINDOW_MS, Some(0));
    assert_eq!(planned(servers(1), &observed), [misses()]);
    assert_eq!(planned(an_offline_server(), &observed), [], "once");
}

#[test]
fn a_new_leader_gives_everybody_a_window() {
    let mut observed = Observed::new(WINDOW_MS, 50_000);
    looks_until(&mut observed, 50_000, 50_000 + WINDOW_MS - 1);
    assert_eq!(planned(servers(2), &observed), []);
    observed.look(50_000 + WINDOW_MS, Some(0));
    assert_eq!(planned(servers(2), &observed).len(), 2);
}

#[test]
fn a_leader_that_was_held_up_gives_everybody_a_window() {
    let mut observed = a_leader();
    looks_until(&mut observed, 0, WINDOW_MS - LOOK_MS);
    let awake_ms = 10 * WINDOW_MS;
    observed.look(awake_ms, Some(0));
    assert_eq!(planned(servers(1), &observed), []);
    looks_until(&mut observed, awake_ms, awake_ms + WINDOW_MS - 1);
    assert_eq!(planned(servers(1), &observed), []);
    observed.look(awake_ms + WINDOW_MS, Some(0));
    assert_eq!(planned(servers(1), &observed), [misses()]);
}

/// Heartbeats are sent back while a leader cannot reach a majority.
#[test]
fn a_leader_whom_no_majority_confirmed_for_a_while_gives_everybody_a_window() {
    let mut observed = a_leader();
    looks_until(&mut observed, 0, WINDOW_MS - 1);
    observed.look(WINDOW_MS, Some(WINDOW_MS / 8 + 1));
    assert_eq!(planned(servers(1), &observed), []);
    looks_until(&mut observed, WINDOW_MS, 2 * WINDOW_MS - 1);
    assert_eq!(planned(servers(1), &observed), []);
    observed.look(2 * WINDOW_MS, Some(0));
    assert_eq!(planned(servers(1), &observed), [misses()]);
}

/// It was elected, and then reached by nobody.
#[test]
fn a_leader_whom_no_majority_has_confirmed_yet_gives_everybody_a_window_from_then_on() {
    let mut observed = a_leader();
    for at_ms in (0..=3 * WINDOW_MS).step_by(usize::try_from(LOOK_MS).expect("it fits")) {
        observed.look(at_ms, None);
    }
    looks_until(&mut observed, 3 * WINDOW_MS, 4 * WINDOW_MS - 1);
    assert_eq!(planned(servers(1), &observed), []);
    observed.look(4 * WINDOW_MS, Some(0));
    assert_eq!(planned(servers(1), &observed), [misses()]);
}

#[test]
fn a_confirmation_that_is_a_little_late_is_no_gap() {
    let mut observed = a_leader();
    looks_until(&mut observed, 0, WINDOW_MS - 1);
    observed.look(WINDOW_MS, Some(WINDOW_MS / 8));
    assert_eq!(planned(servers(1), &observed), [misses()]);
}

#[test]
fn a_look_that_is_a_little_late_is_no_gap() {
    let mut observed = a_leader();
    for at_ms in [WINDOW_MS / 3, 2 * (WINDOW_MS / 3), WINDOW_MS] {
        observed.look(at_ms, Some(0));
    }
    assert_eq!(planned(servers(1), &observed), [misses()]);
}

#[test]
fn a_server_that_is_heard_again_came_online() {
    let mut observed = a_leader();
    observed.look(LOOK_MS, Some(0));
    assert_eq!(planned(an_offline_server(), &observed), [], "the beginning of listening is no word of the server");
    observed.hear(FIRST, guid(1), LOOK_MS);
    assert_eq!(planned(an_offline_server(), &observed), [hears()]);
}

#[test]
fn what_a_predecessor_said_does_not_count() {
    let mut observed = a_leader();
    observed.hear(FIRST, guid(2), 0);
    assert_eq!(planned(an_offline_server(), &observed), []);
    looks_until(&mut observed, 0, WINDOW_MS - 1);
    observed.hear(FIRST, guid(2), WINDOW_MS - 1);
    observed.look(WINDOW_MS, Some(0));
    assert_eq!(planned(servers(1), &observed), [misses()]);
}

#[test]
fn a_server_that_is_being_taken_in_or_gone_is_left_alone() {
    let mut observed = a_leader();
    observed.hear(FIRST, guid(1), 0);
    looks_until(&mut observed, 0, 2 * WINDOW_MS);
    assert_eq!(planned(a_destination().and(added(1)), &observed), []);
    let gone = server::Event::Removed { server: FIRST, destination: DESTINATION };
    assert_eq!(planned(servers(1).and([gone.into()]), &observed), []);
}

#[test]
fn a_maintenance_ends_when_it_is_due() {
    let intent =
        Intent::Maintenance { until: START.plus_ms(10), reason: Text::parse("reason", "new disks").expect("a proper text") };
    let given = || servers(1).and([server::Event::Intended { server: FIRST, intent: intent.clone() }.into()]);
    let at = |now| plan(&given().into_state(), &a_leader(), now);
    assert_eq!(at(START.plus_ms(9)), []);
    assert_eq!(at(START.plus_ms(10)), [ends_maintenance()]);
    let mut silent = a_leader();
    looks_until(&mut silent, 0, WINDOW_MS);
    assert_eq!(plan(&given().into_state(), &silent, START), [misses()], "that it is expected changes nothing of it");
    assert_eq!(plan(&given().into_state(), &silent, Timestamp(u64::MAX)), [misses()], "one at a time");
}

#[test]
fn strangers_are_forgotten() {
    let mut observed = a_leader();
    observed.hear(FIRST, guid(1), 0);
    observed.hear(SECOND, guid(2), 0);
    let state = servers(1).into_state();
    observed.forget_strangers(&state);
    let mut known = a_leader();
    known.hear(FIRST, guid(1), 0);
    assert_eq!(observed, known);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// Servers beat until they die; leaders come, go and are held up. Nobody is failed who was heard within the window, nor
    /// within a window of a leader's beginning or of a gap; who is dead is found as soon as a leader has listened for a window.
    #[test]
    fn only_the_dead_are_failed_and_all_of_them(seed: u64) {
        let mut dice = Dice::new(seed);
        let state = servers(3).into_state();
        let dies_at_ms: Vec<u64> = (0..3).map(|_| dice.below(20 * WINDOW_MS)).collect();
        let offset_ms: Vec<u64> = (0..3).map(|_| dice.below(BEAT_MS)).collect();
        let mut observed = a_leader();
        let (mut now_ms, mut undisturbed_since_ms, mut heard_until_ms) = (0, 0, 0);
        while now_ms < 24 * WINDOW_MS {
            let step_ms = match dice.below(60) {
                0 => WINDOW_MS / 3 + 1 + dice.below(3 * WINDOW_MS),
                _ => LOOK_MS,
            };
            now_ms += step_ms;
            if dice.chance(1) {
                observed = Observed::new(WINDOW_MS, now_ms);
                (undisturbed_since_ms, heard_until_ms) = (now_ms, now_ms);
                continue;
            }
            if step_ms > WINDOW_MS / 3 {
                // What was said during the pause is lost.
                (undisturbed_since_ms, heard_until_ms) = (now_ms, now_ms);
            }
            for (index, server) in state.servers().iter().enumerate() {
                let beats = (0..).map(|count| offset_ms[index] + count * BEAT_MS);
                let beats = beats.skip_while(|at_ms| *at_ms < heard_until_ms).take_while(|at_ms| *at_ms < now_ms);
                for at_ms in beats.filter(|at_ms| *at_ms < dies_at_ms[index]) {
                    observed.hear(server.id, server.facts.guid, at_ms);
                }
            }
            heard_until_ms = now_ms;
            observed.look(now_ms, Some(0));
            let failed = plan(&state, &observed, START);
            for (index, server) in state.servers().iter().enumerate() {
                let is_failed = failed.contains(&Command::Server(server::Command::WentOffline { server: server.id }));
                let silent_ms = now_ms.saturating_sub(dies_at_ms[index].max(undisturbed_since_ms));
                prop_assert!(!is_failed || silent_ms + BEAT_MS >= WINDOW_MS, "{} failed at {now_ms}", server.id);
                prop_assert!(!is_failed || now_ms - undisturbed_since_ms >= WINDOW_MS, "{} failed early", server.id);
                prop_assert!(!is_failed || now_ms > dies_at_ms[index], "{} lives", server.id);
                prop_assert!(is_failed || silent_ms < WINDOW_MS, "{} is dead, and nobody says so at {now_ms}", server.id);
            }
        }
    }
}
