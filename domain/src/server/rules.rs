//! The rules of servers.

use crate::{
    alert,
    authority_node::Intent as NodeIntent,
    cluster::founded,
    decision::{Outcome, Reply},
    destination,
    draft::Draft,
    excerpt::Excerpt,
    hash::Hash,
    ids::{OperationId, ServerGuid, ServerId},
    operation::{self, End},
    projection::Projection,
    rejection::{Blocker, FieldFault, Rejection},
    state::State,
    store_point,
    text::{Address, Name, Text},
};

use super::{
    Addresses, Change, CheckedFacts, Command, Condition, Event, Facts, Intent, Introduction, JoinFailure, Lasting, Program,
    ProgramFacts, ProjectionState, Server,
};

/// Decides what is asked of servers.
pub(crate) fn decide(draft: &mut Draft<'_>, command: &Command) -> Outcome {
    match command {
        Command::Add { destination, name, introduction } => {
            destination::existing(draft.state(), *destination)?;
            // A string that was used before tells more than that its machine's name is taken, by that very machine.
            let facts = introduced(draft, introduction)?;
            let name = free_name(draft.state(), name, None)?;
            let server = ServerId(draft.state().next().server);
            let operation = operation::start(draft, operation::Task::JoinServer { server });
            let (destination, secret) = (*destination, introduction.secret);
            draft.emit(Event::Added { server, destination, name, facts, secret, operation }.into());
            welcome(draft, server)?;
            Ok(Reply::accepted(operation))
        }
        Command::Replace { server, introduction } => replace(draft, *server, introduction),
        Command::Edit { server, change } => edit(draft, *server, change),
        Command::Maintain { server, lasting, reason } => {
            let reason = Text::parse("reason", reason)?;
            let until = match lasting {
                Lasting::Until(until) => *until,
                Lasting::For(milliseconds) => draft.now().plus_ms(*milliseconds),
            };
            if until <= draft.now() {
                return Err(Rejection::InvalidField { field: "until".into(), fault: FieldFault::InThePast });
            }
            intend(draft, *server, Intent::Maintenance { until, reason })
        }
        Command::EndMaintenance { server } => {
            let now = draft.now();
            match existing(draft.state(), *server)?.intent {
                Intent::Maintenance { until, .. } if until <= now => intend(draft, *server, Intent::Active),
                _ => Ok(Reply::unchanged(*server)),
            }
        }
        Command::Drain { server } => intend(draft, *server, Intent::Draining),
        Command::Activate { server } => intend(draft, *server, Intent::Active),
        Command::Remove { server } => remove(draft, *server),
        Command::JoinSucceeded { server } => {
            let Condition::Joining { operation } = existing(draft.state(), *server)?.condition else {
                return Ok(Reply::unchanged(*server));
            };
            draft.emit(Event::Joined { server: *server }.into());
            draft.emit(operation::Event::Ended { operation, end: End::Succeeded }.into());
            alert::server_changed(draft, *server);
            Ok(Reply::changed(*server))
        }
        Command::JoinFailed { server, failure } => join_failed(draft, *server, *failure),
        Command::WentOffline { server } => {
            if existing(draft.state(), *server)?.condition != Condition::Online {
                return Ok(Reply::unchanged(*server));
            }
            draft.emit(Event::WentOffline { server: *server }.into());
            alert::server_changed(draft, *server);
            Ok(Reply::changed(*server))
        }
        Command::CameOnline { server } => {
            if existing(draft.state(), *server)?.condition != Condition::Offline {
                return Ok(Reply::unchanged(*server));
            }
            draft.emit(Event::CameOnline { server: *server }.into());
            alert::server_changed(draft, *server);
            Ok(Reply::changed(*server))
        }
        Command::Announce { server, program } => {
            let state = draft.state();
            let current = existing(state, *server)?;
            let program = acceptable(state, program)?;
            if current.facts.program == program {
                return Ok(Reply::unchanged(*server));
            }
            draft.emit(Event::Announced { server: *server, program }.into());
            alert::server_changed(draft, *server);
            Ok(Reply::changed(*server))
        }
        Command::ReportProjection { server, projection } => report_projection(draft, *server, *projection),
    }
}

/// The server, unless it was removed.
fn existing(state: &State, server: ServerId) -> Result<&Server, Rejection> {
    let found = state.servers().get(server).filter(|server| server.is_present());
    found.map(|server| &**server).ok_or(Rejection::NotFound { object: server.into() })
}

/// The server, if it answers.
pub(crate) fn online(state: &State, server: ServerId) -> Result<&Server, Rejection> {
    let found = existing(state, server)?;
    if found.condition == Condition::Online { Ok(found) } else { Err(Rejection::ServerNotOnline { server }) }
}

/// Checks what a connection string says.
fn introduced(draft: &mut Draft<'_>, introduction: &Introduction) -> Result<CheckedFacts, Rejection> {
    let Introduction { facts, secret, expires_at, license_key } = introduction;
    let now = draft.now();
    let state = draft.state();
    if founded(state)?.license_key != *license_key {
        return Err(Rejection::LicenseForeign);
    }
    if let Some(server) = state.servers().iter().find(|server| server.secret == *secret) {
        return Err(Rejection::ConnectionStringUsed { server: server.id });
    }
    if *expires_at <= now {
        return Err(Rejection::ConnectionStringExpired);
    }
    if let Some(server) = state.servers().iter().find(|server| server.was_ever(facts.guid)) {
        let (guid, id) = (facts.guid, server.id);
        return Err(match server.condition {
            Condition::Joining { operation } if server.facts.guid == guid => Rejection::ServerJoining { server: id, operation },
            _ => Rejection::ServerKnown { guid, server: id },
        });
    }
    let facts = checked(state, facts)?;
    runs_what_the_authority_runs(state, &facts.program)?;
    Ok(facts)
}

fn checked(state: &State, facts: &Facts) -> Result<CheckedFacts, Rejection> {
    let Facts { guid, primary_address, secondary_address, ports, public_key, tls_fingerprint, program } = facts;
    let empty = |field: &str| Rejection::InvalidField { field: field.into(), fault: FieldFault::Empty };
    if *guid == ServerGuid([0; 16]) {
        return Err(empty("guid"));
    }
    if *public_key == Hash::ZERO {
        return Err(empty("public_key"));
    }
    for (field, port) in [("peer_port", ports.peer), ("transfer_port", ports.transfer)] {
        if port == 0 {
            let fault = FieldFault::OutOfRange { min: 1, max: u16::MAX.into() };
            return Err(Rejection::InvalidField { field: field.into(), fault });
        }
    }
    Ok(CheckedFacts {
        guid: *guid,
        addresses: Addresses {
            primary: Address::parse("primary_address", primary_address)?,
            secondary: secondary_address.as_deref().map(|text| Address::parse("secondary_address", text)).transpose()?,
            ports: *ports,
        },
        public_key: *public_key,
        tls_fingerprint: *tls_fingerprint,
        program: acceptable(state, program)?,
    })
}

/// Checks the shape of what a server says of its program, and that it can carry out what the cluster has agreed on.
fn acceptable(state: &State, program: &ProgramFacts) -> Result<Program, Rejection> {
    if program.supported < state.level() {
        return Err(Rejection::LevelTooLow { needed: state.level(), supported: program.supported });
    }
    Ok(Program {
        version: Name::parse("version", &program.version)?,
        platform: Name::parse("platform", &program.platform)?,
        supported: program.supported,
    })
}

/// A newcomer must run the version of every voting node: while the authority is being upgraded, nobody joins.
fn runs_what_the_authority_runs(state: &State, program: &Program) -> Result<(), Rejection> {
    let mut voting = state.authority_nodes().iter().filter(|node| node.intent == NodeIntent::Voting);
    match voting.find(|node| node.version != program.version) {
        None => Ok(()),
        Some(node) => {
            Err(Rejection::VersionDiffers { version: program.version.clone(), node: node.id, node_version: node.version.clone() })
        }
    }
}

/// Tells the others of the destination of who has this place now, and that one all that it is to know.
fn welcome(draft: &mut Draft<'_>, server: ServerId) -> Result<(), Rejection> {
    let row = existing(draft.state(), server)?;
    let introduced = Event::Introduced { server, destination: row.destination, peer: row.as_peer() };
    draft.emit(introduced.into());
    if let Some(projection) = Projection::of(draft.state(), server) {
        draft.emit(Event::Welcomed { server, projection }.into());
    }
    Ok(())
}

fn replace(draft: &mut Draft<'_>, server: ServerId, introduction: &Introduction) -> Outcome {
    if existing(draft.state(), server)?.condition != Condition::Offline {
        return Err(Rejection::ServerNotOffline { server });
    }
    let facts = introduced(draft, introduction)?;
    let operation = operation::start(draft, operation::Task::JoinServer { server });
    draft.emit(Event::Replaced { server, facts, secret: introduction.secret, operation }.into());
    welcome(draft, server)?;
    alert::server_changed(draft, server);
    Ok(Reply::accepted(operation))
}

fn edit(draft: &mut Draft<'_>, server: ServerId, change: &Change) -> Outcome {
    let state = draft.state();
    let current = existing(state, server)?;
    let Change { name, primary_address, secondary_address } = change;
    let name = name.as_deref().map(|name| free_name(state, name, Some(server))).transpose()?;
    let mut addresses = current.facts.addresses.clone();
    if let Some(primary) = primary_address {
        addresses.primary = Address::parse("primary_address", primary)?;
    }
    if let Some(secondary) = secondary_address.as_deref() {
        let given = (!secondary.is_empty()).then(|| Address::parse("secondary_address", secondary));
        addresses.secondary = given.transpose()?;
    }
    let destination = current.destination;
    let name = name.filter(|new| *new != current.name);
    let addresses = (addresses != current.facts.addresses).then_some(addresses);
    if name.is_none() && addresses.is_none() {
        return Ok(Reply::unchanged(server));
    }
    draft.emit(Event::Edited { server, destination, name, addresses }.into());
    Ok(Reply::changed(server))
}

fn intend(draft: &mut Draft<'_>, server: ServerId, intent: Intent) -> Outcome {
    if existing(draft.state(), server)?.intent == intent {
        return Ok(Reply::unchanged(server));
    }
    draft.emit(Event::Intended { server, intent }.into());
    alert::server_changed(draft, server);
    Ok(Reply::changed(server))
}

fn remove(draft: &mut Draft<'_>, server: ServerId) -> Outcome {
    let state = draft.state();
    let current = existing(state, server)?;
    let (destination, condition) = (current.destination, current.condition);
    let store_points = store_point::of_server(state, server);
    let blockers: Excerpt<_> = store_points.map(|row| Blocker { object: row.id.into(), name: row.name.to_string() }).collect();
    if !blockers.is_empty() {
        return Err(Rejection::InUse { object: server.into(), blockers });
    }
    if let Condition::Joining { operation } = condition {
        draft.emit(operation::Event::Ended { operation, end: End::Cancelled }.into());
    }
    draft.emit(Event::Removed { server, destination }.into());
    alert::server_changed(draft, server);
    Ok(Reply::removed(server))
}

fn join_failed(draft: &mut Draft<'_>, server: ServerId, failure: JoinFailure) -> Outcome {
    let Condition::Joining { operation } = existing(draft.state(), server)?.condition else {
        return Ok(Reply::unchanged(server));
    };
    give_up(draft, server, operation, End::Failed { failure })
}

/// Calls off that a server is taken in.
pub(crate) fn cancel_join(draft: &mut Draft<'_>, server: ServerId, operation: OperationId) -> Outcome {
    give_up(draft, server, operation, End::Cancelled)?;
    Ok(Reply::changed(operation))
}

/// A machine that never joined is gone, and its identity with it unless the machine is free. A place in which another one was
/// before stays, and is offline: the next may try; where the machine is free, the other one has it again.
fn give_up(draft: &mut Draft<'_>, server: ServerId, operation: OperationId, end: End) -> Outcome {
    let current = existing(draft.state(), server)?;
    let (destination, replaces) = (current.destination, current.replaces());
    let mut is_free = false;
    if let End::Failed { failure } = end {
        is_free = failure.leaves_the_machine_free();
        draft.emit(Event::JoinFailed { server, failure }.into());
    }
    let (event, reply) = match (replaces, is_free) {
        (true, _) => (Event::WentOffline { server }, Reply::changed(server)),
        (false, true) => (Event::Withdrawn { server, destination }, Reply::removed(server)),
        (false, false) => (Event::Removed { server, destination }, Reply::changed(server)),
    };
    draft.emit(event.into());
    if replaces && is_free {
        welcome(draft, server)?;
    }
    draft.emit(operation::Event::Ended { operation, end }.into());
    alert::server_of_changed(draft, destination, server);
    Ok(reply)
}

fn report_projection(draft: &mut Draft<'_>, server: ServerId, projection: ProjectionState) -> Outcome {
    if existing(draft.state(), server)?.projection == projection {
        return Ok(Reply::unchanged(server));
    }
    draft.emit(Event::ProjectionReported { server, projection }.into());
    alert::server_changed(draft, server);
    Ok(Reply::changed(server))
}

fn free_name(state: &State, name: &str, own: Option<ServerId>) -> Result<Name, Rejection> {
    let name = Name::parse("name", name)?;
    let folded = name.folded();
    let mut others = state.servers().iter().filter(|server| server.is_present() && Some(server.id) != own);
    match others.find(|server| server.name.folded() == folded) {
        Some(holder) => Err(Rejection::NameTaken { name: name.to_string(), holder: holder.id.into() }),
        None => Ok(name),
    }
}
