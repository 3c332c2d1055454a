//! `bursar destination`

use bursar_wire::{
    destinations::{CreateDestination, Destination, EditBalancing, EditDestination, EditFreeSpace, Window},
    sites::Site,
};
use clap::{Args, Subcommand};

use super::{on_or_off, stamped, within};
use crate::{
    failure::{Failure, Next},
    noun::Noun,
    options::{ChangeOptions, ConfirmedOptions, EditOptions, ListOptions, VersionOptions},
    session::Session,
    sizes::{self, SizeError, SizeLimit},
};

/// What can be done with destinations.
#[derive(Subcommand, Clone, Debug)]
pub enum DestinationCommand {
    /// List the destinations
    #[command(
        after_help = "--filter knows the fields id, name, site (its number) and offered (true or false), --sort knows id and name."
    )]
    List(ListOptions),
    /// Show a destination
    Show {
        /// Its number or its name
        destination: String,
        #[command(flatten)]
        version: VersionOptions,
    },
    /// Make a destination
    Add {
        /// Its name, unique among the destinations
        name: String,
        /// The number or the name of the site where all its servers are
        #[arg(long)]
        site: String,
        #[command(flatten)]
        traits: Traits,
        #[command(flatten)]
        options: ChangeOptions,
    },
    /// Change a destination
    Edit {
        /// Its number or its name
        destination: String,
        /// A new name
        #[arg(long)]
        name: Option<String>,
        /// The number or the name of another site
        #[arg(long)]
        site: Option<String>,
        #[command(flatten)]
        traits: Traits,
        #[command(flatten)]
        options: EditOptions,
    },
    /// Remove a destination that nothing uses
    Remove {
        /// Its number or its name
        destination: String,
        #[command(flatten)]
        options: ConfirmedOptions,
    },
}

/// What can be said of a destination when it is made and when it is changed.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct Traits {
    /// For people
    #[arg(long)]
    description: Option<String>,
    /// Whether users may choose it
    #[arg(long, value_name = "true|false")]
    offered: Option<bool>,
    /// Whether archives are spread over its store points
    #[arg(long, value_name = "true|false")]
    balancing: Option<bool>,
    /// How far the fill of store points may differ, in percent of their size
    #[arg(long, value_name = "PERCENT", value_parser = parse_percentage, allow_negative_numbers = true)]
    allowed_variance: Option<u8>,
    /// When archives may move, UTC: HH:MM-HH:MM, or always
    #[arg(long, value_name = "SPAN", value_parser = parse_window)]
    window: Option<Times>,
    /// The most that moves may take together in a second, for instance 50MB, or unlimited
    #[arg(long, value_name = "SIZE", value_parser = parse_rate)]
    rate: Option<SizeLimit>,
    /// How many archives may move at once
    #[arg(long, value_name = "COUNT", value_parser = parse_concurrency, allow_negative_numbers = true)]
    concurrency: Option<u16>,
    /// Below how much free space it is worth a warning, in percent of a store point's size; it is kept for those who look, no alert
    /// follows from it
    #[arg(long, value_name = "PERCENT", value_parser = parse_warning, allow_negative_numbers = true)]
    free_space_warning: Option<u8>,
    /// Below how much free space it is critical, in percent of a store point's size; it is kept for those who look, no alert
    /// follows from it
    #[arg(long, value_name = "PERCENT", value_parser = parse_critical, allow_negative_numbers = true)]
    free_space_critical: Option<u8>,
}

/// When archives may move: within a window, or always.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Times(Option<Window>);

fn parse_percentage(text: &str) -> Result<u8, String> {
    within(1, 100, text)
}

fn parse_warning(text: &str) -> Result<u8, String> {
    within(1, 99, text)
}

fn parse_critical(text: &str) -> Result<u8, String> {
    within(0, 98, text)
}

fn parse_concurrency(text: &str) -> Result<u16, String> {
    within(1, 64, text)
}

fn parse_window(text: &str) -> Result<Times, String> {
    if text == "always" {
        return Ok(Times(None));
    }
    let (from, to) = text.split_once('-').ok_or("a span looks like 22:00-06:00, or is the word always")?;
    Ok(Times(Some(Window { from: from.into(), to: to.into() })))
}

/// A rate is a size in each second; it may say so.
fn parse_rate(text: &str) -> Result<SizeLimit, SizeError> {
    text.strip_suffix("/s").unwrap_or(text).parse()
}

impl Traits {
    fn balancing(&self) -> EditBalancing {
        EditBalancing {
            enabled: self.balancing,
            allowed_variance_percent: self.allowed_variance,
            window: self.window.clone().map(|Times(window)| window),
            rate_bytes_per_second: self.rate.map(|SizeLimit(rate)| rate),
            concurrency: self.concurrency,
        }
    }

    fn free_space(&self) -> EditFreeSpace {
        EditFreeSpace { warning_percent: self.free_space_warning, critical_percent: self.free_space_critical }
    }
}

impl DestinationCommand {
    pub(crate) async fn run(self, session: &mut Session<'_>) -> Result<(), Failure> {
        match self {
            Self::List(options) => session.show_list::<Destination>(&options).await.map(drop),
            Self::Show { destination, version } => session.show_found::<Destination>(&version, &destination).await,
            Self::Add { name, site, traits, options } => {
                let site: Site = session.find(&site).await?;
                let request = CreateDestination {
                    name,
                    site: site.id,
                    offered: traits.offered,
                    balancing: traits.balancing(),
                    free_space: traits.free_space(),
                    description: traits.description.unwrap_or_default(),
                };
                let answer = session.client.post(Destination::PATH, &request, options.change()).await?;
                session.show_changed::<Destination>(&answer, options.dry_run, "created")
            }
            Self::Edit { destination, name, site, traits, options } => {
                if name.is_none() && site.is_none() && traits == Traits::default() {
                    return Err(Failure::usage("Nothing to change was named.", Next::Help));
                }
                let before: Destination = session.find(&destination).await?;
                let site = match site {
                    Some(site) => Some(session.find::<Site>(&site).await?.id),
                    None => None,
                };
                let request = EditDestination {
                    name,
                    site,
                    offered: traits.offered,
                    balancing: traits.balancing(),
                    free_space: traits.free_space(),
                    description: traits.description,
                };
                let path = format!("{}/{}", Destination::PATH, before.id);
                let answer = session.client.patch(&path, &request, options.change()).await?;
                session.show_edited::<Destination>(&answer, options.change.dry_run, &before.etag)
            }
            Self::Remove { destination, options } => {
                let question = |destination: &str| format!("Remove {destination}");
                session.remove::<Destination>(&destination, question, "bursar destination remove", &options).await
            }
        }
    }
}

impl Noun for Destination {
    const NOUN: &'static str = "destination";
    const PATH: &'static str = "destinations";
    const LIST: &'static str = "bursar destination list";
    const HEADING: &'static [&'static str] =
        &["id", "name", "site", "offered", "servers", "offline", "store points", "accepting", "balancing", "changed"];
    const NAME_FIELD: Option<&'static str> = Some("name");
    const SITE_COLUMN: Option<usize> = Some(2);

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
            self.site.to_string(),
            yes_or_no(self.offered).into(),
            self.roll_up.servers.to_string(),
            self.roll_up.offline_servers.to_string(),
            self.roll_up.store_points.to_string(),
            self.roll_up.accepting.as_str().into(),
            on_or_off(self.balancing.enabled).into(),
            self.changed.at.clone(),
        ]
    }

    fn details(&self) -> Vec<(&'static str, String)> {
        let balancing = &self.balancing;
        let window = balancing.window.as_ref().map_or("always".to_owned(), |window| format!("{}-{} UTC", window.from, window.to));
        let rate = balancing.rate_bytes_per_second.map_or("unlimited".to_owned(), |rate| format!("{}/s", sizes::told(rate)));
        vec![
            ("id", self.id.to_string()),
            ("name", self.name.clone()),
            ("description", self.description.clone()),
            ("site", self.site.to_string()),
            ("offered", yes_or_no(self.offered).into()),
            ("servers", format!("{}, {} offline", self.roll_up.servers, self.roll_up.offline_servers)),
            ("store points", format!("{}, accepting {}", self.roll_up.store_points, self.roll_up.accepting.as_str())),
            ("balancing", on_or_off(balancing.enabled).into()),
            ("  allowed variance", format!("{} %", balancing.allowed_variance_percent)),
            ("  window", window),
            ("  rate", rate),
            ("  concurrency", balancing.concurrency.to_string()),
            ("free space, warning", format!("below {} %", self.free_space.warning_percent)),
            ("free space, critical", format!("below {} %", self.free_space.critical_percent)),
            ("created", stamped(&self.created)),
            ("changed", stamped(&self.changed)),
            ("etag", self.etag.clone()),
        ]
    }
}

const fn yes_or_no(value: bool) -> &'static str {
    if value { "yes" } else { "no" }
}
