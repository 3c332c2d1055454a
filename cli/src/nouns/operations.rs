//! `bursar operation`

use bursar_wire::{
    Client,
    operations::{Operation, OperationStatus},
    servers::Server,
};
use clap::Subcommand;

use super::{
    servers::{MADE_ANEW, SPENT},
    stamped,
};
use crate::{
    failure::Failure,
    noun::Noun,
    options::{ConfirmedOptions, ListOptions, VersionOptions},
    session::{Question, Session},
};

/// What can be done with operations.
#[derive(Subcommand, Clone, Debug)]
pub enum OperationCommand {
    /// List the operations
    #[command(after_help = "--filter knows the fields id, status and kind (of the task), --sort knows id.")]
    List(ListOptions),
    /// Show an operation, and what it waits on
    Show {
        /// Its number
        operation: String,
        #[command(flatten)]
        version: VersionOptions,
    },
    /// Wait until an operation ends
    Wait {
        /// Its number
        operation: String,
    },
    /// Call an operation off
    Cancel {
        /// Its number
        operation: String,
        #[command(flatten)]
        options: ConfirmedOptions,
    },
}

impl OperationCommand {
    pub(crate) async fn run(self, session: &mut Session<'_>) -> Result<(), Failure> {
        match self {
            Self::List(options) => session.show_list::<Operation>(&options).await.map(drop),
            Self::Show { operation, version } => session.show_found::<Operation>(&version, &operation).await,
            Self::Wait { operation } => {
                let operation: Operation = session.find(&operation).await?;
                let operation = session.wait_for(operation.id).await?;
                session.show_one(&operation)
            }
            Self::Cancel { operation, options } => {
                let operation: Operation = session.find(&operation).await?;
                cancel(session, &operation, &options).await
            }
        }
    }
}

async fn cancel(session: &mut Session<'_>, operation: &Operation, options: &ConfirmedOptions) -> Result<(), Failure> {
    let machine = machine_given_up(session, operation).await?;
    let question =
        Question::new(format!("Call {} off", operation.described()), format!("bursar operation cancel {}", operation.id));
    let question = question.with_warning(machine.as_ref().map(|machine| format!("{machine}.")));
    let path = format!("{}/{}/cancel", Operation::PATH, operation.id);
    let calling_off = async |client: &Client, change| Ok(client.act(&path, change).await?);
    let answer = session.confirmed(question, options, calling_off).await?;
    session.show_changed::<Operation>(&answer, options.dry_run(), "called off, carried by")?;
    match machine {
        Some(machine) if !options.dry_run() => {
            session.console.tell(&format!("{machine}."))?;
            session.console.tell(MADE_ANEW)
        }
        _ => Ok(()),
    }
}

/// What becomes of the server that an operation takes in, and of its machine; nothing where it does something else, or has ended.
async fn machine_given_up(session: &Session<'_>, operation: &Operation) -> Result<Option<String>, Failure> {
    if operation.task.kind != JOIN_SERVER || operation.status != OperationStatus::Running {
        return Ok(None);
    }
    let server: Server = session.read(&format!("{}/{}", Server::PATH, operation.task.object.id)).await?;
    let place = if server.former_guids.is_empty() {
        "is gone for good"
    } else {
        "is without a machine until another one takes its place"
    };
    Ok(Some(format!("{} {place}, and {SPENT}", server.described())))
}

const JOIN_SERVER: &str = "join_server";

impl Noun for Operation {
    const NOUN: &'static str = "operation";
    const PATH: &'static str = "operations";
    const LIST: &'static str = "bursar operation list";
    const HEADING: &'static [&'static str] = &["id", "task", "object", "status", "waits on", "started"];
    const NAME_FIELD: Option<&'static str> = None;

    fn id(&self) -> u64 {
        self.id
    }

    fn name(&self) -> &str {
        ""
    }

    fn row(&self) -> Vec<String> {
        let waits: Vec<_> = self.waiting_on.iter().map(|wait| wait.code.as_str()).collect();
        vec![
            self.id.to_string(),
            self.task.kind.replace('_', " "),
            self.task.object.to_string(),
            match &self.failure {
                Some(failure) => format!("{}: {}", self.status.as_str(), failure.code.replace('_', " ")),
                None => self.status.as_str().into(),
            },
            if waits.is_empty() { "-".into() } else { waits.join(", ") },
            self.created.at.clone(),
        ]
    }

    fn details(&self) -> Vec<(&'static str, String)> {
        let mut details = vec![
            ("id", self.id.to_string()),
            ("task", self.task.kind.replace('_', " ")),
            ("object", self.task.object.to_string()),
            ("status", self.status.as_str().into()),
        ];
        if let Some(failure) = &self.failure {
            details.push(("failed", format!("{} ({})", failure.reason, failure.code)));
            details.push(("", failure.remedy.clone()));
        }
        for step in &self.steps {
            details.push(("step", format!("{}, at {}", step.step.replace('_', " "), step.revision)));
        }
        for wait in &self.waiting_on {
            details.push(("waits", format!("{}, since {} ({})", wait.reason, wait.since_revision, wait.code)));
            details.push(("", wait.remedy.clone()));
        }
        details.push(("started", stamped(&self.created)));
        details.push(("changed", stamped(&self.changed)));
        details
    }
}
