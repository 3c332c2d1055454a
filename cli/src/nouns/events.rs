//! `bursar event`

use bursar_wire::{
    events::{EventLine, StreamItem},
    query::{EventsQuery, ReadQuery},
};
use clap::{Args, Subcommand};

use crate::{
    failure::{Exit, Failure},
    options::Format,
    output,
    session::Session,
};

/// How many revisions back a list begins where nothing else is asked for.
const RECENT: u64 = 50;

/// What can be done with events.
#[derive(Subcommand, Clone, Debug)]
pub enum EventCommand {
    /// List events: the latest, or those behind a cursor
    List {
        /// The cursor behind which to begin [default: 50 events ago]
        #[arg(long, value_name = "CURSOR")]
        since: Option<String>,
        /// The most events to show
        #[arg(long, value_name = "COUNT")]
        limit: Option<usize>,
        #[command(flatten)]
        filter: EventFilter,
    },
    /// Show events as they happen
    Watch {
        /// The cursor behind which to begin [default: now]
        #[arg(long, value_name = "CURSOR")]
        since: Option<String>,
        #[command(flatten)]
        filter: EventFilter,
    },
    /// Show one event with all its fields
    Show {
        /// Its number, or its cursor
        revision: String,
    },
}

/// Which events.
#[derive(Args, Clone, Debug, Default)]
pub struct EventFilter {
    /// Only of this kind or noun, for instance destination.edited, or destination
    #[arg(long)]
    kind: Option<String>,
    /// Only of this object, for instance destination:3
    #[arg(long, value_name = "KIND:NUMBER")]
    subject: Option<String>,
}

impl EventCommand {
    pub(crate) async fn run(self, session: &mut Session<'_>) -> Result<(), Failure> {
        match self {
            Self::List { since, limit, filter } => {
                let since = match since {
                    Some(since) => since,
                    None => recent(session).await?,
                };
                let events = until_head(session, filter.query(Some(since), Some(false)), limit.unwrap_or(usize::MAX)).await?;
                session.show(&events, || output::table(HEADING, events.iter().map(row)))
            }
            Self::Watch { since, filter } => watch(session, filter.query(since, None)).await,
            Self::Show { revision } => {
                let event: EventLine = session.read(&format!("events/{revision}")).await?;
                session.show(&event, || output::details(details(&event)))
            }
        }
    }
}

impl EventFilter {
    fn query(self, since: Option<String>, follow: Option<bool>) -> EventsQuery {
        EventsQuery { since, kind: self.kind, subject: self.subject, follow }
    }
}

/// The cursor some events back from the head.
async fn recent(session: &Session<'_>) -> Result<String, Failure> {
    let answer = session.client.get("status", &ReadQuery::default()).await?;
    let status: bursar_wire::status::Status = answer.json()?;
    let head = status.revision.split_once('-').and_then(|(epoch, revision)| Some((epoch, revision.parse::<u64>().ok()?)));
    let (epoch, revision) = head.ok_or_else(|| {
        Failure::new(Exit::Failed, format!("The cluster stands at “{}”, which is no cursor.", status.revision), "bursar status")
    })?;
    Ok(format!("{epoch}-{}", revision.saturating_sub(RECENT)))
}

async fn until_head(session: &mut Session<'_>, query: EventsQuery, limit: usize) -> Result<Vec<EventLine>, Failure> {
    let mut stream = session.client.events(query);
    let mut events = Vec::new();
    while events.len() < limit {
        match stream.next().await? {
            Some(StreamItem::Event(event)) => events.push(event),
            Some(StreamItem::Gone(gone)) => return Err(no_longer_kept(&gone.floor, gone.hint)),
            Some(StreamItem::Bookmark(_) | StreamItem::Problem(_)) => {}
            None => break,
        }
    }
    Ok(events)
}

async fn watch(session: &mut Session<'_>, query: EventsQuery) -> Result<(), Failure> {
    let mut stream = session.client.events(query);
    while let Some(item) = stream.next().await? {
        match item {
            StreamItem::Event(event) => {
                let line = match session.format {
                    Format::Json => serde_json::to_string(&event).expect("events have text keys and finite numbers"),
                    Format::Table => row(&event).join("  "),
                };
                session.console.line(&line)?;
            }
            StreamItem::Gone(gone) => return Err(no_longer_kept(&gone.floor, gone.hint)),
            StreamItem::Bookmark(_) | StreamItem::Problem(_) => {}
        }
    }
    Ok(())
}

fn no_longer_kept(floor: &str, hint: String) -> Failure {
    let message = format!("What happened before {floor} is no longer kept.");
    Failure::new(Exit::NotFound, message, format!("bursar event list --since {floor}")).with_hint(hint)
}

const HEADING: &[&str] = &["cursor", "time", "actor", "event"];

fn row(event: &EventLine) -> Vec<String> {
    vec![event.cursor.clone(), event.time.clone(), event.actor.to_string(), event.summary.clone()]
}

fn details(event: &EventLine) -> Vec<(&'static str, String)> {
    let span = event.decision;
    let last = span.first_revision + u64::from(span.count) - 1;
    vec![
        ("cursor", event.cursor.clone()),
        ("time", event.time.clone()),
        ("actor", event.actor.to_string()),
        ("request", event.request.clone()),
        ("kind", event.kind.clone()),
        ("subject", event.subject.to_string()),
        ("decision", format!("revisions {} to {last}", span.first_revision)),
        ("event", event.summary.clone()),
        ("data", output::json(&event.data)),
    ]
}
