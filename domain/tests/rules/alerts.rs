//! Alerts: what raises and resolves them, what covers them, what people make of them.

use bursar_domain::{
    Actor, AlertId, AuthorityNodeId, Command, Effect, Event, FieldFault, Rejection, ServerId, State, Timestamp,
    alert::{self, Acknowledgement, Alert, Condition, Extent, Raised, Reason, Severity},
    authority_node::{self, Facts},
    server::{self, Intent, ProjectionState},
    store_point::{self, OfflineReason, Report},
};

use crate::{book::*, fleet::*};

const SERVER: Actor = Actor::Server(FIRST);
const READ_ONLY: Report = Report::Offline(OfflineReason::ReadOnly);

fn fails(server: ServerId) -> Command {
    server_command(server::Command::WentOffline { server })
}

fn recovers(server: ServerId) -> Command {
    server_command(server::Command::CameOnline { server })
}

fn acknowledge(alerts: impl IntoIterator<Item = u64>) -> Command {
    acknowledge_saying("seen to", alerts)
}

fn acknowledge_saying(note: &str, alerts: impl IntoIterator<Item = u64>) -> Command {
    let alerts = alerts.into_iter().map(AlertId).collect();
    Command::Alert(alert::Command::Acknowledge { alerts, note: note.into(), unnoted_only: false })
}

/// Takes note of those of them that nobody has noted.
fn acknowledge_the_unnoted(note: &str, alerts: impl IntoIterator<Item = u64>) -> Command {
    let alerts = alerts.into_iter().map(AlertId).collect();
    Command::Alert(alert::Command::Acknowledge { alerts, note: note.into(), unnoted_only: true })
}

fn maintenance() -> Event {
    let intent = Intent::Maintenance { until: START.plus_ms(MINUTE_MS), reason: description("new disks") };
    server::Event::Intended { server: FIRST, intent }.into()
}

fn active() -> Event {
    server::Event::Intended { server: FIRST, intent: Intent::Active }.into()
}

fn partial(raised: Raised) -> Raised {
    Raised { extent: Extent::Partial, reason: Reason::Unusable(OfflineReason::ReadOnly), ..raised }
}

fn alert_of(state: &State, number: u64) -> &Alert {
    state.alerts().get(AlertId(number)).expect("an alert")
}

/// A store point that is missing, and its alert.
fn a_missing_shelf() -> Given {
    a_shelf().and([reported(1, 1, MISSING), raised([store_point_offline(1, SHELF, None)])])
}

/// The first of two servers is offline, with a store point that worked.
fn one_of_two_offline() -> Given {
    servers(2).and([
        created(1, 1),
        reported(1, 1, Report::Online),
        went_offline(FIRST),
        raised([server_offline(1, FIRST, None)]),
        raised([store_point_out_of_sight(2, SHELF, 1)]),
    ])
}

rules! {
    fn a_store_point_that_cannot_be_used_is_an_alert() {
        let given = a_shelf()
            .when(SERVER, report(SHELF, MISSING))
            .then([reported(1, 1, MISSING), raised([store_point_offline(1, SHELF, None)])])
            .told(Effect::Changed, SHELF);
        let state = given.into_state();
        let alert = alert_of(&state, 1);
        assert_eq!((alert.severity, alert.text.as_str()), (Severity::Critical, "Store point is unavailable: shelf 1"));
        assert_eq!((alert.condition, alert.occurrences), (Condition::Firing { since: START }, 1));
        a_missing_shelf()
            .when(SERVER, report(SHELF, Report::Online))
            .then([reported(1, 1, Report::Online), resolved([1])]);
    }

    fn an_alert_knows_the_newest_reason_and_keeps_the_last_when_it_is_over() {
        let failing = Report::Offline(OfflineReason::IoFailing);
        let given = a_missing_shelf()
            .when(SERVER, report(SHELF, failing))
            .then([reported(1, 1, failing), explained(1, Reason::Unusable(OfflineReason::IoFailing))])
            .told(Effect::Changed, SHELF);
        let given = given
            .when(SERVER, report(SHELF, Report::Online))
            .under("again")
            .then([reported(1, 1, Report::Online), resolved([1])])
            .told(Effect::Changed, SHELF);
        let state = given.into_state();
        assert_eq!(alert_of(&state, 1).reason, Reason::Unusable(OfflineReason::IoFailing));
    }

    fn what_is_resolved_stays_until_it_is_acknowledged() {
        let given = a_missing_shelf().and([reported(1, 1, Report::Online), resolved([1])]);
        let state = given.into_state();
        assert!(alert_of(&state, 1).is_open());
        let given = a_missing_shelf()
            .later(2)
            .when(SERVER, report(SHELF, Report::Online))
            .then([reported(1, 1, Report::Online), resolved([1])])
            .told(Effect::Changed, SHELF);
        let given = given.later(3).when(ADMINISTRATOR, acknowledge([1])).then([acknowledged([1])]).told(Effect::Changed, AlertId(1));
        let state = given.into_state();
        let alert = alert_of(&state, 1);
        assert!(!alert.is_open());
        let by_whom = Acknowledgement { by: ADMINISTRATOR, at: START.plus_ms(5), note: description("seen to") };
        assert_eq!(alert.acknowledgement, Some(by_whom), "history tells who, when and what");
        assert_eq!(alert.condition, Condition::Resolved { since: START, at: START.plus_ms(2) });
    }

    fn what_fires_again_before_it_was_acknowledged_is_the_same_alert() {
        let given = a_missing_shelf().and([reported(1, 1, Report::Online), resolved([1])]).later(7);
        let state = given
            .when(SERVER, report(SHELF, MISSING))
            .then([reported(1, 1, MISSING), raised([store_point_offline(1, SHELF, None)])])
            .told(Effect::Changed, SHELF)
            .into_state();
        let alert = alert_of(&state, 1);
        assert_eq!((alert.occurrences, alert.condition), (2, Condition::Firing { since: START.plus_ms(7) }));
        assert_eq!(alert.created.at, START);
    }

    fn what_fires_again_after_it_was_acknowledged_is_another_alert() {
        let gone = [reported(1, 1, Report::Online), resolved([1])];
        for order in [[0, 1], [1, 0]] {
            let parts = [vec![acknowledged([1])], gone.to_vec()];
            let given = order.into_iter().fold(a_missing_shelf(), |given, part| given.and(parts[part].clone()));
            given
                .when(SERVER, report(SHELF, MISSING))
                .then([reported(1, 1, MISSING), raised([store_point_offline(2, SHELF, None)])]);
        }
    }

    fn several_are_acknowledged_at_once() {
        let given = one_of_two_offline;
        given().when(ADMINISTRATOR, acknowledge([2, 1, 2])).then([acknowledged([2, 1])]).told(Effect::Changed, AlertId(2));
        given().and([acknowledged([2])]).when(ADMINISTRATOR, acknowledge([2, 1])).then([acknowledged([1])]).told(Effect::Changed, AlertId(1));
        given().and([acknowledged([1, 2])]).when(ADMINISTRATOR, acknowledge([1, 2])).then([]).told(Effect::Unchanged, AlertId(1));
        given().when(ADMINISTRATOR, acknowledge([1, 3])).refused("not_found").because(Rejection::NotFound {
            object: AlertId(3).into(),
        });
        given().when(ADMINISTRATOR, acknowledge([])).refused("invalid_field").for_field("alerts", FieldFault::Empty);
        given()
            .when(ADMINISTRATOR, acknowledge([1; 1_001]))
            .refused("invalid_field")
            .for_field("alerts", FieldFault::TooMany { entries_max: alert::ACKNOWLEDGED_MAX });
        for actor in [SERVER, DETECTION, Actor::Joiner] {
            given().when(actor, acknowledge([1])).refused("not_permitted");
        }
    }

    /// Whoever says nothing new is told that nothing changed, whoever does that they are not heard.
    fn what_was_said_of_an_alert_is_not_written_over() {
        let noted = || one_of_two_offline().and([acknowledged([1])]);
        for nothing_new in ["", "seen to"] {
            noted().when(ADMINISTRATOR, acknowledge_saying(nothing_new, [1])).then([]).told(Effect::Unchanged, AlertId(1));
        }
        let already = Rejection::AlreadyAcknowledged { alert: AlertId(1), by: Actor::Founder, at: START };
        noted().when(ADMINISTRATOR, acknowledge_saying("a cable", [2, 1])).refused("already_acknowledged").because(already);
    }

    /// Whatever was said, or not.
    fn whoever_means_only_what_nobody_has_noted_passes_over_what_somebody_has_noted_meanwhile() {
        let noted = || one_of_two_offline().and([acknowledged([1])]);
        let rest = noted().when(ADMINISTRATOR, acknowledge_the_unnoted("seen to", [1, 2])).then([acknowledged([2])]);
        rest.told(Effect::Changed, AlertId(2));
        let another = acknowledge_the_unnoted("a cable", [1]);
        noted().when(ADMINISTRATOR, another).then([]).told(Effect::Unchanged, AlertId(1));
        let silently: Event = alert::Event::Acknowledged { alerts: vec![AlertId(1)], note: description("") }.into();
        let wordless = one_of_two_offline().and([silently]);
        wordless.when(ADMINISTRATOR, acknowledge_the_unnoted("a cable", [1])).then([]).told(Effect::Unchanged, AlertId(1));
    }

    /// Who says something first is who has taken note, and then when they did: also of an alert that is history.
    fn what_was_acknowledged_without_a_word_takes_a_first_note() {
        let silently = || Event::Alert(alert::Event::Acknowledged { alerts: vec![AlertId(1)], note: description("") });
        let spoken = || {
            let silent = one_of_two_offline().when(ADMINISTRATOR, acknowledge_saying("", [1])).then([silently()]);
            let spoken = silent.told(Effect::Changed, AlertId(1)).later(3).when(ADMINISTRATOR, acknowledge([1, 2, 1])).under("note");
            spoken.then([acknowledged([1, 2])]).told(Effect::Changed, AlertId(1))
        };
        let by_whom = Acknowledgement { by: ADMINISTRATOR, at: START.plus_ms(3), note: description("seen to") };
        assert_eq!(alert_of(&spoken().into_state(), 1).acknowledgement, Some(by_whom));
        spoken().when(ADMINISTRATOR, acknowledge_saying("a cable", [1])).under("again").refused("already_acknowledged");

        let history = a_missing_shelf().and([reported(1, 1, Report::Online), resolved([1]), silently()]);
        let noted = history.when(ADMINISTRATOR, acknowledge([1])).then([acknowledged([1])]).told(Effect::Changed, AlertId(1));
        assert!(!alert_of(&noted.into_state(), 1).is_open());
    }

    fn one_alert_that_has_changed_is_not_acknowledged_unread() {
        let given = one_of_two_offline();
        let revision = given.revision().0;
        given.when(ADMINISTRATOR, acknowledge([1])).having_read(AlertId(1), revision - 2).refused("revision_mismatch");
    }

    fn what_gets_worse_is_no_longer_acknowledged() {
        let readable = || a_shelf().and([reported(1, 1, READ_ONLY), raised([partial(store_point_offline(1, SHELF, None))])]);
        a_shelf()
            .when(SERVER, report(SHELF, READ_ONLY))
            .then([reported(1, 1, READ_ONLY), raised([partial(store_point_offline(1, SHELF, None))])]);
        let state = readable()
            .and([acknowledged([1])])
            .when(SERVER, report(SHELF, MISSING))
            .then([reported(1, 1, MISSING), worsened(1), explained(1, Reason::Unusable(OfflineReason::Missing))])
            .told(Effect::Changed, SHELF)
            .into_state();
        assert_eq!(alert_of(&state, 1).acknowledgement, None);
        // It gets better, and it gets as bad as it was: no news but the reason.
        let better = explained(1, Reason::Unusable(OfflineReason::ReadOnly));
        let as_before = explained(1, Reason::Unusable(OfflineReason::Missing));
        let given = a_missing_shelf().and([acknowledged([1])]);
        let given = given.when(SERVER, report(SHELF, READ_ONLY)).then([reported(1, 1, READ_ONLY), better]);
        let given = given.told(Effect::Changed, SHELF).when(SERVER, report(SHELF, MISSING)).under("again");
        let state = given.then([reported(1, 1, MISSING), as_before]).told(Effect::Changed, SHELF).into_state();
        assert!(alert_of(&state, 1).acknowledgement.is_some());
    }

    fn a_servers_alert_covers_those_of_its_store_points() {
        servers(2)
            .and([created(1, 1), reported(1, 1, Report::Online)])
            .when(DETECTION, fails(FIRST))
            .then([
                went_offline(FIRST),
                raised([server_offline(1, FIRST, None)]),
                raised([store_point_out_of_sight(2, SHELF, 1)]),
            ]);
        // One that fired before is covered from then on, and no worse than it was.
        servers(2)
            .and([created(1, 1), reported(1, 1, READ_ONLY), raised([partial(store_point_offline(1, SHELF, None))])])
            .when(DETECTION, fails(FIRST))
            .then([
                went_offline(FIRST),
                raised([server_offline(2, FIRST, None)]),
                covered([(1, by_alert(2))]),
                explained(1, Reason::ServerSilent),
            ]);
    }

    /// That the server answers again says nothing of its store points: they do.
    fn a_store_points_own_report_settles_what_a_silence_left_open() {
        let back = || {
            let answers = one_of_two_offline().when(DETECTION, recovers(FIRST)).then([came_online(FIRST), resolved([1])]);
            answers.told(Effect::Changed, FIRST)
        };
        back()
            .when(SERVER, report(SHELF, Report::Online))
            .under("report")
            .then([reported(1, 1, Report::Online), resolved([2])]);
        let state = back()
            .and([acknowledged([2])])
            .when(SERVER, report(SHELF, MISSING))
            .under("report")
            .then([reported(1, 1, MISSING), covered([(2, None)]), explained(2, Reason::Unusable(OfflineReason::Missing))])
            .told(Effect::Changed, SHELF)
            .into_state();
        assert_eq!(alert_of(&state, 2).acknowledgement, None, "what was acknowledged was that the server is silent");
        // It falls silent again before it has reported: the same alert, covered by the new one.
        back()
            .when(DETECTION, fails(FIRST))
            .under("again")
            .then([went_offline(FIRST), raised([server_offline(1, FIRST, None)])]);
        back()
            .and([acknowledged([1])])
            .when(DETECTION, fails(FIRST))
            .under("again")
            .then([went_offline(FIRST), raised([server_offline(3, FIRST, None)]), covered([(2, by_alert(3))])]);
    }

    fn the_last_servers_silence_is_the_destinations() {
        let last = || {
            one_of_two_offline().when(DETECTION, fails(SECOND)).under("second").then([
                went_offline(SECOND),
                raised([destination_offline(3)]),
                raised([server_offline(4, SECOND, by_alert(3))]),
                covered([(1, by_alert(3))]),
            ]).told(Effect::Changed, SECOND)
        };
        last().when(DETECTION, recovers(FIRST)).then([
            came_online(FIRST),
            resolved([3]),
            resolved([1]),
            covered([(4, None)]),
        ]);
    }

    fn a_lone_servers_silence_is_the_destinations() {
        servers(1).when(DETECTION, fails(FIRST)).then([
            went_offline(FIRST),
            raised([destination_offline(1)]),
            raised([server_offline(2, FIRST, by_alert(1))]),
        ]);
    }

    fn a_server_that_never_joined_keeps_no_destination_alive() {
        servers(1)
            .and(added(2))
            .when(DETECTION, fails(FIRST))
            .then([went_offline(FIRST), raised([destination_offline(1)]), raised([server_offline(2, FIRST, by_alert(1))])]);
    }

    fn a_server_that_is_removed_is_missed_no_more() {
        let removed = || server::Event::Removed { server: FIRST, destination: DESTINATION };
        servers(1)
            .and([went_offline(FIRST), raised([destination_offline(1)]), raised([server_offline(2, FIRST, by_alert(1))])])
            .when(ADMINISTRATOR, server_command(server::Command::Remove { server: FIRST }))
            .then([removed().into(), resolved([1]), resolved([2])]);
        // Where the others are offline, the destination now is.
        servers(2)
            .and([went_offline(SECOND), raised([server_offline(1, SECOND, None)])])
            .when(ADMINISTRATOR, server_command(server::Command::Remove { server: FIRST }))
            .then([removed().into(), raised([destination_offline(2)]), covered([(1, by_alert(2))])]);
    }

    fn a_store_point_that_is_retired_is_missed_no_more() {
        let retired = store_point::Event::Intended { store_point: SHELF, server: FIRST, intent: store_point::Intent::Retired };
        a_missing_shelf()
            .when(ADMINISTRATOR, Command::StorePoint(store_point::Command::Remove { store_point: SHELF }))
            .then([retired.into(), resolved([1])]);
    }

    fn silence_during_maintenance_is_recorded_as_expected() {
        let expected = Some(FIRST.into());
        let given = || servers(2).and([created(1, 1), reported(1, 1, Report::Online), maintenance()]);
        given().when(DETECTION, fails(FIRST)).then([
            went_offline(FIRST),
            raised([server_offline(1, FIRST, expected)]),
            raised([store_point_out_of_sight(2, SHELF, 1)]),
        ]);
        given()
            .when(SERVER, report(SHELF, MISSING))
            .then([reported(1, 1, MISSING), raised([store_point_offline(1, SHELF, expected)])]);
        servers(1).and([maintenance()]).when(DETECTION, fails(FIRST)).then([
            went_offline(FIRST),
            raised([Raised { inhibited_by: expected, ..destination_offline(1) }]),
            raised([server_offline(2, FIRST, expected)]),
        ]);
    }

    fn maintenance_that_overruns_is_news() {
        let given = servers(2).and([maintenance(), went_offline(FIRST), raised([server_offline(1, FIRST, Some(FIRST.into()))])]);
        let state = given
            .and([acknowledged([1])])
            .later(MINUTE_MS)
            .when(DETECTION, server_command(server::Command::EndMaintenance { server: FIRST }))
            .then([active(), covered([(1, None)])])
            .told(Effect::Changed, FIRST)
            .into_state();
        assert_eq!(alert_of(&state, 1).acknowledgement, None);
        // One that begins while the server is silent makes its silence expected.
        let given = servers(2).and([went_offline(FIRST), raised([server_offline(1, FIRST, None)])]);
        let until = Timestamp(START.0 + MINUTE_MS);
        given
            .when(ADMINISTRATOR, server_command(server::Command::Maintain { server: FIRST, lasting: server::Lasting::Until(until), reason: "new disks".into() }))
            .then([maintenance(), covered([(1, Some(FIRST.into()))])]);
    }

    fn another_version_than_the_authoritys_is_an_alert() {
        let announce = |version| server_command(server::Command::Announce { server: FIRST, program: program(version) });
        let announced = |version| -> Event {
            server::Event::Announced { server: FIRST, program: checked_program(&program(version)) }.into()
        };
        let conflict = || raised([version_conflict(1, FIRST, "0.2.0")]);
        let given = servers(1).when(SERVER, announce("0.2.0")).then([announced("0.2.0"), conflict()]).told(Effect::Changed, FIRST);
        given.when(SERVER, announce("0.1.0")).under("again").then([announced("0.1.0"), resolved([1])]);
        assert_eq!(version_conflict(1, FIRST, "0.2.0").severity, Severity::Warning);
    }

    fn an_upgraded_authority_is_at_odds_with_all_servers() {
        let facts = |node: u8| Facts { version: "0.2.0".into(), ..facts(node) };
        let announce = |node: u8| {
            let id = AuthorityNodeId(node.into());
            Command::AuthorityNode(authority_node::Command::Announce { node: id, facts: facts(node) })
        };
        let announced = |node: u8| -> Event {
            authority_node::Event::Announced { node: AuthorityNodeId(node.into()), facts: checked(&facts(node)) }.into()
        };
        let [joining, admitted] = admitted(2, 3);
        let [votes, ended] = joined(2, 3);
        // While its nodes differ, nobody can be at odds with them.
        let given = servers(2)
            .and([joining, admitted, votes, ended])
            .when(Actor::AuthorityNode(AuthorityNodeId(1)), announce(1))
            .then([announced(1)])
            .told(Effect::Changed, AuthorityNodeId(1));
        given.when(Actor::AuthorityNode(AuthorityNodeId(2)), announce(2)).then([
            announced(2),
            raised([version_conflict(1, FIRST, "0.1.0"), version_conflict(2, SECOND, "0.1.0")]),
        ]);
    }

    fn a_server_that_holds_another_state_than_it_should_is_an_alert() {
        let report = |projection| server_command(server::Command::ReportProjection { server: FIRST, projection });
        let event = |projection| -> Event { server::Event::ProjectionReported { server: FIRST, projection }.into() };
        let given = servers(1)
            .when(SERVER, report(ProjectionState::Mismatched))
            .then([event(ProjectionState::Mismatched), raised([projection_mismatch(1, FIRST)])])
            .told(Effect::Changed, FIRST);
        let given = given.when(SERVER, report(ProjectionState::Mismatched)).under("again").then([]).told(Effect::Unchanged, FIRST);
        given
            .when(SERVER, report(ProjectionState::Matching))
            .under("third")
            .then([event(ProjectionState::Matching), resolved([1])]);
    }
}
