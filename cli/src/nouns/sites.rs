//! `bursar site`

use bursar_domain::site::EXPECTED_LATENCY_MS_MAX;
use bursar_wire::sites::{CreateSite, EditSite, Site};
use clap::Subcommand;

use super::{stamped, within};
use crate::{
    failure::{Failure, Next},
    noun::Noun,
    options::{ChangeOptions, ConfirmedOptions, EditOptions, ListOptions, VersionOptions},
    session::Session,
};

/// What can be done with sites.
#[derive(Subcommand, Clone, Debug)]
pub enum SiteCommand {
    /// List the sites
    #[command(after_help = "--filter knows the fields id and name, --sort knows id and name.")]
    List(ListOptions),
    /// Show a site
    Show {
        /// Its number or its name
        site: String,
        #[command(flatten)]
        version: VersionOptions,
    },
    /// Make a site
    Add {
        /// Its name, unique among the sites
        name: String,
        /// The latency to expect between its machines and the authority, one way, in milliseconds
        #[arg(long, value_name = "MILLISECONDS", default_value_t = 0, value_parser = parse_latency, allow_negative_numbers = true)]
        expected_latency_ms: u32,
        #[command(flatten)]
        options: ChangeOptions,
    },
    /// Change a site
    Edit {
        /// Its number or its name
        site: String,
        /// A new name
        #[arg(long)]
        name: Option<String>,
        /// A new latency to expect, one way, in milliseconds
        #[arg(long, value_name = "MILLISECONDS", value_parser = parse_latency, allow_negative_numbers = true)]
        expected_latency_ms: Option<u32>,
        #[command(flatten)]
        options: EditOptions,
    },
    /// Remove a site that nothing uses
    Remove {
        /// Its number or its name
        site: String,
        #[command(flatten)]
        options: ConfirmedOptions,
    },
}

fn parse_latency(text: &str) -> Result<u32, String> {
    within(0, EXPECTED_LATENCY_MS_MAX, text)
}

impl SiteCommand {
    pub(crate) async fn run(self, session: &mut Session<'_>) -> Result<(), Failure> {
        match self {
            Self::List(options) => session.show_list::<Site>(&options).await.map(drop),
            Self::Show { site, version } => session.show_found::<Site>(&version, &site).await,
            Self::Add { name, expected_latency_ms, options } => {
                let request = CreateSite { name, expected_latency_ms };
                let answer = session.client.post(Site::PATH, &request, options.change()).await?;
                session.show_changed::<Site>(&answer, options.dry_run, "created")
            }
            Self::Edit { site, name, expected_latency_ms, options } => {
                let request = EditSite { name, expected_latency_ms };
                if request == EditSite::default() {
                    return Err(Failure::usage("Nothing to change was named.", Next::Help));
                }
                let before: Site = session.find(&site).await?;
                let answer = session.client.patch(&format!("{}/{}", Site::PATH, before.id), &request, options.change()).await?;
                session.show_edited::<Site>(&answer, options.change.dry_run, &before.etag)
            }
            Self::Remove { site, options } => {
                let question = |site: &str| format!("Remove {site}");
                session.remove::<Site>(&site, question, "bursar site remove", &options).await
            }
        }
    }
}

impl Noun for Site {
    const NOUN: &'static str = "site";
    const PATH: &'static str = "sites";
    const LIST: &'static str = "bursar site list";
    const HEADING: &'static [&'static str] = &["id", "name", "latency", "changed"];
    const NAME_FIELD: Option<&'static str> = Some("name");

    fn id(&self) -> u64 {
        self.id
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn row(&self) -> Vec<String> {
        vec![self.id.to_string(), self.name.clone(), format!("{} ms", self.expected_latency_ms), self.changed.at.clone()]
    }

    fn details(&self) -> Vec<(&'static str, String)> {
        vec![
            ("id", self.id.to_string()),
            ("name", self.name.clone()),
            ("expected latency", format!("{} ms, one way", self.expected_latency_ms)),
            ("created", stamped(&self.created)),
            ("changed", stamped(&self.changed)),
            ("etag", self.etag.clone()),
        ]
    }
}
