//! `bursar status` and `bursar health`

#[cfg(test)]
mod fixture;
mod picture;
mod screen;

use bursar_wire::status::Grade;

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

/// Tells whether the cluster is healthy, and why not.
pub(crate) async fn health(session: &mut Session<'_>) -> Result<(), Failure> {
    let picture = Picture::take(session).await?;
    learn_members(session, &picture)?;
    let status = &picture.status;
    match session.format {
        Format::Json => {
            let document = serde_json::json!({ "health": status.health, "checks": status.checks, "stale": status.stale });
            session.console.line(&output::json(&document))?;
        }
        Format::Table => {
            let text = screen::health(status, session.console);
            session.console.write(text.as_bytes())?;
        }
    }
    match status.health {
        Grade::Ok => Ok(()),
        grade => Err(Failure::new(Exit::Unhealthy, format!("The cluster's health is {}.", grade.as_str()), "bursar status")),
    }
}

fn learn_members(session: &mut Session<'_>, picture: &Picture) -> Result<(), Failure> {
    session.learn_members(picture.status.members.iter().map(|member| member.api_address.as_str()))
}
