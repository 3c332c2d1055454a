//! Duties: what the leader does by itself, dropped whole when it leads no more.

use std::{sync::Arc, time::Duration};

use bursar_domain::{Actor, Command, Duty, Hash, ObjectRef, RequestId, Revision, Submission, encoding::encode};
use tokio::time::{MissedTickBehavior, interval};

use crate::{clock_duty::ClockDuty, leadership::Leadership, membership::MembershipDuty, published::Published};

/// How often a duty looks even where nothing has changed: what others have answered is in no revision.
const TICK: Duration = Duration::from_secs(1);
/// How long it rests at least between two looks.
const REST: Duration = Duration::from_millis(50);

/// Runs the duties whenever this node leads, for ever.
pub(crate) async fn run(membership: MembershipDuty, clock: ClockDuty, leadership: Leadership, published: Arc<Published>) {
    loop {
        let term = leadership.begins().await;
        tracing::info!("this node leads: its duties begin");
        tokio::select! {
            () = look_again_and_again(&membership, &published) => {}
            () = clock.run() => {}
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
    // Each duty has a name of its own: two that plan on the same revision, of the same object, must not share a request id.
    let name = match actor {
        Actor::Duty(Duty::Membership) => "membership",
        Actor::Duty(Duty::Join) => "join",
        Actor::Duty(Duty::FailureDetection) => "failure-detection",
        Actor::Founder | Actor::Token(_) | Actor::Joiner | Actor::AuthorityNode(_) | Actor::Server(_) => "self",
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

#[cfg(test)]
mod tests {
    use bursar_domain::{AuthorityNodeId, authority_node};

    use super::*;

    #[test]
    fn what_two_duties_plan_alike_are_two_requests() {
        let node = AuthorityNodeId(2);
        let request = |duty| {
            let command = Command::AuthorityNode(authority_node::Command::Settle { node });
            submission(Actor::Duty(duty), Revision(7), node.into(), command).request
        };
        let requests = [Duty::Membership, Duty::Join, Duty::FailureDetection].map(request);
        assert_ne!(requests[0], requests[1]);
        assert_ne!(requests[0], requests[2]);
        assert_ne!(requests[1], requests[2]);
        assert_eq!(requests[0], request(Duty::Membership), "a repetition is recognised");
    }
}
