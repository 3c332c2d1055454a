//! `bursar login` and `bursar context`: which clusters are known here, and as whom to talk to them.

use std::{
    fs,
    path::{Path, PathBuf},
};

use bursar_wire::{
    Secret,
    client::Change,
    query::ReadQuery,
    status::Status,
    tokens::{IssueToken, IssuedToken, WhoAmI},
};
use clap::{Args, Subcommand};
use serde_json::json;

use crate::{
    Surroundings,
    config::{ConfigFile, Context, read_credentials, read_secret},
    failure::{Exit, Failure, LOGIN, Next},
    neighbours,
    options::{Format, Options},
    output::{self, or_dash},
    settings::{Settings, parsed},
};

/// The name of a context that nobody has named.
const DEFAULT_CONTEXT: &str = "default";

/// `bursar login`
#[derive(Args, Clone, Debug)]
pub struct Login {
    /// Become the first administrator: the file with the setup secret that `bursar authority init` wrote
    #[arg(long, value_name = "FILE", conflicts_with = "token_file")]
    setup_secret_file: Option<PathBuf>,
    /// The file with the URLs and the token, as `bursar demo` writes it: credentials.json in its directory
    #[arg(long, value_name = "FILE", conflicts_with_all = ["token_file", "setup_secret_file", "urls"])]
    credentials_file: Option<PathBuf>,
    /// With --setup-secret-file: the name of the token that is issued
    #[arg(long, value_name = "NAME", default_value = "first administrator", requires = "setup_secret_file")]
    token_name: String,
    #[command(flatten)]
    options: Options,
}

/// What can be done with contexts.
#[derive(Subcommand, Clone, Debug)]
pub enum ContextCommand {
    /// List the contexts
    List,
    /// Show the context in use, without its token
    Show,
    /// Use a context from now on
    Use {
        /// Its name
        name: String,
    },
    /// Change a context: it keeps what --url, --ca-file and --token-file name
    Edit {
        /// Its name [default: the one in use]
        name: Option<String>,
    },
    /// Forget a context; its token stays valid
    Remove {
        /// Its name
        name: String,
    },
}

/// Proves a token, or takes the setup secret for the first one, and keeps it under the context's name.
pub(crate) async fn login(login: Login, surroundings: &mut Surroundings) -> Result<(), Failure> {
    let path = config_path(surroundings)?;
    let mut file = ConfigFile::load(&path)?;
    let options = login.options;
    let name = options.context.clone().unwrap_or_else(|| DEFAULT_CONTEXT.to_owned());
    // The context is being made: what is kept under its name, if anything, only fills in.
    let known = file.contexts.contains_key(&name).then(|| name.clone());
    let mut settings = Settings::gather(&Options { context: known, ..options }, surroundings)?;
    if let Some(credentials_file) = &login.credentials_file {
        let credentials = read_credentials(credentials_file)?;
        (settings.nodes, settings.token) = (parsed(&credentials.urls)?, Some(credentials.token));
    } else if login.setup_secret_file.is_none() {
        settings.refuse_withheld_token()?;
    }
    if let Some(setup_secret_file) = login.setup_secret_file {
        let secret = read_secret(&setup_secret_file)?;
        settings.token = Some(claim(&settings, login.token_name, secret).await?);
    }
    if settings.token.is_none() {
        return Err(Failure::usage("There is neither a token nor a setup secret to log in with.", LOGIN));
    }
    let answer = settings.client()?.get("whoami", &ReadQuery::default()).await?;
    let me: WhoAmI = answer.json()?;

    let ca_file = settings.ca_file.as_deref().map(absolute).transpose()?;
    let urls = all_nodes(&settings).await?;
    let nodes = urls.join(", ");
    file.contexts.insert(name.clone(), Context { urls, ca_file, token: settings.token });
    file.current = Some(name.clone());
    file.save(&path)?;
    let console = &mut surroundings.console;
    console.tell(&format!("kept as context “{name}” in {}, with {nodes}", path.display()))?;
    match settings.format {
        Format::Json => console.line(&output::json(&json!({ "context": name, "whoami": me }))),
        Format::Table => console.line(&format!("logged in as token {} “{}”", me.token.id, me.token.name)),
    }
}

/// The URLs to keep: the given ones', and those of the members that one of them tells of. That it cannot tell keeps nobody out.
async fn all_nodes(settings: &Settings) -> Result<Vec<String>, Failure> {
    let told = settings.client()?.get("status", &ReadQuery::stale()).await;
    let members = match told.and_then(|answer| answer.json::<Status>()) {
        Ok(status) => status.members,
        Err(_) => Vec::new(),
    };
    let learnt = neighbours::learnt(&settings.nodes, members.iter().map(|member| member.api_address.as_str()));
    Ok(learnt.iter().map(ToString::to_string).collect())
}

/// Makes the first administrator's token of the setup secret.
async fn claim(settings: &Settings, name: String, setup_secret: Secret) -> Result<Secret, Failure> {
    // The setup secret stands in for a credential; an old token beside it would be taken instead.
    let client = Settings { token: None, ..settings.clone() }.client()?;
    let request = IssueToken { name, expires_at: None, setup_secret: Some(setup_secret) };
    let issued: IssuedToken = client.post("tokens", &request, Change::default()).await?.json()?;
    Ok(issued.secret)
}

/// Carries out `bursar context`.
pub(crate) fn contexts(options: &Options, command: ContextCommand, surroundings: &mut Surroundings) -> Result<(), Failure> {
    let path = config_path(surroundings)?;
    let mut file = ConfigFile::load(&path)?;
    let unknown = |name: &str| Failure::new(Exit::NotFound, format!("No context is called “{name}”."), "bursar context list");
    match command {
        ContextCommand::List => {
            let format = Settings::gather(options, surroundings)?.format;
            show_contexts(&file, format, surroundings)
        }
        ContextCommand::Show => {
            let settings = Settings::gather(options, surroundings)?;
            show_settings(&settings, surroundings)
        }
        ContextCommand::Use { name } => {
            if !file.contexts.contains_key(&name) {
                return Err(unknown(&name));
            }
            surroundings.console.tell(&format!("using context “{name}”"))?;
            file.current = Some(name);
            file.save(&path)
        }
        ContextCommand::Edit { name } => {
            let name = name.or_else(|| options.context.clone()).or_else(|| file.current.clone());
            let name = name.ok_or_else(|| Failure::usage("No context is in use.", "bursar context list"))?;
            let context = file.contexts.get_mut(&name).ok_or_else(|| unknown(&name))?;
            edit(context, options)?;
            surroundings.console.tell(&format!("changed context “{name}”: {}", context.urls.join(", ")))?;
            file.save(&path)
        }
        ContextCommand::Remove { name } => {
            file.contexts.remove(&name).ok_or_else(|| unknown(&name))?;
            file.current = file.current.filter(|current| *current != name);
            surroundings.console.tell(&format!("forgot context “{name}”"))?;
            file.save(&path)
        }
    }
}

fn edit(context: &mut Context, options: &Options) -> Result<(), Failure> {
    if options.urls.is_empty() && options.ca_file.is_none() && options.token_file.is_none() {
        let message = "Nothing to change was named: neither --url nor --ca-file nor --token-file.";
        return Err(Failure::usage(message, Next::Help));
    }
    if !options.urls.is_empty() {
        context.urls = parsed(&options.urls)?.iter().map(ToString::to_string).collect();
    }
    if let Some(path) = &options.ca_file {
        context.ca_file = Some(absolute(path)?);
    }
    if let Some(path) = &options.token_file {
        context.token = Some(read_secret(path)?);
    }
    Ok(())
}

fn show_contexts(file: &ConfigFile, format: Format, surroundings: &mut Surroundings) -> Result<(), Failure> {
    let is_current = |name: &String| file.current.as_ref() == Some(name);
    let text = match format {
        Format::Json => {
            let contexts = file.contexts.iter().map(|(name, context)| {
                json!({
                    "name": name, "current": is_current(name), "urls": context.urls, "ca_file": context.ca_file,
                    "has_token": context.token.is_some(),
                })
            });
            output::json(&contexts.collect::<Vec<_>>())
        }
        Format::Table => {
            let rows = file.contexts.iter().map(|(name, context)| {
                let mark = if is_current(name) { "*" } else { "" };
                vec![mark.to_owned(), name.clone(), context.urls.join(", ")]
            });
            output::table(&["", "name", "urls"], rows)
        }
    };
    surroundings.console.line(&text)
}

fn show_settings(settings: &Settings, surroundings: &mut Surroundings) -> Result<(), Failure> {
    let urls: Vec<_> = settings.nodes.iter().map(ToString::to_string).collect();
    let text = match settings.format {
        Format::Json => output::json(&json!({
            "context": settings.context, "urls": urls, "ca_file": settings.ca_file, "has_token": settings.token.is_some(),
        })),
        Format::Table => output::details([
            ("context", or_dash(settings.context.as_deref())),
            ("urls", urls.join(", ")),
            ("ca file", or_dash(settings.ca_file.as_ref().map(|path| path.display()))),
            ("token", if settings.token.is_some() { "kept" } else { "none" }.to_owned()),
        ]),
    };
    surroundings.console.line(&text)
}

fn config_path(surroundings: &Surroundings) -> Result<PathBuf, Failure> {
    surroundings.config_path().ok_or_else(|| {
        Failure::usage(
            "There is no place for the context file: neither HOME nor BURSAR_CONFIG is set.",
            "export BURSAR_CONFIG=FILE",
        )
    })
}

fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    fs::canonicalize(path).map_err(|error| Failure::file("find", path, &error))
}
