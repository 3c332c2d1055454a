//! Operations: long pieces of work.

use bursar_domain::{
    Command, OperationId, State,
    operation::{self, Task, Wait, WaitCode},
    server::JoinFailure,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::objects::{ObjectRef, Stamp, cursor_at};

/// A long piece of work. It survives a change of leader, and says what it waits on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Operation {
    /// Its number.
    pub id: u64,
    /// What it does.
    pub task: OperationTask,
    /// Whether it runs, or how it ended.
    pub status: OperationStatus,
    /// Why it failed; null where it did not.
    pub failure: Option<OperationFailure>,
    /// The steps that are behind it, in the order in which they were reached.
    pub steps: Vec<OperationStep>,
    /// Everything that it waits on now.
    pub waiting_on: Vec<WaitingOn>,
    /// When and by whom it was started.
    pub created: Stamp,
    /// When and by whom it was last changed.
    pub changed: Stamp,
}

/// What an operation does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OperationTask {
    /// `add_authority_node`, `remove_authority_node` or `join_server`.
    pub kind: String,
    /// What it does it to.
    pub object: ObjectRef,
}

/// Whether an operation runs, or how it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OperationStatus {
    /// It runs.
    Running,
    /// It did what it was to do.
    Succeeded,
    /// It could not do what it was to do.
    Failed,
    /// Somebody called it off.
    Cancelled,
}

impl OperationStatus {
    /// The status as it stands in the JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// Why an operation failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OperationFailure {
    /// The stable code: `unreachable`, `another_identity`, `superseded` or `expired`.
    pub code: String,
    /// Why, in a sentence.
    pub reason: String,
    /// What to do next.
    pub remedy: String,
}

/// A step that an operation has reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OperationStep {
    /// `learning`: the node receives the log. `caught_up`: the node has what the others have. `contacted`: the server has
    /// answered. `certified`: the server has the cluster's certificates and its own.
    pub step: String,
    /// The cursor at which it was reached.
    pub revision: String,
}

/// Something that an operation waits on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WaitingOn {
    /// The stable code: `node_unreachable`, `node_catching_up`, `membership_change` or `server_unreachable`.
    pub code: String,
    /// Which object.
    pub object: ObjectRef,
    /// The cursor since which it waits.
    pub since_revision: String,
    /// Why, in a sentence.
    pub reason: String,
    /// What to do about it.
    pub remedy: String,
}

impl Operation {
    /// An operation of `state`.
    pub fn of(state: &State, operation: &operation::Operation) -> Self {
        let steps = operation
            .steps
            .iter()
            .map(|reached| OperationStep { step: step_code(reached.step).into(), revision: cursor_at(state, reached.at) });
        Self {
            id: operation.id.0,
            task: operation.task.into(),
            status: operation.status.into(),
            failure: match operation.status {
                operation::Status::Failed { failure } => Some(failure.into()),
                operation::Status::Running | operation::Status::Succeeded | operation::Status::Cancelled => None,
            },
            steps: steps.collect(),
            waiting_on: operation.waiting_on.iter().map(|wait| WaitingOn::of(state, *wait)).collect(),
            created: Stamp::of(state, operation.created),
            changed: Stamp::of(state, operation.changed),
        }
    }
}

impl From<Task> for OperationTask {
    fn from(task: Task) -> Self {
        let (kind, object): (_, bursar_domain::ObjectRef) = match task {
            Task::AddAuthorityNode { node } => ("add_authority_node", node.into()),
            Task::RemoveAuthorityNode { node } => ("remove_authority_node", node.into()),
            Task::JoinServer { server } => ("join_server", server.into()),
        };
        Self { kind: kind.into(), object: object.into() }
    }
}

impl From<operation::Status> for OperationStatus {
    fn from(status: operation::Status) -> Self {
        match status {
            operation::Status::Running => Self::Running,
            operation::Status::Succeeded => Self::Succeeded,
            operation::Status::Failed { .. } => Self::Failed,
            operation::Status::Cancelled => Self::Cancelled,
        }
    }
}

impl From<JoinFailure> for OperationFailure {
    fn from(failure: JoinFailure) -> Self {
        Self { code: failure.code().into(), reason: failure.to_string(), remedy: failure.remedy().into() }
    }
}

impl WaitingOn {
    fn of(state: &State, wait: Wait) -> Self {
        let reason = match wait.code {
            WaitCode::NodeUnreachable | WaitCode::ServerUnreachable => format!("{} does not answer", wait.object),
            WaitCode::NodeCatchingUp => format!("{} still receives what the others have", wait.object),
            WaitCode::MembershipChange => "the voters are agreeing on the new membership".to_owned(),
        };
        Self {
            code: wait.code.code().into(),
            object: wait.object.into(),
            since_revision: cursor_at(state, wait.since),
            reason,
            remedy: wait.code.remedy().into(),
        }
    }
}

const fn step_code(step: operation::Step) -> &'static str {
    match step {
        operation::Step::Learning => "learning",
        operation::Step::CaughtUp => "caught_up",
        operation::Step::Contacted => "contacted",
        operation::Step::Certified => "certified",
    }
}

/// The end of an operation before its time.
pub fn cancel(operation: OperationId) -> Command {
    Command::Operation(operation::Command::Cancel { operation })
}
