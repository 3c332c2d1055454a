//! Founding, the first administrator, levels.

use bursar_domain::{
    Actor, AuthorityNodeId, ClusterId, Command, Effect, FieldFault, Hash, Level, ObjectRef, Rejection, TokenId,
    authority_node::{self, Facts},
    cluster, token,
};

use crate::book::*;

fn found(node: Facts) -> Command {
    found_with("certificate".into(), node)
}

fn found_with(ca_certificate: String, node: Facts) -> Command {
    Command::Cluster(cluster::Command::Found {
        cluster: ClusterId([1; 16]),
        license_key: vec![1; 32],
        ca_certificate,
        sealed_ca_key: vec![2; 48],
        setup_secret: SETUP_SECRET,
        node,
    })
}

fn first_token(setup_secret: Option<Hash>) -> Command {
    Command::Token(token::Command::Issue { name: "first".into(), secret: secret(1), expires_at: None, setup_secret })
}

fn raise(level: u16) -> Command {
    Command::Cluster(cluster::Command::RaiseLevel { level: Level(level) })
}

fn supporting(level: u16) -> Facts {
    Facts { supported: Level(level), ..facts(1) }
}

rules! {
    fn founding_makes_the_cluster_and_its_first_node() {
        let first = AuthorityNodeId(1);
        nothing()
            .when(Actor::Founder, found(facts(1)))
            .then([
                cluster_founded().into(),
                authority_node::Event::Founded { node: first, facts: checked_facts(1) }.into(),
            ])
            .told(Effect::Created, first);
    }

    fn a_cluster_is_founded_once() {
        a_cluster().when(Actor::Founder, found(facts(2))).refused("already_founded").because(Rejection::AlreadyFounded);
    }

    fn only_the_founder_founds() {
        nothing().when(Actor::Joiner, found(facts(1))).refused("not_permitted").because(Rejection::NotPermitted {
            actor: Actor::Joiner,
        });
    }

    fn the_first_node_needs_an_identity() {
        nothing().when(Actor::Founder, found(facts(0))).refused("invalid_field").for_field("store", FieldFault::Empty);
    }

    fn the_first_node_supports_the_first_level() {
        nothing().when(Actor::Founder, found(supporting(0))).refused("level_too_low").because(Rejection::LevelTooLow {
            needed: Level(1),
            supported: Level(0),
        });
    }

    fn a_founding_fits_one_decision() {
        nothing().when(Actor::Founder, found_with("x".repeat(1 << 20), facts(1))).refused("decision_too_large");
    }

    fn nothing_else_comes_before_the_founding() {
        nothing().when(Actor::Founder, first_token(Some(SETUP_SECRET))).refused("not_founded").because(Rejection::NotFounded);
        let admit = authority_node::Command::Admit { secret: secret(1), public_key: public_key(2), facts: facts(2) };
        nothing().when(Actor::Joiner, Command::AuthorityNode(admit)).refused("not_founded");
    }

    fn the_setup_secret_makes_the_first_administrator() {
        nothing()
            .and([cluster_founded().into(), authority_node::Event::Founded { node: AuthorityNodeId(1), facts: checked_facts(1) }.into()])
            .when(Actor::Founder, first_token(Some(SETUP_SECRET)))
            .then([cluster::Event::SetupClaimed.into(), token_issued(1, "first", None)])
            .told(Effect::Created, TokenId(1));
    }

    fn another_setup_secret_makes_nobody() {
        let founded = || nothing().and([
            cluster_founded().into(),
            authority_node::Event::Founded { node: AuthorityNodeId(1), facts: checked_facts(1) }.into(),
        ]);
        founded().when(Actor::Founder, first_token(Some(Hash::ZERO))).refused("setup_refused").because(Rejection::SetupRefused);
        founded().when(Actor::Founder, first_token(None)).refused("setup_refused");
    }

    fn the_setup_secret_works_once() {
        a_cluster().when(Actor::Founder, first_token(Some(SETUP_SECRET))).refused("setup_refused");
    }

    fn a_level_is_raised_by_one_step() {
        let supporting = || nothing().and([
            cluster_founded().into(),
            authority_node::Event::Founded { node: AuthorityNodeId(1), facts: checked(&supporting(3)) }.into(),
            token_issued(1, "first", None),
        ]);
        supporting()
            .when(ADMINISTRATOR, raise(2))
            .then([cluster::Event::LevelRaised { level: Level(2) }.into()])
            .told(Effect::Changed, ObjectRef::Cluster)
            .when(ADMINISTRATOR, raise(2))
            .under("another-key")
            .refused("level_not_next");
        supporting().when(ADMINISTRATOR, raise(3)).refused("level_not_next").because(Rejection::LevelNotNext {
            asked: Level(3),
            current: Level(1),
        });
    }

    fn a_level_waits_for_every_node_that_has_not_left() {
        two_nodes().when(ADMINISTRATOR, raise(2)).refused("level_unsupported").because(Rejection::LevelUnsupported {
            asked: Level(2),
            by: [AuthorityNodeId(1).into(), AuthorityNodeId(2).into()].into_iter().collect(),
        });
        let first = Facts { supported: Level(2), ..facts(1) };
        two_nodes()
            .and([authority_node::Event::Announced { node: AuthorityNodeId(1), facts: checked(&first) }.into()])
            .and(leaving(2, 2))
            .and(left(2, 2))
            .when(ADMINISTRATOR, raise(2))
            .then([cluster::Event::LevelRaised { level: Level(2) }.into()]);
    }
}
