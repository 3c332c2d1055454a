//! How a machine becomes a member.

use std::{fs, sync::Arc, time::Duration};

use bursar_agent::{DirectoryError, World, issue};
use bursar_domain::{Hash, ServerId};
use bursar_net::{SystemClock, SystemEntropy};
use bursar_wire::{
    Secret,
    connection_string::LIFETIME_MS,
    control::{Introduced, NewcomerAnswer, PROBED_MAX},
};
use tokio::time::sleep;

use crate::support::*;

#[tokio::test(start_paused = true)]
async fn it_says_who_it_is_and_what_it_sees_to_whoever_knows_its_string() {
    let network = MemoryNetwork::default();
    let machine = Machine::new(&network);
    let _waiting = machine.wait().await;
    let _there = machine.listen("authority-1.example:4288").await;
    let (there, nowhere) = (control_of(1), control_of(2));
    let asked = machine.introduce(machine.says.secret.hash(), vec![nowhere.clone(), there.clone()]);
    let NewcomerAnswer::Introduced(introduced) = machine.asked(asked).await else { panic!("it does not introduce itself") };
    let Introduced { guid, program, certificate_request, probed, .. } = *introduced;
    assert_eq!((guid, program.version.as_str()), (machine.says.guid, machine.says.version.as_str()));
    assert_eq!(certificate_request.public_key().unwrap(), machine.says.public_key.as_der());
    let seen: Vec<_> = probed.into_iter().map(|probed| (probed.address, probed.outcome.is_reached())).collect();
    assert_eq!(seen, [(nowhere, false), (there, true)], "in the order in which they were asked for");

    let too_many = machine.introduce(machine.says.secret.hash(), vec![control_of(1); PROBED_MAX + 1]);
    assert!(matches!(machine.asked(too_many).await, NewcomerAnswer::Failed { .. }));
}

#[tokio::test(start_paused = true)]
async fn the_string_that_was_issued_last_is_taken_at_once_and_no_other() {
    let network = MemoryNetwork::default();
    let machine = Machine::new(&network);
    let _waiting = machine.wait().await;
    let first = machine.says.secret.hash();
    let wrong = Secret::new("another").hash();
    assert_eq!(machine.asked(machine.introduce(wrong, Vec::new())).await, NewcomerAnswer::Voided);
    assert!(matches!(machine.asked(machine.introduce(first, Vec::new())).await, NewcomerAnswer::Introduced(_)));
    let second = machine.issue().says.secret.hash();
    assert_eq!(machine.asked(machine.introduce(first, Vec::new())).await, NewcomerAnswer::Voided);
    assert!(matches!(machine.asked(machine.introduce(second, Vec::new())).await, NewcomerAnswer::Introduced(_)));
}

#[tokio::test(start_paused = true)]
async fn it_is_adopted_once_and_refusals_use_nothing_up() {
    let network = MemoryNetwork::default();
    let (machine, stranger) = (Machine::new(&network), Machine::new(&network));
    let cluster = Cluster::new(&network);
    let waiting = machine.wait().await;
    let membership = || cluster.membership(ME, &machine, nodes(&[1, 2]));

    let void = machine.adopt_by(Hash([1; 32]), membership());
    assert_eq!(machine.asked(void).await, NewcomerAnswer::Voided);
    let of_another_key = cluster.membership(ME, &stranger, nodes(&[1]));
    let of_another_number = bursar_wire::control::Membership { server: ServerId(9), ..membership() };
    let of_another_authority = bursar_wire::control::Membership {
        ca_certificate: Cluster::new(&network).membership(ME, &machine, nodes(&[1])).ca_certificate,
        ..membership()
    };
    let alone = cluster.membership(ME, &machine, nodes(&[]));
    for unfit in [of_another_key, of_another_number, of_another_authority, alone] {
        let answer = machine.asked(machine.adopt(unfit)).await;
        assert!(matches!(answer, NewcomerAnswer::Failed { .. }), "{answer:?}");
        assert!(machine.directory().membership(&machine.server()).unwrap().is_none(), "a refusal changes nothing");
        assert!(!machine.root().join("server.crt").exists(), "a refusal writes nothing");
    }

    assert_eq!(machine.asked(machine.adopt(membership())).await, NewcomerAnswer::Adopted);
    waiting.ended().await.unwrap();
    let adopted = machine.directory().membership(&machine.server()).unwrap().unwrap();
    assert_eq!((adopted.cluster, adopted.server, adopted.authority), (cluster.id, ME, nodes(&[1, 2])));

    let refused = issue(&machine.directory(), &SystemClock, &SystemEntropy::new()).unwrap_err();
    assert!(matches!(refused, DirectoryError::Member(_)), "a member needs no connection string: {refused}");
}

#[tokio::test(start_paused = true)]
async fn what_it_was_asked_before_it_ended_is_asked_again_of_the_next_start() {
    let network = MemoryNetwork::default();
    let machine = Machine::new(&network);
    let cluster = Cluster::new(&network);
    let introduced = machine.introduce(machine.says.secret.hash(), Vec::new());
    let waiting = machine.wait().await;
    assert!(matches!(machine.asked(introduced.clone()).await, NewcomerAnswer::Introduced(_)));
    drop(waiting);
    let waiting = machine.wait().await;
    assert!(matches!(machine.asked(introduced).await, NewcomerAnswer::Introduced(_)));
    let membership = cluster.membership(ME, &machine, nodes(&[1]));
    assert_eq!(machine.asked(machine.adopt(membership)).await, NewcomerAnswer::Adopted);
    waiting.ended().await.unwrap();

    let mut node = cluster.node(1).await;
    let _running = machine.run().await;
    let (call, follow) = node.follower().await;
    assert_eq!((call.hello.from, call.hello.from_store), (Some(bursar_net::Member::server(ME.0)), machine.store()));
    assert_eq!(follow.since, None);
}

/// A machine whose connection string has expired.
fn too_late(machine: &Machine) -> World {
    World { clock: Arc::new(LateClock::by_ms(LIFETIME_MS + 1)), ..machine.world() }
}

#[tokio::test(start_paused = true)]
async fn a_string_that_has_expired_is_good_for_nothing() {
    let network = MemoryNetwork::default();
    let machine = Machine::new(&network);
    let membership = Cluster::new(&network).membership(ME, &machine, nodes(&[1]));
    let _waiting = machine.wait_in(too_late(&machine)).await;
    let introduced = machine.introduce(machine.says.secret.hash(), Vec::new());
    assert_eq!(machine.asked(introduced).await, NewcomerAnswer::Expired);
    assert_eq!(machine.asked(machine.adopt(membership)).await, NewcomerAnswer::Expired);
}

/// The disk is slow, whoever brought the membership leaves meanwhile, and the string expires before the next attempt.
#[tokio::test(start_paused = true)]
async fn an_adoption_goes_on_without_whoever_brought_it_and_nobody_is_told_that_its_string_has_expired() {
    let network = MemoryNetwork::default();
    let machine = Machine::new(&network);
    let membership = Cluster::new(&network).membership(ME, &machine, nodes(&[1]));
    let blocking = Arc::new(HeldBlocking::default());
    let clock = Arc::new(LateClock::default());
    let world = World { blocking: Arc::clone(&blocking) as _, clock: Arc::clone(&clock) as _, ..machine.world() };
    let waiting = machine.wait_in(world).await;

    // Which string stands is looked at first.
    blocking.hold_after(1);
    let brought = tokio::spawn(Machine::answer(machine.call().await, machine.adopt(membership)));
    patiently(blocking.holds()).await;
    brought.abort();
    clock.set_late_ms(LIFETIME_MS + 1);
    let introduced = machine.introduce(machine.says.secret.hash(), Vec::new());
    let again = tokio::spawn(Machine::answer(machine.call().await, introduced));
    // Time passes once nobody has anything to do.
    sleep(Duration::from_secs(1)).await;
    assert!(machine.directory().membership(&machine.server()).unwrap().is_none());
    assert!(!again.is_finished(), "it cannot tell yet");

    blocking.release();
    let answer = patiently(again).await.unwrap();
    assert!(matches!(&answer, NewcomerAnswer::Failed { detail } if detail.contains("already")), "{answer:?}");
    waiting.ended().await.unwrap();
    assert!(machine.directory().membership(&machine.server()).unwrap().is_some());
}

/// Another string is issued when this one was looked at, and before the membership rests.
#[tokio::test(start_paused = true)]
async fn a_string_that_is_voided_while_the_server_is_about_to_become_a_member_makes_it_none() {
    let network = MemoryNetwork::default();
    let machine = Machine::new(&network);
    let membership = Cluster::new(&network).membership(ME, &machine, nodes(&[1]));
    let blocking = Arc::new(HeldBlocking::default());
    let waiting = machine.wait_in(World { blocking: Arc::clone(&blocking) as _, ..machine.world() }).await;

    blocking.hold_after(1);
    let brought = tokio::spawn(Machine::answer(machine.call().await, machine.adopt(membership.clone())));
    patiently(blocking.holds()).await;
    let second = machine.issue().says.secret.hash();
    blocking.release();
    assert_eq!(patiently(brought).await.unwrap(), NewcomerAnswer::Voided);
    assert!(machine.directory().membership(&machine.server()).unwrap().is_none(), "who issued it was told that it stands");

    // And while the server becomes a member, no other string is issued: whoever comes second is told to try again.
    let held = machine.directory().lock_standing().unwrap();
    let answer = machine.asked(machine.adopt_by(second, membership.clone())).await;
    assert!(matches!(&answer, NewcomerAnswer::Failed { detail } if detail.contains("try again")), "{answer:?}");
    drop(held);
    assert_eq!(machine.asked(machine.adopt_by(second, membership)).await, NewcomerAnswer::Adopted);
    waiting.ended().await.unwrap();
}

/// The membership has its name, and the disk failed before it said so: the next start may find it.
#[tokio::test(start_paused = true)]
async fn an_adoption_that_may_rest_is_done_again_however_late() {
    let network = MemoryNetwork::default();
    let machine = Machine::new(&network);
    let membership = Cluster::new(&network).membership(ME, &machine, nodes(&[1]));
    let waiting = machine.wait_in(too_late(&machine)).await;
    fs::write(machine.root().join("membership.toml"), "").unwrap();

    assert_eq!(machine.asked(machine.adopt_by(Hash([1; 32]), membership.clone())).await, NewcomerAnswer::Voided);
    let introduced = machine.introduce(machine.says.secret.hash(), Vec::new());
    assert!(matches!(machine.asked(introduced).await, NewcomerAnswer::Introduced(_)));
    assert_eq!(machine.asked(machine.adopt(membership)).await, NewcomerAnswer::Adopted);
    waiting.ended().await.unwrap();
    assert!(machine.directory().membership(&machine.server()).unwrap().is_some());
}
