//! Whatever is not done: the one way from an error to an answer, as RFC 9457 problem details.

mod fleet;
mod named;

use std::time::Duration;

use axum::{
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use bursar_domain::{Class, Cursor, ObjectRef, Rejection, Revision, State};
use bursar_wire::{Fate, FieldError, Problem, media, problem::code};

use crate::authority::{Fate as Known, JournalError, ReadError, SubmitError, TransferError, Unavailability};

/// A page token that was not given for the list that it is shown to. Status 400.
const INVALID_PAGE_TOKEN: &str = "invalid_page_token";
/// A kind of answer that the path does not have. Status 406.
const NOT_ACCEPTABLE: &str = "not_acceptable";
/// A body that did not arrive in time. Status 408.
const TOO_SLOW: &str = "too_slow";

/// Why a request was not carried out.
#[derive(Debug)]
pub(crate) struct Failure {
    problem: Box<Problem>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Failure {
    fn new(status: StatusCode, code: &str, title: &str, detail: impl Into<String>) -> Self {
        Problem::new(status.as_u16(), code, title, detail).into()
    }

    /// A refusal of the ledger, decided on `state`.
    pub(crate) fn refused(rejection: &Rejection, state: &State) -> Self {
        let failure = Self::from(named::problem(rejection, state));
        if rejection.class() == Class::Unauthenticated { failure.challenge() } else { failure }
    }

    /// There is no such object.
    pub(crate) fn not_found(object: ObjectRef, state: &State) -> Self {
        Self::refused(&Rejection::NotFound { object }, state)
    }

    /// There is no such path.
    pub(crate) fn no_such_path(path: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, code::NOT_FOUND, "No such path", format!("There is nothing at {path}."))
            .hint("/api/v1/openapi.json lists all paths.")
    }

    /// The path does not know the method.
    pub(crate) fn method_not_allowed(method: &str) -> Self {
        let detail = format!("This path does not take {method}.");
        Self::new(StatusCode::METHOD_NOT_ALLOWED, code::METHOD_NOT_ALLOWED, "Method not allowed", detail)
            .hint("The Allow header lists the methods that it takes.")
    }

    /// The request cannot be understood.
    pub(crate) fn malformed(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code::MALFORMED, "The request cannot be understood", detail)
            .hint("/api/v1/openapi.json describes what the request takes.")
    }

    /// A parameter, or another part with a name, that is wrong.
    pub(crate) fn malformed_part(fault: FieldError) -> Self {
        Self::malformed(format!("{fault}.")).fault(fault)
    }

    /// A page token of nowhere.
    pub(crate) fn invalid_page_token() -> Self {
        let fault = FieldError::new("?page_token", "was not given for this list, with this filter and sort");
        let title = "The request cannot be understood";
        Self::new(StatusCode::BAD_REQUEST, INVALID_PAGE_TOKEN, title, format!("{fault}."))
            .hint("Start again without page_token.")
            .fault(fault)
    }

    /// The body is larger than what is taken.
    pub(crate) fn too_large(bytes_max: u64) -> Self {
        let detail = format!("The request has more than {bytes_max} bytes.");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, code::TOO_LARGE, "The request is too large", detail)
            .hint("Split it into smaller ones.")
    }

    /// The body did not arrive in time.
    pub(crate) fn too_slow() -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, TOO_SLOW, "The request came too slowly", "The body did not arrive in time.")
            .hint("Nothing was changed. Try again.")
    }

    /// The body is no JSON.
    pub(crate) fn unsupported_media_type() -> Self {
        let title = "Unsupported media type";
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, code::UNSUPPORTED_MEDIA_TYPE, title, "The body must be JSON.")
            .hint("Send Content-Type: application/json.")
    }

    /// The caller takes no kind of answer that there is.
    pub(crate) fn not_acceptable(kinds: &str) -> Self {
        let detail = format!("The answer comes as {kinds}.");
        Self::new(StatusCode::NOT_ACCEPTABLE, NOT_ACCEPTABLE, "Not acceptable", detail).hint("Name one of them in Accept.")
    }

    /// Nobody knows who asks.
    pub(crate) fn unauthenticated(detail: &str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, code::UNAUTHENTICATED, "No valid credential", detail)
            .hint("Send a valid token: Authorization: Bearer <token>.")
            .challenge()
    }

    /// The cursor is of another life of the cluster.
    pub(crate) fn foreign_epoch(cursor: Cursor, state: &State) -> Self {
        let detail = format!("{cursor} is of epoch {}, the cluster is in epoch {}.", cursor.epoch, state.epoch());
        Self::new(StatusCode::CONFLICT, code::FOREIGN_EPOCH, "The cluster was restored", detail)
            .hint("Read everything anew, and go on from there.")
            .seen(state.cursor())
    }

    /// The cursor names what has not happened.
    pub(crate) fn cursor_beyond_end(cursor: Cursor, state: &State) -> Self {
        let detail = format!("{cursor} lies beyond the end of the history, which is {}.", state.cursor());
        Self::new(StatusCode::CONFLICT, code::CURSOR_BEYOND_END, "The cursor is beyond the end", detail)
            .hint("Use a cursor that this cluster has given: this one may be another's.")
            .seen(state.cursor())
    }

    /// The journal no longer reaches back so far.
    pub(crate) fn gone(cursor: Cursor, floor: Cursor) -> Self {
        let detail = format!("{cursor} lies below {floor}, where the history that is kept begins.");
        Self::new(StatusCode::GONE, code::GONE, "No longer kept", detail).hint(crate::events::GONE_HINT)
    }

    /// The object of a repeated request does not exist any more.
    pub(crate) fn removed_since(object: ObjectRef, state: &State) -> Self {
        let detail = format!("The request was carried out before, and {object} was removed since.");
        let failure = Self::new(StatusCode::GONE, code::GONE, "The object was removed since", detail)
            .hint("Use a new Idempotency-Key for a new request.")
            .fate(Fate::Done)
            .seen(state.cursor());
        failure.about(object)
    }

    /// The secret was shown when the request came first.
    pub(crate) fn already_issued(object: ObjectRef, state: &State) -> Self {
        let detail = format!("The request was carried out before and made {object}, whose secret is shown only once.");
        let failure = Self::new(StatusCode::CONFLICT, code::ALREADY_ISSUED, "Already issued", detail)
            .hint("If the first answer was lost, revoke it and issue another under a new Idempotency-Key.")
            .fate(Fate::Done)
            .seen(state.cursor());
        failure.about(object)
    }

    /// Too much is under way here; a client should come back in a moment.
    pub(crate) fn overloaded(detail: &str) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code::OVERLOADED, "Too much at once", detail)
            .hint("Nothing was changed. Come back after the time in Retry-After, or ask another node.")
            .fate(Fate::NotDone)
            .retry_after_ms(PAUSE_MS)
    }

    /// This node is going down.
    pub(crate) fn stopping() -> Self {
        let title = "The node is going down";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code::STOPPING, title, "This node takes no more requests.")
            .hint("Ask another node.")
            .fate(Fate::NotDone)
            .retry_after_ms(PAUSE_MS)
    }

    /// No quorum has confirmed lately that this node is up to date: for so long, or never since it was started.
    pub(crate) fn cut_off(since: Option<Duration>) -> Self {
        let since = since.map_or("since it was started".to_owned(), |since| format!("for {} s", since.as_secs()));
        let detail =
            format!("No quorum has confirmed {since} that this node is up to date: what happened meanwhile it may not know.");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code::BEHIND, "The node may be behind", detail)
            .hint("Go on at another node, behind the last cursor that you have.")
            .retry_after_ms(PAUSE_MS)
    }

    /// It was decided, and this node has not come so far in time: what it would show is how things stood before.
    pub(crate) fn not_seen_yet(decided: Revision, state: &State) -> Self {
        let detail = format!("The request was decided at revision {decided}, this node has seen {}.", state.revision());
        Self::new(StatusCode::GATEWAY_TIMEOUT, code::OUTCOME_UNKNOWN, "The outcome cannot be shown", detail)
            .hint(REPEAT)
            .fate(Fate::Unknown)
            .seen(state.cursor())
            .retry_after_ms(PAUSE_MS)
    }

    /// The cluster does not exist yet.
    pub(crate) fn not_founded(state: &State) -> Self {
        Self::refused(&Rejection::NotFounded, state)
    }

    /// What to do next.
    pub(crate) fn hint(mut self, hint: &str) -> Self {
        self.problem.hint = Some(hint.to_owned());
        self
    }

    /// The same in a sentence that tells more.
    pub(crate) fn detail(mut self, detail: String) -> Self {
        self.problem.detail = detail;
        self
    }

    /// What exactly is wrong, and where.
    pub(crate) fn fault(mut self, fault: FieldError) -> Self {
        self.problem.errors.push(fault);
        self
    }

    /// The problem itself.
    pub(crate) fn into_problem(self) -> Problem {
        *self.problem
    }

    fn about(mut self, object: ObjectRef) -> Self {
        self.problem.object = Some(object.into());
        self
    }

    fn seen(mut self, cursor: Cursor) -> Self {
        self.problem.revision = Some(cursor.to_string());
        self
    }

    fn challenge(mut self) -> Self {
        self.headers.push((header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"bursar\"")));
        self
    }

    fn fate(mut self, fate: Fate) -> Self {
        self.problem.fate = Some(fate);
        self
    }

    /// When to come back, rounded up to whole seconds.
    fn retry_after_ms(mut self, milliseconds: u64) -> Self {
        self.problem.retry_after_seconds = Some(milliseconds.div_ceil(1_000).max(1));
        self
    }
}

/// How long a client should stay away where nothing better is known, in milliseconds.
const PAUSE_MS: u64 = 1_000;

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self { problem: Box::new(problem), headers: Vec::new() }
    }
}

/// A field whose value is refused in front of the ledger.
impl From<FieldError> for Failure {
    fn from(fault: FieldError) -> Self {
        Problem::from(fault).into()
    }
}

impl From<SubmitError> for Failure {
    fn from(error: SubmitError) -> Self {
        let fate = match error {
            SubmitError::Unavailable { fate, .. } | SubmitError::Stopped { fate } => fate,
            SubmitError::Overloaded { .. } | SubmitError::TooLarge { .. } => Known::NotDone,
        };
        let (known, remedy) = match fate {
            Known::NotDone => ("The request was not decided", NOTHING_CHANGED),
            Known::Unknown => ("No outcome is known", REPEAT),
        };
        let detail = format!("{known}: {error}.");
        let failure = match (error, fate) {
            (SubmitError::Overloaded { retry_after_ms }, _) => {
                Self::new(StatusCode::TOO_MANY_REQUESTS, code::OVERLOADED, "Too much at once", detail)
                    .hint("Nothing was changed. Come back after the time in Retry-After.")
                    .retry_after_ms(retry_after_ms)
            }
            (SubmitError::TooLarge { bytes_max, .. }, _) => Self::too_large(bytes_max),
            (SubmitError::Unavailable { reason: reason @ Unavailability::NotUnderstood, .. }, Known::NotDone) => {
                unavailable(reason, detail).hint(SAME_VERSION)
            }
            (SubmitError::Unavailable { reason, .. }, Known::NotDone) => unavailable(reason, detail).hint(remedy),
            // Who asks a node that is cut off is told of the quorum, whatever became of the request.
            (SubmitError::Unavailable { reason: reason @ (Unavailability::NoQuorum | Unavailability::NoLeader), .. }, _) => {
                unavailable(reason, detail).hint(remedy)
            }
            (SubmitError::Stopped { .. }, Known::NotDone) => Self::stopping(),
            (SubmitError::Unavailable { .. } | SubmitError::Stopped { .. }, Known::Unknown) => {
                Self::new(StatusCode::GATEWAY_TIMEOUT, code::OUTCOME_UNKNOWN, "The outcome is not known", detail)
                    .hint(remedy)
                    .retry_after_ms(PAUSE_MS)
            }
        };
        failure.fate(told(fate))
    }
}

const fn told(fate: Known) -> Fate {
    match fate {
        Known::NotDone => Fate::NotDone,
        Known::Unknown => Fate::Unknown,
    }
}

const NOTHING_CHANGED: &str = "Nothing was changed. Try again, or ask another node.";
const SAME_VERSION: &str = "Nothing was changed. Run the same version on all nodes; until then ask one of the leader's version.";
const REPEAT: &str = "It may have been carried out: repeat it with the same Idempotency-Key, which is harmless.";
/// No request id makes a hand-over harmless: it leaves no trace in the ledger that would tell a repetition from another one.
const WHO_LEADS: &str = "Look at /api/v1/status who leads now, before you try again: a repetition hands over again.";

impl Failure {
    /// What a change is made of could not be read. Whoever asks for a change is told of that: it was not decided.
    pub(crate) fn undecided(error: ReadError) -> Self {
        match error {
            ReadError::Unavailable { waited_ms, reason } => {
                SubmitError::Unavailable { waited_ms, reason, fate: Known::NotDone }.into()
            }
            ReadError::Stopped => SubmitError::Stopped { fate: Known::NotDone }.into(),
            ReadError::Behind { .. } => error.into(),
        }
    }
}

/// A change whose reading fails was not made, as little as by a reading alone.
impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Self {
        let detail = format!("The state could not be read as asked: {error}.");
        let failure = match error {
            ReadError::Unavailable { reason: reason @ Unavailability::NotUnderstood, .. } => {
                unavailable(reason, detail).hint(SAME_VERSION)
            }
            ReadError::Unavailable { reason, .. } => unavailable(reason, detail)
                .hint("Try again, ask another node, or read with consistency=stale what this node has."),
            ReadError::Behind { .. } => Self::new(StatusCode::SERVICE_UNAVAILABLE, code::BEHIND, "The node is behind", detail)
                .hint("Try again, or read with consistency=linearizable.")
                .retry_after_ms(PAUSE_MS),
            ReadError::Stopped => Self::stopping(),
        };
        failure.fate(Fate::NotDone)
    }
}

impl From<TransferError> for Failure {
    fn from(error: TransferError) -> Self {
        let fate = match error {
            TransferError::Unavailable { fate, .. } | TransferError::Stopped { fate } => fate,
            TransferError::NotAVoter { .. } | TransferError::Silent { .. } | TransferError::NobodyElse => Known::NotDone,
        };
        let known = match fate {
            Known::NotDone => "The leadership was not handed over",
            Known::Unknown => "Whether the leadership was handed over is not known",
        };
        let detail = format!("{known}: {error}.");
        let failed = || Self::new(StatusCode::CONFLICT, code::TRANSFER_FAILED, "Not handed over", detail.clone());
        match error {
            TransferError::NotAVoter { node } => {
                failed().about(node.into()).hint("Choose one of the voters that /api/v1/status lists.")
            }
            TransferError::Silent { node } => {
                failed().about(node.into()).hint("Start it, or check that the leader reaches it; or choose another voter.")
            }
            TransferError::NobodyElse => failed().hint("Add another authority node first."),
            TransferError::Unavailable { reason, fate: Known::Unknown, .. } => {
                unavailable(reason, detail).hint(WHO_LEADS).fate(Fate::Unknown)
            }
            TransferError::Unavailable { reason: reason @ Unavailability::NotUnderstood, .. } => {
                unavailable(reason, detail).hint(SAME_VERSION).fate(Fate::NotDone)
            }
            TransferError::Unavailable { reason, .. } => unavailable(reason, detail).hint(NOTHING_CHANGED).fate(Fate::NotDone),
            TransferError::Stopped { fate: Known::Unknown } => Self::stopping().hint(WHO_LEADS).fate(Fate::Unknown),
            TransferError::Stopped { fate: Known::NotDone } => Self::stopping(),
        }
    }
}

impl From<JournalError> for Failure {
    fn from(error: JournalError) -> Self {
        tracing::error!(%error, "a request needed a part of the journal that cannot be read");
        let title = "A defect of the program";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, code::INTERNAL, title, "The journal of this node could not be read.")
            .hint("Check this node with `bursar doctor`; another node may answer.")
    }
}

fn unavailable(reason: Unavailability, detail: String) -> Failure {
    let (code, title) = match reason {
        // A leader that is not found within the whole deadline means that too few are there to elect one.
        Unavailability::NoLeader | Unavailability::NoQuorum => (code::NO_QUORUM, "Too few members answer"),
        Unavailability::LeaderUnreachable => (code::LEADER_UNREACHABLE, "The leader is not reached"),
        Unavailability::NotUnderstood => (code::VERSION_MISMATCH, "The leader runs another version"),
        Unavailability::Recovering => (code::RECOVERING, "The node is catching up"),
    };
    Failure::new(StatusCode::SERVICE_UNAVAILABLE, code, title, detail).retry_after_ms(PAUSE_MS)
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.problem.status).expect("problems have statuses of HTTP");
        let body = serde_json::to_vec(&self.problem).expect("a problem is plain data");
        let mut response = (status, [(header::CONTENT_TYPE, HeaderValue::from_static(media::PROBLEM))], body).into_response();
        if let Some(seconds) = self.problem.retry_after_seconds {
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        for (name, value) in self.headers {
            response.headers_mut().append(name, value);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_a_node_cut_off_is_told_of_the_quorum_whatever_became_of_the_request() {
        for reason in [Unavailability::NoQuorum, Unavailability::NoLeader] {
            for (fate, said) in [(Known::NotDone, Fate::NotDone), (Known::Unknown, Fate::Unknown)] {
                let problem = Failure::from(SubmitError::Unavailable { waited_ms: 10_000, reason, fate }).problem;
                assert_eq!((problem.status, problem.code.as_str()), (503, code::NO_QUORUM), "{reason:?}, {fate:?}");
                assert_eq!(problem.fate, Some(said), "{reason:?}, {fate:?}");
                assert_eq!(problem.hint.as_deref() == Some(REPEAT), fate == Known::Unknown, "{:?}", problem.hint);
            }
        }
    }

    #[test]
    fn a_change_that_cannot_be_made_for_want_of_a_reading_is_told_of_the_change() {
        let problem = Failure::undecided(ReadError::Unavailable { waited_ms: 900, reason: Unavailability::NoQuorum }).problem;
        assert_eq!((problem.status, problem.code.as_str(), problem.fate), (503, code::NO_QUORUM, Some(Fate::NotDone)));
        assert!(problem.detail.starts_with("The request was not decided"), "{}", problem.detail);
        assert_eq!(problem.hint.as_deref(), Some(NOTHING_CHANGED));
    }

    #[test]
    fn a_stopping_node_tells_what_it_took_on_from_what_it_did_not() {
        let problem = |fate| Failure::from(SubmitError::Stopped { fate }).problem;
        assert_eq!(problem(Known::NotDone).fate, Some(Fate::NotDone));
        assert_eq!(problem(Known::Unknown).fate, Some(Fate::Unknown));
        assert_eq!(problem(Known::Unknown).status, 504);
    }

    #[test]
    fn of_a_hand_over_only_the_fate_tells_whether_it_may_be_repeated() {
        let reason = Unavailability::NoLeader;
        let problem = |fate| Failure::from(TransferError::Unavailable { waited_ms: 10_000, reason, fate }).problem;
        let unasked = problem(Known::NotDone);
        assert_eq!((unasked.status, unasked.code.as_str(), unasked.fate), (503, code::NO_QUORUM, Some(Fate::NotDone)));
        assert_eq!(unasked.hint.as_deref(), Some(NOTHING_CHANGED));
        let unanswered = problem(Known::Unknown);
        assert_eq!((unanswered.fate, unanswered.hint.as_deref()), (Some(Fate::Unknown), Some(WHO_LEADS)));
        assert!(unanswered.detail.starts_with("Whether the leadership was handed over is not known"), "{unanswered}");

        let stopped = |fate| Failure::from(TransferError::Stopped { fate }).problem;
        assert_eq!(stopped(Known::NotDone).fate, Some(Fate::NotDone));
        let halfway = stopped(Known::Unknown);
        assert_eq!((halfway.fate, halfway.hint.as_deref()), (Some(Fate::Unknown), Some(WHO_LEADS)));
    }
}
