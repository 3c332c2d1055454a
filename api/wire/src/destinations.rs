//! Destinations: what users choose for their backups.

use bursar_domain::{
    Command, DestinationId, SiteId, State,
    destination::{self, Change, DailyWindow},
};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use crate::{
    FieldError,
    objects::{Stamp, etag},
    times::{minute_of_day, parse_minute_of_day},
};

/// A set of storage servers on one network, as users choose it for their backups.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Destination {
    /// Its number.
    pub id: u64,
    /// Its name, unique among the destinations.
    pub name: String,
    /// For people.
    pub description: String,
    /// The number of the site where all its servers are.
    pub site: u64,
    /// Whether users may choose it.
    pub offered: bool,
    /// How archives are spread over its store points.
    pub balancing: Balancing,
    /// What counts as little free space.
    pub free_space: FreeSpace,
    /// What it comes down to, by its servers and store points. The entity tag does not cover it.
    pub roll_up: RollUp,
    /// When and by whom it was made.
    pub created: Stamp,
    /// When and by whom it was last changed.
    pub changed: Stamp,
    /// Its entity tag, to be sent as `If-Match: "<etag>"` with a change that rests on this reading.
    pub etag: String,
}

/// How archives are spread over a destination's store points.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Balancing {
    /// Whether they are.
    pub enabled: bool,
    /// How far the fill of store points may differ, in percent of their size.
    pub allowed_variance_percent: u8,
    /// When archives may move; always, where it is null.
    pub window: Option<Window>,
    /// The most bytes a second that moves may take together; unlimited, where it is null.
    pub rate_bytes_per_second: Option<u64>,
    /// How many archives may move at once.
    pub concurrency: u16,
}

/// A span of each day, UTC. One that ends before it starts goes over midnight.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// The first minute, `HH:MM` from `00:00` to `23:59`, UTC.
    pub from: String,
    /// The minute behind the last, `HH:MM` from `00:01` to `24:00`, UTC.
    pub to: String,
}

/// What counts as little free space, in percent of a store point's size. It is kept for people and programs that look at how store
/// points are filled; no alert follows from it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FreeSpace {
    /// Below this it is worth a warning, in percent.
    pub warning_percent: u8,
    /// Below this it is critical, in percent.
    pub critical_percent: u8,
}

/// What a destination comes down to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RollUp {
    /// How many servers it has.
    pub servers: u64,
    /// How many of them are offline.
    pub offline_servers: u64,
    /// How many store points they have.
    pub store_points: u64,
    /// How many of the store points backups can go to now: those that are online and accept data.
    pub accepting: Accepting,
}

/// How many of several store points backups can go to now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Accepting {
    /// All of them.
    All,
    /// Some, and some not.
    Some,
    /// None, or there are none.
    None,
}

impl Accepting {
    /// The word as it stands in the JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::All => "ALL",
            Self::Some => "SOME",
            Self::None => "NONE",
        }
    }
}

impl From<destination::RollUp> for RollUp {
    fn from(roll_up: destination::RollUp) -> Self {
        let destination::RollUp { servers, offline_servers, store_points, accepting } = roll_up;
        let accepting = match accepting {
            destination::Accepting::All => Accepting::All,
            destination::Accepting::Some => Accepting::Some,
            destination::Accepting::None => Accepting::None,
        };
        Self { servers, offline_servers, store_points, accepting }
    }
}

impl Destination {
    /// A destination of `state`.
    pub fn of(state: &State, destination: &destination::Destination) -> Self {
        let destination::Balancing { enabled, allowed_variance_percent, window, rate_bytes_per_second, concurrency } =
            destination.balancing.clone();
        Self {
            id: destination.id.0,
            name: destination.name.to_string(),
            description: destination.description.to_string(),
            site: destination.site.0,
            offered: destination.offered,
            balancing: Balancing {
                enabled,
                allowed_variance_percent,
                window: window.map(Window::from),
                rate_bytes_per_second,
                concurrency,
            },
            free_space: FreeSpace {
                warning_percent: destination.free_space.warning_percent,
                critical_percent: destination.free_space.critical_percent,
            },
            roll_up: destination::RollUp::of(state, destination.id).into(),
            created: Stamp::of(state, destination.created),
            changed: Stamp::of(state, destination.changed),
            etag: etag(state, destination.changed),
        }
    }
}

impl From<DailyWindow> for Window {
    fn from(window: DailyWindow) -> Self {
        Self { from: minute_of_day(window.from_minute), to: minute_of_day(window.to_minute) }
    }
}

impl Window {
    fn parse(&self) -> Result<DailyWindow, FieldError> {
        Ok(DailyWindow {
            from_minute: parse_minute_of_day("/balancing/window/from", &self.from)?,
            to_minute: parse_minute_of_day("/balancing/window/to", &self.to)?,
        })
    }
}

/// Reads a window that is given: an object, or null.
fn window_or_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<Window>>, D::Error> {
    #[derive(Deserialize)]
    #[serde(transparent)]
    struct Given(#[serde(deserialize_with = "crate::object")] Window);

    let window = Option::<Given>::deserialize(deserializer)?;
    Ok(Some(window.map(|Given(window)| window)))
}

/// A destination to be made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateDestination {
    /// 1 to 128 characters, no control characters, no blanks around it; unique among the destinations, ASCII letters folded.
    pub name: String,
    /// For people: at most 4,096 characters; by default empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// The number of the site where all its servers are.
    pub site: u64,
    /// Whether users may choose it; by default they may.
    #[serde(default, deserialize_with = "crate::given", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub offered: Option<bool>,
    /// How archives are spread over its store points; what is absent takes its default.
    #[serde(default, deserialize_with = "crate::object", skip_serializing_if = "EditBalancing::is_empty")]
    pub balancing: EditBalancing,
    /// What counts as little free space; what is absent takes its default. No alert follows from it.
    #[serde(default, deserialize_with = "crate::object", skip_serializing_if = "EditFreeSpace::is_empty")]
    pub free_space: EditFreeSpace,
}

impl CreateDestination {
    /// What it asks for.
    pub fn command(self) -> Result<Command, FieldError> {
        Ok(Command::Destination(destination::Command::Create {
            name: self.name,
            description: self.description,
            site: SiteId(self.site),
            offered: self.offered.unwrap_or(true),
            balancing: self.balancing.over(&destination::Balancing::default())?,
            free_space: self.free_space.over(destination::FreeSpaceThresholds::default()),
        }))
    }
}

/// A change of a destination, as a JSON merge patch: what is absent stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EditDestination {
    /// A new name.
    #[serde(default, deserialize_with = "crate::given", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub name: Option<String>,
    /// A new description.
    #[serde(default, deserialize_with = "crate::given", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub description: Option<String>,
    /// The number of another site.
    #[serde(default, deserialize_with = "crate::given", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub site: Option<u64>,
    /// Whether users may choose it.
    #[serde(default, deserialize_with = "crate::given", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub offered: Option<bool>,
    /// How archives are spread over its store points.
    #[serde(default, deserialize_with = "crate::object", skip_serializing_if = "EditBalancing::is_empty")]
    pub balancing: EditBalancing,
    /// What counts as little free space. No alert follows from it.
    #[serde(default, deserialize_with = "crate::object", skip_serializing_if = "EditFreeSpace::is_empty")]
    pub free_space: EditFreeSpace,
}

/// A part of the balancing: what is absent stays, or takes its default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EditBalancing {
    /// Whether archives are spread; by default they are.
    #[serde(default, deserialize_with = "crate::given", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub enabled: Option<bool>,
    /// How far the fill of store points may differ, in percent of their size: 1 to 100, by default 20.
    #[serde(default, deserialize_with = "crate::given", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub allowed_variance_percent: Option<u8>,
    /// When archives may move; null, the default: always.
    #[serde(default, deserialize_with = "window_or_null", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Window>)]
    pub window: Option<Option<Window>>,
    /// The most bytes a second that moves may take together, at least 1; null, the default: unlimited.
    #[serde(default, deserialize_with = "crate::given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>)]
    pub rate_bytes_per_second: Option<Option<u64>>,
    /// How many archives may move at once: 1 to 64, by default 2.
    #[serde(default, deserialize_with = "crate::given", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub concurrency: Option<u16>,
}

/// A part of the free-space thresholds: what is absent stays, or takes its default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EditFreeSpace {
    /// Below this it is worth a warning, in percent: 1 to 99, by default 10.
    #[serde(default, deserialize_with = "crate::given", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub warning_percent: Option<u8>,
    /// Below this it is critical, in percent: 0 to 98 and below the warning, by default 5.
    #[serde(default, deserialize_with = "crate::given", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub critical_percent: Option<u8>,
}

impl EditDestination {
    /// Whether the command is made of what stands beside what is given. Then the command is only right as long as nobody else
    /// changed the destination: the caller submits it with the revision that it read, and makes it anew where that has passed.
    pub fn rests_on_current(&self) -> bool {
        !self.balancing.is_empty() || !self.free_space.is_empty()
    }

    /// What it asks for, given how the destination stands.
    pub fn command(self, current: &destination::Destination) -> Result<Command, FieldError> {
        let balancing = (!self.balancing.is_empty()).then(|| self.balancing.over(&current.balancing)).transpose()?;
        let free_space = (!self.free_space.is_empty()).then(|| self.free_space.over(current.free_space));
        Ok(Command::Destination(destination::Command::Edit {
            destination: current.id,
            change: Change {
                name: self.name,
                description: self.description,
                site: self.site.map(SiteId),
                offered: self.offered,
                balancing,
                free_space,
            },
        }))
    }
}

impl EditBalancing {
    /// Whether nothing is given.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn over(self, current: &destination::Balancing) -> Result<destination::Balancing, FieldError> {
        let window = match self.window {
            None => current.window,
            Some(window) => window.map(|window| window.parse()).transpose()?,
        };
        Ok(destination::Balancing {
            enabled: self.enabled.unwrap_or(current.enabled),
            allowed_variance_percent: self.allowed_variance_percent.unwrap_or(current.allowed_variance_percent),
            window,
            rate_bytes_per_second: self.rate_bytes_per_second.unwrap_or(current.rate_bytes_per_second),
            concurrency: self.concurrency.unwrap_or(current.concurrency),
        })
    }
}

impl EditFreeSpace {
    /// Whether nothing is given.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn over(self, current: destination::FreeSpaceThresholds) -> destination::FreeSpaceThresholds {
        destination::FreeSpaceThresholds {
            warning_percent: self.warning_percent.unwrap_or(current.warning_percent),
            critical_percent: self.critical_percent.unwrap_or(current.critical_percent),
        }
    }
}

/// The removal of a destination.
pub fn remove(destination: DestinationId) -> Command {
    Command::Destination(destination::Command::Remove { destination })
}
