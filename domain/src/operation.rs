//! An operation: a long piece of work, carried as a logged state machine.
//!
//! It survives a change of leader, says what it waits on, and ends in one of a few ways. A duty carries it forward.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    authority_node,
    cursor::Revision,
    decision::{Outcome, Reply},
    draft::Draft,
    encoding::{Encoded, Kind},
    ids::{AuthorityNodeId, ObjectRef, OperationId, ServerId},
    rejection::{FieldFault, Rejection},
    server::{self, JoinFailure},
    state::{Stamp, State, given},
    table::Row,
};

/// The most that an operation says it waits on.
pub const WAITS_MAX: u32 = 100;

/// A long piece of work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Operation {
    /// Its number.
    pub id: OperationId,
    /// What it does.
    pub task: Task,
    /// Whether it runs, or how it ended.
    pub status: Status,
    /// The steps that are behind it, with when they were reached.
    pub steps: Vec<Reached>,
    /// What it waits on now, at most [`WAITS_MAX`].
    pub waiting_on: Vec<Wait>,
    /// When and by whom it was started.
    pub created: Stamp,
    /// When and by whom it was last changed.
    pub changed: Stamp,
}

/// What an operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Task {
    /// Makes a machine a voter.
    AddAuthorityNode {
        /// Which.
        node: AuthorityNodeId,
    },
    /// Takes a voter out.
    RemoveAuthorityNode {
        /// Which.
        node: AuthorityNodeId,
    },
    /// Takes a storage server in.
    JoinServer {
        /// Which.
        server: ServerId,
    },
}

/// Whether an operation runs, or how it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Status {
    /// It runs.
    Running,
    /// It did what it was to do.
    Succeeded,
    /// It could not do what it was to do.
    Failed {
        /// Why. Nothing else than taking a server in ever fails.
        failure: JoinFailure,
    },
    /// Somebody called it off.
    Cancelled,
}

/// How an operation ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum End {
    /// It did what it was to do.
    Succeeded,
    /// It could not do what it was to do.
    Failed {
        /// See [`Status::Failed`].
        failure: JoinFailure,
    },
    /// Somebody called it off.
    Cancelled,
}

/// A step of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// The node receives the log.
    Learning,
    /// The node has what the others have.
    CaughtUp,
    /// The server has answered.
    Contacted,
    /// The server has the cluster's certificates and its own.
    Certified,
}

/// A step that was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reached {
    /// Which.
    pub step: Step,
    /// At which revision.
    pub at: Revision,
}

/// Something that an operation waits on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wait {
    /// What sort of thing.
    pub code: WaitCode,
    /// Which object.
    pub object: ObjectRef,
    /// The revision since which it waits.
    pub since: Revision,
}

/// What sort of thing an operation waits on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WaitCode {
    /// The node does not answer.
    NodeUnreachable,
    /// The node still receives what the others have.
    NodeCatchingUp,
    /// Raft is carrying out a change of its membership.
    MembershipChange,
    /// The server does not answer.
    ServerUnreachable,
}

impl WaitCode {
    /// The stable code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::NodeUnreachable => "node_unreachable",
            Self::NodeCatchingUp => "node_catching_up",
            Self::MembershipChange => "membership_change",
            Self::ServerUnreachable => "server_unreachable",
        }
    }

    /// What to do about it.
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::NodeUnreachable => "Check that the node runs and that the authority's nodes reach it on its peer port.",
            Self::NodeCatchingUp => "Nothing: it ends by itself. A node that never catches up has too slow a disk or network.",
            Self::MembershipChange => "Nothing: it ends as soon as a majority of the voters has stored it.",
            Self::ServerUnreachable => {
                "Check that `bursar storage-server run` runs there and that the authority's nodes reach its control port."
            }
        }
    }
}

impl Encoded for Operation {
    const KIND: Kind = Kind::Operation;
}

impl Row for Operation {
    type Id = OperationId;
    type Key = ();
    fn id(&self) -> OperationId {
        self.id
    }
    fn key(&self) -> Option<()> {
        None
    }
}

impl Operation {
    /// Whether a report says more than is known: a step that was not reached before, or other waits.
    pub fn is_news(&self, step: Option<Step>, waiting_on: &[(WaitCode, ObjectRef)]) -> bool {
        let step_is_new = step.is_some_and(|step| self.steps.iter().all(|reached| reached.step != step));
        let waits = self.waiting_on.iter().map(|wait| (wait.code, wait.object));
        step_is_new || !waits.eq(waiting_on.iter().copied())
    }
}

/// What can be asked of operations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Command {
    /// A duty says how far it is, and what it waits on.
    Report {
        /// Which.
        operation: OperationId,
        /// The step that it has reached.
        step: Option<Step>,
        /// Everything that it waits on.
        waiting_on: Vec<(WaitCode, ObjectRef)>,
    },
    /// Call it off.
    Cancel {
        /// Which.
        operation: OperationId,
    },
}

/// What can have happened to operations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Event {
    /// It was started.
    Started {
        /// Which.
        operation: OperationId,
        /// What it does.
        task: Task,
    },
    /// It reached a step.
    Advanced {
        /// Which.
        operation: OperationId,
        /// The step.
        step: Step,
    },
    /// What it waits on changed.
    Waiting {
        /// Which.
        operation: OperationId,
        /// Everything that it waits on now.
        waiting_on: Vec<Wait>,
    },
    /// It ended.
    Ended {
        /// Which.
        operation: OperationId,
        /// How.
        end: End,
    },
}

/// The rules of operations.
pub(crate) fn decide(draft: &mut Draft<'_>, command: &Command) -> Outcome {
    match command {
        Command::Report { operation, step, waiting_on } => report(draft, *operation, *step, waiting_on),
        Command::Cancel { operation } => match running(draft.state(), *operation)?.task {
            Task::AddAuthorityNode { node } => authority_node::cancel_admission(draft, node),
            Task::JoinServer { server } => server::cancel_join(draft, server, *operation),
            Task::RemoveAuthorityNode { .. } => Err(Rejection::NotCancellable { operation: *operation }),
        },
    }
}

fn report(draft: &mut Draft<'_>, id: OperationId, step: Option<Step>, waiting_on: &[(WaitCode, ObjectRef)]) -> Outcome {
    let state = draft.state();
    let operation = running(state, id)?;
    if waiting_on.len() > WAITS_MAX as usize {
        let fault = FieldFault::TooMany { entries_max: WAITS_MAX };
        return Err(Rejection::InvalidField { field: "waiting_on".into(), fault });
    }
    let since_now = state.revision().next();
    let known = |code, object| operation.waiting_on.iter().find(|wait| wait.code == code && wait.object == object);
    let waits: Vec<Wait> = waiting_on
        .iter()
        .map(|&(code, object)| Wait { code, object, since: known(code, object).map_or(since_now, |wait| wait.since) })
        .collect();
    let step = step.filter(|step| operation.steps.iter().all(|reached| reached.step != *step));
    let waits = (waits != operation.waiting_on).then_some(waits);
    if step.is_none() && waits.is_none() {
        return Ok(Reply::unchanged(id));
    }
    if let Some(step) = step {
        draft.emit(Event::Advanced { operation: id, step }.into());
    }
    if let Some(waiting_on) = waits {
        draft.emit(Event::Waiting { operation: id, waiting_on }.into());
    }
    Ok(Reply::changed(id))
}

fn running(state: &State, operation: OperationId) -> Result<&Operation, Rejection> {
    match state.operations().get(operation) {
        None => Err(Rejection::NotFound { object: operation.into() }),
        Some(found) if found.status == Status::Running => Ok(found),
        Some(_) => Err(Rejection::OperationEnded { operation }),
    }
}

/// Starts an operation as part of a decision.
pub(crate) fn start(draft: &mut Draft<'_>, task: Task) -> OperationId {
    let operation = OperationId(draft.state().next().operation);
    draft.emit(Event::Started { operation, task }.into());
    operation
}

/// Carries an event into the state.
pub(crate) fn evolve(state: &mut State, event: &Event, stamp: Stamp) {
    let operations = &mut state.operations;
    match event {
        Event::Started { operation, task } => {
            given(&mut state.header.next.operation, operation.0);
            operations.put(Operation {
                id: *operation,
                task: *task,
                status: Status::Running,
                steps: Vec::new(),
                waiting_on: Vec::new(),
                created: stamp,
                changed: stamp,
            });
        }
        Event::Advanced { operation, step } => operations.change(*operation, |operation| {
            operation.steps.push(Reached { step: *step, at: stamp.revision });
            operation.changed = stamp;
        }),
        Event::Waiting { operation, waiting_on } => operations.change(*operation, |operation| {
            operation.waiting_on.clone_from(waiting_on);
            operation.changed = stamp;
        }),
        Event::Ended { operation, end } => operations.change(*operation, |operation| {
            operation.status = match end {
                End::Succeeded => Status::Succeeded,
                End::Failed { failure } => Status::Failed { failure: *failure },
                End::Cancelled => Status::Cancelled,
            };
            operation.waiting_on.clear();
            operation.changed = stamp;
        }),
    }
}

impl Command {
    pub(crate) fn subject(&self) -> Option<ObjectRef> {
        match self {
            Self::Report { operation, .. } | Self::Cancel { operation } => Some((*operation).into()),
        }
    }
}

impl Event {
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Started { .. } => "operation.started",
            Self::Advanced { .. } => "operation.advanced",
            Self::Waiting { .. } => "operation.waiting",
            Self::Ended { .. } => "operation.ended",
        }
    }

    pub(crate) const fn operation(&self) -> OperationId {
        match self {
            Self::Started { operation, .. }
            | Self::Advanced { operation, .. }
            | Self::Waiting { operation, .. }
            | Self::Ended { operation, .. } => *operation,
        }
    }
}

impl From<Event> for crate::Event {
    fn from(event: Event) -> Self {
        Self::Operation(event)
    }
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AddAuthorityNode { node } => write!(f, "add {node}"),
            Self::RemoveAuthorityNode { node } => write!(f, "remove {node}"),
            Self::JoinServer { server } => write!(f, "take {server} in"),
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Learning => "learning",
            Self::CaughtUp => "caught up",
            Self::Contacted => "contacted",
            Self::Certified => "certified",
        })
    }
}

impl fmt::Display for WaitCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NodeUnreachable => "the node does not answer",
            Self::NodeCatchingUp => "the node is catching up",
            Self::MembershipChange => "a change of the membership is under way",
            Self::ServerUnreachable => "the server does not answer",
        })
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Report { operation, .. } => write!(f, "report on {operation}"),
            Self::Cancel { operation } => write!(f, "cancel {operation}"),
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Started { operation, task } => write!(f, "{operation} started: {task}"),
            Self::Advanced { operation, step } => write!(f, "{operation}: {step}"),
            Self::Waiting { operation, waiting_on } if waiting_on.is_empty() => write!(f, "{operation} waits on nothing"),
            Self::Waiting { operation, waiting_on } => {
                write!(f, "{operation} waits:")?;
                for wait in waiting_on {
                    write!(f, " {} ({})", wait.code, wait.object)?;
                }
                Ok(())
            }
            Self::Ended { operation, end: End::Succeeded } => write!(f, "{operation} succeeded"),
            Self::Ended { operation, end: End::Failed { failure } } => write!(f, "{operation} failed: {failure}"),
            Self::Ended { operation, end: End::Cancelled } => write!(f, "{operation} cancelled"),
        }
    }
}
