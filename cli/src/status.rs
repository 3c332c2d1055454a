//! `bursar status` and `bursar health`

#[cfg(test)]
mod fixture;
mod picture;
mod screen;

use bursar_wire::status::{Counts, Grade};

use crate::{
    failure::{Exit, Failure},
    options::Format,
    output,
    session::Session,
};
use picture::Picture;

/// Shows how the cluster fares, on one screen.
pub(crate) async fn status(session: &mut Session<'_>) -> Result<(), Failure> {
    let picture = Picture::take(session).await?;
    let screen = screen::whole(&picture, session.console);
    session.show(&picture, || screen)?;
    learn_members(session, &picture)
}

/// Tells whether the cluster is healthy and no critical alert asks for attention, and why not.
pub(crate) async fn health(session: &mut Session<'_>) -> Result<(), Failure> {
    let picture = Picture::take(session).await?;
    learn_members(session, &picture)?;
    let status = &picture.status;
    match session.format {
        Format::Json => {
            let Counts { alerts_critical, alerts_warning, alerts_acknowledged, alerts_covered, alerts_expected, .. } =
                status.counts;
            let document = serde_json::json!({
                "health": status.health, "checks": status.checks, "stale": status.stale,
                "alerts": {
                    "critical": alerts_critical, "warning": alerts_warning, "acknowledged": alerts_acknowledged,
                    "covered": alerts_covered, "expected": alerts_expected,
                },
            });
            session.console.line(&output::json(&document))?;
        }
        Format::Table => {
            let text = screen::health(status, session.console);
            session.console.write(text.as_bytes())?;
        }
    }
    let alerts = match status.counts.alerts_critical {
        0 => None,
        1 => Some("1 critical alert fires that nobody has acknowledged".to_owned()),
        critical => Some(format!("{critical} critical alerts fire that nobody has acknowledged")),
    };
    let (message, next) = match (status.health, alerts) {
        (Grade::Ok, None) => return Ok(()),
        (Grade::Ok, Some(alerts)) => (format!("{alerts}."), "bursar alert list"),
        (grade, None) => (format!("The cluster's health is {}.", grade.as_str()), "bursar status"),
        (grade, Some(alerts)) => (format!("The cluster's health is {}, and {alerts}.", grade.as_str()), "bursar status"),
    };
    Err(Failure::new(Exit::Unhealthy, message, next))
}

fn learn_members(session: &mut Session<'_>, picture: &Picture) -> Result<(), Failure> {
    session.learn_members(picture.status.members.iter().map(|member| member.api_address.as_str()))
}
