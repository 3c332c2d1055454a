//! `bursar alert`

use bursar_wire::alerts::{AcknowledgeAlerts, Acknowledged, Acknowledgement, Alert, AlertCondition};
use clap::Subcommand;

use super::{cover, stamped};
use crate::{
    failure::Failure,
    noun::Noun,
    options::{EditOptions, ListOptions, VersionOptions},
    output::{self, or_dash},
    session::Session,
};

/// By what alerts are filtered, as the help says it.
const FILTER_FIELDS: &str = "--filter knows the fields id, kind (store_point_offline, server_offline, destination_offline, \
                             version_conflict or projection_mismatch), reason (as `show` has it in JSON, for instance missing), \
                             severity (critical or warning), condition (firing or resolved), open and acknowledged (true or \
                             false), subject (for instance server:3) and text";

/// What can be done with alerts.
#[derive(Subcommand, Clone, Debug)]
pub enum AlertCommand {
    /// List the alerts in the overview: those that fire, and those that nobody has acknowledged
    #[command(
        after_help = format!(
            "With --filter, alerts that are history are listed too. {FILTER_FIELDS}; --sort knows id. What is over has an UNTIL."
        )
    )]
    List(ListOptions),
    /// Show an alert
    Show {
        /// Its number
        alert: String,
        #[command(flatten)]
        version: VersionOptions,
    },
    /// Take note of alerts: those that are over leave the overview
    #[command(after_help = format!("{FILTER_FIELDS}. For instance --filter condition=resolved."))]
    Acknowledge {
        /// Their numbers
        #[arg(required_unless_present = "filter", conflicts_with = "filter", value_name = "ALERT")]
        alerts: Vec<u64>,
        /// Instead of numbers: all open alerts that meet a condition, as in the list, and that nobody has acknowledged; open=true is
        /// met by all
        #[arg(long, value_name = "CONDITION", value_parser = parse_condition)]
        filter: Option<String>,
        /// What there is to say; what was said of an alert before stays, where nothing was said it is set
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
            Self::Show { alert, version } => session.show_found::<Alert>(&version, &alert).await,
            Self::Acknowledge { alerts, filter, note, options } => {
                let ids = filter.is_none().then_some(alerts);
                let request = AcknowledgeAlerts { ids, filter, note };
                let answer = session.client.post("alerts/acknowledge", &request, options.change()).await?;
                if options.change.dry_run {
                    return session.show_dry_run(&answer);
                }
                let noted: Acknowledged = answer.json()?;
                for line in told(&noted) {
                    session.console.tell(&line)?;
                }
                session.show(&noted.alerts, || output::table(Alert::HEADING, noted.alerts.iter().map(Alert::row)))
            }
        }
    }
}

/// A condition. An empty one is a mistake, as of a script whose variable is not set, and does not mean everything.
fn parse_condition(text: &str) -> Result<String, &'static str> {
    match text.trim() {
        "" => Err("must be a condition, and is empty; open=true means all alerts that are open"),
        _ => Ok(text.to_owned()),
    }
}

/// What became of a request to take note, a line for each sort of outcome.
fn told(noted: &Acknowledged) -> Vec<String> {
    if noted.alerts.is_empty() {
        return vec!["nothing to do: the condition is met by no open alert that nobody has acknowledged".to_owned()];
    }
    let (before, now): (Vec<&Alert>, Vec<&Alert>) =
        noted.alerts.iter().partition(|alert| noted.acknowledged_before.contains(&alert.id));
    let numbers: Vec<_> = now.iter().map(|alert| alert.id.to_string()).collect();
    let note = now.iter().find_map(|alert| alert.acknowledgement.as_ref()).filter(|noted| !noted.note.is_empty());
    let saying = note.map(|noted| format!(", with the note “{}”", noted.note)).unwrap_or_default();
    let now = (!numbers.is_empty()).then(|| format!("acknowledged alert {}{saying}", numbers.join(", ")));
    let before = before.into_iter().map(|alert| match &alert.acknowledgement {
        Some(Acknowledgement { by, at, .. }) => format!("alert {} was acknowledged before: {at} by {by}", alert.id),
        None => format!("alert {} was acknowledged before, and has come back since", alert.id),
    });
    now.into_iter().chain(before).collect()
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
        &["id", "severity", "condition", "since", "until", "alert", "server", "reason", "covered by", "acknowledged by"];
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
            or_dash(self.server.as_ref().map(|server| server.name.clone().unwrap_or_else(|| server.id.to_string()))),
            self.detail.clone(),
            or_dash(self.inhibited_by.as_ref().map(|by| match by.kind.as_str() {
                "alert" => format!("alert {}", by.id),
                _ => cover(by),
            })),
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
            ("server", or_dash(self.server.as_ref())),
            ("path", or_dash(self.path.as_ref())),
            ("reason", self.detail.clone()),
            ("affected", self.extent.as_str().into()),
            ("condition", self.condition.as_str().into()),
            ("since", since.into()),
            ("until", or_dash(until)),
            ("occurrences", self.occurrences.to_string()),
            ("covered by", or_dash(self.inhibited_by.as_ref().map(cover))),
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
