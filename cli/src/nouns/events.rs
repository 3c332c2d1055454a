//! `bursar event`

use bursar_domain::{Cursor, Revision};
use bursar_wire::{
    events::{EventLine, StreamItem},
    query::{EventsQuery, ReadQuery},
};
use clap::{Args, Subcommand};

use crate::{
    failure::{Exit, Failure},
    options::{Format, parse_limit},
    output,
    session::Session,
};

/// How many events a list shows where nothing else is asked for.
const RECENT: usize = 50;
/// How many revisions back the latest events are looked for at first.
const FIRST_SPAN: u64 = 64;

/// What can be done with events.
#[derive(Subcommand, Clone, Debug)]
pub enum EventCommand {
    /// List events: the latest, or those behind a cursor
    List {
        /// The cursor behind which to begin [default: the latest are listed]
        #[arg(long, value_name = "CURSOR")]
        since: Option<String>,
        /// The most events to show: the first ones behind --since, else the last ones [default: all, or 50]
        #[arg(long, value_name = "COUNT", value_parser = parse_limit)]
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
                let (events, are_more) = match since {
                    Some(since) => behind(session, filter, since, limit.unwrap_or(usize::MAX)).await?,
                    None => (latest(session, &filter, limit.unwrap_or(RECENT)).await?, false),
                };
                session.show(&events, || output::table(HEADING, events.iter().map(row)))?;
                match events.last() {
                    Some(last) if are_more => {
                        session.console.tell(&format!("there are more behind these: --since {}", last.cursor))
                    }
                    _ => Ok(()),
                }
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

/// The first events behind a cursor, and whether there are more.
async fn behind(
    session: &mut Session<'_>,
    filter: EventFilter,
    since: String,
    limit: usize,
) -> Result<(Vec<EventLine>, bool), Failure> {
    let mut events = until_head(session, filter.query(Some(since), Some(false)), limit.saturating_add(1)).await?;
    let are_more = events.len() > limit;
    events.truncate(limit);
    Ok((events, are_more))
}

/// The last events. Where the stream is filtered nobody knows how far back they lie: ever more of the history is read, as far
/// as it is kept.
async fn latest(session: &mut Session<'_>, filter: &EventFilter, limit: usize) -> Result<Vec<EventLine>, Failure> {
    let Cursor { epoch, revision: Revision(head) } = head(session).await?;
    let mut span = u64::try_from(limit).unwrap_or(u64::MAX).max(FIRST_SPAN);
    let mut found: Option<Vec<EventLine>> = None;
    loop {
        let start = head.saturating_sub(span);
        let since = Cursor { epoch, revision: Revision(start) };
        let query = filter.clone().query(Some(since.to_string()), Some(false));
        let events = match (until_head(session, query, usize::MAX).await, found.take()) {
            (Ok(events), _) => events,
            (Err(failure), Some(found)) if failure.exit == Exit::NotFound => return Ok(found),
            (Err(failure), _) => return Err(failure),
        };
        if events.len() >= limit || start == 0 {
            let surplus = events.len().saturating_sub(limit);
            return Ok(events.into_iter().skip(surplus).collect());
        }
        found = Some(events);
        span = span.saturating_mul(4);
    }
}

/// Where the history ends.
async fn head(session: &Session<'_>) -> Result<Cursor, Failure> {
    let answer = session.client.get("status", &ReadQuery::default()).await?;
    let status: bursar_wire::status::Status = answer.json()?;
    status.revision.parse().map_err(|_| {
        Failure::new(Exit::Failed, format!("The cluster stands at “{}”, which is no cursor.", status.revision), "bursar status")
    })
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
