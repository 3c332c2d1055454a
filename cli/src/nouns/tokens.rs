//! `bursar token`

use bursar_wire::tokens::{IssueToken, IssuedToken, Token};
use clap::Subcommand;

use super::stamped;
use crate::{
    failure::Failure,
    noun::Noun,
    options::{ChangeOptions, ConfirmedOptions, ListOptions, SecretOptions, VersionOptions},
    output::or_dash,
    secret_place::SecretPlace,
    session::Session,
};

/// What can be done with tokens.
#[derive(Subcommand, Clone, Debug)]
pub enum TokenCommand {
    /// List the tokens, without their secrets
    #[command(after_help = "--filter knows the fields id and name, --sort knows id and name.")]
    List(ListOptions),
    /// Show a token, without its secret
    Show {
        /// Its number or its name
        token: String,
        #[command(flatten)]
        version: VersionOptions,
    },
    /// Issue a token; its secret is shown this once
    Add {
        /// For people: whose it is, or what for
        name: String,
        /// When it stops being accepted, as in RFC 3339, for instance 2031-05-17T08:30:00Z [default: never]
        #[arg(long, value_name = "TIME")]
        expires_at: Option<String>,
        #[command(flatten)]
        secret: SecretOptions,
        #[command(flatten)]
        options: ChangeOptions,
    },
    /// Take a token back
    #[command(visible_alias = "revoke")]
    Remove {
        /// Its number or its name
        token: String,
        #[command(flatten)]
        options: ConfirmedOptions,
    },
}

impl TokenCommand {
    pub(crate) async fn run(self, session: &mut Session<'_>) -> Result<(), Failure> {
        match self {
            Self::List(options) => session.show_list::<Token>(&options).await.map(drop),
            Self::Show { token, version } => session.show_found::<Token>(&version, &token).await,
            Self::Add { name, expires_at, secret, options } => {
                let place = SecretPlace::take(secret)?;
                let request = IssueToken { name, expires_at, setup_secret: None };
                let answer = session.client.post(Token::PATH, &request, options.change()).await?;
                if options.dry_run {
                    return session.show_dry_run(&answer);
                }
                let issued: IssuedToken = answer.json()?;
                let details = vec![
                    ("id", issued.id.to_string()),
                    ("name", issued.name.clone()),
                    ("expires", issued.expires_at.clone().unwrap_or_else(|| "never".into())),
                ];
                place.hand_over(session, &issued, "secret", &issued.secret, details)
            }
            Self::Remove { token, options } => {
                let question = |token: &str| format!("Take {token} back");
                session.remove::<Token>(&token, question, "bursar token remove", &options).await
            }
        }
    }
}

impl Noun for Token {
    const NOUN: &'static str = "token";
    const PATH: &'static str = "tokens";
    const LIST: &'static str = "bursar token list";
    const HEADING: &'static [&'static str] = &["id", "name", "expires", "issued", "by"];
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
            or_dash(self.expires_at.as_deref()),
            self.created.at.clone(),
            self.created.by.to_string(),
        ]
    }

    fn details(&self) -> Vec<(&'static str, String)> {
        vec![
            ("id", self.id.to_string()),
            ("name", self.name.clone()),
            ("expires", self.expires_at.clone().unwrap_or_else(|| "never".into())),
            ("issued", stamped(&self.created)),
            ("changed", stamped(&self.changed)),
        ]
    }
}
