//! Where the state machine stands, as it rests beside the journal and travels with a snapshot.

use bursar_domain::{Hash, Revision};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::envelope::{self, Kind, OpenError};
use crate::log::{LogPosition, Membership};

/// The envelope version of [`Applied`].
const VERSION: u8 = 1;

/// Where the state machine stands: what of the log it has applied, who is a member since, and where the journal ends.
///
/// Written in the same batch as the records that it counts, so that neither ever rests without the other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Applied {
    /// The last applied position of the log; none before the first.
    pub position: Option<LogPosition>,
    /// The membership in force at that position.
    pub membership: StoredMembership,
    /// The revision of the journal's last record.
    pub revision: Revision,
    /// The hash of the journal's last record; [`Hash::ZERO`] while there is none.
    pub head: Hash,
}

/// A membership, and the log position that set it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredMembership {
    /// Where in the log it was set; none before the first.
    pub position: Option<LogPosition>,
    /// Who votes and who listens.
    pub membership: Membership,
}

impl Applied {
    /// The framed bytes.
    pub fn encode(&self) -> Bytes {
        envelope::pack(Kind::Applied, VERSION, self)
    }

    /// What [`encode`](Self::encode) made.
    ///
    /// # Errors
    /// A frame that is damaged, newer, or of something else.
    pub fn decode(frame: &[u8]) -> Result<Self, OpenError> {
        envelope::unpack(Kind::Applied, VERSION, frame)
    }
}

impl Default for Applied {
    /// Of a state machine that has applied nothing.
    fn default() -> Self {
        Self { position: None, membership: StoredMembership::default(), revision: Revision::ZERO, head: Hash::ZERO }
    }
}
