//! Authority nodes: joining, announcing, placing, leaving.

use bursar_domain::{
    Actor, AuthorityNodeId, Command, Effect, FieldFault, JoinTokenId, Level, OperationId, Rejection, Revision, SiteId,
    authority_node::{self, Facts},
    join_token,
    operation::End,
};

use crate::book::*;

const FIRST: AuthorityNodeId = AuthorityNodeId(1);
const SECOND: AuthorityNodeId = AuthorityNodeId(2);

fn admit(token: u8, facts: Facts) -> Command {
    let machine = facts.store.0[0];
    admit_with_key(token, facts, machine)
}

fn admit_with_key(token: u8, facts: Facts, machine: u8) -> Command {
    let public_key = public_key(machine);
    Command::AuthorityNode(authority_node::Command::Admit { secret: secret(token), public_key, facts })
}

fn announce(node: AuthorityNodeId, facts: Facts) -> Command {
    Command::AuthorityNode(authority_node::Command::Announce { node, facts })
}

fn place(node: AuthorityNodeId, site: Option<u64>) -> Command {
    Command::AuthorityNode(authority_node::Command::Edit { node, site: site.map(SiteId) })
}

fn placed(node: AuthorityNodeId, site: Option<u64>) -> bursar_domain::Event {
    authority_node::Event::Edited { node, site: site.map(SiteId) }.into()
}

fn remove(node: AuthorityNodeId) -> Command {
    Command::AuthorityNode(authority_node::Command::Remove { node })
}

fn settle(node: AuthorityNodeId) -> Command {
    Command::AuthorityNode(authority_node::Command::Settle { node })
}

fn used(token: u64, by: AuthorityNodeId) -> bursar_domain::Event {
    join_token::Event::Used { token: JoinTokenId(token), by }.into()
}

fn invitation() -> Given {
    a_cluster().and([invited(1)])
}

rules! {
    fn a_join_token_admits_a_machine() {
        let [started, admitted] = admitted(2, 1);
        invitation()
            .when(Actor::Joiner, admit(1, facts(2)))
            .then([used(1, SECOND), started, admitted])
            .told(Effect::Created, SECOND);
    }

    fn a_machine_whose_answer_was_lost_gets_the_same_number() {
        let given = invitation().and(admitted(2, 1)).and([used(1, SECOND)]);
        given.when(Actor::Joiner, admit(1, facts(2))).then([]).told(Effect::Unchanged, SECOND);
    }

    /// Who the machine is may be known to many; its key is not.
    fn a_used_join_token_is_of_no_use_to_another_key() {
        invitation()
            .and(admitted(2, 1))
            .and([used(1, SECOND)])
            .when(Actor::Joiner, admit_with_key(1, facts(2), 3))
            .refused("join_token_used")
            .because(Rejection::JoinTokenUsed { token: JoinTokenId(1), by: SECOND });
    }

    fn a_used_join_token_ends_with_its_time_and_with_the_admission() {
        let given = || invitation().and(admitted(2, 1)).and([used(1, SECOND)]);
        given().later(60 * MINUTE_MS - 1).when(Actor::Joiner, admit(1, facts(2))).then([]).told(Effect::Unchanged, SECOND);
        given()
            .later(60 * MINUTE_MS)
            .when(Actor::Joiner, admit(1, facts(2)))
            .refused("join_token_expired")
            .because(Rejection::JoinTokenExpired { token: JoinTokenId(1) });
        given()
            .and(joined(2, 1))
            .when(Actor::Joiner, admit(1, facts(2)))
            .refused("join_token_used")
            .because(Rejection::JoinTokenUsed { token: JoinTokenId(1), by: SECOND });
    }

    fn a_join_token_admits_one_machine() {
        let given = || invitation().and(admitted(2, 1)).and([used(1, SECOND)]);
        let refusal = || Rejection::JoinTokenUsed { token: JoinTokenId(1), by: SECOND };
        given().when(Actor::Joiner, admit(1, facts(3))).refused("join_token_used").because(refusal());
        given()
            .and(joined(2, 1))
            .and(leaving(2, 2))
            .and(left(2, 2))
            .when(Actor::Joiner, admit(1, facts(2)))
            .refused("join_token_used")
            .because(refusal());
    }

    fn a_join_token_must_be_known_and_fresh() {
        invitation().when(Actor::Joiner, admit(9, facts(2))).refused("join_token_unknown").because(Rejection::JoinTokenUnknown);
        let [started, admitted] = admitted(2, 1);
        invitation()
            .later(60 * MINUTE_MS - 1)
            .when(Actor::Joiner, admit(1, facts(2)))
            .then([used(1, SECOND), started, admitted]);
        invitation()
            .later(60 * MINUTE_MS)
            .when(Actor::Joiner, admit(1, facts(2)))
            .refused("join_token_expired")
            .because(Rejection::JoinTokenExpired { token: JoinTokenId(1) });
    }

    fn a_data_directory_belongs_to_one_node_for_ever() {
        let known = |number, node| Rejection::StoreKnown { store: store(number), node };
        invitation().when(Actor::Joiner, admit(1, facts(1))).refused("store_known").because(known(1, FIRST));
        two_nodes()
            .and(leaving(2, 2))
            .and(left(2, 2))
            .and([invited(1)])
            .when(Actor::Joiner, admit(1, facts(2)))
            .refused("store_known")
            .because(known(2, SECOND));
    }

    fn a_machine_must_support_the_level() {
        let older = Facts { supported: Level(0), ..facts(2) };
        let too_low = || Rejection::LevelTooLow { needed: Level(1), supported: Level(0) };
        invitation().when(Actor::Joiner, admit(1, older.clone())).refused("level_too_low").because(too_low());
        two_nodes()
            .when(Actor::AuthorityNode(SECOND), announce(SECOND, older))
            .refused("level_too_low")
            .because(too_low());
    }

    fn what_a_machine_says_is_checked() {
        let with = |change: fn(&mut Facts)| {
            let mut facts = facts(2);
            change(&mut facts);
            invitation().when(Actor::Joiner, admit(1, facts)).refused("invalid_field")
        };
        with(|facts| facts.store = store(0)).for_field("store", FieldFault::Empty);
        with(|facts| facts.peer_address = "n2".into()).for_field("peer_address", FieldFault::NoAddress);
        with(|facts| facts.api_address = "n2:0".into()).for_field("api_address", FieldFault::NoAddress);
        with(|facts| facts.control_address = "n2".into()).for_field("control_address", FieldFault::NoAddress);
        with(|facts| facts.version = String::new()).for_field("version", FieldFault::Empty);
    }

    fn a_node_announces_itself() {
        let newer = || Facts { version: "0.2.0".into(), supported: Level(2), ..facts(2) };
        let given = || two_nodes();
        given()
            .when(Actor::AuthorityNode(SECOND), announce(SECOND, newer()))
            .then([authority_node::Event::Announced { node: SECOND, facts: checked(&newer()) }.into()])
            .told(Effect::Changed, SECOND);
        given().when(Actor::AuthorityNode(SECOND), announce(SECOND, facts(2))).then([]).told(Effect::Unchanged, SECOND);
    }

    fn a_node_announces_nobody_else() {
        let actor = Actor::AuthorityNode(FIRST);
        two_nodes()
            .when(actor, announce(SECOND, facts(2)))
            .refused("not_permitted")
            .because(Rejection::NotPermitted { actor });
        two_nodes().when(ADMINISTRATOR, announce(SECOND, facts(2))).refused("not_permitted");
    }

    fn a_node_keeps_its_data_directory() {
        two_nodes()
            .when(Actor::AuthorityNode(SECOND), announce(SECOND, facts(7)))
            .refused("store_known")
            .because(Rejection::StoreKnown { store: store(2), node: SECOND });
    }

    fn a_node_that_has_left_is_heard_no_more() {
        let actor = Actor::AuthorityNode(SECOND);
        two_nodes()
            .and(leaving(2, 2))
            .and(left(2, 2))
            .when(actor, announce(SECOND, facts(2)))
            .refused("credential_revoked")
            .because(Rejection::CredentialRevoked { actor });
    }

    fn a_node_is_placed_at_a_site() {
        let given = || a_cluster().and([site_created(1, "Dublin")]);
        given().when(ADMINISTRATOR, place(FIRST, Some(1))).then([placed(FIRST, Some(1))]).told(Effect::Changed, FIRST);
        given().and([placed(FIRST, Some(1))]).when(ADMINISTRATOR, place(FIRST, None)).then([placed(FIRST, None)]);
        given().when(ADMINISTRATOR, place(FIRST, None)).then([]).told(Effect::Unchanged, FIRST);
        given()
            .when(ADMINISTRATOR, place(FIRST, Some(2)))
            .refused("invalid_field")
            .for_field("site", FieldFault::Unknown { object: SiteId(2).into() });
        given().when(ADMINISTRATOR, place(SECOND, Some(1))).refused("not_found");
    }

    fn a_node_that_votes_is_removed_by_an_operation() {
        two_nodes().when(ADMINISTRATOR, remove(SECOND)).then(leaving(2, 2)).told(Effect::Accepted, OperationId(2));
        two_nodes().when(ADMINISTRATOR, remove(FIRST)).then(leaving(1, 2)).told(Effect::Accepted, OperationId(2));
    }

    fn asking_again_for_a_removal_names_the_same_operation() {
        two_nodes()
            .and(leaving(2, 2))
            .when(ADMINISTRATOR, remove(SECOND))
            .then([])
            .told(Effect::Unchanged, OperationId(2));
    }

    fn removing_a_newcomer_ends_its_admission() {
        let [started, removal] = leaving(2, 2);
        a_cluster()
            .and(admitted(2, 1))
            .when(ADMINISTRATOR, remove(SECOND))
            .then([ended(1, End::Cancelled), started, removal])
            .told(Effect::Accepted, OperationId(2));
    }

    fn the_last_node_that_is_to_vote_stays() {
        let last = |node| Rejection::LastAuthorityNode { node };
        a_cluster().when(ADMINISTRATOR, remove(FIRST)).refused("last_authority_node").because(last(FIRST));
        a_cluster().and(admitted(2, 1)).when(ADMINISTRATOR, remove(FIRST)).refused("last_authority_node");
        two_nodes().and(leaving(2, 2)).when(ADMINISTRATOR, remove(FIRST)).refused("last_authority_node");
    }

    fn a_node_that_has_left_is_not_found() {
        let given = || two_nodes().and(leaving(2, 2)).and(left(2, 2));
        let not_found = || Rejection::NotFound { object: SECOND.into() };
        given().when(ADMINISTRATOR, remove(SECOND)).refused("not_found").because(not_found());
        given().when(MEMBERSHIP, settle(SECOND)).refused("not_found").because(not_found());
        given().when(ADMINISTRATOR, place(SECOND, None)).refused("not_found").because(not_found());
    }

    fn the_duty_settles_what_raft_has_done() {
        a_cluster().and(admitted(2, 1)).when(MEMBERSHIP, settle(SECOND)).then(joined(2, 1)).told(Effect::Changed, SECOND);
        two_nodes().and(leaving(2, 2)).when(MEMBERSHIP, settle(SECOND)).then(left(2, 2)).told(Effect::Changed, SECOND);
        two_nodes().when(MEMBERSHIP, settle(SECOND)).then([]).told(Effect::Unchanged, SECOND);
    }

    fn only_the_duty_settles() {
        a_cluster()
            .and(admitted(2, 1))
            .when(ADMINISTRATOR, settle(SECOND))
            .refused("not_permitted")
            .because(Rejection::NotPermitted { actor: ADMINISTRATOR });
    }

    /// A node that was seen to vote must not be taken for one that has left, when its removal was ordered in between.
    fn the_duty_settles_nothing_that_changed_since_it_looked() {
        let stale = |planned_on| Rejection::PlanStale { object: SECOND.into(), planned_on };
        let looked = a_cluster().and(admitted(2, 1)).revision();
        let [started, removal] = leaving(2, 2);
        let given = || a_cluster().and(admitted(2, 1)).when(ADMINISTRATOR, remove(SECOND)).then([
            ended(1, End::Cancelled),
            started.clone(),
            removal.clone(),
        ]);
        given()
            .told(Effect::Accepted, OperationId(2))
            .when(MEMBERSHIP, settle(SECOND))
            .planned_on(Some(looked))
            .refused("plan_stale")
            .because(stale(looked));
        given()
            .told(Effect::Accepted, OperationId(2))
            .when(MEMBERSHIP, settle(SECOND))
            .planned_on(None)
            .refused("plan_stale")
            .because(stale(Revision::ZERO));
    }
}
