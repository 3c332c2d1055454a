//! What a command is to go by: flags before the environment, before the context file, before defaults.

use std::{fs, path::PathBuf, time::Duration};

use bursar_wire::{
    Client, Secret,
    client::{ClientConfig, ClientParts, NodeUrl},
};

use crate::{
    Surroundings,
    config::{ConfigFile, Context, read_secret},
    failure::{Exit, Failure, LOGIN},
    options::{Format, Options},
};

/// What a command is to go by.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// The context that it uses, if any.
    pub context: Option<String>,
    /// Whether the nodes are the context's own, all of them.
    pub is_as_kept: bool,
    /// Whether the context's token is held back: it is not for these nodes.
    pub is_token_withheld: bool,
    pub nodes: Vec<NodeUrl>,
    pub token: Option<Secret>,
    pub ca_file: Option<PathBuf>,
    pub timeout: Option<Duration>,
    pub format: Format,
}

impl Settings {
    pub fn gather(options: &Options, surroundings: &Surroundings) -> Result<Self, Failure> {
        let file = match surroundings.config_path() {
            Some(path) => ConfigFile::load(&path)?,
            None => ConfigFile::default(),
        };
        let name = options.context.clone().or_else(|| surroundings.variable("BURSAR_CONTEXT").map(str::to_owned));
        let context = match name.or(file.current) {
            None => None,
            Some(name) => match file.contexts.get(&name) {
                Some(context) => Some((name, context.clone())),
                None => return Err(Failure::usage(format!("No context is called “{name}”."), "bursar context list")),
            },
        };
        let (context, stored) = context.map_or((None, Context::default()), |(name, context)| (Some(name), context));

        let stored_urls = parsed(&stored.urls)?;
        let given: Vec<_> = match surroundings.variable("BURSAR_URL") {
            Some(urls) if options.urls.is_empty() => urls.split(',').map(|url| url.trim().to_owned()).collect(),
            _ => options.urls.clone(),
        };
        let is_as_kept = given.is_empty() && context.is_some();
        let nodes = if given.is_empty() { stored_urls.clone() } else { parsed(&given)? };

        let token_file = options.token_file.clone().or_else(|| surroundings.variable("BURSAR_TOKEN_FILE").map(PathBuf::from));
        // The token of a context is for the nodes of the context: no other URL on the command line gets to see it.
        let own_nodes = nodes.iter().all(|node| stored_urls.contains(node));
        let is_token_withheld = token_file.is_none() && stored.token.is_some() && !own_nodes;
        let token = match token_file {
            Some(path) => Some(read_secret(&path)?),
            None => stored.token.filter(|_| own_nodes),
        };
        let ca_file = options.ca_file.clone().or_else(|| surroundings.variable("BURSAR_CA_FILE").map(PathBuf::from));
        let timeout = match (options.timeout, surroundings.variable("BURSAR_TIMEOUT")) {
            (Some(seconds), _) => Some(seconds),
            (None, Some(text)) => Some(text.parse().map_err(|_| wrong("BURSAR_TIMEOUT", text, "a number of seconds"))?),
            (None, None) => None,
        };
        let format = match (options.output, surroundings.variable("BURSAR_OUTPUT")) {
            (Some(format), _) => format,
            (None, Some("table")) => Format::Table,
            (None, Some("json")) => Format::Json,
            (None, Some(text)) => return Err(wrong("BURSAR_OUTPUT", text, "table or json")),
            (None, None) => file.output.unwrap_or_default(),
        };
        let ca_file = ca_file.or(stored.ca_file);
        let timeout = timeout.map(Duration::from_secs);
        Ok(Self { context, is_as_kept, is_token_withheld, nodes, token, ca_file, timeout, format })
    }

    /// Refuses to go on without the token that the person means.
    pub fn refuse_withheld_token(&self) -> Result<(), Failure> {
        if !self.is_token_withheld {
            return Ok(());
        }
        let nodes: Vec<_> = self.nodes.iter().map(ToString::to_string).collect();
        let name = self.context.as_deref().unwrap_or_default();
        let message = format!("The token of context “{name}” is not sent to another URL.");
        Err(Failure::usage(message, format!("bursar context edit {name} --url {}", nodes.join(",")))
            .with_hint("Add --token-file, or make the URL one of the context's."))
    }

    /// A client that goes by them.
    pub fn client(&self) -> Result<Client, Failure> {
        if self.nodes.is_empty() {
            return Err(Failure::usage("No authority node is named.", LOGIN)
                .with_hint("Name one with --url or BURSAR_URL, or keep a context with `bursar login`."));
        }
        let mut config = ClientConfig::new(self.nodes.clone(), self.token.clone());
        if let Some(timeout) = self.timeout {
            config.timeout = timeout;
        }
        Ok(Client::new(config, self.parts()?)?)
    }

    fn parts(&self) -> Result<ClientParts, Failure> {
        let Some(path) = &self.ca_file else { return Ok(ClientParts::real(None)) };
        let pem = fs::read(path).map_err(|error| Failure::file("read", path, &error))?;
        ClientParts::real_trusting(&pem).map_err(|error| {
            let message = format!("{} says nothing about whom to trust: {error}.", path.display());
            Failure::new(Exit::Failed, message, format!("cat {}", path.display()))
        })
    }
}

pub(crate) fn parsed(urls: &[String]) -> Result<Vec<NodeUrl>, Failure> {
    let parse = |url: &String| url.parse().map_err(|error| Failure::usage(format!("{error}."), "bursar login --help"));
    urls.iter().map(parse).collect()
}

fn wrong(variable: &str, text: &str, expected: &str) -> Failure {
    Failure::usage(format!("{variable} is “{text}”; it must be {expected}."), format!("unset {variable}"))
}

#[cfg(test)]
mod tests {
    use std::{io, os::unix::fs::PermissionsExt, path::Path};

    use super::*;
    use crate::{Console, console::Reader, failure::Next};

    fn surroundings(folder: &Path, variables: &[(&str, &str)]) -> Surroundings {
        let config = folder.join("config.toml").display().to_string();
        let variables = variables.iter().map(|(name, value)| (name.to_string(), value.to_string()));
        Surroundings {
            environment: variables.chain([("BURSAR_CONFIG".to_owned(), config)]).collect(),
            console: Console {
                out: Box::new(io::sink()),
                err: Box::new(io::sink()),
                reader: Reader::Program,
                input: Box::new(io::empty()),
                interactive: false,
                colored: false,
            },
        }
    }

    fn secret_file(folder: &Path, name: &str, secret: &str) -> PathBuf {
        let path = folder.join(name);
        fs::write(&path, format!("{secret}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    fn context(urls: &[&str], token: &str) -> Context {
        Context { urls: urls.iter().map(ToString::to_string).collect(), ca_file: None, token: Some(Secret::new(token)) }
    }

    fn with_contexts() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let file = ConfigFile {
            current: Some("home".into()),
            output: Some(Format::Json),
            contexts: [
                ("home".into(), context(&["http://h1:1", "http://h2:1"], "home-token")),
                ("away".into(), context(&["http://a1:1"], "away-token")),
            ]
            .into(),
        };
        file.save(&folder.path().join("config.toml")).unwrap();
        folder
    }

    fn urls(settings: &Settings) -> Vec<String> {
        settings.nodes.iter().map(ToString::to_string).collect()
    }

    fn token(settings: &Settings) -> Option<&str> {
        settings.token.as_ref().map(Secret::expose)
    }

    #[test]
    fn the_current_context_is_the_last_resort_before_the_defaults() {
        let folder = with_contexts();
        let settings = Settings::gather(&Options::default(), &surroundings(folder.path(), &[])).unwrap();
        assert_eq!(urls(&settings), ["http://h1:1", "http://h2:1"]);
        assert_eq!((token(&settings), settings.format), (Some("home-token"), Format::Json));
        assert_eq!(settings.timeout, None);
    }

    #[test]
    fn the_environment_comes_before_the_file_and_a_flag_before_both() {
        let folder = with_contexts();
        let from_environment = secret_file(folder.path(), "environment", "environment-token");
        let variables = [
            ("BURSAR_CONTEXT", "away"),
            ("BURSAR_TOKEN_FILE", from_environment.to_str().unwrap()),
            ("BURSAR_TIMEOUT", "7"),
            ("BURSAR_OUTPUT", "table"),
        ];
        let around = surroundings(folder.path(), &variables);
        let settings = Settings::gather(&Options::default(), &around).unwrap();
        assert_eq!((urls(&settings), token(&settings)), (vec!["http://a1:1".to_owned()], Some("environment-token")));
        assert_eq!((settings.timeout, settings.format), (Some(Duration::from_secs(7)), Format::Table));

        let flags = Options {
            context: Some("home".into()),
            token_file: Some(secret_file(folder.path(), "flag", "flag-token")),
            timeout: Some(9),
            output: Some(Format::Json),
            ..Options::default()
        };
        let settings = Settings::gather(&flags, &around).unwrap();
        assert_eq!((settings.context.as_deref(), token(&settings)), (Some("home"), Some("flag-token")));
        assert_eq!((settings.timeout, settings.format), (Some(Duration::from_secs(9)), Format::Json));
    }

    #[test]
    fn a_contexts_token_goes_to_no_other_nodes() {
        let folder = with_contexts();
        let around = surroundings(folder.path(), &[("BURSAR_URL", "http://h2:1, http://h1:1")]);
        let settings = Settings::gather(&Options::default(), &around).unwrap();
        assert_eq!(token(&settings), Some("home-token"));
        let flags = Options { urls: vec!["http://h1:1".into(), "http://stranger:1".into()], ..Options::default() };
        let settings = Settings::gather(&flags, &around).unwrap();
        assert_eq!((urls(&settings).len(), token(&settings)), (2, None));
        let refused = settings.refuse_withheld_token().unwrap_err();
        assert_eq!(refused.next, Next::from("bursar context edit home --url http://h1:1,http://stranger:1"));
        let own = Options { token_file: Some(secret_file(folder.path(), "own", "own-token")), ..flags };
        let settings = Settings::gather(&own, &around).unwrap();
        assert!(settings.refuse_withheld_token().is_ok() && token(&settings) == Some("own-token"));
    }

    #[test]
    fn what_is_wrong_is_told_with_what_to_try() {
        let folder = with_contexts();
        let refused = |options: &Options, variables: &[(&str, &str)]| {
            let failure = Settings::gather(options, &surroundings(folder.path(), variables)).unwrap_err();
            assert_eq!(failure.exit, Exit::Usage, "{}", failure.message);
            failure.next.to_string()
        };
        let context = Options { context: Some("nowhere".into()), ..Options::default() };
        assert_eq!(refused(&context, &[]), "bursar context list");
        let url = Options { urls: vec!["authority-1".into()], ..Options::default() };
        assert_eq!(refused(&url, &[]), "bursar login --help");
        assert_eq!(refused(&Options::default(), &[("BURSAR_OUTPUT", "xml")]), "unset BURSAR_OUTPUT");
        assert_eq!(refused(&Options::default(), &[("BURSAR_TIMEOUT", "soon")]), "unset BURSAR_TIMEOUT");
    }

    #[test]
    fn without_any_node_the_way_to_one_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings::gather(&Options::default(), &surroundings(folder.path(), &[])).unwrap();
        assert_eq!(settings.client().err().map(|failure| failure.next), Some(LOGIN.into()));
    }
}
