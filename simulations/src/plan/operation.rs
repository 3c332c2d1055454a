//! What clients ask of a fleet.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Something that a client asks of the fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Operation {
    /// When, in milliseconds; a client that still waits for its last answer is late.
    pub at_ms: u64,
    /// Who asks.
    pub client: u32,
    /// What is asked.
    pub action: Action,
    /// Of which object, by number.
    pub subject: u32,
}

/// What clients ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// To make the object.
    Create,
    /// To change it.
    Change,
    /// To remove it.
    Remove,
    /// To show it as it is.
    Read,
    /// To show it as whoever is asked knows it.
    ReadStale,
    /// To say that the storage server of this number is worked upon for a while.
    Maintain,
    /// To say that it is not any more.
    Activate,
    /// To let no backups into the store point of this number.
    CloseStorePoint,
    /// To let them in again.
    OpenStorePoint,
    /// To acknowledge the alert of this number, or with 0 all that are open.
    AcknowledgeAlerts,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}
