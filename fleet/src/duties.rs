//! What the leader does by itself, for as long as it leads.

use std::convert::Infallible;

use bursar_domain::{Actor, Command, Duty, ObjectRef, State};
use bursar_raft::duty_submission;
use tokio::time::{Duration, Instant};

use crate::{detector, fleet::Shared, join, observed::Listener};

/// The duties of one leadership: their driver, and what it hears. They hold no truth: it is in the ledger.
pub(crate) struct Duties<'f> {
    pub(crate) fleet: &'f Shared,
    pub(crate) listener: Listener,
}

/// Does them whenever this node leads, for ever.
pub(crate) async fn run(fleet: &Shared) -> Infallible {
    loop {
        let term = fleet.node.begins_to_lead().await;
        tracing::info!(term, "this node leads: it looks after the storage servers");
        let duties = Duties { fleet, listener: fleet.observations.listen() };
        tokio::select! {
            never = detector::run(&duties) => match never {},
            never = join::run(&duties) => match never {},
            () = fleet.node.ceases_to_lead(term) => {
                tracing::info!(term, "this node leads no more: what it heard of the storage servers is dropped");
            }
        }
    }
}

impl Duties<'_> {
    /// Puts into the ledger what a duty has planned on `state`.
    pub(crate) async fn propose(&self, duty: Duty, state: &State, command: Command, patience: Duration) {
        let object = command.subject().unwrap_or(ObjectRef::Cluster);
        let submission = duty_submission(Actor::Duty(duty), state.revision(), object, command);
        let decided = self.fleet.node.submit_as_leader(&submission, Instant::now() + patience).await;
        match decided.map(|applied| applied.outcome) {
            Ok(Ok(_)) => tracing::info!(command = %submission.command, "done by a duty"),
            Ok(Err(rejection)) => tracing::debug!(command = %submission.command, %rejection, "a duty was refused"),
            Err(error) => tracing::debug!(command = %submission.command, %error, "a duty's command was not decided"),
        }
    }
}
