//! `bursar server`

mod arrival;
mod observed;
mod views;

use bursar_wire::{
    Client,
    destinations::Destination,
    servers::{EditServer, MaintainServer, OkToStop, Reachability, Server, ServerCondition, ServerDetails, ServerIntent},
};
use clap::{ArgGroup, Subcommand};

use super::stamped;
use crate::{
    failure::{Exit, Failure, Next},
    noun::Noun,
    options::{ChangeOptions, ConfirmedOptions, EditOptions, ListOptions, VersionOptions},
    output::or_dash,
    session::{Question, Session},
};
use arrival::StringSource;
pub(super) use arrival::{MADE_ANEW, SPENT};

/// What can be done with storage servers.
#[derive(Subcommand, Clone, Debug)]
pub enum ServerCommand {
    /// List the storage servers
    #[command(
        after_help = "USED is what the archives of its store points take together, FREE what their disks have left; a disk that two \
                      store points share counts twice. In parentheses, as it was last heard, where the server is not online. \
                      A ? is explained below the list.\n\n\
                      --filter knows the fields id, name, destination (its number), condition (joining, online, offline or \
                      excluded), intent (active, maintenance, draining or removed), version and present (true or false; removed \
                      servers are listed with present=false alone), --sort knows id and name."
    )]
    List(ListOptions),
    /// Show a storage server, and what is observed of it
    Show {
        /// Its number or its name
        server: String,
        #[command(flatten)]
        version: VersionOptions,
    },
    /// Look at a connection string, and at the machine that it is of, before anything is committed: exit code 1 where something
    /// stands in the way
    Inspect {
        #[command(flatten)]
        string: StringSource,
        /// The number or the name of the destination that it is meant for; without it the ports to its servers are not tried
        #[arg(long)]
        destination: Option<String>,
        /// The name that it is to have [default: the machine's own]
        #[arg(long)]
        name: Option<String>,
    },
    /// Add a storage server to a destination by its connection string
    Add {
        #[command(flatten)]
        string: StringSource,
        /// The number or the name of the destination
        #[arg(long)]
        destination: String,
        /// Its name, unique among the servers [default: the machine's own]
        #[arg(long)]
        name: Option<String>,
        /// Wait until it has joined
        #[arg(long)]
        wait: bool,
        #[command(flatten)]
        options: ChangeOptions,
    },
    /// Change a storage server's name or addresses
    Edit {
        /// Its number or its name
        server: String,
        /// A new name
        #[arg(long)]
        name: Option<String>,
        /// A new address to try first
        #[arg(long, value_name = "HOST:PORT")]
        primary_address: Option<String>,
        /// A new address to try next, or none
        #[arg(long, value_name = "HOST:PORT")]
        secondary_address: Option<String>,
        #[command(flatten)]
        options: EditOptions,
    },
    /// Say that a storage server is worked upon for a while: its silence is expected
    #[command(group = ArgGroup::new("end").required(true))]
    Maintenance {
        /// Its number or its name
        server: String,
        /// For how long: seconds, or with a unit as in 90m, 2h, 1d
        #[arg(long = "for", value_name = "SPAN", value_parser = arrival::parse_span, group = "end")]
        span_seconds: Option<u64>,
        /// Until when, RFC 3339
        #[arg(long, value_name = "TIME", group = "end")]
        until: Option<String>,
        /// Why
        #[arg(long, default_value = "")]
        reason: String,
        #[command(flatten)]
        options: EditOptions,
    },
    /// Have a storage server give its archives away
    Drain {
        /// Its number or its name
        server: String,
        #[command(flatten)]
        options: EditOptions,
    },
    /// Have a storage server keep archives again, whether it was in maintenance or draining
    Activate {
        /// Its number or its name
        server: String,
        #[command(flatten)]
        options: EditOptions,
    },
    /// Give the place of a dead storage server to another machine
    Replace {
        /// Its number or its name
        server: String,
        #[command(flatten)]
        string: StringSource,
        /// Wait until the other machine has joined
        #[arg(long)]
        wait: bool,
        #[command(flatten)]
        options: ConfirmedOptions,
    },
    /// Remove a storage server that has no store points
    Remove {
        /// Its number or its name
        server: String,
        #[command(flatten)]
        options: ConfirmedOptions,
    },
    /// Tell whether a storage server may be stopped, and what would follow: exit code 5 where it should not
    OkToStop {
        /// Its number or its name
        server: String,
    },
    /// Show which ports pass between a storage server and its neighbours, in both directions
    Reachability {
        /// Its number or its name
        server: String,
    },
}

impl ServerCommand {
    pub(crate) async fn run(self, session: &mut Session<'_>) -> Result<(), Failure> {
        match self {
            Self::List(options) => session.show_list::<ServerDetails>(&options).await.map(drop),
            Self::Show { server, version } => session.show_observed::<ServerDetails>(&version, &server).await,
            Self::Inspect { string, destination, name } => {
                let connection_string = string.read(session.console)?;
                let destination = match destination {
                    Some(destination) => Some(session.find::<Destination>(&destination).await?.id),
                    None => None,
                };
                arrival::inspect(session, connection_string, destination, name).await
            }
            Self::Add { string, destination, name, wait, options } => {
                let connection_string = string.read(session.console)?;
                let destination: Destination = session.find(&destination).await?;
                arrival::add(session, connection_string, &destination, name, wait, &options).await
            }
            Self::Edit { server, name, primary_address, secondary_address, options } => {
                let secondary_address = secondary_address.map(|address| (address != "none").then_some(address));
                let request = EditServer { name, primary_address, secondary_address };
                if request == EditServer::default() {
                    return Err(Failure::usage("Nothing to change was named.", Next::Help));
                }
                let before: Server = session.find(&server).await?;
                let answer = session.client.patch(&place(&before), &request, options.change()).await?;
                session.show_edited::<Server>(&answer, options.change.dry_run, &before.etag)
            }
            Self::Maintenance { server, span_seconds, until, reason, options } => {
                let before: Server = session.find(&server).await?;
                let request = MaintainServer { until, for_seconds: span_seconds, reason };
                let path = format!("{}/maintenance", place(&before));
                let answer = session.client.post(&path, &request, options.change()).await?;
                session.show_edited::<Server>(&answer, options.change.dry_run, &before.etag)
            }
            Self::Drain { server, options } => {
                let before: Server = session.find(&server).await?;
                session.do_to((&before, &before.etag), "drain", &options).await
            }
            Self::Activate { server, options } => {
                let before: Server = session.find(&server).await?;
                session.do_to((&before, &before.etag), "activate", &options).await
            }
            Self::Replace { server, string, wait, options } => {
                let connection_string = string.read(session.console)?;
                let server: Server = session.find(&server).await?;
                arrival::replace(session, connection_string, &server, wait, &options).await
            }
            Self::Remove { server, options } => {
                let server: Server = session.find(&server).await?;
                remove(session, &server, &options).await
            }
            Self::OkToStop { server } => ok_to_stop(session, &server).await,
            Self::Reachability { server } => {
                let (_, matrix): (Server, Reachability) = session.read_part(&server, "reachability").await?;
                session.show(&matrix, || views::reachability(&matrix))
            }
        }
    }
}

fn place(server: &Server) -> String {
    format!("{}/{}", Server::PATH, server.id)
}

async fn remove(session: &mut Session<'_>, server: &Server, options: &ConfirmedOptions) -> Result<(), Failure> {
    let joins = matches!(server.condition, ServerCondition::Joining { .. });
    let what = format!("Remove {} for ever", server.described());
    let question = Question::new(what, format!("bursar server remove {}", server.id));
    let question = question.with_warning(joins.then(|| format!("It has not joined yet, and {SPENT}.")));
    let path = place(server);
    let removing = async |client: &Client, change| Ok(client.delete(&path, change).await?);
    let answer = session.confirmed(question, options, removing).await?;
    session.show_removed(server, "server", &answer, options.dry_run())?;
    if joins && !options.dry_run() { session.console.tell(MADE_ANEW) } else { Ok(()) }
}

async fn ok_to_stop(session: &mut Session<'_>, server: &str) -> Result<(), Failure> {
    let (server, answer): (Server, OkToStop) = session.read_part(server, "ok-to-stop").await?;
    session.show(&answer, || views::ok_to_stop(&answer, &server))?;
    if answer.ok {
        return Ok(());
    }
    let message = format!("{} should not be stopped now.", server.described());
    let neighbours = format!("bursar server list --filter destination={}", server.destination);
    let failure = Failure::new(Exit::Conflict, message, neighbours);
    Err(match answer.remedy {
        Some(remedy) => failure.with_hint(remedy),
        None => failure,
    })
}

/// What is wanted of it, with the particulars of a maintenance.
fn intent(intent: &ServerIntent) -> String {
    match intent {
        ServerIntent::Maintenance { until, reason } if reason.is_empty() => format!("maintenance until {until}"),
        ServerIntent::Maintenance { until, reason } => format!("maintenance until {until}: {reason}"),
        _ => intent.as_str().into(),
    }
}

impl Noun for Server {
    const NOUN: &'static str = "server";
    const PATH: &'static str = "servers";
    const LIST: &'static str = "bursar server list";
    const HEADING: &'static [&'static str] =
        &["id", "name", "destination", "condition", "intent", "store points", "version", "primary address"];
    const NAME_FIELD: Option<&'static str> = Some("name");

    fn id(&self) -> u64 {
        self.id
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn row(&self) -> Vec<String> {
        vec![
            self.id.to_string(),
            self.name.clone(),
            self.destination_name.clone().unwrap_or_else(|| self.destination.to_string()),
            self.condition.as_str().into(),
            self.intent.as_str().into(),
            self.store_points.to_string(),
            self.version.clone(),
            self.primary_address.clone(),
        ]
    }

    fn details(&self) -> Vec<(&'static str, String)> {
        let destination = self.destination_name.as_ref().map_or_else(String::new, |name| format!(" “{name}”"));
        let condition = match self.condition {
            ServerCondition::Joining { operation } => format!("joining, carried by operation {operation}"),
            other => other.as_str().into(),
        };
        vec![
            ("id", self.id.to_string()),
            ("name", self.name.clone()),
            ("destination", format!("{}{destination}", self.destination)),
            ("condition", condition),
            ("intent", intent(&self.intent)),
            ("state it holds", self.projection.as_str().into()),
            ("store points", self.store_points.to_string()),
            ("primary address", self.primary_address.clone()),
            ("secondary address", or_dash(self.secondary_address.as_ref())),
            ("version", self.version.clone()),
            ("platform", self.platform.clone()),
            ("supported level", self.supported_level.to_string()),
            ("guid", self.guid.clone()),
            ("former guids", if self.former_guids.is_empty() { "-".into() } else { self.former_guids.join(", ") }),
            ("created", stamped(&self.created)),
            ("changed", stamped(&self.changed)),
            ("etag", self.etag.clone()),
        ]
    }
}
