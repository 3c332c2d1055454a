//! A site: a place with its own failure domain.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    decision::{Outcome, Reply},
    destination,
    draft::Draft,
    encoding::{Encoded, Kind},
    excerpt::Excerpt,
    ids::{ObjectRef, SiteId},
    rejection::{Blocker, FieldFault, Rejection},
    server::Server,
    state::{Stamp, State, given},
    table::Row,
    text::Name,
};

/// The highest latency that can be expected between a site's machines and the authority, in milliseconds.
pub const EXPECTED_LATENCY_MS_MAX: u32 = 60_000;

/// A place with its own failure domain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Site {
    /// Its number.
    pub id: SiteId,
    /// Unique among the sites.
    pub name: Name,
    /// The latency to expect between its machines and the authority, one way, in milliseconds.
    pub expected_latency_ms: u32,
    /// When and by whom it was made.
    pub created: Stamp,
    /// When and by whom it was last changed.
    pub changed: Stamp,
}

impl Encoded for Site {
    const KIND: Kind = Kind::Site;
}

impl Row for Site {
    type Id = SiteId;
    type Key = String;
    fn id(&self) -> SiteId {
        self.id
    }
    fn key(&self) -> Option<String> {
        Some(self.name.folded())
    }
}

/// What can be asked of sites.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Command {
    /// Make one.
    Create {
        /// Its name, unchecked.
        name: String,
        /// See [`Site::expected_latency_ms`].
        expected_latency_ms: u32,
    },
    /// Change what is given.
    Edit {
        /// Which.
        site: SiteId,
        /// A new name, unchecked.
        name: Option<String>,
        /// A new expectation.
        expected_latency_ms: Option<u32>,
    },
    /// Remove one that nothing uses.
    Remove {
        /// Which.
        site: SiteId,
    },
}

/// What can have happened to sites.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Event {
    /// It was made.
    Created {
        /// Which.
        site: SiteId,
        /// Its name.
        name: Name,
        /// See [`Site::expected_latency_ms`].
        expected_latency_ms: u32,
    },
    /// What is given was changed.
    Edited {
        /// Which.
        site: SiteId,
        /// The new name.
        name: Option<Name>,
        /// The new expectation.
        expected_latency_ms: Option<u32>,
    },
    /// It was removed.
    Removed {
        /// Which.
        site: SiteId,
    },
}

/// The rules of sites.
pub(crate) fn decide(draft: &mut Draft<'_>, command: &Command) -> Outcome {
    match command {
        Command::Create { name, expected_latency_ms } => {
            let name = free_name(draft.state(), name, None)?;
            let expected_latency_ms = checked_latency(*expected_latency_ms)?;
            let site = SiteId(draft.state().next().site);
            draft.emit(Event::Created { site, name, expected_latency_ms }.into());
            Ok(Reply::created(site))
        }
        Command::Edit { site, name, expected_latency_ms } => {
            let state = draft.state();
            let current = existing(state, *site)?;
            let name = name.as_deref().map(|name| free_name(state, name, Some(*site))).transpose()?;
            let name = name.filter(|name| *name != current.name);
            let expected_latency_ms = expected_latency_ms.map(checked_latency).transpose()?;
            let expected_latency_ms = expected_latency_ms.filter(|latency| *latency != current.expected_latency_ms);
            if name.is_none() && expected_latency_ms.is_none() {
                return Ok(Reply::unchanged(*site));
            }
            draft.emit(Event::Edited { site: *site, name, expected_latency_ms }.into());
            Ok(Reply::changed(*site))
        }
        Command::Remove { site } => {
            existing(draft.state(), *site)?;
            let blockers = users(draft.state(), *site);
            if !blockers.is_empty() {
                return Err(Rejection::InUse { object: (*site).into(), blockers });
            }
            draft.emit(Event::Removed { site: *site }.into());
            Ok(Reply::removed(*site))
        }
    }
}

/// The site, or the refusal that says that there is none.
pub(crate) fn existing(state: &State, site: SiteId) -> Result<&Site, Rejection> {
    state.sites().get(site).map(|site| &**site).ok_or(Rejection::NotFound { object: site.into() })
}

/// A site that a field names.
pub(crate) fn named_by(state: &State, field: &'static str, site: SiteId) -> Result<SiteId, Rejection> {
    let unknown = || Rejection::InvalidField { field: field.into(), fault: FieldFault::Unknown { object: site.into() } };
    state.sites().get(site).map(|site| site.id).ok_or_else(unknown)
}

fn free_name(state: &State, name: &str, own: Option<SiteId>) -> Result<Name, Rejection> {
    let name = Name::parse("name", name)?;
    match state.sites().find(&name.folded()) {
        Some(holder) if Some(holder.id) != own => Err(Rejection::NameTaken { name: name.to_string(), holder: holder.id.into() }),
        _ => Ok(name),
    }
}

fn checked_latency(latency_ms: u32) -> Result<u32, Rejection> {
    if latency_ms <= EXPECTED_LATENCY_MS_MAX {
        return Ok(latency_ms);
    }
    let fault = FieldFault::OutOfRange { min: 0, max: EXPECTED_LATENCY_MS_MAX.into() };
    Err(Rejection::InvalidField { field: "expected_latency_ms".into(), fault })
}

fn users(state: &State, site: SiteId) -> Excerpt<Blocker> {
    let at_site = || state.destinations().iter().filter(|destination| destination.site == site);
    let destinations = at_site().map(|destination| Blocker { object: destination.id.into(), name: destination.name.to_string() });
    let servers = at_site().flat_map(|destination| destination::servers(state, destination.id)).map(Server::as_blocker);
    let nodes = state.authority_nodes().iter().filter(|node| node.site == Some(site) && node.intent.is_present());
    let nodes = nodes.map(|node| Blocker { object: node.id.into(), name: node.peer_address.to_string() });
    destinations.chain(servers).chain(nodes).collect()
}

/// Carries an event into the state.
pub(crate) fn evolve(state: &mut State, event: &Event, stamp: Stamp) {
    match event {
        Event::Created { site, name, expected_latency_ms } => {
            given(&mut state.header.next.site, site.0);
            state.sites.put(Site {
                id: *site,
                name: name.clone(),
                expected_latency_ms: *expected_latency_ms,
                created: stamp,
                changed: stamp,
            });
        }
        Event::Edited { site, name, expected_latency_ms } => state.sites.change(*site, |site| {
            if let Some(name) = name {
                site.name = name.clone();
            }
            if let Some(latency) = expected_latency_ms {
                site.expected_latency_ms = *latency;
            }
            site.changed = stamp;
        }),
        Event::Removed { site } => state.sites.remove(*site),
    }
}

impl Command {
    pub(crate) fn subject(&self) -> Option<ObjectRef> {
        match self {
            Self::Create { .. } => None,
            Self::Edit { site, .. } | Self::Remove { site } => Some((*site).into()),
        }
    }
}

impl Event {
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Created { .. } => "site.created",
            Self::Edited { .. } => "site.edited",
            Self::Removed { .. } => "site.removed",
        }
    }

    pub(crate) const fn site(&self) -> SiteId {
        match self {
            Self::Created { site, .. } | Self::Edited { site, .. } | Self::Removed { site } => *site,
        }
    }
}

impl From<Event> for crate::Event {
    fn from(event: Event) -> Self {
        Self::Site(event)
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Create { name, .. } => write!(f, "create site “{name}”"),
            Self::Edit { site, .. } => write!(f, "edit {site}"),
            Self::Remove { site } => write!(f, "remove {site}"),
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Created { site, name, expected_latency_ms } => {
                write!(f, "{site} “{name}” created, expected latency {expected_latency_ms} ms")
            }
            Self::Edited { site, name, expected_latency_ms } => {
                write!(f, "{site} edited")?;
                if let Some(name) = name {
                    write!(f, ", name “{name}”")?;
                }
                if let Some(latency) = expected_latency_ms {
                    write!(f, ", expected latency {latency} ms")?;
                }
                Ok(())
            }
            Self::Removed { site } => write!(f, "{site} removed"),
        }
    }
}
