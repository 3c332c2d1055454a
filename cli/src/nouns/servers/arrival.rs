//! How a machine's connection string gets from a person to the cluster.

use std::{fs, path::PathBuf};

use bursar_wire::{
    Client, Secret,
    destinations::Destination,
    servers::{AddServer, InspectServer, Inspection, MAINTENANCE_SECONDS_MAX, ReplaceServer, Server},
};
use clap::Args;

use super::{place, views};
use crate::{
    Console,
    failure::{Exit, Failure, Next},
    noun::Noun,
    nouns::within,
    options::{ChangeOptions, ConfirmedOptions},
    session::{Question, Session},
};

/// What becomes of a machine that was to be taken in, and is not: its identity is known for ever.
pub(in crate::nouns) const SPENT: &str = "its machine is accepted with no connection string any more until it is made anew";
/// What to do for such a machine.
pub(in crate::nouns) const MADE_ANEW: &str = "to take that machine in after all, run `bursar storage-server init` there with an empty \
                                              data directory, and use the connection string that it prints";

/// Where a connection string comes from. It holds a secret that is good once; what stands on a command line, others on the
/// machine can read, and an inspection does not use it up.
#[derive(Args, Clone, Debug)]
pub struct StringSource {
    /// The connection string; it is read from standard input where neither it nor a file is given
    #[arg(value_name = "CONNECTION_STRING", conflicts_with = "file")]
    string: Option<String>,
    /// The file with the connection string
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

impl StringSource {
    /// Reads it, asking a person for it.
    pub(super) fn read(self, console: &mut Console) -> Result<Secret, Failure> {
        let text = match (self.string, self.file) {
            (Some(string), _) => string,
            (None, Some(path)) => fs::read_to_string(&path).map_err(|error| Failure::file("read", &path, &error))?,
            (None, None) => {
                if console.interactive {
                    console.tell("paste the connection string:")?;
                }
                let mut line = String::new();
                console.input.read_line(&mut line).map_err(Failure::input)?;
                line
            }
        };
        match text.trim() {
            "" => Err(Failure::usage("No connection string was given.", Next::Help)),
            text => Ok(Secret::new(text)),
        }
    }
}

pub(super) async fn inspect(
    session: &mut Session<'_>,
    connection_string: Secret,
    destination: Option<u64>,
    name: Option<String>,
) -> Result<(), Failure> {
    let request = InspectServer { connection_string, destination, name };
    let answer = session.client.post("servers/inspect", &request, ChangeOptions::default().change()).await?;
    let inspection: Inspection = answer.json()?;
    session.show(&inspection, || views::inspection(&inspection))?;
    if inspection.obstacles.is_empty() {
        return Ok(());
    }
    let message = format!("Something stands in the way of adding {}.", inspection.name);
    Err(Failure::new(Exit::Failed, message, "bursar server inspect --help"))
}

pub(super) async fn add(
    session: &mut Session<'_>,
    connection_string: Secret,
    destination: &Destination,
    name: Option<String>,
    wait: bool,
    options: &ChangeOptions,
) -> Result<(), Failure> {
    let request = AddServer { connection_string, name };
    let path = format!("{}/{}/servers", Destination::PATH, destination.id);
    let answer = session.client.post(&path, &request, options.change()).await?;
    let what = format!("the server is being taken into {}", destination.described());
    session.show_started(&answer, options.dry_run, wait, &what).await
}

pub(super) async fn replace(
    session: &mut Session<'_>,
    connection_string: Secret,
    server: &Server,
    wait: bool,
    options: &ConfirmedOptions,
) -> Result<(), Failure> {
    let what = format!("Give the place of {} to another machine, and never accept the former one again", server.described());
    let question = Question::new(what, format!("bursar server replace {} --file FILE", server.id));
    let (path, request) = (format!("{}/replace", place(server)), ReplaceServer { connection_string });
    let replacing = async |client: &Client, change| Ok(client.post(&path, &request, change).await?);
    let answer = session.confirmed(question, options, replacing).await?;
    let what = format!("another machine is taking the place of {}", server.described());
    session.show_started(&answer, options.dry_run(), wait, &what).await
}

/// A span of time in seconds: a number of them, or with a unit.
pub(super) fn parse_span(text: &str) -> Result<u64, String> {
    let (number, unit_seconds) = match text.char_indices().next_back() {
        Some((at, 's')) => (&text[..at], 1),
        Some((at, 'm')) => (&text[..at], 60),
        Some((at, 'h')) => (&text[..at], 3_600),
        Some((at, 'd')) => (&text[..at], 24 * 3_600),
        _ => (text, 1),
    };
    let most = MAINTENANCE_SECONDS_MAX / unit_seconds;
    let number: u64 = within(1, most, number).map_err(|_| "must be from 1 second to 30 days, as in 90m, 2h, 1d".to_owned())?;
    Ok(number * unit_seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_has_a_unit_or_is_in_seconds() {
        for (text, seconds) in [("90", 90), ("90s", 90), ("90m", 5_400), ("2h", 7_200), ("1d", 86_400), ("30d", 2_592_000)] {
            assert_eq!(parse_span(text), Ok(seconds), "{text}");
        }
        for wrong in ["", "h", "0", "31d", "2w", "-1h", "1h30m", "18446744073709551615d", "2ä"] {
            assert!(parse_span(wrong).is_err(), "{wrong}");
        }
    }
}
