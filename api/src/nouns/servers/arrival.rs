//! How machines come: their connection strings are looked at, and they are added, or get the place of a dead one.

use std::time::Duration;

use axum::extract::State;
use bursar_domain::{self as domain, Command, DestinationId, ObjectRef, ServerId};
use bursar_wire::{
    ConnectionString,
    operations::Operation,
    page::{DryRun, Warning},
    problem::code,
    servers::{self, AddServer, InspectServer, Inspection, Obstacle, ReplaceServer},
};
use tokio::time::Instant;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    answer::{self, Answered},
    api::Service,
    authentication::Caller,
    door::{Manner, Rehearsal},
    failure::Failure,
    fleet::ContactError,
    mutation::{Call, Mutation},
    parameters::Id,
};

/// How long a machine may take to answer at both of its addresses. What is left of the request's time is for the decision.
const CONTACT_PATIENCE: Duration = Duration::from_secs(6);

/// How much of a request's time an inspection leaves for what the ledger says.
const LEFT_FOR_THE_LEDGER: Duration = Duration::from_secs(2);

/// The routes.
pub(super) fn routes() -> OpenApiRouter<Service> {
    OpenApiRouter::new().routes(routes!(inspect)).routes(routes!(add)).routes(routes!(replace))
}

/// Look at a connection string: what it says, what is found at its addresses, which ports pass, and what stands in the way.
///
/// It changes nothing and consumes nothing. A string that is no longer good is looked at all the same.
#[utoipa::path(post, path = "/api/v1/servers/inspect", tag = "servers", operation_id = "inspect_server",
    request_body = InspectServer,
    responses((status = 200, description = "What was found.", body = Inspection)))]
async fn inspect(State(service): State<Service>, caller: Caller, mutation: Mutation<InspectServer>) -> Answered {
    let Mutation { call, body } = mutation;
    if call.if_match.is_some() {
        return Err(Failure::malformed("If-Match does not apply: nothing that exists is changed."));
    }
    let says = ConnectionString::decode(body.connection_string.expose())?;
    // Nothing is decided that would judge the token again, so it is judged here.
    let state = service.read_latest_by(None, call.deadline).await?;
    caller.stands(&state, service.now())?;
    if call.dry_run {
        let outcome = domain::Reply::unchanged(ObjectRef::Cluster);
        return Ok(answer::json(&state, &DryRun { events: Vec::new(), outcome: outcome.into(), warnings: Vec::new() }));
    }
    let destination = body.destination.map(DestinationId);
    let mut inspection = service.fleet.inspect(&says, destination, inspected_by(call.deadline)).await;
    let in_the_ledger = service.obstacles(call, body, &says).await?;
    // A machine that was taken in has another certificate since: where its string was used, that it is another one says nothing.
    if in_the_ledger.iter().any(|obstacle| obstacle.code == code::CONNECTION_STRING_USED) {
        inspection.obstacles.retain(|obstacle| obstacle.code != code::ANOTHER_IDENTITY);
    }
    inspection.obstacles.splice(0..0, in_the_ledger);
    Ok(answer::json(&state, &inspection))
}

/// Add a storage server to a destination.
///
/// The machine is called first. Where it does not answer it is added all the same, and the operation that takes it in waits for it.
/// A rehearsal tells what an inspection would warn of.
#[utoipa::path(post, path = "/api/v1/destinations/{id}/servers", tag = "servers", operation_id = "add_server",
    params(("id" = u64, Path)), request_body = AddServer,
    responses((status = 202, description = "The operation that takes it in.", body = Operation)))]
async fn add(State(service): State<Service>, Id(id): Id, mutation: Mutation<AddServer>) -> Answered {
    let Mutation { call, body } = mutation;
    let says = ConnectionString::decode(body.connection_string.expose())?;
    let command = body.command(DestinationId(id), &says);
    service.take_in(call, command, &says, Some(DestinationId(id))).await
}

/// Give the place of a dead storage server to another machine.
///
/// It gets the number, the name and the store points of the server, which must be offline; the former identity is never accepted
/// again, unless the machine says that its connection string no longer stands: then the server is as it was.
#[utoipa::path(post, path = "/api/v1/servers/{id}/replace", tag = "servers", operation_id = "replace_server",
    params(("id" = u64, Path)), request_body = ReplaceServer,
    responses((status = 202, description = "The operation that takes it in.", body = Operation)))]
async fn replace(State(service): State<Service>, Id(id): Id, mutation: Mutation<ReplaceServer>) -> Answered {
    let Mutation { call, body } = mutation;
    let says = ConnectionString::decode(body.connection_string.expose())?;
    let destination = service.authority.latest().servers().get(ServerId(id)).map(|server| server.destination);
    service.take_in(call, servers::replace(ServerId(id), &says), &says, destination).await
}

/// When an inspection has to be done for a request that is given up at `deadline`: an impatient one leaves the ledger half of its time.
fn inspected_by(deadline: Instant) -> Instant {
    let left = deadline.saturating_duration_since(Instant::now());
    deadline - LEFT_FOR_THE_LEDGER.min(left / 2)
}

impl Service {
    /// Has a machine taken in, once it was seen to be the one that its string is of.
    async fn take_in(
        &self,
        call: Call,
        command: Command,
        says: &ConnectionString,
        destination: Option<DestinationId>,
    ) -> Answered {
        let is_good = |state: &domain::State| self.check(says, state);
        if let Some(answer) = self.foresee(&call, command.clone(), is_good).await? {
            return Ok(answer);
        }
        let patience = inspected_by(call.deadline).min(Instant::now() + CONTACT_PATIENCE);
        match self.fleet.contact(says, patience).await {
            Ok(()) if call.dry_run => {
                let found = self.fleet.inspect(says, destination, inspected_by(call.deadline)).await;
                let blocked = found.obstacles.into_iter().map(|Obstacle { code, detail, .. }| Warning { code, detail });
                self.rehearse_with(call, command, blocked.chain(found.warnings).collect()).await
            }
            Err(silent @ ContactError::Unreachable { .. }) if call.dry_run => {
                let detail = format!("Adding it will wait until it answers: {silent}.");
                let warning = Warning { code: code::SERVER_UNREACHABLE.to_owned(), detail };
                self.rehearse_with(call, command, vec![warning]).await
            }
            // It may not run yet, or the network may be down: the operation says that it waits for it.
            Ok(()) | Err(ContactError::Unreachable { .. }) => self.change(call, command).await,
            // It may have been taken in since by the same string, and has another certificate then: the ledger says so.
            Err(another @ ContactError::AnotherIdentity) => {
                let settled = self.foresee(&call, command, is_good).await?;
                settled.ok_or_else(|| another.into())
            }
            Err(voided @ ContactError::Voided) => Err(voided.into()),
        }
    }

    /// Rehearses a command, and answers what would happen, with what to know before.
    async fn rehearse_with(&self, call: Call, command: Command, known: Vec<Warning>) -> Answered {
        let mut verdict = self.judge(call, command).await?;
        if let Manner::Rehearsed { warnings, .. } = &mut verdict.manner {
            *warnings = known;
        }
        self.answer(verdict)
    }

    /// Whether a connection string is good now, and in this cluster. Its proof of the license key is verified here: the ledger
    /// compares the key alone.
    fn check(&self, says: &ConnectionString, state: &domain::State) -> Result<(), Failure> {
        let cluster = state.cluster().ok_or_else(|| Failure::not_founded(state))?;
        Ok(says.check(self.now().max(state.time()), &cluster.license_key)?)
    }

    /// What the ledger has against a machine. Where no destination is named, any will do: what is said of the machine itself is
    /// said everywhere.
    async fn obstacles(&self, call: Call, body: InspectServer, says: &ConnectionString) -> Result<Vec<Obstacle>, Failure> {
        let deadline = call.deadline;
        let state = self.read_latest_by(None, deadline).await?;
        let mut failures = Vec::new();
        let InspectServer { connection_string, destination, name } = body;
        let destination = destination.map(DestinationId).or_else(|| Some(state.destinations().first()?.id));
        if let Some(destination) = destination {
            let command = AddServer { connection_string, name }.command(destination, says);
            let Rehearsal { outcome, state, .. } = self.rehearse(call.submission(command)?, deadline).await?;
            failures.extend(outcome.err().map(|rejection| Failure::refused(&rejection, &state)));
        }
        failures.extend(self.check(says, &state).err());
        let obstacle = |failure: Failure| {
            let problem = failure.into_problem();
            Obstacle { code: problem.code, detail: problem.detail, remedy: problem.hint }
        };
        let mut obstacles: Vec<_> = failures.into_iter().map(obstacle).collect();
        // The ledger and the check may have found the same.
        obstacles.dedup_by(|later, earlier| later.code == earlier.code);
        Ok(obstacles)
    }
}
