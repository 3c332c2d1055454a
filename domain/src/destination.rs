//! A destination: the set of storage servers at one site, as users choose it for their backups.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    decision::{Outcome, Reply},
    draft::Draft,
    encoding::{Encoded, Kind},
    excerpt::Excerpt,
    ids::{DestinationId, ObjectRef, SiteId},
    rejection::{FieldFault, Rejection},
    server::{self, Server},
    site,
    state::{Stamp, State, given},
    store_point,
    table::Row,
    text::{Name, Text},
};

/// A set of storage servers on one network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Destination {
    /// Its number.
    pub id: DestinationId,
    /// Unique among the destinations.
    pub name: Name,
    /// For people.
    pub description: Text,
    /// Where all its servers are.
    pub site: SiteId,
    /// Whether users may choose it.
    pub offered: bool,
    /// How archives are spread over its store points.
    pub balancing: Balancing,
    /// What counts as little free space.
    pub free_space: FreeSpaceThresholds,
    /// When and by whom it was made.
    pub created: Stamp,
    /// When and by whom it was last changed.
    pub changed: Stamp,
}

/// How archives are spread over a destination's store points.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Balancing {
    /// Whether they are.
    pub enabled: bool,
    /// How far the fill of store points may differ, in percent of their size.
    pub allowed_variance_percent: u8,
    /// When archives may move; always, where there is none.
    pub window: Option<DailyWindow>,
    /// The most bytes a second that moves may take together; unlimited, where there is none.
    pub rate_bytes_per_second: Option<u64>,
    /// How many archives may move at once.
    pub concurrency: u16,
}

/// A span of each day, in minutes after midnight UTC. One that ends before it starts goes over midnight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DailyWindow {
    /// The first minute.
    pub from_minute: u16,
    /// The minute behind the last.
    pub to_minute: u16,
}

/// What counts as little free space, in percent of a store point's size. It is kept for those who look; no alert follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FreeSpaceThresholds {
    /// Below this it is worth a warning.
    pub warning_percent: u8,
    /// Below this it is critical.
    pub critical_percent: u8,
}

impl Default for Balancing {
    fn default() -> Self {
        Self { enabled: true, allowed_variance_percent: 20, window: None, rate_bytes_per_second: None, concurrency: 2 }
    }
}

impl Default for FreeSpaceThresholds {
    fn default() -> Self {
        Self { warning_percent: 10, critical_percent: 5 }
    }
}

impl Encoded for Destination {
    const KIND: Kind = Kind::Destination;
}

impl Row for Destination {
    type Id = DestinationId;
    type Key = String;
    fn id(&self) -> DestinationId {
        self.id
    }
    fn key(&self) -> Option<String> {
        Some(self.name.folded())
    }
}

/// What a destination comes down to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RollUp {
    /// How many servers it has.
    pub servers: u64,
    /// How many of them are offline.
    pub offline_servers: u64,
    /// How many store points they have.
    pub store_points: u64,
    /// How many of those backups can go to now: they are there, and administrators let them.
    pub accepting: Accepting,
}

/// How many of several store points backups can go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepting {
    /// All of them.
    All,
    /// Some, and some not.
    Some,
    /// None, or there are none.
    None,
}

impl RollUp {
    /// Of a destination as it is in `state`. Takes time in proportion to the fleet's servers and the destination's store points.
    pub fn of(state: &State, destination: DestinationId) -> Self {
        let store_points = || servers(state, destination).flat_map(|server| store_point::of_server(state, server.id));
        let all = store_points().count();
        let accepting = match store_points().filter(|row| row.is_accepting()).count() {
            0 => Accepting::None,
            accepting if accepting == all => Accepting::All,
            _ => Accepting::Some,
        };
        let offline = servers(state, destination).filter(|server| server.condition == server::Condition::Offline);
        Self {
            servers: servers(state, destination).count() as u64,
            offline_servers: offline.count() as u64,
            store_points: all as u64,
            accepting,
        }
    }
}

/// The servers of a destination, in the order of their ids.
pub fn servers(state: &State, destination: DestinationId) -> impl Iterator<Item = &Server> {
    let servers = state.servers().iter().map(|server| &**server);
    servers.filter(move |server| server.destination == destination && server.is_present())
}

/// What can be asked of destinations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Command {
    /// Make one.
    Create {
        /// Its name, unchecked.
        name: String,
        /// Its description, unchecked.
        description: String,
        /// Where it is.
        site: SiteId,
        /// See [`Destination::offered`].
        offered: bool,
        /// See [`Destination::balancing`]; unchecked.
        balancing: Balancing,
        /// See [`Destination::free_space`]; unchecked.
        free_space: FreeSpaceThresholds,
    },
    /// Change what is given.
    Edit {
        /// Which.
        destination: DestinationId,
        /// What to change.
        change: Change,
    },
    /// Remove one that nothing uses.
    Remove {
        /// Which.
        destination: DestinationId,
    },
}

/// New values, unchecked; what is absent stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// See [`Destination::name`].
    pub name: Option<String>,
    /// See [`Destination::description`].
    pub description: Option<String>,
    /// See [`Destination::site`].
    pub site: Option<SiteId>,
    /// See [`Destination::offered`].
    pub offered: Option<bool>,
    /// See [`Destination::balancing`].
    pub balancing: Option<Balancing>,
    /// See [`Destination::free_space`].
    pub free_space: Option<FreeSpaceThresholds>,
}

/// What can have happened to destinations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Event {
    /// It was made.
    Created {
        /// Which.
        destination: DestinationId,
        /// Its name.
        name: Name,
        /// Its description.
        description: Text,
        /// Where it is.
        site: SiteId,
        /// See [`Destination::offered`].
        offered: bool,
        /// See [`Destination::balancing`].
        balancing: Balancing,
        /// See [`Destination::free_space`].
        free_space: FreeSpaceThresholds,
    },
    /// What is given was changed.
    Edited {
        /// Which.
        destination: DestinationId,
        /// The new name.
        name: Option<Name>,
        /// The new description.
        description: Option<Text>,
        /// The new site.
        site: Option<SiteId>,
        /// See [`Destination::offered`].
        offered: Option<bool>,
        /// See [`Destination::balancing`].
        balancing: Option<Balancing>,
        /// See [`Destination::free_space`].
        free_space: Option<FreeSpaceThresholds>,
    },
    /// It was removed.
    Removed {
        /// Which.
        destination: DestinationId,
    },
}

/// The rules of destinations.
pub(crate) fn decide(draft: &mut Draft<'_>, command: &Command) -> Outcome {
    match command {
        Command::Create { name, description, site, offered, balancing, free_space } => {
            let state = draft.state();
            let event = Event::Created {
                destination: DestinationId(state.next().destination),
                name: free_name(state, name, None)?,
                description: Text::parse("description", description)?,
                site: site::named_by(state, "site", *site)?,
                offered: *offered,
                balancing: checked_balancing(balancing)?,
                free_space: checked_thresholds(*free_space)?,
            };
            let destination = event.destination();
            draft.emit(event.into());
            Ok(Reply::created(destination))
        }
        Command::Edit { destination, change } => {
            let state = draft.state();
            let current = existing(state, *destination)?;
            let Change { name, description, site, offered, balancing, free_space } = change;
            let name = name.as_deref().map(|name| free_name(state, name, Some(*destination))).transpose()?;
            let description = description.as_deref().map(|text| Text::parse("description", text)).transpose()?;
            let site = site.map(|site| site::named_by(state, "site", site)).transpose()?;
            let balancing = balancing.as_ref().map(checked_balancing).transpose()?;
            let free_space = free_space.map(checked_thresholds).transpose()?;
            let event = Event::Edited {
                destination: *destination,
                name: name.filter(|new| *new != current.name),
                description: description.filter(|new| *new != current.description),
                site: site.filter(|new| *new != current.site),
                offered: offered.filter(|new| *new != current.offered),
                balancing: balancing.filter(|new| *new != current.balancing),
                free_space: free_space.filter(|new| *new != current.free_space),
            };
            if event.changes_nothing() {
                return Ok(Reply::unchanged(*destination));
            }
            draft.emit(event.into());
            Ok(Reply::changed(*destination))
        }
        Command::Remove { destination } => {
            existing(draft.state(), *destination)?;
            let blockers: Excerpt<_> = servers(draft.state(), *destination).map(Server::as_blocker).collect();
            if !blockers.is_empty() {
                return Err(Rejection::InUse { object: (*destination).into(), blockers });
            }
            draft.emit(Event::Removed { destination: *destination }.into());
            Ok(Reply::removed(*destination))
        }
    }
}

/// The destination, or the refusal that says that there is none.
pub(crate) fn existing(state: &State, destination: DestinationId) -> Result<&Destination, Rejection> {
    let not_found = || Rejection::NotFound { object: destination.into() };
    state.destinations().get(destination).map(|destination| &**destination).ok_or_else(not_found)
}

fn free_name(state: &State, name: &str, own: Option<DestinationId>) -> Result<Name, Rejection> {
    let name = Name::parse("name", name)?;
    match state.destinations().find(&name.folded()) {
        Some(holder) if Some(holder.id) != own => Err(Rejection::NameTaken { name: name.to_string(), holder: holder.id.into() }),
        _ => Ok(name),
    }
}

const MINUTES_OF_A_DAY: u16 = 24 * 60;
const CONCURRENCY_MAX: u16 = 64;

fn checked_balancing(balancing: &Balancing) -> Result<Balancing, Rejection> {
    in_range("balancing/allowed_variance_percent", balancing.allowed_variance_percent.into(), 1, 100)?;
    in_range("balancing/concurrency", balancing.concurrency.into(), 1, CONCURRENCY_MAX.into())?;
    if let Some(rate) = balancing.rate_bytes_per_second {
        in_range("balancing/rate_bytes_per_second", rate, 1, u64::MAX)?;
    }
    if let Some(window) = balancing.window {
        in_range("balancing/window/from_minute", window.from_minute.into(), 0, u64::from(MINUTES_OF_A_DAY) - 1)?;
        in_range("balancing/window/to_minute", window.to_minute.into(), 1, MINUTES_OF_A_DAY.into())?;
    }
    Ok(balancing.clone())
}

fn checked_thresholds(thresholds: FreeSpaceThresholds) -> Result<FreeSpaceThresholds, Rejection> {
    in_range("free_space/warning_percent", thresholds.warning_percent.into(), 1, 99)?;
    in_range("free_space/critical_percent", thresholds.critical_percent.into(), 0, 98)?;
    if thresholds.critical_percent >= thresholds.warning_percent {
        return Err(Rejection::InvalidField {
            field: "free_space/critical_percent".into(),
            fault: FieldFault::ThresholdsCrossed,
        });
    }
    Ok(thresholds)
}

fn in_range(field: &str, value: u64, min: u64, max: u64) -> Result<(), Rejection> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    Err(Rejection::InvalidField { field: field.into(), fault: FieldFault::OutOfRange { min, max } })
}

/// Carries an event into the state.
pub(crate) fn evolve(state: &mut State, event: &Event, stamp: Stamp) {
    match event.clone() {
        Event::Created { destination, name, description, site, offered, balancing, free_space } => {
            given(&mut state.header.next.destination, destination.0);
            state.destinations.put(Destination {
                id: destination,
                name,
                description,
                site,
                offered,
                balancing,
                free_space,
                created: stamp,
                changed: stamp,
            });
        }
        Event::Edited { destination, name, description, site, offered, balancing, free_space } => {
            state.destinations.change(destination, |current| {
                replace(&mut current.name, name);
                replace(&mut current.description, description);
                replace(&mut current.site, site);
                replace(&mut current.offered, offered);
                replace(&mut current.balancing, balancing);
                replace(&mut current.free_space, free_space);
                current.changed = stamp;
            });
        }
        Event::Removed { destination } => state.destinations.remove(destination),
    }
}

fn replace<T>(current: &mut T, new: Option<T>) {
    if let Some(new) = new {
        *current = new;
    }
}

impl Command {
    pub(crate) fn subject(&self) -> Option<ObjectRef> {
        match self {
            Self::Create { .. } => None,
            Self::Edit { destination, .. } | Self::Remove { destination } => Some((*destination).into()),
        }
    }
}

impl Event {
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Created { .. } => "destination.created",
            Self::Edited { .. } => "destination.edited",
            Self::Removed { .. } => "destination.removed",
        }
    }

    pub(crate) const fn destination(&self) -> DestinationId {
        match self {
            Self::Created { destination, .. } | Self::Edited { destination, .. } | Self::Removed { destination } => *destination,
        }
    }

    const fn changes_nothing(&self) -> bool {
        matches!(
            self,
            Self::Edited {
                destination: _,
                name: None,
                description: None,
                site: None,
                offered: None,
                balancing: None,
                free_space: None
            }
        )
    }
}

impl From<Event> for crate::Event {
    fn from(event: Event) -> Self {
        Self::Destination(event)
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Create { name, site, .. } => write!(f, "create destination “{name}” at {site}"),
            Self::Edit { destination, .. } => write!(f, "edit {destination}"),
            Self::Remove { destination } => write!(f, "remove {destination}"),
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Created { destination, name, site, offered, .. } => {
                write!(f, "{destination} “{name}” created at {site}")?;
                if *offered { Ok(()) } else { f.write_str(", not offered") }
            }
            Self::Edited { destination, name, description, site, offered, balancing, free_space } => {
                write!(f, "{destination} edited")?;
                if let Some(name) = name {
                    write!(f, ", name “{name}”")?;
                }
                if description.is_some() {
                    f.write_str(", description")?;
                }
                if let Some(site) = site {
                    write!(f, ", now at {site}")?;
                }
                if let Some(offered) = offered {
                    f.write_str(if *offered { ", offered" } else { ", not offered" })?;
                }
                if balancing.is_some() {
                    f.write_str(", balancing")?;
                }
                if free_space.is_some() {
                    f.write_str(", free space thresholds")?;
                }
                Ok(())
            }
            Self::Removed { destination } => write!(f, "{destination} removed"),
        }
    }
}
