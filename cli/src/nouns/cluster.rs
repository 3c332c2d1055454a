//! `bursar cluster`

use bursar_wire::{
    Client, ClientError,
    cluster::{
        AgreedLevel, EditMember, Invitation, InviteMember, IssuedInvitation, Leadership, Member, MemberIntent, RaiseLevel,
        TransferLeadership,
    },
    sites::Site,
};
use clap::Subcommand;

use super::stamped;
use crate::{
    failure::{Exit, Failure},
    noun::Noun,
    options::{ChangeOptions, ConfirmedOptions, EditOptions, ListOptions, SecretOptions},
    output::or_dash,
    secret_place::SecretPlace,
    session::{Question, Session},
};

/// What can be done with the authority's nodes.
#[derive(Subcommand, Clone, Debug)]
pub enum ClusterCommand {
    /// List the members, former ones included
    #[command(after_help = "--filter knows the fields id, site (its number) and present (true or false), --sort knows id.")]
    Members(ListOptions),
    /// Issue a single-use join token for a new member
    Invite {
        /// How long it holds, in seconds [default: a day]
        #[arg(long, value_name = "SECONDS")]
        expires_in: Option<u64>,
        #[command(flatten)]
        secret: SecretOptions,
        #[command(flatten)]
        options: ChangeOptions,
    },
    /// List the invitations, without their join tokens
    #[command(after_help = "--filter knows the fields id and used (true or false), --sort knows id.")]
    Invitations(ListOptions),
    /// Take an invitation back that was not used
    RevokeInvitation {
        /// Its number
        invitation: String,
        #[command(flatten)]
        options: ConfirmedOptions,
    },
    /// Say where a member is
    Edit {
        /// Its number, or its address
        member: String,
        /// The number or the name of its site, or none
        #[arg(long)]
        site: String,
        #[command(flatten)]
        options: EditOptions,
    },
    /// Have a member leave
    Remove {
        /// Its number, or its address
        member: String,
        /// Wait until it has left
        #[arg(long)]
        wait: bool,
        #[command(flatten)]
        options: ConfirmedOptions,
    },
    /// Hand the leadership over
    TransferLeadership {
        /// The number or the address of the member that is to lead [default: the one that has most of the log]
        #[arg(long, value_name = "MEMBER")]
        to: Option<String>,
        #[command(flatten)]
        options: ConfirmedOptions,
    },
    /// Agree on the next feature level; it cannot be lowered again
    RaiseLevel {
        /// The level [default: the next]
        level: Option<u16>,
        #[command(flatten)]
        options: ConfirmedOptions,
    },
}

impl ClusterCommand {
    pub(crate) async fn run(self, session: &mut Session<'_>) -> Result<(), Failure> {
        match self {
            Self::Members(options) => {
                let members: Vec<Member> = session.show_list(&options).await?;
                let is_present = |member: &&Member| member.intent != MemberIntent::Removed;
                let is_whole = options.filter.is_none() && options.limit.is_none() && options.version.as_of.is_none();
                let present = members.iter().filter(is_present).map(|member| member.api_address.as_str());
                if is_whole { session.learn_members(present) } else { Ok(()) }
            }
            Self::Invite { expires_in, secret, options } => invite(session, expires_in, secret, &options).await,
            Self::Invitations(options) => session.show_list::<Invitation>(&options).await.map(drop),
            Self::RevokeInvitation { invitation, options } => {
                let invitation: Invitation = session.find(&invitation).await?;
                let again = format!("bursar cluster revoke-invitation {}", invitation.id);
                let question = Question::new(format!("Take {} back", invitation.described()), again);
                let path = format!("{}/{}", Invitation::PATH, invitation.id);
                let revoking = async |client: &Client, change| Ok(client.delete(&path, change).await?);
                let answer = session.confirmed(question, &options, revoking).await?;
                session.show_removed(&invitation, "join_token", &answer, options.dry_run())
            }
            Self::Edit { member, site, options } => {
                let before = find_member(session, &member).await?;
                let site = match site.as_str() {
                    "none" => None,
                    site => Some(session.find::<Site>(site).await?.id),
                };
                let request = EditMember { site: Some(site) };
                let answer = session.client.patch(&format!("{}/{}", Member::PATH, before.id), &request, options.change()).await?;
                session.show_edited::<Member>(&answer, options.change.dry_run, &before.etag)
            }
            Self::Remove { member, wait, options } => remove(session, &member, wait, &options).await,
            Self::TransferLeadership { to, options } => transfer(session, to, &options).await,
            Self::RaiseLevel { level, options } => raise_level(session, level, &options).await,
        }
    }
}

async fn invite(
    session: &mut Session<'_>,
    expires_in: Option<u64>,
    secret: SecretOptions,
    options: &ChangeOptions,
) -> Result<(), Failure> {
    let place = SecretPlace::take(secret)?;
    let request = InviteMember { expires_in_seconds: expires_in };
    let answer = session.client.post(Member::PATH, &request, options.change()).await?;
    if options.dry_run {
        return session.show_dry_run(&answer);
    }
    let issued: IssuedInvitation = answer.json()?;
    let details = vec![("id", issued.id.to_string()), ("expires", issued.expires_at.clone())];
    place.hand_over(session, &issued, "join_token", &issued.join_token, details)?;
    session.console.tell("take it to the new machine, and there run:")?;
    session
        .console
        .tell("  bursar authority join --dir DIRECTORY --token-file FILE --peer-address HOST:4283 --api-address HOST:4285")
}

async fn remove(session: &mut Session<'_>, member: &str, wait: bool, options: &ConfirmedOptions) -> Result<(), Failure> {
    let member = find_member(session, member).await?;
    let again = format!("bursar cluster remove {}", member.id);
    let question = Question::new(format!("Have {} leave for ever", member.described()), again);
    let path = format!("{}/{}", Member::PATH, member.id);
    let removing = async |client: &Client, change| Ok(client.delete(&path, change).await?);
    let answer = session.confirmed(question, options, removing).await?;
    session.show_started(&answer, options.dry_run(), wait, &format!("{} is leaving", member.described())).await
}

async fn transfer(session: &mut Session<'_>, to: Option<String>, options: &ConfirmedOptions) -> Result<(), Failure> {
    let to = match to {
        Some(member) => Some(find_member(session, &member).await?),
        None => None,
    };
    let whom = to.as_ref().map_or("the member that has most of the log".to_owned(), Member::described);
    let question = Question::new(format!("Hand the leadership over to {whom}"), "bursar cluster transfer-leadership");
    let request = TransferLeadership { to: to.map(|member| member.id) };
    let handing_over = async |client: &Client, change| {
        client.post_once("cluster/transfer-leadership", &request, change).await.map_err(not_handed_over)
    };
    let answer = session.confirmed(question, options, handing_over).await?;
    if options.dry_run() {
        return session.show_dry_run(&answer);
    }
    let leadership: Leadership = answer.json()?;
    session.show(&leadership, || format!("authority node {} leads", leadership.leader))
}

/// A hand-over leaves no trace in the history, so neither the events nor a repetition tell whether it was done: only who leads.
fn not_handed_over(error: ClientError) -> Failure {
    match error {
        ClientError::OutcomeUnknown { failures, .. } => {
            let message = "The outcome is unknown: no answer says whether the leadership was handed over.";
            let hint = "Look who leads now, before you repeat the command: a repetition hands over again.";
            let details = failures.iter().map(ToString::to_string).collect();
            Failure { details, ..Failure::new(Exit::OutcomeUnknown, message, "bursar status").with_hint(hint) }
        }
        error => error.into(),
    }
}

async fn raise_level(session: &mut Session<'_>, level: Option<u16>, options: &ConfirmedOptions) -> Result<(), Failure> {
    let level = match level {
        Some(level) => level,
        None => session.read::<AgreedLevel>("cluster/level").await?.level.saturating_add(1),
    };
    let what = format!("Agree on level {level}, with no way back");
    let question = Question::new(what, format!("bursar cluster raise-level {level}"));
    let raising = async |client: &Client, change| Ok(client.put("cluster/level", &RaiseLevel { level }, change).await?);
    let answer = session.confirmed(question, options, raising).await?;
    if options.dry_run() {
        return session.show_dry_run(&answer);
    }
    let agreed: AgreedLevel = answer.json()?;
    session.show(&agreed, || format!("the members have agreed on level {}", agreed.level))
}

/// The member that a person means: by its number, or by one of its addresses.
async fn find_member(session: &Session<'_>, reference: &str) -> Result<Member, Failure> {
    let (members, _) = session.list::<Member>(&ListOptions::default()).await?;
    let number = reference.parse().ok();
    let is_meant = |member: &Member| {
        let addressed = member.api_address == reference || member.peer_address == reference;
        // A former member's address may be another's by now.
        Some(member.id) == number || addressed && member.intent != MemberIntent::Removed
    };
    let missing = || Failure::new(Exit::NotFound, format!("There is no member “{reference}”."), Member::LIST);
    members.into_iter().find(is_meant).ok_or_else(missing)
}

impl Noun for Member {
    const NOUN: &'static str = "authority node";
    const PATH: &'static str = "cluster/members";
    const LIST: &'static str = "bursar cluster members";
    const HEADING: &'static [&'static str] = &["id", "role", "intent", "version", "site", "api address", "peer address"];
    const NAME_FIELD: Option<&'static str> = None;
    const SITE_COLUMN: Option<usize> = Some(4);

    fn id(&self) -> u64 {
        self.id
    }

    fn name(&self) -> &str {
        &self.api_address
    }

    fn row(&self) -> Vec<String> {
        vec![
            self.id.to_string(),
            or_dash(self.role.map(|role| role.as_str())),
            self.intent.as_str().into(),
            self.version.clone(),
            or_dash(self.site),
            self.api_address.clone(),
            self.peer_address.clone(),
        ]
    }

    fn details(&self) -> Vec<(&'static str, String)> {
        vec![
            ("id", self.id.to_string()),
            ("role", or_dash(self.role.map(|role| role.as_str()))),
            ("intent", self.intent.as_str().into()),
            ("operation", or_dash(self.operation)),
            ("version", self.version.clone()),
            ("supported level", self.supported_level.to_string()),
            ("site", or_dash(self.site)),
            ("api address", self.api_address.clone()),
            ("peer address", self.peer_address.clone()),
            ("control address", self.control_address.clone()),
            ("store", self.store.clone()),
            ("created", stamped(&self.created)),
            ("changed", stamped(&self.changed)),
            ("etag", self.etag.clone()),
        ]
    }
}

impl Noun for Invitation {
    const NOUN: &'static str = "invitation";
    const PATH: &'static str = "cluster/invitations";
    const LIST: &'static str = "bursar cluster invitations";
    const HEADING: &'static [&'static str] = &["id", "expires", "used by", "issued"];
    const NAME_FIELD: Option<&'static str> = None;

    fn id(&self) -> u64 {
        self.id
    }

    fn name(&self) -> &str {
        ""
    }

    fn row(&self) -> Vec<String> {
        vec![self.id.to_string(), self.expires_at.clone(), or_dash(self.used_by), self.created.at.clone()]
    }

    fn details(&self) -> Vec<(&'static str, String)> {
        vec![
            ("id", self.id.to_string()),
            ("expires", self.expires_at.clone()),
            ("used by", or_dash(self.used_by)),
            ("issued", stamped(&self.created)),
            ("changed", stamped(&self.changed)),
        ]
    }
}
