//! Why a connection string is not taken, and what to do next.

use bursar_domain::Timestamp;

use super::{AHEAD_MS_MAX, TEXT_BYTES_MAX};

/// How an operator gets another one.
const ISSUE: &str = "`bursar storage-server connection-string` on that machine issues another";

/// Why a connection string is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnectionStringError {
    /// Something else altogether.
    #[error("this is no connection string, which begins with bursar1. and has three parts: copy the whole line; {ISSUE}")]
    Foreign,
    /// More than any connection string has.
    #[error("a connection string has at most {TEXT_BYTES_MAX} bytes, this has {bytes}: copy the line alone, and once")]
    TooLong {
        /// How many there are.
        bytes: usize,
    },
    /// Cut off.
    #[error("the connection string is cut off: copy the whole line; {ISSUE}")]
    Truncated,
    /// Not as the server signed it.
    #[error("the connection string is not as its server signed it: copy the line anew, unchanged; {ISSUE}")]
    Tampered,
    /// Of another program's version.
    #[error(
        "the connection string has version {found}, this program reads 1: run the same version of the program on the \
         authority and on the storage server"
    )]
    UnknownVersion {
        /// As it stands there, cut to eight digits.
        found: String,
    },
    /// Signed by its server, but not what a server says.
    #[error("the connection string was not made by this program, {detail}: {ISSUE}")]
    Malformed {
        /// Which field is wrong.
        detail: &'static str,
    },
    /// Its time is over.
    #[error(
        "the connection string expired at {expires_at}, it is {now} now: {ISSUE}; where that is not the time, correct the clocks"
    )]
    Expired {
        /// When it stopped being good.
        expires_at: Timestamp,
        /// The time of the check.
        now: Timestamp,
    },
    /// Its time has not begun.
    #[error(
        "the connection string was issued at {issued_at}, which is more than {} minutes ahead of {now}: correct the clock that \
         is wrong, then {ISSUE}", AHEAD_MS_MAX / 60_000
    )]
    Premature {
        /// When it was issued, by the server's clock.
        issued_at: Timestamp,
        /// The time of the check.
        now: Timestamp,
    },
    /// Made with another master license key, or with none.
    #[error(
        "the storage server was not made with this cluster's master license key: run `bursar storage-server init` on an empty \
         directory with --license-key-file naming the key of this cluster"
    )]
    ForeignLicense,
}
