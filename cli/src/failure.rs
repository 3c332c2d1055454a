//! How a command fails: what happened, what to do next, and the exit code.

use std::{io, path::Path};

use bursar_wire::{ClientError, Problem, objects::ObjectRef, problem::code};

use crate::{Console, console::Paint};

/// How a command ends. The numbers are part of the command line's contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// The reader of the output went away, which is its good right.
    Ok = 0,
    Failed = 1,
    Usage = 2,
    Authentication = 3,
    NotFound = 4,
    Conflict = 5,
    NoQuorum = 6,
    Unhealthy = 10,
}

/// Why a command was not carried out.
#[derive(Debug)]
pub(crate) struct Failure {
    pub exit: Exit,
    /// What happened, in a sentence.
    pub message: String,
    /// The particulars, one a line.
    pub details: Vec<String>,
    /// What to do about it.
    pub hint: Option<String>,
    /// The command to try next.
    pub next: String,
}

impl Failure {
    pub fn new(exit: Exit, message: impl Into<String>, next: impl Into<String>) -> Self {
        Self { exit, message: message.into(), details: Vec::new(), hint: None, next: next.into() }
    }

    /// The command line, or what it names, is wrong.
    pub fn usage(message: impl Into<String>, next: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message, next)
    }

    /// A file cannot be used.
    pub fn file(action: &str, path: &Path, error: &io::Error) -> Self {
        let path = path.display();
        Self::new(Exit::Failed, format!("Cannot {action} {path}: {error}."), format!("ls -l {path}"))
    }

    /// The console went away, or broke.
    pub fn output(error: io::Error) -> Self {
        let exit = if error.kind() == io::ErrorKind::BrokenPipe { Exit::Ok } else { Exit::Failed };
        Self::new(exit, format!("Cannot write the output: {error}."), "df -h")
    }

    #[must_use]
    pub fn with_hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// Tells it on standard error.
    pub fn show(&self, console: &mut Console) -> Result<(), Failure> {
        if self.exit == Exit::Ok {
            return Ok(());
        }
        let word = console.painted(Paint::Bad, "error:");
        console.tell(&format!("{word} {}", self.message))?;
        for detail in &self.details {
            console.tell(&format!("  {detail}"))?;
        }
        if let Some(hint) = &self.hint {
            console.tell(&format!("hint: {hint}"))?;
        }
        console.tell(&format!("next: {}", self.next))
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Problem { problem, .. } => (*problem).into(),
            ClientError::Unreachable { failures } => Self {
                details: failures.iter().map(ToString::to_string).collect(),
                hint: Some("Check that the nodes run, and that the URLs are theirs.".into()),
                ..Self::new(Exit::Failed, "No authority node answers.", "bursar context show")
            },
            ClientError::NoNodes => Self::new(Exit::Usage, "No authority node is named.", LOGIN),
            ClientError::NoTrust { node } => {
                Self::new(Exit::Usage, format!("{node} is https, and nobody is trusted yet."), LOGIN)
                    .with_hint("Name the cluster's own certificate authority with --ca-file; every node has it as ca.crt.")
            }
            error @ ClientError::Malformed { .. } => Self::new(Exit::Failed, format!("{error}."), "bursar context show")
                .with_hint("Check that the URL is an authority node's, and that its release is this program's."),
        }
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        let blockers = problem.blockers.iter().map(|blocker| {
            let object = ObjectRef { kind: blocker.kind.clone(), id: blocker.id };
            format!("in use by {object} “{}”", blocker.name)
        });
        let unlisted = problem.unlisted_blockers.map(|unlisted| format!("and by {unlisted} more"));
        let errors = problem.errors.iter().map(|error| format!("{}: {}", error.pointer, error.detail));
        Self {
            exit: exit_for(&problem),
            message: format!("{} ({})", problem.detail, problem.code),
            details: errors.chain(blockers).chain(unlisted).collect(),
            next: next_after(&problem),
            hint: problem.hint,
        }
    }
}

pub(crate) const LOGIN: &str = "bursar login --url https://HOST:4285 --ca-file ca.crt --token-file FILE";

fn exit_for(problem: &Problem) -> Exit {
    match problem.code.as_str() {
        code::NO_QUORUM | code::NO_LEADER | code::LEADER_UNREACHABLE => return Exit::NoQuorum,
        _ => {}
    }
    match problem.status {
        400 | 413 | 415 | 422 => Exit::Usage,
        401 | 403 => Exit::Authentication,
        404 | 410 => Exit::NotFound,
        409 | 412 => Exit::Conflict,
        _ => Exit::Failed,
    }
}

/// The command that shows most about a problem.
fn next_after(problem: &Problem) -> String {
    if let Some(blocker) = problem.blockers.first() {
        let blocker = ObjectRef { kind: blocker.kind.clone(), id: blocker.id };
        return match (&problem.object, problem.unlisted_blockers) {
            (Some(object), Some(_)) => format!("{} --filter {}={}", list_command(&blocker), object.kind, object.id),
            _ => show_command(&blocker),
        };
    }
    match (problem.status, &problem.object) {
        (401, _) => LOGIN.into(),
        (403, _) => "bursar token list".into(),
        (404, Some(object)) => list_command(object).into(),
        (410, _) => "bursar event list".into(),
        (409 | 412, Some(object)) => show_command(object),
        _ => "bursar status".into(),
    }
}

fn show_command(object: &ObjectRef) -> String {
    match object.kind.as_str() {
        "site" | "destination" | "operation" | "token" => format!("bursar {} show {}", object.kind, object.id),
        _ => list_command(object).into(),
    }
}

fn list_command(object: &ObjectRef) -> &'static str {
    match object.kind.as_str() {
        "site" => "bursar site list",
        "destination" => "bursar destination list",
        "operation" => "bursar operation list",
        "token" => "bursar token list",
        "authority_node" => "bursar cluster members",
        "join_token" => "bursar cluster invitations",
        _ => "bursar status",
    }
}
