//! How a command fails: what happened, what to do next, and the exit code.

use std::{fmt, io, path::Path};

use bursar_wire::{ClientError, Problem, client::NodeUrl, objects::ObjectRef, problem::code};

use crate::{Console, console::Paint, flags};

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
    OutcomeUnknown = 7,
    Unreachable = 8,
    Unhealthy = 10,
}

/// What the exit codes mean, as `bursar --help` tells it.
pub const EXIT_CODES: &str = "\
Exit codes:
   0  it was done
   1  it failed
   2  the command line is wrong, or asks for what cannot be
   3  not authenticated, or not permitted
   4  there is no such thing, or no longer
   5  it conflicts with what is there
   6  too few voters answer: there is no quorum, and nothing was changed
   7  the outcome of a change is unknown; the hint says how to learn it
   8  no authority node answers
  10  bursar health: the cluster is not healthy, or that is not known, or a critical alert fires that nobody has acknowledged;
      bursar doctor: what it examined is not healthy";

/// What to try next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// This command.
    Command(String),
    /// The help of the command that failed.
    Help,
}

impl<T: Into<String>> From<T> for Next {
    fn from(command: T) -> Self {
        Self::Command(command.into())
    }
}

impl fmt::Display for Next {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Command(command) => f.write_str(command),
            Self::Help => f.write_str("--help"),
        }
    }
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
    pub next: Next,
}

impl Failure {
    pub fn new(exit: Exit, message: impl Into<String>, next: impl Into<Next>) -> Self {
        Self { exit, message: message.into(), details: Vec::new(), hint: None, next: next.into() }
    }

    /// The command line, or what it names, is wrong.
    pub fn usage(message: impl Into<String>, next: impl Into<Next>) -> Self {
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

    /// Nothing can be read from whom the command asks.
    pub fn input(error: io::Error) -> Self {
        Self::new(Exit::Failed, format!("Cannot read the standard input: {error}."), Next::Help)
    }

    #[must_use]
    pub fn with_hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// The same for somebody who wanted something done to an object that could not even be looked up.
    #[must_use]
    pub fn before_anything_was_done(self, object: &str) -> Self {
        let message = format!("Nothing was changed: too few authority nodes answer to decide anything about {object}.");
        let hint = "Start the nodes that are down, and run the command again; the next command shows which they are.";
        Self { message, details: vec![self.message], hint: Some(hint.into()), ..self }
    }

    /// The same for somebody who wanted to read what takes a quorum.
    #[must_use]
    pub fn with_nothing_read(self, object: &str) -> Self {
        let message = format!("Nothing could be read of {object}: too few authority nodes answer.");
        let hint = "Start the nodes that are down, and run the command again; the next command shows which they are.";
        Self { message, details: vec![self.message], hint: Some(hint.into()), ..self }
    }

    /// The same for a command that shows nothing stale: it is not proposed to ask it for that.
    #[must_use]
    pub fn without_stale(self) -> Self {
        Self { hint: self.hint.as_deref().map(flags::without_stale), ..self }
    }

    /// Tells it on standard error. `invoked` is the command that failed, without its arguments.
    pub fn show(&self, invoked: &str, console: &mut Console) -> Result<(), Failure> {
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
        match &self.next {
            Next::Command(command) => console.tell(&format!("next: {command}")),
            Next::Help => console.tell(&format!("next: {invoked} --help")),
        }
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Problem { node, problem, request } => Self::refused(&node, *problem, request.as_deref()),
            ClientError::OutcomeUnknown { request, failures } => {
                let mut details: Vec<_> = failures.iter().map(ToString::to_string).collect();
                details.push(format!("request id {request}"));
                let hint = format!(
                    "Look whether it was done, or repeat the command with --idempotency-key {request} within an hour: it is \
                     carried out once."
                );
                let message = "The outcome is unknown: no answer says whether the change was made.";
                Self { details, ..Self::new(Exit::OutcomeUnknown, message, "bursar event list --limit 10").with_hint(hint) }
            }
            ClientError::Unreachable { failures } => Self {
                details: failures.iter().map(ToString::to_string).collect(),
                hint: Some("Check that the nodes run, and that the URLs are theirs.".into()),
                ..Self::new(Exit::Unreachable, "No authority node answers.", "bursar context show")
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

impl Failure {
    /// A node refused, for now or for good.
    fn refused(node: &NodeUrl, problem: Problem, request: Option<&str>) -> Self {
        let blockers = problem.blockers.iter().map(|blocker| {
            let object = ObjectRef { kind: blocker.kind.clone(), id: blocker.id };
            format!("in use by {object} “{}”", blocker.name)
        });
        let unlisted = problem.unlisted_blockers.map(|unlisted| format!("and by {unlisted} more"));
        // One fault is the whole message; of several, each has a line.
        let (fault, faults) = match problem.errors.as_slice() {
            [fault] => (Some(sentence(&flags::told(fault))), &[][..]),
            faults => (None, faults),
        };
        Self {
            exit: exit_for(&problem),
            message: format!("{} ({})", fault.as_ref().unwrap_or(&problem.detail), problem.code),
            details: faults.iter().map(flags::told).chain(blockers).chain(unlisted).collect(),
            next: next_after(node, &problem),
            hint: problem.hint.as_deref().map(|hint| flags::hinted(hint, request)),
        }
    }
}

pub(crate) const LOGIN: &str = "bursar login --url https://HOST:4285 --ca-file ca.crt --token-file FILE";

fn sentence(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| format!("{}{}.", first.to_uppercase(), characters.as_str()))
}

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
fn next_after(node: &NodeUrl, problem: &Problem) -> Next {
    if let Some(blocker) = problem.blockers.first() {
        let blocker = ObjectRef { kind: blocker.kind.clone(), id: blocker.id };
        return match (&problem.object, problem.unlisted_blockers) {
            (Some(object), Some(_)) => format!("{} --filter {}={}", list_command(&blocker), object.kind, object.id).into(),
            _ => show_command(&blocker).into(),
        };
    }
    match (problem.status, &problem.object) {
        (400 | 413 | 415 | 422, _) => Next::Help,
        (401, _) if node.is_secure() => format!("bursar login --url {node} --ca-file ca.crt --token-file FILE").into(),
        (401, _) => format!("bursar login --url {node} --token-file FILE").into(),
        (403, _) => "bursar token list".into(),
        (404, Some(object)) => list_command(object).into(),
        (410, _) => "bursar event list".into(),
        (409 | 412 | 503, Some(object)) => show_command(object).into(),
        _ => "bursar status".into(),
    }
}

fn show_command(object: &ObjectRef) -> String {
    match object.kind.as_str() {
        "site" | "destination" | "server" | "store_point" | "alert" | "operation" | "token" => {
            format!("bursar {} show {}", object.kind.replace('_', "-"), object.id)
        }
        _ => list_command(object).into(),
    }
}

fn list_command(object: &ObjectRef) -> &'static str {
    match object.kind.as_str() {
        "site" => "bursar site list",
        "destination" => "bursar destination list",
        "server" => "bursar server list",
        "store_point" => "bursar store-point list",
        "alert" => "bursar alert list",
        "operation" => "bursar operation list",
        "token" => "bursar token list",
        "authority_node" => "bursar cluster members",
        "join_token" => "bursar cluster invitations",
        _ => "bursar status",
    }
}
