//! What goes into a log: what a fleet comes up with, and what a test asks for by name.

use bursar_domain::{
    Actor, Command, Hash, SiteId, State, Timestamp, authority_node,
    destination::{self, Balancing, FreeSpaceThresholds},
    join_token, site, token,
};
use bursar_domain_testing::SETUP_SECRET;
use proptest::prelude::*;

use super::author::facts;

/// One entry of the log, before it is decided.
#[derive(Clone, Debug)]
pub enum Wish {
    /// Whatever a fleet comes up with, drawn from a seed.
    Any { seed: u64 },
    /// A certain command.
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
    CreateDestination { name: u8, site: u8, description: String },
    IssueToken,
    IssueJoinToken { minutes: u8 },
    Admit { token: u8, store: u8 },
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
            Self::CreateDestination { name, site, description } => Command::Destination(destination::Command::Create {
                name: format!("destination {name}"),
                description,
                site: SiteId(site.into()),
                offered: true,
                balancing: Balancing::default(),
                free_space: FreeSpaceThresholds::default(),
            }),
            Self::IssueToken => Command::Token(token::Command::Issue {
                name: "an administrator".into(),
                secret: secret_of(state.next().token),
                expires_at: None,
                setup_secret: Some(Hash::of(SETUP_SECRET)),
            }),
            Self::IssueJoinToken { minutes } => Command::JoinToken(join_token::Command::Issue {
                secret: secret_of(state.next().join_token),
                expires_at: Timestamp(state.time().0 + u64::from(minutes) * 60_000),
            }),
            Self::Admit { token, store } => Command::AuthorityNode(authority_node::Command::Admit {
                secret: secret_of(token.into()),
                facts: facts(store),
                public_key: Hash::of(&[store]),
            }),
        };
        let actor = match self {
            Self::Admit { .. } => Actor::Joiner,
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
    let wish = prop_oneof![
        12 => any::<u64>().prop_map(|seed| Wish::Any { seed }),
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
