//! Store points: making, editing, reports, draining, retiring.

use bursar_domain::{
    Actor, Command, Effect, Event, FieldFault, Rejection, ServerId, StorePointId,
    alert::{Raised, Reason},
    server,
    store_point::{self, Change, CreationFailure, Findings, Flags, Found, Intent, OfflineReason, Quota, Report},
};

use crate::{book::*, fleet::*};

const SERVER: Actor = Actor::Server(FIRST);

fn create_with(path: &str, findings: Findings) -> Command {
    Command::StorePoint(store_point::Command::Create {
        server: FIRST,
        name: "shelf 1".into(),
        path: path.into(),
        notes: String::new(),
        quota: Quota::Unlimited,
        findings,
    })
}

fn create(path: &str) -> Command {
    create_with(path, findings(path))
}

fn edit(change: Change) -> Command {
    Command::StorePoint(store_point::Command::Edit { store_point: SHELF, change })
}

fn edited(name: Option<&str>, flags: Option<Flags>, quota: Option<Quota>) -> Event {
    let name = name.map(crate::book::name);
    store_point::Event::Edited { store_point: SHELF, server: FIRST, name, flags, quota }.into()
}

fn annotated(notes: &str) -> Event {
    store_point::Event::Annotated { store_point: SHELF, notes: description(notes) }.into()
}

fn intended(intent: Intent) -> Event {
    store_point::Event::Intended { store_point: SHELF, server: FIRST, intent }.into()
}

fn remove() -> Command {
    Command::StorePoint(store_point::Command::Remove { store_point: SHELF })
}

rules! {
    fn a_store_point_is_made_where_the_server_found_a_place() {
        servers(1).when(ADMINISTRATOR, create("/srv/1")).then([created(1, 1)]).told(Effect::Created, SHELF);
        assert_eq!(store_point::directory_name(ServerId(5), StorePointId(7)), "CrashPlanArchive_m5x7");
    }

    /// Notes are an event of their own: the server does not get to see them.
    fn notes_are_for_administrators() {
        let noted = Command::StorePoint(store_point::Command::Create {
            server: FIRST,
            name: "shelf 1".into(),
            path: "/srv/1".into(),
            notes: "call the vendor".into(),
            quota: Quota::Unlimited,
            findings: findings("/srv/1"),
        });
        servers(1).when(ADMINISTRATOR, noted).then([created(1, 1), annotated("call the vendor")]);
        a_shelf()
            .when(ADMINISTRATOR, edit(Change { notes: Some("rack 4".into()), ..Change::default() }))
            .then([annotated("rack 4")]);
        let control = Change { notes: Some("\u{7}".into()), ..Change::default() };
        a_shelf().when(ADMINISTRATOR, edit(control)).refused("invalid_field").for_field("notes", FieldFault::ControlCharacter);
    }

    fn a_server_that_does_not_answer_makes_nothing() {
        let offline = [went_offline(FIRST), raised([destination_offline(1)]), raised([server_offline(2, FIRST, by_alert(1))])];
        for given in [servers(1).and(offline), a_destination().and(added(1))] {
            given.when(ADMINISTRATOR, create("/srv/1")).refused("server_not_online").because(
                Rejection::ServerNotOnline { server: FIRST },
            );
        }
        a_destination().when(ADMINISTRATOR, create("/srv/1")).refused("not_found");
    }

    fn a_path_has_one_spelling() {
        for path in ["", "srv", "./srv", "/srv/", "/srv/../etc", "//srv", "/a\u{7}b", "C:\\srv"] {
            servers(1).when(ADMINISTRATOR, create(path)).refused("invalid_field").for_field("path", FieldFault::NoPath);
        }
    }

    fn a_path_is_what_the_server_finds_there() {
        let refused = |findings, fault| {
            servers(1)
                .when(ADMINISTRATOR, create_with("/srv/1", findings))
                .refused("invalid_field")
                .for_field("path", fault);
        };
        let fine = || findings("/srv/1");
        refused(Findings { found: Found::Nothing, ..fine() }, FieldFault::PathMissing);
        refused(Findings { found: Found::SomethingElse, ..fine() }, FieldFault::NotADirectory);
        refused(findings("/mnt/disk"), FieldFault::SymbolicLink { leads_to: path("/mnt/disk") });
        refused(Findings { within: Some(SHELF), ..fine() }, FieldFault::WithinStorePoint { store_point: SHELF });
        refused(Findings { foreign_identity: true, ..fine() }, FieldFault::ForeignIdentity);
        refused(Findings { writable: false, ..fine() }, FieldFault::NotWritable);
        refused(Findings { free_bytes: 0, ..fine() }, FieldFault::NoSpace);
        servers(1)
            .when(ADMINISTRATOR, create_with("/srv/1", findings("mnt")))
            .refused("invalid_field")
            .for_field("findings/canonical_path", FieldFault::NoPath);
    }

    /// Whatever the server found: the ledger knows of store points whose directory is not made yet.
    fn a_store_point_does_not_lie_in_another() {
        let second = |server, path: &str| Command::StorePoint(store_point::Command::Create {
            server,
            name: "shelf 2".into(),
            path: path.into(),
            notes: String::new(),
            quota: Quota::Unlimited,
            findings: findings(path),
        });
        let given = || servers(2).and([created(1, 1)]);
        let within = FieldFault::WithinStorePoint { store_point: SHELF };
        for path in ["/srv/1", "/srv/1/CrashPlanArchive_m1x1", "/srv/1/CrashPlanArchive_m1x1/a"] {
            given()
                .when(ADMINISTRATOR, second(FIRST, path))
                .refused("invalid_field")
                .for_field("path", within.clone());
        }
        given().when(ADMINISTRATOR, second(SECOND, "/srv/2")).then([created(2, 2)]);
        let beside = given().when(ADMINISTRATOR, second(FIRST, "/srv/1/CrashPlanArchive_m1x10"));
        beside.then([store_point::Event::Created {
            store_point: StorePointId(2),
            server: FIRST,
            name: name("shelf 2"),
            path: path("/srv/1/CrashPlanArchive_m1x10"),
            directory: "CrashPlanArchive_m1x2".into(),
            flags: Flags::default(),
            quota: Quota::Unlimited,
        }.into()]);
    }

    fn names_are_unique_on_a_server() {
        let taken = Rejection::NameTaken { name: "shelf 1".into(), holder: SHELF.into() };
        a_shelf().when(ADMINISTRATOR, create("/srv/2")).refused("name_taken").because(taken);
        let gone = || servers(1).and([created(1, 1), intended(Intent::Retired), created(2, 1)]);
        let rename = |name: &str| Command::StorePoint(store_point::Command::Edit {
            store_point: StorePointId(2),
            change: Change { name: Some(name.into()), ..Change::default() },
        });
        let renamed = |text: &str| store_point::Event::Edited {
            store_point: StorePointId(2),
            server: FIRST,
            name: Some(name(text)),
            flags: None,
            quota: None,
        };
        gone().when(ADMINISTRATOR, rename("shelf 1")).then([renamed("shelf 1").into()]);
        gone().when(ADMINISTRATOR, rename("SHELF 2")).then([renamed("SHELF 2").into()]);
        a_shelf().and([created(2, 1)]).when(ADMINISTRATOR, rename("SHELF 1")).refused("name_taken");
    }

    fn each_flag_stands_for_itself() {
        let all = Flags::default();
        let off = |change, flags| {
            a_shelf().when(ADMINISTRATOR, edit(change)).then([edited(None, Some(flags), None)]).told(Effect::Changed, SHELF);
        };
        off(Change { accepting_data: Some(false), ..Change::default() }, Flags { accepting_data: false, ..all });
        off(Change { accepting_new_archives: Some(false), ..Change::default() }, Flags { accepting_new_archives: false, ..all });
        off(Change { balancing: Some(false), ..Change::default() }, Flags { balancing: false, ..all });
        let same = Change { accepting_data: Some(true), quota: Some(Quota::Unlimited), ..Change::default() };
        a_shelf().when(ADMINISTRATOR, edit(same)).then([]).told(Effect::Unchanged, SHELF);
    }

    fn a_quota_is_some_bytes() {
        let quota = |quota| edit(Change { quota: Some(quota), ..Change::default() });
        a_shelf().when(ADMINISTRATOR, quota(Quota::Bytes(9))).then([edited(None, None, Some(Quota::Bytes(9)))]);
        a_shelf()
            .when(ADMINISTRATOR, quota(Quota::Bytes(0)))
            .refused("invalid_field")
            .for_field("quota", FieldFault::OutOfRange { min: 1, max: u64::MAX });
    }

    fn its_server_says_whether_it_was_made() {
        let given = || servers(1).and([created(1, 1)]);
        let failed = Report::Failed(CreationFailure::DirectoryExists);
        given().when(SERVER, report(SHELF, Report::Online)).then([reported(1, 1, Report::Online)]).told(Effect::Changed, SHELF);
        given().when(SERVER, report(SHELF, failed)).then([reported(1, 1, failed)]);
        let contradicting = Rejection::UnexpectedReport { store_point: SHELF };
        for report_after in [Report::Online, MISSING, Report::Failed(CreationFailure::IoFailing)] {
            given()
                .and([reported(1, 1, failed)])
                .when(SERVER, report(SHELF, report_after))
                .refused("unexpected_report")
                .because(contradicting.clone());
        }
        a_shelf().when(SERVER, report(SHELF, failed)).refused("unexpected_report");
        a_shelf().when(SERVER, report(SHELF, Report::Online)).then([]).told(Effect::Unchanged, SHELF);
    }

    fn only_its_own_server_speaks_of_a_store_point() {
        let given = || servers(2).and([created(1, 1)]);
        for actor in [Actor::Server(SECOND), ADMINISTRATOR, DETECTION, JOIN] {
            given().when(actor, report(SHELF, MISSING)).refused("not_permitted").because(Rejection::NotPermitted { actor });
        }
    }

    /// What a server says that is held for dead waits until it is known to answer.
    fn only_a_live_servers_report_counts() {
        servers(2)
            .and([created(1, 1), went_offline(FIRST), raised([server_offline(1, FIRST, None)])])
            .when(SERVER, report(SHELF, MISSING))
            .refused("server_not_online");
    }

    fn a_store_point_is_drained_and_activated_again() {
        let drain = Command::StorePoint(store_point::Command::Drain { store_point: SHELF });
        let given = a_shelf().when(ADMINISTRATOR, drain.clone()).then([intended(Intent::Draining)]).told(Effect::Changed, SHELF);
        let given = given.when(ADMINISTRATOR, drain).under("again").then([]).told(Effect::Unchanged, SHELF);
        let activate = Command::StorePoint(store_point::Command::Activate { store_point: SHELF });
        given.when(ADMINISTRATOR, activate).under("third").then([intended(Intent::Active)]);
    }

    fn a_store_point_that_is_removed_is_gone() {
        let given = a_shelf().when(ADMINISTRATOR, remove()).then([intended(Intent::Retired)]).told(Effect::Removed, SHELF);
        let given = given.when(ADMINISTRATOR, remove()).under("again").refused("not_found").because(Rejection::NotFound {
            object: SHELF.into(),
        });
        let given = given.when(SERVER, report(SHELF, MISSING)).refused("not_found").because(Rejection::NotFound {
            object: SHELF.into(),
        });
        // Its number and its directory are never given again.
        given
            .when(ADMINISTRATOR, create("/srv/1"))
            .under("third")
            .then([store_point::Event::Created {
                store_point: StorePointId(2),
                server: FIRST,
                name: name("shelf 1"),
                path: path("/srv/1"),
                directory: "CrashPlanArchive_m1x2".into(),
                flags: Flags::default(),
                quota: Quota::Unlimited,
            }
            .into()]);
    }

    fn of_a_silent_server_nothing_is_known() {
        let state = servers(2)
            .and([created(1, 1), created(2, 1), created(3, 1), created(4, 2)])
            .and([reported(1, 1, Report::Online), reported(2, 1, Report::Failed(CreationFailure::PathMissing))])
            .and([reported(4, 2, Report::Online)])
            .when(DETECTION, server_command(server::Command::WentOffline { server: FIRST }))
            .then([
                went_offline(FIRST),
                raised([server_offline(1, FIRST, None)]),
                raised([store_point_out_of_sight(2, SHELF, 1)]),
            ])
            .told(Effect::Changed, FIRST)
            .into_state();
        let condition = |number| state.store_points().get(StorePointId(number)).expect("a store point").condition;
        assert_eq!(condition(1), store_point::Condition::Unknown);
        assert_eq!(condition(2), store_point::Condition::Failed(CreationFailure::PathMissing));
        assert_eq!(condition(3), store_point::Condition::Creating);
        assert_eq!(condition(4), store_point::Condition::Online);
        let changed = state.changed_at(SHELF.into());
        assert_eq!(changed, state.changed_at(FIRST.into()), "whoever had read the store point has read what is no longer so");
    }

    fn every_reason_to_be_offline_is_told() {
        for reason in [OfflineReason::Missing, OfflineReason::ForeignIdentity, OfflineReason::IoFailing] {
            a_shelf().when(SERVER, report(SHELF, Report::Offline(reason))).then([
                reported(1, 1, Report::Offline(reason)),
                raised([Raised { reason: Reason::Unusable(reason), ..store_point_offline(1, SHELF, None) }]),
            ]);
        }
    }

    fn only_administrators_run_store_points() {
        let commands = [
            create("/srv/2"), edit(Change::default()), remove(),
            Command::StorePoint(store_point::Command::Drain { store_point: SHELF }),
            Command::StorePoint(store_point::Command::Activate { store_point: SHELF }),
        ];
        for command in commands {
            for actor in [SERVER, DETECTION, Actor::Joiner] {
                a_shelf().when(actor, command.clone()).refused("not_permitted");
            }
        }
    }
}
