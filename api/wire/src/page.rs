//! Lists, a page at a time, and what a dry run tells.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{events::EventLine, objects::Done};

/// How many items a page has where nothing else is asked for.
pub const PAGE_ITEMS: u32 = 100;
/// The most items that a page can have.
pub const PAGE_ITEMS_MAX: u32 = 1_000;

/// A page of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Page<T> {
    /// The items, in the order that was asked for.
    pub items: Vec<T>,
    /// To be sent as `page_token` for the next page; null on the last.
    pub next_page_token: Option<String>,
    /// The cursor of the state that the page was read from.
    pub revision: String,
}

/// What a mutation would do, told by `dry_run=true`. A refusal is told as the mutation itself would tell it, as a problem.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DryRun {
    /// The events that it would append, at the revisions that they would have now.
    pub events: Vec<EventLine>,
    /// What the caller would be told.
    pub outcome: Done,
    /// What to know before it is done, though it does not stand in the way.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Warning>,
}

/// Something to know before a change is made, that does not stand in its way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Warning {
    /// Its stable code.
    pub code: String,
    /// What it is, in a sentence.
    pub detail: String,
}
