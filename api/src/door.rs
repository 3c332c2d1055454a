//! The door: the one place where a request for a change becomes a submission, and its outcome an answer.

use std::sync::Arc;

use axum::response::Response;
use bursar_domain::{Command, Cursor, ObjectRef, Outcome, Proposal, Record, Rejection, State, Submission, decide, seal};
use bursar_wire::page::Warning;
use tokio::time::Instant;

use crate::{
    answer::{self, Answered},
    api::Service,
    failure::Failure,
    mutation::Call,
    resource::{Resource, View},
};

/// What became of a request for a change.
pub(crate) struct Verdict {
    /// What the caller is told.
    pub(crate) outcome: Outcome,
    /// How it came about.
    pub(crate) manner: Manner,
    /// A version of the state with it.
    pub(crate) state: Arc<State>,
}

/// How an outcome came about.
pub(crate) enum Manner {
    /// It was decided now.
    Decided,
    /// It was decided before, on an equal request.
    Repeated,
    /// It was decided aside.
    Rehearsed {
        /// The records that would have followed.
        records: Vec<Record>,
        /// What the caller should know before it is done.
        warnings: Vec<Warning>,
    },
}

/// How a command would be decided.
pub(crate) struct Rehearsal {
    /// What the caller would be told.
    pub(crate) outcome: Outcome,
    /// The records that would follow.
    records: Vec<Record>,
    /// Whether it was decided before, on an equal request.
    repeated: bool,
    /// The version of the state that it was rehearsed on.
    pub(crate) state: Arc<State>,
}

/// A change that is made of how its object stands.
pub(crate) struct Edit {
    /// What is asked for.
    pub(crate) command: Command,
    /// Whether it is right only as long as nobody else has changed the object.
    pub(crate) rests_on_current: bool,
}

/// How often an edit is made because others came between.
const EDIT_ATTEMPTS: usize = 8;

impl Service {
    /// Has a command decided, or rehearsed, and answers with the object that it made or changed.
    pub(crate) async fn change(&self, call: Call, command: Command) -> Answered {
        let verdict = self.judge(call, command).await?;
        self.answer(verdict)
    }

    /// Has a change of an object decided that `edit` makes of how it stands, and makes it anew where somebody else has changed
    /// the object meanwhile. Where the caller says on which reading it rests (If-Match), that reading alone counts.
    pub(crate) async fn edit<R: Resource>(&self, call: Call, id: R::Id, edit: impl Fn(&R) -> Result<Edit, Failure>) -> Answered {
        let object = id.into();
        let mut state = self.authority.latest();
        if call.dry_run || state.changed_at(object).is_none() {
            state = self.read_to_change(call.deadline).await?;
        }
        for attempt in 1.. {
            let current = R::table(&state).get(id).ok_or_else(|| self.nothing_to_edit(&call, object, &state))?;
            let Edit { command, rests_on_current } = edit(current)?;
            let pin = state.changed_at(object).filter(|_| rests_on_current && call.if_match.is_none());
            let pin = pin.map(|revision| Cursor { epoch: state.epoch(), revision });
            let mut attempted = call.clone();
            attempted.if_match = call.if_match.or(pin);
            let verdict = self.judge(attempted, command).await?;
            let others_came_first = pin.is_some() && matches!(verdict.outcome, Err(Rejection::RevisionMismatch { .. }));
            if !others_came_first || attempt == EDIT_ATTEMPTS {
                return self.answer(verdict);
            }
            state = self.read_to_change(call.deadline).await?;
        }
        unreachable!("the last attempt is answered")
    }

    /// There is no object to edit: perhaps it was edited by this very request, and removed since.
    fn nothing_to_edit(&self, call: &Call, object: ObjectRef, state: &State) -> Failure {
        let now = self.now().max(state.time());
        match state.requests().carried_out(call.actor, &call.request, call.fingerprint, now) {
            true => Failure::removed_since(object, state),
            false => Failure::not_found(object, state),
        }
    }

    /// Answers whatever of a change is settled before the world is asked for the last facts of its command: that it was carried
    /// out before, that it fails the caller's `check`, or that it is refused whatever these facts are. `hopeful` is the command
    /// with facts as good as they can be. Nobody is called, and made to wait for, in vain.
    pub(crate) async fn foresee(
        &self,
        call: &Call,
        hopeful: Command,
        check: impl FnOnce(&State) -> Result<(), Failure>,
    ) -> Result<Option<Response>, Failure> {
        let Rehearsal { outcome, repeated, state, .. } = self.rehearse(call.submission(hopeful)?, call.deadline).await?;
        if repeated && !call.dry_run {
            return self.answer(Verdict { outcome, manner: Manner::Repeated, state }).map(Some);
        }
        check(&state)?;
        outcome.map(|_| None).map_err(|rejection| Failure::refused(&rejection, &state))
    }

    /// Has a command decided, or rehearsed.
    pub(crate) async fn judge(&self, call: Call, command: Command) -> Result<Verdict, Failure> {
        let deadline = call.deadline;
        let submission = call.submission(command)?;
        if call.dry_run {
            let Rehearsal { outcome, records, state, .. } = self.rehearse(submission, deadline).await?;
            return Ok(Verdict { outcome, manner: Manner::Rehearsed { records, warnings: Vec::new() }, state });
        }
        let applied = self.authority.submit(submission, deadline).await?;
        let manner = if applied.repeated { Manner::Repeated } else { Manner::Decided };
        let state = self.authority.latest();
        if applied.outcome.is_ok() && state.revision() < applied.revision {
            return Err(Failure::not_seen_yet(applied.revision, &state));
        }
        Ok(Verdict { outcome: applied.outcome, manner, state })
    }

    /// Decides aside, on a version of the state that is here. Nothing is proposed, and nothing changes.
    pub(crate) async fn rehearse(&self, submission: Submission, deadline: Instant) -> Result<Rehearsal, Failure> {
        let state = self.read_to_change(deadline).await?;
        let proposal = Proposal { time: self.now(), submission };
        let decision = decide(&state, &proposal);
        if let Some(defect) = &decision.defect {
            tracing::error!(command = %proposal.submission.command, defect, "rehearsing a decision panicked");
        }
        let records = seal(&state, &proposal, &decision).into_iter().map(|sealed| sealed.record).collect();
        Ok(Rehearsal { outcome: decision.outcome, records, repeated: decision.repeated, state })
    }

    /// The answer to a request for a change: the refusal, or the object, or what would happen.
    pub(crate) fn answer(&self, verdict: Verdict) -> Answered {
        let Verdict { outcome, manner, state } = verdict;
        let reply = outcome.map_err(|rejection| Failure::refused(&rejection, &state))?;
        match manner {
            Manner::Rehearsed { records, warnings } => Ok(answer::rehearsed(&state, reply, &records, warnings)),
            Manner::Decided | Manner::Repeated => answer::changed(&View::of_the_present(state, self), reply),
        }
    }
}
