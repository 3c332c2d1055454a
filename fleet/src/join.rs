//! Taking servers in whose connection strings were pasted.
//!
//! A machine that waits is asked who it is, then certified; it takes its ports up anew as a member, follows, and says that it
//! is there. Only that is its joining: the rest may be done twice, by this leader or the next. Where the answer to its
//! certificate was lost, it shows another certificate than the one that it signed itself, and is called as a member.

use std::{collections::BTreeSet, convert::Infallible, time::Duration};

use bursar_domain::{
    Command, Duty, Hash, OperationId, State,
    operation::{self, Operation, Step, WaitCode},
    server::{self, Condition, JoinFailure, Server},
};
use bursar_net::{Address, DialError, Lane};
use bursar_wire::{
    connection_string::LIFETIME_MS,
    control::{Introduced, Membership, NewcomerAnswer, NewcomerQuestion},
};
use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use crate::{
    calls::{addresses, dialled},
    duties::Duties,
    newcomer::{Met, Unmet},
};

/// How often the duty looks whether a server is to be taken in.
const LOOK: Duration = Duration::from_millis(500);
/// How long lies between two attempts at one server.
const BETWEEN_ATTEMPTS: Duration = Duration::from_secs(1);
/// The same, for one that has its certificate and need only say that it is there.
const BETWEEN_LOOKS: Duration = Duration::from_millis(200);
/// How many servers are taken in at a time.
const AT_A_TIME_MAX: usize = 32;
/// How long what is to be put into the ledger may take.
const PROPOSAL_TIMEOUT: Duration = Duration::from_secs(5);
/// How long one conversation with a newcomer may take.
const CONVERSATION_TIMEOUT: Duration = Duration::from_secs(20);

/// Looks again and again, and attends to each server that is being taken in.
pub(crate) async fn run(duties: &Duties<'_>) -> Infallible {
    let mut tick = interval(LOOK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut attended, mut attempts) = (BTreeSet::new(), FuturesUnordered::new());
    loop {
        tokio::select! {
            Some(operation) = attempts.next() => {
                attended.remove(&operation);
            }
            _ = tick.tick() => {
                let state = duties.fleet.node.latest();
                for (server, operation) in joining(&state) {
                    if attended.len() < AT_A_TIME_MAX && attended.insert(operation) {
                        let server = server.clone();
                        attempts.push(async move {
                            attend(duties, server, operation).await;
                            operation
                        });
                    }
                }
            }
        }
    }
}

fn joining(state: &State) -> impl Iterator<Item = (&Server, OperationId)> {
    state.servers().iter().filter_map(|server| match server.condition {
        Condition::Joining { operation } => Some((&**server, operation)),
        _ => None,
    })
}

/// How far one attempt came.
enum Progress {
    /// It has its certificates, and is to be heard of.
    Certified,
    /// It does not answer.
    Waits(String),
    /// It cannot be taken in.
    Failed(JoinFailure),
}

/// Makes one attempt at a server, says what came of it, and rests.
async fn attend(duties: &Duties<'_>, server: Server, id: OperationId) {
    let state = duties.fleet.node.latest();
    let Some(operation) = state.operations().get(id) else { return };
    if duties.listener.hears(&server) {
        let joined = Command::Server(server::Command::JoinSucceeded { server: server.id });
        duties.propose(Duty::Join, &state, joined, PROPOSAL_TIMEOUT).await;
        return;
    }
    let is_certified = has_reached(operation, Step::Certified);
    let progress = if is_certified { visit(duties, &server).await } else { take_in(duties, &server, operation).await };
    match progress {
        Progress::Certified => report(duties, &server, id, Some(Step::Certified), false).await,
        Progress::Waits(detail) => {
            tracing::debug!(server = %server.id, detail, "a server that is to be taken in does not answer");
            report(duties, &server, id, None, true).await;
        }
        Progress::Failed(failure) => {
            let failed = Command::Server(server::Command::JoinFailed { server: server.id, failure });
            duties.propose(Duty::Join, &duties.fleet.node.latest(), failed, PROPOSAL_TIMEOUT).await;
        }
    }
    sleep(if is_certified { BETWEEN_LOOKS } else { BETWEEN_ATTEMPTS }).await;
}

fn has_reached(operation: &Operation, step: Step) -> bool {
    operation.steps.iter().any(|reached| reached.step == step)
}

/// Says how far the operation is, where that is news.
async fn report(duties: &Duties<'_>, server: &Server, id: OperationId, step: Option<Step>, waits: bool) {
    let state = duties.fleet.node.latest();
    let waiting_on = waits.then_some((WaitCode::ServerUnreachable, server.id.into())).into_iter().collect::<Vec<_>>();
    if state.operations().get(id).is_some_and(|operation| operation.is_news(step, &waiting_on)) {
        let report = operation::Command::Report { operation: id, step, waiting_on };
        duties.propose(Duty::Join, &state, Command::Operation(report), PROPOSAL_TIMEOUT).await;
    }
}

/// Calls a server that has its certificates, to say whether it answers while it is not heard of.
async fn visit(duties: &Duties<'_>, server: &Server) -> Progress {
    let mut faults = Vec::new();
    for address in addresses(server) {
        match duties.fleet.calls.dial_at(server, &address, Lane::Control).await {
            Ok(_answers) => return Progress::Certified,
            Err(error) => faults.push(error.to_string()),
        }
    }
    Progress::Waits(faults.join("; "))
}

/// Looks for the machine at its addresses, and certifies it.
async fn take_in(duties: &Duties<'_>, server: &Server, operation: &Operation) -> Progress {
    let (mut faults, mut strangers) = (Vec::new(), 0);
    let addresses = addresses(server);
    for address in &addresses {
        match call(duties, server, operation.id, address).await {
            Called::Progress(progress) => return progress,
            Called::Unreachable(detail) => faults.push(detail),
            Called::Stranger(detail) => {
                strangers += 1;
                faults.push(detail);
            }
        }
    }
    // One of several addresses may have gone to somebody else; the machine may still come back at the other.
    if strangers == addresses.len() {
        tracing::warn!(server = %server.id, detail = faults.join("; "), "somebody else answers for a server");
        return Progress::Failed(JoinFailure::AnotherIdentity);
    }
    let now = duties.fleet.clock.now_unix_ms();
    // No connection string is good for longer.
    let is_over = now > operation.created.at.plus_ms(LIFETIME_MS).0;
    if is_over { Progress::Failed(JoinFailure::Unreachable) } else { Progress::Waits(faults.join("; ")) }
}

/// What came of calling one address.
enum Called {
    /// The machine was there.
    Progress(Progress),
    /// Nobody was.
    Unreachable(String),
    /// Somebody else was.
    Stranger(String),
}

async fn call(duties: &Duties<'_>, server: &Server, operation: OperationId, address: &Address) -> Called {
    let deadline = Instant::now() + CONVERSATION_TIMEOUT;
    match duties.fleet.newcomers.meet(address, server.facts.tls_fingerprint, deadline).await {
        Ok(met) => converse(duties, server, operation, &met, deadline).await,
        Err(Unmet::Unreachable { detail, .. }) => Called::Unreachable(format!("{address}: {detail}")),
        // It may have been adopted, and its answer lost.
        Err(Unmet::AnotherIdentity { .. }) => match duties.fleet.calls.dial_at(server, address, Lane::Control).await {
            Ok(_member) => Called::Progress(Progress::Certified),
            Err(error @ DialError::Tls { .. }) => Called::Stranger(error.to_string()),
            Err(error) => Called::Unreachable(error.to_string()),
        },
    }
}

/// Asks the machine who it is, and makes it a member.
async fn converse(duties: &Duties<'_>, server: &Server, operation: OperationId, met: &Met, deadline: Instant) -> Called {
    let secret = server.secret;
    let introduced = match met.ask(&NewcomerQuestion::Introduce { secret, probe: Vec::new() }, deadline).await {
        Ok(NewcomerAnswer::Introduced(introduced)) => introduced,
        other => return not_taken(other),
    };
    if !is_the_one(server, &introduced) {
        return Called::Progress(Progress::Failed(JoinFailure::AnotherIdentity));
    }
    report(duties, server, operation, Some(Step::Contacted), false).await;
    let membership = match membership(duties, server, &introduced) {
        Ok(membership) => Box::new(membership),
        Err(detail) => {
            tracing::error!(server = %server.id, detail, "a server cannot be certified");
            return Called::Unreachable(detail);
        }
    };
    match met.ask(&NewcomerQuestion::Adopt { secret, membership }, deadline).await {
        Ok(NewcomerAnswer::Adopted) => Called::Progress(Progress::Certified),
        other => not_taken(other),
    }
}

/// Whether the machine is the one that the connection string is of.
fn is_the_one(server: &Server, introduced: &Introduced) -> bool {
    let public_key = introduced.certificate_request.public_key();
    introduced.guid == server.facts.guid && public_key.is_ok_and(|key| Hash::of(&key) == server.facts.public_key)
}

fn not_taken(answer: Result<NewcomerAnswer, Unmet>) -> Called {
    match answer {
        Ok(NewcomerAnswer::Voided) => Called::Progress(Progress::Failed(JoinFailure::Superseded)),
        Ok(NewcomerAnswer::Expired) => Called::Progress(Progress::Failed(JoinFailure::Expired)),
        Ok(NewcomerAnswer::Failed { detail }) => Called::Unreachable(detail),
        Ok(NewcomerAnswer::Introduced(_) | NewcomerAnswer::Adopted) => {
            Called::Unreachable("it answers another question".to_owned())
        }
        Err(unmet) => Called::Unreachable(unmet.to_string()),
    }
}

/// What makes the machine a member, by the newest state.
fn membership(duties: &Duties<'_>, server: &Server, introduced: &Introduced) -> Result<Membership, String> {
    let state = duties.fleet.node.latest();
    let cluster = state.cluster().ok_or("there is no cluster yet")?;
    let certificate = duties.fleet.issuer.certify(cluster, server.id, &introduced.certificate_request);
    let nodes = state.authority_nodes().iter().filter(|node| node.intent.is_present());
    Ok(Membership {
        cluster: cluster.id,
        server: server.id,
        ca_certificate: cluster.ca_certificate.clone(),
        certificate: certificate.map_err(|error| error.to_string())?,
        authority: nodes.filter_map(|node| Some((node.id, dialled(&node.control_address)?))).collect(),
    })
}
