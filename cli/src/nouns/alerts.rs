//! `bursar alert`

use bursar_wire::alerts::{AcknowledgeAlerts, Acknowledged, Alert, AlertCondition};
use clap::Subcommand;

use super::stamped;
use crate::{
    failure::Failure,
    noun::Noun,
    options::{EditOptions, ListOptions, PastOptions},
    output::{self, or_dash},
    session::Session,
};

/// What can be done with alerts.
#[derive(Subcommand, Clone, Debug)]
pub enum AlertCommand {
    /// List the alerts in the overview: those that fire, and those that nobody has acknowledged
    #[command(
        after_help = "With --filter, alerts that are history are listed too. It knows the fields id, kind, severity (critical or \
                      warning), condition (firing or resolved), open and acknowledged (true or false), subject (for instance \
                      server:3) and text; --sort knows id. What is over has an UNTIL."
    )]
    List(ListOptions),
    /// Show an alert
    Show {
        /// Its number
        alert: String,
        #[command(flatten)]
        past: PastOptions,
    },
    /// Take note of alerts: those that are over leave the overview
    Acknowledge {
        /// Their numbers
        #[arg(required_unless_present = "filter", conflicts_with = "filter", value_name = "ALERT")]
        alerts: Vec<u64>,
        /// Instead of numbers: all open alerts that meet a condition, as in the list; an empty one is met by all
        #[arg(long, value_name = "CONDITION")]
        filter: Option<String>,
        /// What there is to say
        #[arg(long, default_value = "")]
        note: String,
        #[command(flatten)]
        options: EditOptions,
    },
}

impl AlertCommand {
    pub(crate) async fn run(self, session: &mut Session<'_>) -> Result<(), Failure> {
        match self {
            Self::List(options) => session.show_list::<Alert>(&options).await.map(drop),
            Self::Show { alert, past } => session.show_found::<Alert>(&past, &alert).await,
            Self::Acknowledge { alerts, filter, note, options } => {
                let ids = filter.is_none().then_some(alerts);
                let request = AcknowledgeAlerts { ids, filter, note };
                let answer = session.client.post("alerts/acknowledge", &request, options.change()).await?;
                if options.change.dry_run {
                    return session.show_dry_run(&answer);
                }
                let noted: Acknowledged = answer.json()?;
                let numbers: Vec<_> = noted.alerts.iter().map(|alert| alert.id.to_string()).collect();
                session.console.tell(&format!("acknowledged alert {}", numbers.join(", ")))?;
                session.show(&noted.alerts, || output::table(Alert::HEADING, noted.alerts.iter().map(Alert::row)))
            }
        }
    }
}

/// Since when it fires, or did the last time, and until when, where it is over.
fn span(condition: &AlertCondition) -> (&str, Option<&str>) {
    match condition {
        AlertCondition::Firing { since } => (since, None),
        AlertCondition::Resolved { since, at } => (since, Some(at)),
    }
}

impl Noun for Alert {
    const NOUN: &'static str = "alert";
    const PATH: &'static str = "alerts";
    const LIST: &'static str = "bursar alert list";
    const HEADING: &'static [&'static str] =
        &["id", "severity", "condition", "since", "until", "alert", "covered by", "acknowledged by"];
    const NAME_FIELD: Option<&'static str> = None;

    fn id(&self) -> u64 {
        self.id
    }

    fn name(&self) -> &str {
        &self.text
    }

    fn row(&self) -> Vec<String> {
        let (since, until) = span(&self.condition);
        vec![
            self.id.to_string(),
            self.severity.as_str().into(),
            self.condition.as_str().into(),
            since.into(),
            or_dash(until),
            self.text.clone(),
            or_dash(self.inhibited_by.as_ref().map(|by| format!("{} {}", by.kind.replace('_', " "), by.id))),
            or_dash(self.acknowledgement.as_ref().map(|noted| &noted.by)),
        ]
    }

    fn details(&self) -> Vec<(&'static str, String)> {
        let (since, until) = span(&self.condition);
        let mut details = vec![
            ("id", self.id.to_string()),
            ("alert", self.text.clone()),
            ("kind", self.kind.replace('_', " ")),
            ("severity", self.severity.as_str().into()),
            ("subject", self.subject.to_string()),
            ("affected", self.extent.as_str().into()),
            ("condition", self.condition.as_str().into()),
            ("since", since.into()),
            ("until", or_dash(until)),
            ("occurrences", self.occurrences.to_string()),
            ("covered by", or_dash(self.inhibited_by.as_ref())),
        ];
        match &self.acknowledgement {
            None => details.push(("acknowledged", "-".into())),
            Some(noted) => {
                details.push(("acknowledged", format!("{} by {}", noted.at, noted.by)));
                details.push(("note", noted.note.clone()));
            }
        }
        details.push(("first fired", stamped(&self.created)));
        details.push(("changed", stamped(&self.changed)));
        details.push(("etag", self.etag.clone()));
        details
    }
}
