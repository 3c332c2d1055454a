//! Sites: places with a failure domain of their own.

use bursar_domain::{Command, SiteId, State, site};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::objects::{Stamp, etag};

/// A place with its own failure domain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Site {
    /// Its number.
    pub id: u64,
    /// Its name, unique among the sites.
    pub name: String,
    /// The latency to expect between its machines and the authority, one way, in milliseconds.
    pub expected_latency_ms: u32,
    /// When and by whom it was made.
    pub created: Stamp,
    /// When and by whom it was last changed.
    pub changed: Stamp,
    /// Its entity tag, to be sent as `If-Match: "<etag>"` with a change that rests on this reading.
    pub etag: String,
}

impl Site {
    /// A site of `state`.
    pub fn of(state: &State, site: &site::Site) -> Self {
        Self {
            id: site.id.0,
            name: site.name.to_string(),
            expected_latency_ms: site.expected_latency_ms,
            created: Stamp::of(state, site.created),
            changed: Stamp::of(state, site.changed),
            etag: etag(state, site.changed),
        }
    }
}

/// A site to be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateSite {
    /// 1 to 128 characters, no control characters, no blanks around it; unique among the sites, ASCII letters folded.
    pub name: String,
    /// The latency to expect between its machines and the authority, one way, in milliseconds; 0 to 60,000, by default 0.
    #[serde(default)]
    pub expected_latency_ms: u32,
}

impl CreateSite {
    /// What it asks for.
    pub fn command(self) -> Command {
        Command::Site(site::Command::Create { name: self.name, expected_latency_ms: self.expected_latency_ms })
    }
}

/// A change of a site, as a JSON merge patch: what is absent stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EditSite {
    /// A new name.
    #[serde(default, deserialize_with = "crate::given", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub name: Option<String>,
    /// A new latency to expect, one way, in milliseconds.
    #[serde(default, deserialize_with = "crate::given", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub expected_latency_ms: Option<u32>,
}

impl EditSite {
    /// What it asks for.
    pub fn command(self, site: SiteId) -> Command {
        Command::Site(site::Command::Edit { site, name: self.name, expected_latency_ms: self.expected_latency_ms })
    }
}

/// The removal of a site.
pub fn remove(site: SiteId) -> Command {
    Command::Site(site::Command::Remove { site })
}
