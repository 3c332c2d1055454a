//! What is checked before any rule of a noun: who may ask, what was asked before, what the caller had read.

use bursar_domain::{
    Actor, AuthorityNodeId, Command, Cursor, Effect, Epoch, Proposal, Rejection, Reply, RequestId, Revision, ServerId, SiteId,
    State, Submission, Timestamp, TokenId, decide, encoding, operation,
    requests::{GIVEN, MINTED},
    site,
};

use crate::{book::*, fleet::*, specimens};

fn latency(expected_latency_ms: u32) -> Command {
    Command::Site(site::Command::Edit { site: SiteId(1), name: None, expected_latency_ms: Some(expected_latency_ms) })
}

fn latency_set(expected_latency_ms: u32) -> bursar_domain::Event {
    site::Event::Edited { site: SiteId(1), name: None, expected_latency_ms: Some(expected_latency_ms) }.into()
}

fn edited_once() -> Given {
    let given = a_cluster().and([site_created(1, "Dublin")]);
    given.when(ADMINISTRATOR, latency(9)).then([latency_set(9)]).told(Effect::Changed, SiteId(1))
}

rules! {
    fn a_repetition_is_told_what_the_first_was_told() {
        let first = edited_once().revision();
        edited_once().when(ADMINISTRATOR, latency(9)).repeats(Reply::changed(SiteId(1)), first);
        edited_once()
            .and([site_created(2, "Paris")])
            .when(ADMINISTRATOR, latency(9))
            .repeats(Reply::changed(SiteId(1)), first);
    }

    fn a_key_belongs_to_one_request() {
        let revision = edited_once().revision();
        edited_once()
            .when(ADMINISTRATOR, latency(10))
            .refused("request_key_reused")
            .because(Rejection::RequestKeyReused { revision });
    }

    fn a_key_belongs_to_one_actor() {
        let other = Actor::Token(TokenId(2));
        edited_once().and([token_issued(2, "second", None)]).when(other, latency(10)).then([latency_set(10)]);
    }

    fn a_request_is_forgotten_after_an_hour() {
        let first = edited_once().revision();
        assert_eq!(GIVEN.span_ms, 60 * MINUTE_MS);
        edited_once().later(GIVEN.span_ms - 1).when(ADMINISTRATOR, latency(9)).repeats(Reply::changed(SiteId(1)), first);
        edited_once().later(GIVEN.span_ms).when(ADMINISTRATOR, latency(10)).then([latency_set(10)]);
    }

    fn a_request_without_a_key_is_forgotten_after_ten_minutes() {
        let given = || a_cluster().and([site_created(1, "Dublin")]);
        let edited = || {
            let edit = given().when(ADMINISTRATOR, latency(9)).without_a_key("a-minted-id");
            edit.then([latency_set(9)]).told(Effect::Changed, SiteId(1))
        };
        let again = |given: Given| given.when(ADMINISTRATOR, latency(9)).without_a_key("a-minted-id");
        assert_eq!(MINTED.span_ms, 10 * MINUTE_MS);
        again(edited().later(MINTED.span_ms - 1)).repeats(Reply::changed(SiteId(1)), edited().revision());
        again(edited().later(MINTED.span_ms)).then([]).told(Effect::Unchanged, SiteId(1));
    }

    fn a_key_is_never_taken_for_a_minted_id() {
        edited_once().when(ADMINISTRATOR, latency(10)).without_a_key("a-key").then([latency_set(10)]);
    }

    fn time_never_goes_back() {
        let expiring = || a_cluster().and([token_issued(2, "second", Some(START.plus_ms(MINUTE_MS)))]);
        expiring()
            .later(MINUTE_MS)
            .when(ADMINISTRATOR, create_site("Dublin"))
            .then([site_created(1, "Dublin")])
            .told(Effect::Created, SiteId(1))
            .at(START)
            .when(Actor::Token(TokenId(2)), create_site("Paris"))
            .refused("credential_expired");
    }

    fn a_refusal_is_decided_anew_when_it_is_retried() {
        a_cluster()
            .when(ADMINISTRATOR, latency(9))
            .refused("not_found")
            .because(Rejection::NotFound { object: SiteId(1).into() })
            .and([site_created(1, "Dublin")])
            .when(ADMINISTRATOR, latency(9))
            .then([latency_set(9)]);
    }

    fn a_reading_that_is_current_is_let_through() {
        edited_once().when(ADMINISTRATOR, latency(10)).under("another-key").having_read(SiteId(1), 6).then([latency_set(10)]);
    }

    fn a_reading_that_is_not_current_is_refused() {
        let actual = Cursor { epoch: Epoch::FIRST, revision: Revision(6) };
        let reading = |expected: Cursor| {
            edited_once()
                .when(ADMINISTRATOR, latency(10))
                .under("another-key")
                .having_read_at(SiteId(1), expected)
                .refused("revision_mismatch")
                .because(Rejection::RevisionMismatch { object: SiteId(1).into(), expected, actual });
        };
        reading(Cursor { revision: Revision(5), ..actual });
        reading(Cursor { revision: Revision(7), ..actual });
        reading(Cursor { epoch: Epoch(2), ..actual });
    }

    fn what_was_read_must_still_exist() {
        edited_once()
            .when(ADMINISTRATOR, remove_site(1))
            .under("another-key")
            .having_read(SiteId(2), 6)
            .refused("not_found");
    }

    fn a_repetition_is_recognised_whatever_was_read() {
        let first = edited_once().revision();
        edited_once().when(ADMINISTRATOR, latency(9)).having_read(SiteId(1), 5).repeats(Reply::changed(SiteId(1)), first);
    }

    fn a_revoked_credential_hears_nothing_of_earlier_requests() {
        edited_once()
            .and([token_issued(2, "second", None)])
            .and([bursar_domain::token::Event::Revoked { token: TokenId(1) }.into()])
            .when(ADMINISTRATOR, latency(9))
            .refused("credential_revoked");
    }

    fn a_plan_is_stale_once_its_object_has_changed() {
        let report = |waiting_on| {
            Command::Operation(operation::Command::Report { operation: bursar_domain::OperationId(1), step: None, waiting_on })
        };
        let given = || a_cluster().and(admitted(2, 1)).and([advanced(1, operation::Step::Learning)]);
        let object = bursar_domain::OperationId(1).into();
        given()
            .when(MEMBERSHIP, report(vec![]))
            .planned_on(Some(Revision(6)))
            .refused("plan_stale")
            .because(Rejection::PlanStale { object, planned_on: Revision(6) });
        given().and([site_created(1, "Dublin")]).when(MEMBERSHIP, report(vec![])).planned_on(Some(Revision(7))).then([]);
    }
}

/// Who may ask for what: every command, every sort of actor.
#[test]
fn everybody_may_do_their_own_part_and_nothing_else() {
    let actors = [
        ("founder", Actor::Founder),
        ("administrator", ADMINISTRATOR),
        ("joiner", Actor::Joiner),
        ("node", Actor::AuthorityNode(AuthorityNodeId(2))),
        ("another node", Actor::AuthorityNode(AuthorityNodeId(1))),
        ("server", Actor::Server(ServerId(300))),
        ("another server", Actor::Server(ServerId(301))),
        ("duty", MEMBERSHIP),
        ("join duty", JOIN),
        ("detection duty", DETECTION),
    ];
    let allowed = |command: &str| match command {
        "cluster.found" => vec!["founder"],
        "token.issue" => vec!["founder", "administrator"],
        "authority_node.admit" => vec!["joiner"],
        "authority_node.announce" => vec!["node"],
        "authority_node.settle" => vec!["duty"],
        "operation.report" => vec!["duty", "join duty", "detection duty"],
        "server.join_succeeded" | "server.join_failed" => vec!["join duty"],
        "server.went_offline" | "server.came_online" | "server.end_maintenance" => vec!["detection duty"],
        "server.announce" | "server.report_projection" => vec!["server"],
        // Whose store point it is, its own rules know.
        "store_point.report" => vec!["server", "another server"],
        _ => vec!["administrator"],
    };
    let given = two_nodes().and([site_created(1, "Dublin"), destination_created(1, "vault", 1)]);
    let state: State = given.and(added_as(ServerId(300), 1, 2)).and(added_as(ServerId(301), 2, 3)).into_state();
    for specimen in specimens::commands() {
        let submission: Submission = encoding::decode(&specimen.bytes).expect("what was just encoded");
        for (role, actor) in actors {
            let request = RequestId::parse("fresh").expect("visible ASCII");
            let submission = Submission { actor, request, ..submission.clone() };
            let decision = decide(&state, &Proposal { time: Timestamp(0), submission });
            let refused = decision.outcome == Err(Rejection::NotPermitted { actor });
            assert_eq!(refused, !allowed(specimen.variant).contains(&role), "{role}: {}", specimen.variant);
        }
    }
}
