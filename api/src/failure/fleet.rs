//! What storage servers, and the connection strings of future ones, are the cause of.

use axum::http::StatusCode;
use bursar_domain::Rejection;
use bursar_wire::{ConnectionStringError, Fate, FieldError, problem::code};

use super::{Failure, PAUSE_MS};
use crate::fleet::{ContactError, ExamineError};

/// The part of the request that a connection string stands in.
const STRING: &str = "/connection_string";
const TITLE: &str = "The connection string is not taken";

impl From<ConnectionStringError> for Failure {
    fn from(error: ConnectionStringError) -> Self {
        use ConnectionStringError::{
            Expired, Foreign, ForeignLicense, Malformed, Premature, Tampered, TooLong, Truncated, UnknownVersion,
        };
        let (status, code, hint) = match error {
            Foreign | TooLong { .. } | Truncated | Tampered | Malformed { .. } => {
                (StatusCode::BAD_REQUEST, code::CONNECTION_STRING_INVALID, "Copy the whole line, once and unchanged.")
            }
            UnknownVersion { .. } => {
                let hint = "Run the same version of the program on the authority and on the storage server.";
                (StatusCode::BAD_REQUEST, code::CONNECTION_STRING_INVALID, hint)
            }
            Expired { .. } => of_the_ledger(&Rejection::ConnectionStringExpired),
            ForeignLicense => of_the_ledger(&Rejection::LicenseForeign),
            Premature { .. } => {
                let hint = "Correct the clock that is wrong, then issue another connection string.";
                (StatusCode::CONFLICT, code::CONNECTION_STRING_PREMATURE, hint)
            }
        };
        let fault = match &error {
            Foreign => "is none: it begins with bursar1. and has three parts".to_owned(),
            TooLong { bytes } => format!("has {bytes} bytes, more than any has"),
            Truncated => "is cut off".to_owned(),
            Tampered => "is not as its server signed it".to_owned(),
            Malformed { detail } => format!("was not made by this program: {detail}"),
            UnknownVersion { found } => format!("has version {found}, which this program does not read"),
            Expired { expires_at, now } => format!("expired at {expires_at}, it is {now} now"),
            Premature { issued_at, now } => format!("was issued at {issued_at}, far ahead of {now}"),
            ForeignLicense => "was not made with this cluster's master license key".to_owned(),
        };
        Self::new(status, code, TITLE, format!("Not taken: {error}.")).hint(hint).fault(FieldError::new(STRING, fault))
    }
}

/// The same refusal as the ledger's own.
fn of_the_ledger(rejection: &Rejection) -> (StatusCode, &'static str, &'static str) {
    (StatusCode::CONFLICT, rejection.code(), rejection.remedy())
}

impl From<ContactError> for Failure {
    fn from(error: ContactError) -> Self {
        let (status, code, hint, fault) = match error {
            ContactError::Voided => (
                StatusCode::CONFLICT,
                code::CONNECTION_STRING_VOIDED,
                "Use the one that it issued last; `bursar storage-server connection-string` there issues another.",
                "was voided: its storage server has issued another one since",
            ),
            ContactError::AnotherIdentity => (
                StatusCode::CONFLICT,
                code::ANOTHER_IDENTITY,
                "Check the addresses that the storage server was made with, and that no other machine has them.",
                "is of another machine than the one that answers at its addresses",
            ),
            ContactError::Unreachable { .. } => {
                (StatusCode::SERVICE_UNAVAILABLE, code::SERVER_UNREACHABLE, ANSWERING, "is of a machine that does not answer")
            }
        };
        let failure = Self::new(status, code, TITLE, format!("Not taken: {error}."));
        let failure = failure.hint(hint).fault(FieldError::new(STRING, fault));
        if status == StatusCode::SERVICE_UNAVAILABLE { failure.fate(Fate::NotDone).retry_after_ms(PAUSE_MS) } else { failure }
    }
}

impl From<ExamineError> for Failure {
    fn from(error: ExamineError) -> Self {
        let ExamineError::Unreachable { server, .. } = error;
        let title = "The storage server does not answer";
        let detail = format!("Nothing was changed, as the path must be looked at first: {error}.");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code::SERVER_UNREACHABLE, title, detail)
            .about(server.into())
            .hint(ANSWERING)
            .fate(Fate::NotDone)
            .retry_after_ms(PAUSE_MS)
    }
}

const ANSWERING: &str =
    "Check that `bursar storage-server run` runs there and that the authority's nodes reach its control port.";
