//! Duties: what the leader does by itself, dropped whole when it leads no more.

use std::{sync::Arc, time::Duration};

use bursar_domain::{Actor, Command, Duty, Hash, ObjectRef, RequestId, Revision, Submission, encoding::encode};
use tokio::time::{MissedTickBehavior, interval};

use crate::{leadership::Leadership, membership::MembershipDuty, published::Published};

/// How often a duty looks even where nothing has changed: what others have answered is in no revision.
const TICK: Duration = Duration::from_secs(1);
/// How long it rests at least between two looks.
const REST: Duration = Duration::from_millis(50);

/// Runs the membership duty whenever this node leads, for ever.
pub(crate) async fn run(duty: MembershipDuty, leadership: Leadership, published: Arc<Published>) {
    loop {
        let term = leadership.begins().await;
        tracing::info!("this node leads: its duties begin");
        tokio::select! {
            () = look_again_and_again(&duty, &published) => {}
            () = leadership.ends(term) => tracing::info!("this node leads no more: its duties are dropped"),
        }
    }
}

/// Every second, and on each change of an authority node.
async fn look_again_and_again(duty: &MembershipDuty, published: &Published) {
    let mut changes = published.nodes_changed();
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            // The sender lives as long as what is published.
            _ = changes.changed() => {}
        }
        duty.carry_out().await;
        tokio::time::sleep(REST).await;
    }
}

/// A command of this program itself as a submission. Its request id names what it was planned on and what it is about, so
/// that a repetition is recognised.
pub fn submission(actor: Actor, planned_on: Revision, object: ObjectRef, command: Command) -> Submission {
    let name = match actor {
        Actor::Duty(Duty::Membership) => "membership",
        Actor::Duty(Duty::Join) => "join",
        Actor::Duty(Duty::FailureDetection) => "failure-detection",
        _ => "self",
    };
    let request = format!("{name}.{planned_on}.{}.{}", object.kind(), object.number());
    let mut submission = Submission {
        actor,
        request: RequestId::minted(&request).expect("names and numbers are visible ASCII"),
        fingerprint: Hash::ZERO,
        expected: None,
        planned_on: Some(planned_on),
        command,
    };
    submission.fingerprint = Hash::of(&encode(&submission));
    submission
}
