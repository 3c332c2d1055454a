//! `bursar store-point`

use bursar_wire::{
    servers::{Server, StorePointObserved},
    store_points::{CreateStorePoint, EditStorePoint, StorePoint, StorePointCondition, StorePointDetails},
};
use clap::{Args, Subcommand};

use super::{on_or_off, stamped, switch};
use crate::{
    failure::{Failure, Next},
    noun::{Noun, Observed},
    options::{ChangeOptions, ConfirmedOptions, EditOptions, ListOptions, VersionOptions},
    output::{self, or_dash},
    session::Session,
    sizes::{self, SizeLimit},
};

/// What can be done with store points.
#[derive(Subcommand, Clone, Debug)]
pub enum StorePointCommand {
    /// List the store points
    #[command(
        after_help = "USED is what its archives take, FREE what its disk has left; in parentheses, as its server saw it last, where \
                      that is not heard, or can read and not write there. A ? is explained below the list.\n\n\
                      --filter knows the fields id, name, server (its number), path, condition (creating, failed, online, offline \
                      or unknown), intent (active, draining or retired), accepting_data and present (true or false; retired store \
                      points are listed with present=false alone), --sort knows id and name."
    )]
    List(ListOptions),
    /// Show a store point, and how it is filled
    Show {
        /// Its number or its name
        store_point: String,
        #[command(flatten)]
        version: VersionOptions,
    },
    /// Make a store point
    Add {
        /// Its name, unique on its server
        name: String,
        /// The number or the name of the server
        #[arg(long)]
        server: String,
        /// The absolute path of an existing directory that the server can write to
        #[arg(long)]
        path: String,
        /// For administrators, for instance whom to call about the hardware
        #[arg(long, default_value = "")]
        notes: String,
        /// The most that it may hold, for instance 500GB or 2TiB, or unlimited
        #[arg(long, value_name = "SIZE", default_value = "unlimited")]
        quota: SizeLimit,
        #[command(flatten)]
        options: ChangeOptions,
    },
    /// Change a store point
    Edit {
        /// Its number or its name
        store_point: String,
        #[command(flatten)]
        traits: Traits,
        #[command(flatten)]
        options: EditOptions,
    },
    /// Have a store point give its archives away
    Drain {
        /// Its number or its name
        store_point: String,
        #[command(flatten)]
        options: EditOptions,
    },
    /// Have a store point keep archives again
    Activate {
        /// Its number or its name
        store_point: String,
        #[command(flatten)]
        options: EditOptions,
    },
    /// Retire a store point; what its directory holds stays on the disk
    Remove {
        /// Its number or its name
        store_point: String,
        #[command(flatten)]
        options: ConfirmedOptions,
    },
}

/// What can be changed of a store point.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct Traits {
    /// A new name
    #[arg(long)]
    name: Option<String>,
    /// New notes
    #[arg(long)]
    notes: Option<String>,
    /// Whether backups come in
    #[arg(long, value_name = "on|off", value_parser = switch)]
    accepting_data: Option<bool>,
    /// Whether archives may begin here
    #[arg(long, value_name = "on|off", value_parser = switch)]
    accepting_new_archives: Option<bool>,
    /// Whether archives move here and away, so that all store points are filled alike
    #[arg(long, value_name = "on|off", value_parser = switch)]
    balancing: Option<bool>,
    /// The most that it may hold, for instance 500GB or 2TiB, or unlimited
    #[arg(long, value_name = "SIZE")]
    quota: Option<SizeLimit>,
}

impl StorePointCommand {
    pub(crate) async fn run(self, session: &mut Session<'_>) -> Result<(), Failure> {
        match self {
            Self::List(options) => session.show_list::<StorePointDetails>(&options).await.map(drop),
            Self::Show { store_point, version } => session.show_observed::<StorePointDetails>(&version, &store_point).await,
            Self::Add { name, server, path, notes, quota, options } => {
                let server: Server = session.find(&server).await?;
                let request = CreateStorePoint { name, path, notes, quota_bytes: quota.0 };
                let place = format!("{}/{}/store-points", Server::PATH, server.id);
                let answer = session.client.post(&place, &request, options.change()).await?;
                session.show_changed::<StorePoint>(&answer, options.dry_run, "created")
            }
            Self::Edit { store_point, traits, options } => {
                if traits == Traits::default() {
                    return Err(Failure::usage("Nothing to change was named.", Next::Help));
                }
                let before: StorePoint = session.find(&store_point).await?;
                let Traits { name, notes, accepting_data, accepting_new_archives, balancing, quota } = traits;
                let quota_bytes = quota.map(|quota| quota.0);
                let request = EditStorePoint { name, notes, accepting_data, accepting_new_archives, balancing, quota_bytes };
                let path = format!("{}/{}", StorePoint::PATH, before.id);
                let answer = session.client.patch(&path, &request, options.change()).await?;
                session.show_edited::<StorePoint>(&answer, options.change.dry_run, &before.etag)
            }
            Self::Drain { store_point, options } => {
                let before: StorePoint = session.find(&store_point).await?;
                session.do_to((&before, &before.etag), "drain", &options).await
            }
            Self::Activate { store_point, options } => {
                let before: StorePoint = session.find(&store_point).await?;
                session.do_to((&before, &before.etag), "activate", &options).await
            }
            Self::Remove { store_point, options } => {
                let question = |store_point: &str| format!("Retire {store_point} for ever");
                session.remove::<StorePoint>(&store_point, question, "bursar store-point remove", &options).await
            }
        }
    }
}

/// How it is, with the reason where something is wrong.
pub(super) fn condition(condition: &StorePointCondition) -> String {
    match condition {
        StorePointCondition::Failed { detail, .. }
        | StorePointCondition::Offline { detail, .. }
        | StorePointCondition::Unknown { detail, .. } => format!("{}: {detail}", condition.as_str()),
        StorePointCondition::Creating | StorePointCondition::Online => condition.as_str().into(),
    }
}

impl Noun for StorePoint {
    const NOUN: &'static str = "store point";
    const PATH: &'static str = "store-points";
    const LIST: &'static str = "bursar store-point list";
    const HEADING: &'static [&'static str] =
        &["id", "name", "server", "online", "accepting data", "new archives", "balancing", "quota", "intent", "path"];
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
            self.server_name.clone().unwrap_or_else(|| self.server.to_string()),
            match &self.condition {
                StorePointCondition::Online => "yes".into(),
                other => condition(other),
            },
            on_or_off(self.accepting_data).into(),
            on_or_off(self.accepting_new_archives).into(),
            on_or_off(self.balancing).into(),
            sizes::limit_told(self.quota_bytes),
            self.intent.as_str().into(),
            self.path.clone(),
        ]
    }

    fn details(&self) -> Vec<(&'static str, String)> {
        let server = self.server_name.as_ref().map_or_else(String::new, |name| format!(" “{name}”"));
        let answers = if self.server_online { "online" } else { "not online" };
        vec![
            ("id", self.id.to_string()),
            ("name", self.name.clone()),
            ("server", format!("{}{server}, {answers}", self.server)),
            ("condition", condition(&self.condition)),
            ("intent", self.intent.as_str().into()),
            ("path", self.path.clone()),
            ("directory", self.directory.clone()),
            ("notes", self.notes.clone()),
            ("accepting data", on_or_off(self.accepting_data).into()),
            ("new archives", on_or_off(self.accepting_new_archives).into()),
            ("balancing", on_or_off(self.balancing).into()),
            ("quota", sizes::limit_told(self.quota_bytes)),
            ("created", stamped(&self.created)),
            ("changed", stamped(&self.changed)),
            ("etag", self.etag.clone()),
        ]
    }

    fn place(&self) -> Option<String> {
        let server = self.server_name.as_ref().map_or_else(String::new, |name| format!(" “{name}”"));
        Some(format!("on server {}{server}, at {}", self.server, self.path))
    }
}

impl Observed for StorePointDetails {
    type Object = StorePoint;
    const COLUMNS: &'static [&'static str] = &[
        "id",
        "name",
        "server",
        "online",
        "used",
        "free",
        "accepting data",
        "new archives",
        "balancing",
        "quota",
        "intent",
        "path",
    ];
    const FILLED: usize = 4;

    fn object(&self) -> &StorePoint {
        &self.store_point
    }

    fn filled(&self) -> [String; 2] {
        let Some(StorePointObserved { free_bytes, total_bytes, used_bytes }) = self.observed else {
            return [output::UNKNOWN; 2].map(str::to_owned);
        };
        let free = format!("{} of {}", sizes::told(free_bytes), sizes::told(total_bytes));
        // What stands in parentheses says nothing of the present, as in the matrix of ports.
        let is_online = self.store_point.condition == StorePointCondition::Online;
        [sizes::told(used_bytes), free].map(|told| if is_online { told } else { format!("({told})") })
    }

    fn observed(&self) -> Vec<(&'static str, String)> {
        match (&self.observed, &self.observed_absent) {
            (Some(StorePointObserved { free_bytes, total_bytes, used_bytes }), _) => vec![
                ("used", sizes::told(*used_bytes)),
                ("free", format!("{} of {}", sizes::told(*free_bytes), sizes::told(*total_bytes))),
                ("as of", or_dash(self.observed_ms_ago.map(output::ago))),
            ],
            (None, why) => vec![("free", format!("not known: {}", why.as_deref().unwrap_or_default()))],
        }
    }

    fn unobserved(&self) -> Option<String> {
        self.observed_absent.clone()
    }
}
