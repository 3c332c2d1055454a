//! The rules of store points.

use crate::{
    actor::Actor,
    alert,
    decision::{Outcome, Reply},
    draft::Draft,
    ids::{ServerId, StorePointId},
    path::AbsolutePath,
    rejection::{FieldFault, Rejection},
    server,
    state::State,
    text::{Name, Text},
};

use super::{
    Change, Command, Condition, Event, Findings, Flags, Found, Intent, Quota, Report, StorePoint, directory_name, of_server,
};

/// Decides what is asked of store points.
pub(crate) fn decide(draft: &mut Draft<'_>, command: &Command) -> Outcome {
    match command {
        Command::Create { server, name, path, notes, quota, findings } => {
            let state = draft.state();
            server::online(state, *server)?;
            let name = free_name(state, *server, name, None)?;
            let path = usable(state, *server, AbsolutePath::parse("path", path)?, findings)?;
            let notes = Text::parse("notes", notes)?;
            let quota = checked_quota(*quota)?;
            let store_point = StorePointId(state.next().store_point);
            let directory = directory_name(*server, store_point);
            let flags = Flags::default();
            draft.emit(Event::Created { store_point, server: *server, name, path, directory, flags, quota }.into());
            if notes != Text::default() {
                draft.emit(Event::Annotated { store_point, notes }.into());
            }
            Ok(Reply::created(store_point))
        }
        Command::Edit { store_point, change } => edit(draft, *store_point, change),
        Command::Drain { store_point } => intend(draft, *store_point, Intent::Draining),
        Command::Activate { store_point } => intend(draft, *store_point, Intent::Active),
        Command::Remove { store_point } => {
            intend(draft, *store_point, Intent::Retired)?;
            Ok(Reply::removed(*store_point))
        }
        Command::Report { store_point, report } => hear(draft, *store_point, *report),
    }
}

fn existing(state: &State, store_point: StorePointId) -> Result<&StorePoint, Rejection> {
    let found = state.store_points().get(store_point).filter(|row| row.is_present());
    found.map(|row| &**row).ok_or(Rejection::NotFound { object: store_point.into() })
}

fn edit(draft: &mut Draft<'_>, store_point: StorePointId, change: &Change) -> Outcome {
    let state = draft.state();
    let current = existing(state, store_point)?;
    let Change { name, notes, accepting_data, accepting_new_archives, balancing, quota } = change;
    let server = current.server;
    let name = name.as_deref().map(|name| free_name(state, server, name, Some(store_point))).transpose()?;
    let name = name.filter(|new| *new != current.name);
    let notes = notes.as_deref().map(|notes| Text::parse("notes", notes)).transpose()?;
    let notes = notes.filter(|new| *new != current.notes);
    let quota = quota.map(checked_quota).transpose()?.filter(|new| *new != current.quota);
    let flags = Flags {
        accepting_data: accepting_data.unwrap_or(current.flags.accepting_data),
        accepting_new_archives: accepting_new_archives.unwrap_or(current.flags.accepting_new_archives),
        balancing: balancing.unwrap_or(current.flags.balancing),
    };
    let flags = (flags != current.flags).then_some(flags);
    if name.is_none() && notes.is_none() && quota.is_none() && flags.is_none() {
        return Ok(Reply::unchanged(store_point));
    }
    if name.is_some() || quota.is_some() || flags.is_some() {
        draft.emit(Event::Edited { store_point, server, name, flags, quota }.into());
    }
    if let Some(notes) = notes {
        draft.emit(Event::Annotated { store_point, notes }.into());
    }
    Ok(Reply::changed(store_point))
}

fn intend(draft: &mut Draft<'_>, store_point: StorePointId, intent: Intent) -> Outcome {
    let current = existing(draft.state(), store_point)?;
    if current.intent == intent {
        return Ok(Reply::unchanged(store_point));
    }
    let server = current.server;
    draft.emit(Event::Intended { store_point, server, intent }.into());
    alert::store_point_changed(draft, store_point);
    Ok(Reply::changed(store_point))
}

/// A server speaks of its own store points alone, and while it is known to answer: silence and hearsay make none of them
/// offline. One whose directory could not be made stays so, and one that was made cannot fail to be.
fn hear(draft: &mut Draft<'_>, store_point: StorePointId, report: Report) -> Outcome {
    let actor = draft.actor();
    let state = draft.state();
    let current = existing(state, store_point)?;
    if actor != Actor::Server(current.server) {
        return Err(Rejection::NotPermitted { actor });
    }
    let server = server::online(state, current.server)?.id;
    if current.condition == report.into() {
        return Ok(Reply::unchanged(store_point));
    }
    let fits = match report {
        Report::Online | Report::Offline(_) => !matches!(current.condition, Condition::Failed(_)),
        Report::Failed(_) => current.condition == Condition::Creating,
    };
    if !fits {
        return Err(Rejection::UnexpectedReport { store_point });
    }
    draft.emit(Event::Reported { store_point, server, report }.into());
    alert::store_point_changed(draft, store_point);
    Ok(Reply::changed(store_point))
}

fn free_name(state: &State, server: ServerId, name: &str, own: Option<StorePointId>) -> Result<Name, Rejection> {
    let name = Name::parse("name", name)?;
    match state.store_points().find(&(server, name.folded())) {
        Some(holder) if Some(holder.id) != own => Err(Rejection::NameTaken { name: name.to_string(), holder: holder.id.into() }),
        _ => Ok(name),
    }
}

fn checked_quota(quota: Quota) -> Result<Quota, Rejection> {
    match quota {
        Quota::Bytes(0) => Err(fault("quota", FieldFault::OutOfRange { min: 1, max: u64::MAX })),
        Quota::Unlimited | Quota::Bytes(_) => Ok(quota),
    }
}

/// The path, if what the server found there lets a store point be made: its own spelling of an empty place that it can write
/// to, and no other store point's.
fn usable(state: &State, server: ServerId, path: AbsolutePath, findings: &Findings) -> Result<AbsolutePath, Rejection> {
    let Findings { found, canonical_path, writable, within, foreign_identity, free_bytes } = findings;
    let taken_by = of_server(state, server).find(|other| other.path == path || other.path.child(&other.directory).holds(&path));
    let wrong = match found {
        Found::Nothing => Some(FieldFault::PathMissing),
        Found::SomethingElse => Some(FieldFault::NotADirectory),
        Found::Directory if *canonical_path != path.as_str() => {
            let leads_to = AbsolutePath::parse("findings/canonical_path", canonical_path)?;
            Some(FieldFault::SymbolicLink { leads_to })
        }
        Found::Directory => None,
    };
    let wrong = wrong
        .or(within.or(taken_by.map(|other| other.id)).map(|store_point| FieldFault::WithinStorePoint { store_point }))
        .or(foreign_identity.then_some(FieldFault::ForeignIdentity))
        .or((!writable).then_some(FieldFault::NotWritable))
        .or((*free_bytes == 0).then_some(FieldFault::NoSpace));
    match wrong {
        Some(wrong) => Err(fault("path", wrong)),
        None => Ok(path),
    }
}

fn fault(field: &str, fault: FieldFault) -> Rejection {
    Rejection::InvalidField { field: field.into(), fault }
}
