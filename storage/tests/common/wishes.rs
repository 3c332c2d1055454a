//! What people and machines may wish for. Names and numbers are few, so that wishes meet: many are refused, as in life.

use bursar_domain::{
    Actor, AuthorityNodeId, Command, DestinationId, Duty, Hash, JoinTokenId, SiteId, State, Timestamp, TokenId, authority_node,
    destination::{self, Balancing, Change, FreeSpaceThresholds},
    join_token, site, token,
};
use proptest::prelude::*;

use super::author::facts;

/// One entry of the log, before it is decided.
#[derive(Clone, Debug)]
pub enum Wish {
    /// A command.
    Ask(Ask),
    /// Raft's membership changes, which yields no records.
    ChangeMembers { members: u64 },
    /// Time passes first, so that requests are forgotten and secrets expire.
    Wait { minutes: u8, wish: Box<Wish> },
}

/// A command, by small numbers.
#[derive(Clone, Debug)]
pub enum Ask {
    CreateSite { name: u8 },
    EditSite { site: u8, latency_ms: u16 },
    RemoveSite { site: u8 },
    CreateDestination { name: u8, site: u8, description: String },
    Describe { destination: u8, description: String },
    RemoveDestination { destination: u8 },
    IssueToken,
    RevokeToken { token: u8 },
    IssueJoinToken { minutes: u8 },
    RevokeJoinToken { token: u8 },
    Admit { token: u8, store: u8 },
    Settle { node: u8 },
    RemoveNode { node: u8 },
}

impl Ask {
    /// The command that it stands for, and who gives it.
    pub fn command(&self, state: &State) -> (Actor, Command) {
        let command = match self.clone() {
            Self::CreateSite { name } => {
                Command::Site(site::Command::Create { name: format!("site {name}"), expected_latency_ms: 5 })
            }
            Self::EditSite { site, latency_ms } => Command::Site(site::Command::Edit {
                site: SiteId(site.into()),
                name: None,
                expected_latency_ms: Some(latency_ms.into()),
            }),
            Self::RemoveSite { site } => Command::Site(site::Command::Remove { site: SiteId(site.into()) }),
            Self::CreateDestination { name, site, description } => Command::Destination(destination::Command::Create {
                name: format!("destination {name}"),
                description,
                site: SiteId(site.into()),
                offered: true,
                balancing: Balancing::default(),
                free_space: FreeSpaceThresholds::default(),
            }),
            Self::Describe { destination, description } => Command::Destination(destination::Command::Edit {
                destination: DestinationId(destination.into()),
                change: Change { description: Some(description), ..Change::default() },
            }),
            Self::RemoveDestination { destination } => {
                Command::Destination(destination::Command::Remove { destination: DestinationId(destination.into()) })
            }
            Self::IssueToken => Command::Token(token::Command::Issue {
                name: "an administrator".into(),
                secret: secret_of(state.next().token),
                expires_at: None,
                setup_secret: Some(Hash::of(b"setup")),
            }),
            Self::RevokeToken { token } => Command::Token(token::Command::Revoke { token: TokenId(token.into()) }),
            Self::IssueJoinToken { minutes } => Command::JoinToken(join_token::Command::Issue {
                secret: secret_of(state.next().join_token),
                expires_at: Timestamp(state.time().0 + u64::from(minutes) * 60_000),
            }),
            Self::RevokeJoinToken { token } => {
                Command::JoinToken(join_token::Command::Revoke { token: JoinTokenId(token.into()) })
            }
            Self::Admit { token, store } => Command::AuthorityNode(authority_node::Command::Admit {
                secret: secret_of(token.into()),
                facts: facts(store),
                public_key: Hash::of(&[store]),
            }),
            Self::Settle { node } => {
                Command::AuthorityNode(authority_node::Command::Settle { node: AuthorityNodeId(node.into()) })
            }
            Self::RemoveNode { node } => {
                Command::AuthorityNode(authority_node::Command::Remove { node: AuthorityNodeId(node.into()) })
            }
        };
        let actor = match self {
            Self::Admit { .. } => Actor::Joiner,
            Self::Settle { .. } => Actor::Duty(Duty::Membership),
            _ => state.tokens().iter().next().map_or(Actor::Founder, |token| Actor::Token(token.id)),
        };
        (actor, command)
    }
}

/// The hash of the secret of the token with this number: real ones are random, so no two are alike.
fn secret_of(token: u64) -> Hash {
    Hash::of(&token.to_be_bytes())
}

/// Wishes as they come.
pub fn wishes(count: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Wish>> {
    let number = || 1..6_u8;
    let words = || "[a-zé ]{0,40}";
    let ask = prop_oneof![
        4 => number().prop_map(|name| Ask::CreateSite { name }),
        2 => (number(), 0..200_u16).prop_map(|(site, latency_ms)| Ask::EditSite { site, latency_ms }),
        1 => number().prop_map(|site| Ask::RemoveSite { site }),
        4 => (number(), number(), words())
            .prop_map(|(name, site, description)| Ask::CreateDestination { name, site, description }),
        4 => (number(), words()).prop_map(|(destination, description)| Ask::Describe { destination, description }),
        1 => number().prop_map(|destination| Ask::RemoveDestination { destination }),
        1 => Just(Ask::IssueToken),
        1 => number().prop_map(|token| Ask::RevokeToken { token }),
        3 => (1..90_u8).prop_map(|minutes| Ask::IssueJoinToken { minutes }),
        1 => number().prop_map(|token| Ask::RevokeJoinToken { token }),
        3 => (number(), number()).prop_map(|(token, store)| Ask::Admit { token, store }),
        2 => number().prop_map(|node| Ask::Settle { node }),
        1 => number().prop_map(|node| Ask::RemoveNode { node }),
    ];
    let wish = prop_oneof![
        12 => ask.prop_map(Wish::Ask),
        1 => (1..6_u64).prop_map(|members| Wish::ChangeMembers { members }),
    ];
    let timed = (prop::option::weighted(0.2, 0..90_u8), wish).prop_map(|(minutes, wish)| match minutes {
        Some(minutes) => Wish::Wait { minutes, wish: Box::new(wish) },
        None => wish,
    });
    prop::collection::vec(timed, count)
}

/// A site and many edits of it: each yields one record.
pub fn edits(count: u16) -> Vec<Wish> {
    let create = Wish::Ask(Ask::CreateSite { name: 1 });
    let edit = |number| Wish::Ask(Ask::EditSite { site: 1, latency_ms: 100 + number });
    std::iter::once(create).chain((0..count).map(edit)).collect()
}

/// A site and destinations with descriptions of 16 KiB: 16 of them fill a chunk of a checkpoint.
pub fn bulk(destinations: u8) -> Vec<Wish> {
    let site = Wish::Ask(Ask::CreateSite { name: 1 });
    let description = "𝄞".repeat(4_096);
    let create = |name| Wish::Ask(Ask::CreateDestination { name, site: 1, description: description.clone() });
    std::iter::once(site).chain((1..=destinations).map(create)).collect()
}
