//! Servers: joining, maintenance, draining, editing, replacing, leaving.

use std::collections::BTreeMap;

use bursar_domain::{
    Actor, AuthorityNodeId, Blocker, Command, DestinationId, Effect, Event, FieldFault, Hash, Level, OperationId, Projection,
    Rejection, Revision, ServerId, SiteId, StorePointId,
    authority_node::{self, Facts as NodeFacts},
    cluster,
    destination::{self, Accepting, RollUp},
    operation::{self, End, Task},
    projection::Peer,
    server::{self, Addresses, Change, Intent, Introduction, JoinFailure, Lasting, ProjectionState},
    store_point::{self, Flags, Report},
};

use crate::{book::*, fleet::*};

fn add_as(name: &str, introduction: Introduction) -> Command {
    server_command(server::Command::Add { destination: DESTINATION, name: name.into(), introduction })
}

/// Adds that machine as the first server.
fn add(introduction: Introduction) -> Command {
    add_as("ark-1", introduction)
}

fn replace(introduction: Introduction) -> Command {
    server_command(server::Command::Replace { server: FIRST, introduction })
}

fn edit(change: Change) -> Command {
    server_command(server::Command::Edit { server: FIRST, change })
}

fn edited(name: Option<&str>, addresses: Option<Addresses>) -> Event {
    let name = name.map(crate::book::name);
    server::Event::Edited { server: FIRST, destination: DESTINATION, name, addresses }.into()
}

fn remove() -> Command {
    server_command(server::Command::Remove { server: FIRST })
}

fn removed() -> Event {
    server::Event::Removed { server: FIRST, destination: DESTINATION }.into()
}

fn maintain(until_minutes: u64) -> Command {
    maintain_as(Lasting::Until(START.plus_ms(until_minutes * MINUTE_MS)))
}

fn maintain_as(lasting: Lasting) -> Command {
    server_command(server::Command::Maintain { server: FIRST, lasting, reason: "new disks".into() })
}

fn intended(intent: Intent) -> Event {
    server::Event::Intended { server: FIRST, intent }.into()
}

fn maintenance(until_minutes: u64) -> Intent {
    Intent::Maintenance { until: START.plus_ms(until_minutes * MINUTE_MS), reason: description("new disks") }
}

fn join_succeeded() -> Command {
    server_command(server::Command::JoinSucceeded { server: FIRST })
}

fn join_failed(failure: JoinFailure) -> Command {
    server_command(server::Command::JoinFailed { server: FIRST, failure })
}

fn failed(failure: JoinFailure) -> Event {
    server::Event::JoinFailed { server: FIRST, failure }.into()
}

fn withdrawn() -> Event {
    server::Event::Withdrawn { server: FIRST, destination: DESTINATION }.into()
}

/// A further connection string of a machine.
fn another_string(machine: u8) -> Introduction {
    Introduction { secret: Hash::of(b"another string"), ..introduction(machine) }
}

fn introduced(server: ServerId, machine: u8) -> Event {
    server::Event::Introduced { server, destination: DESTINATION, peer: peer(server, machine) }.into()
}

fn peer(server: ServerId, machine: u8) -> Peer {
    Peer { name: name(&server_name(server.0)), addresses: checked_server_facts(machine).addresses, guid: guid(machine) }
}

/// What a server that was just added is to know, but for its peers and store points.
fn welcome(server: ServerId, machine: u8) -> Projection {
    Projection {
        server,
        name: name(&server_name(server.0)),
        addresses: checked_server_facts(machine).addresses,
        destination: DESTINATION,
        intent: Intent::Active,
        authority: BTreeMap::from([(AuthorityNodeId(1), listens(1))]),
        peers: BTreeMap::new(),
        store_points: BTreeMap::new(),
    }
}

fn welcomed(projection: Projection) -> Event {
    server::Event::Welcomed { server: projection.server, projection }.into()
}

/// The machine took the place of the first server, by operation 2.
fn replaced(machine: u8) -> [Event; 2] {
    let facts = checked_server_facts(machine);
    let secret = introduction(machine).secret;
    let operation = OperationId(2);
    [started(2, Task::JoinServer { server: FIRST }), server::Event::Replaced { server: FIRST, facts, secret, operation }.into()]
}

/// The first server, which was online and no longer answers.
pub fn an_offline_server() -> Given {
    servers(1).and([went_offline(FIRST), raised([destination_offline(1)]), raised([server_offline(2, FIRST, by_alert(1))])])
}

rules! {
    fn a_connection_string_adds_a_server() {
        let [started, added] = added(1);
        a_destination()
            .when(ADMINISTRATOR, add(introduction(1)))
            .then([started, added, introduced(FIRST, 1), welcomed(welcome(FIRST, 1))])
            .told(Effect::Accepted, OperationId(1));
    }

    fn who_is_added_learns_of_all_that_were_there_before() {
        let [started, added] = added(2);
        let projection = Projection { peers: BTreeMap::from([(FIRST, peer(FIRST, 1))]), ..welcome(SECOND, 2) };
        servers(1)
            .when(ADMINISTRATOR, add_as("ark-2", introduction(2)))
            .then([started, added, introduced(SECOND, 2), welcomed(projection)]);
    }

    fn a_connection_string_is_used_once() {
        for name in ["other", "ark-1"] {
            servers(1).when(ADMINISTRATOR, add_as(name, introduction(1))).refused("connection_string_used").because(
                Rejection::ConnectionStringUsed { server: FIRST },
            );
        }
    }

    fn a_connection_string_ends_with_its_time() {
        let [started, added] = added(1);
        a_destination()
            .later(60 * MINUTE_MS - 1)
            .when(ADMINISTRATOR, add(introduction(1)))
            .then([started, added, introduced(FIRST, 1), welcomed(welcome(FIRST, 1))]);
        a_destination()
            .later(60 * MINUTE_MS)
            .when(ADMINISTRATOR, add(introduction(1)))
            .refused("connection_string_expired")
            .because(Rejection::ConnectionStringExpired);
    }

    fn a_server_knows_the_clusters_license_key() {
        let foreign = Introduction { license_key: vec![2; 32], ..introduction(1) };
        a_destination().when(ADMINISTRATOR, add(foreign)).refused("license_foreign").because(Rejection::LicenseForeign);
    }

    fn a_server_runs_the_authoritys_version() {
        let mut other = introduction(1);
        other.facts.program.version = "0.2.0".into();
        a_destination().when(ADMINISTRATOR, add(other.clone())).refused("version_differs").because(Rejection::VersionDiffers {
            version: name("0.2.0"),
            node: AuthorityNodeId(1),
            node_version: name("0.1.0"),
        });
        // While the authority is being upgraded, nobody joins, whatever they run.
        let upgraded = NodeFacts { version: "0.2.0".into(), ..facts(1) };
        let upgraded = authority_node::Event::Announced { node: AuthorityNodeId(1), facts: checked(&upgraded) };
        let given = || two_nodes().and([site_created(1, "Dublin"), destination_created(1, "vault", 1), upgraded.clone().into()]);
        for introduction in [introduction(1), other] {
            given().when(ADMINISTRATOR, add(introduction)).refused("version_differs");
        }
    }

    fn a_server_carries_out_what_was_agreed_on() {
        let mut older = introduction(1);
        older.facts.program.supported = Level(0);
        a_destination().when(ADMINISTRATOR, add(older)).refused("level_too_low").because(Rejection::LevelTooLow {
            needed: Level(1),
            supported: Level(0),
        });
    }

    fn what_no_server_carries_out_is_not_agreed_on() {
        let next = NodeFacts { supported: Level(2), ..facts(1) };
        let announced = authority_node::Event::Announced { node: AuthorityNodeId(1), facts: checked(&next) };
        let raise = || Command::Cluster(cluster::Command::RaiseLevel { level: Level(2) });
        servers(1).and([announced.clone().into()]).when(ADMINISTRATOR, raise()).refused("level_unsupported").because(
            Rejection::LevelUnsupported { asked: Level(2), by: [FIRST.into()].into_iter().collect() },
        );
        // A dead machine whose place another is to take may have it again.
        let mut newer = replaced(2);
        let Event::Server(server::Event::Replaced { facts, .. }) = &mut newer[1] else { unreachable!("a replacement") };
        facts.program.supported = Level(2);
        an_offline_server().and([announced.clone().into()]).and(newer).when(ADMINISTRATOR, raise()).refused("level_unsupported");
        // A server that is gone does not count.
        servers(1)
            .and([announced.into(), removed()])
            .when(ADMINISTRATOR, raise())
            .then([cluster::Event::LevelRaised { level: Level(2) }.into()]);
    }

    fn what_a_server_says_of_itself_is_checked() {
        let refused = |change: fn(&mut server::Facts), field: &str, fault| {
            let mut introduction = introduction(1);
            change(&mut introduction.facts);
            a_destination().when(ADMINISTRATOR, add(introduction)).refused("invalid_field").for_field(field, fault);
        };
        refused(|facts| facts.guid = guid(0), "guid", FieldFault::Empty);
        refused(|facts| facts.public_key = Hash::ZERO, "public_key", FieldFault::Empty);
        refused(|facts| facts.primary_address = "ark".into(), "primary_address", FieldFault::NoAddress);
        refused(|facts| facts.secondary_address = Some("ark".into()), "secondary_address", FieldFault::NoAddress);
        refused(|facts| facts.ports.peer = 0, "peer_port", FieldFault::OutOfRange { min: 1, max: 65_535 });
        refused(|facts| facts.ports.transfer = 0, "transfer_port", FieldFault::OutOfRange { min: 1, max: 65_535 });
        refused(|facts| facts.program.version = String::new(), "version", FieldFault::Empty);
        refused(|facts| facts.program.platform = String::new(), "platform", FieldFault::Empty);
    }

    fn a_server_is_added_to_a_destination_that_exists() {
        a_cluster().when(ADMINISTRATOR, add(introduction(1))).refused("not_found").because(Rejection::NotFound {
            object: DESTINATION.into(),
        });
    }

    fn names_of_servers_are_unique_while_they_are_there() {
        let taken = Rejection::NameTaken { name: "ARK-1".into(), holder: FIRST.into() };
        servers(1).when(ADMINISTRATOR, add_as("ARK-1", introduction(2))).refused("name_taken").because(taken.clone());
        servers(2)
            .when(ADMINISTRATOR, server_command(server::Command::Edit {
                server: SECOND,
                change: Change { name: Some("ARK-1".into()), ..Change::default() },
            }))
            .refused("name_taken")
            .because(taken);
        servers(2).and([removed()]).when(ADMINISTRATOR, server_command(server::Command::Edit {
            server: SECOND,
            change: Change { name: Some("ark-1".into()), ..Change::default() },
        })).then([server::Event::Edited { server: SECOND, destination: DESTINATION, name: Some(name("ark-1")), addresses: None }.into()]);
    }

    /// Another string of the same machine is of no use: its identity is spent.
    fn an_identity_is_accepted_once() {
        let again = || another_string(1);
        let known = || Rejection::ServerKnown { guid: guid(1), server: FIRST };
        servers(1).when(ADMINISTRATOR, add_as("other", again())).refused("server_known").because(known());
        servers(1).and([removed()]).when(ADMINISTRATOR, add_as("other", again())).refused("server_known").because(known());
        an_offline_server().and(replaced(2)).when(ADMINISTRATOR, add_as("other", again())).refused("server_known").because(known());
    }

    fn the_join_duty_takes_a_server_in() {
        let [joined, ended] = server_joined(1);
        let given = || a_destination().and(added(1));
        let given = given().when(JOIN, join_succeeded()).then([joined, ended]).told(Effect::Changed, FIRST);
        given.when(JOIN, join_succeeded()).under("again").then([]).told(Effect::Unchanged, FIRST);
        servers(1).when(JOIN, join_failed(JoinFailure::Superseded)).then([]).told(Effect::Unchanged, FIRST);
        a_destination().and(added(1)).when(ADMINISTRATOR, join_succeeded()).refused("not_permitted");
        a_destination().and(added(1)).when(DETECTION, join_failed(JoinFailure::Unreachable)).refused("not_permitted");
    }

    fn a_server_that_cannot_be_taken_in_leaves_a_tombstone() {
        for failure in [JoinFailure::Unreachable, JoinFailure::AnotherIdentity] {
            let given = a_destination()
                .and(added(1))
                .when(JOIN, join_failed(failure))
                .then([failed(failure), removed(), ended(1, End::Failed { failure })])
                .told(Effect::Changed, FIRST);
            let refused = given.when(ADMINISTRATOR, add(introduction(1))).under("again").refused("connection_string_used");
            let known = Rejection::ServerKnown { guid: guid(1), server: FIRST };
            refused.because(Rejection::ConnectionStringUsed { server: FIRST }).when(ADMINISTRATOR, add(another_string(1)))
                .under("third").refused("server_known").because(known);
        }
    }

    /// The machine itself said so: it was never taken in, and nothing of it is spent.
    fn a_machine_whose_string_stands_no_longer_comes_again_by_its_newest() {
        for failure in [JoinFailure::Superseded, JoinFailure::Expired] {
            let given = a_destination()
                .and(added(1))
                .when(JOIN, join_failed(failure))
                .then([failed(failure), withdrawn(), ended(1, End::Failed { failure })])
                .told(Effect::Removed, FIRST);
            let task = Task::JoinServer { server: SECOND };
            let facts = checked_server_facts(1);
            let operation = OperationId(2);
            let added = server::Event::Added {
                server: SECOND, destination: DESTINATION, name: name("ark-1"), facts, secret: another_string(1).secret, operation,
            };
            let peer = peer(FIRST, 1);
            let introduced = server::Event::Introduced { server: SECOND, destination: DESTINATION, peer };
            let welcome = Projection { server: SECOND, ..welcome(FIRST, 1) };
            given
                .when(ADMINISTRATOR, add(another_string(1)))
                .under("again")
                .then([started(2, task), added.into(), introduced.into(), welcomed(welcome)])
                .told(Effect::Accepted, operation);
        }
    }

    fn what_was_amiss_with_a_machine_is_over_when_nothing_is_left_of_it() {
        let projection = ProjectionState::Mismatched;
        let reported = server::Event::ProjectionReported { server: FIRST, projection };
        let failure = JoinFailure::Superseded;
        a_destination()
            .and(added(1))
            .and([reported.into(), raised([projection_mismatch(1, FIRST)])])
            .when(JOIN, join_failed(failure))
            .then([failed(failure), withdrawn(), ended(1, End::Failed { failure }), resolved([1])]);
    }

    fn while_a_machine_is_taken_in_another_string_of_it_has_to_wait() {
        a_destination().and(added(1)).when(ADMINISTRATOR, add(another_string(1))).refused("server_joining").because(
            Rejection::ServerJoining { server: FIRST, operation: OperationId(1) },
        );
    }

    fn that_a_server_is_taken_in_can_be_called_off() {
        let cancel = |operation| Command::Operation(operation::Command::Cancel { operation: OperationId(operation) });
        a_destination()
            .and(added(1))
            .when(ADMINISTRATOR, cancel(1))
            .then([removed(), ended(1, End::Cancelled)])
            .told(Effect::Changed, OperationId(1));
        // The place of a dead server stays.
        an_offline_server().and(replaced(2)).when(ADMINISTRATOR, cancel(2)).then([went_offline(FIRST), ended(2, End::Cancelled)]);
    }

    fn nobody_is_missed_who_never_came() {
        a_destination()
            .and(added(1))
            .when(DETECTION, server_command(server::Command::WentOffline { server: FIRST }))
            .then([])
            .told(Effect::Unchanged, FIRST);
        servers(1)
            .when(DETECTION, server_command(server::Command::CameOnline { server: FIRST }))
            .then([])
            .told(Effect::Unchanged, FIRST);
    }

    /// A server that came back, or was changed otherwise, while the duty made up its mind is not failed.
    fn a_failure_that_was_found_before_a_change_is_stale() {
        let planned_on = servers(1).revision();
        servers(1)
            .and([edited(Some("chest"), None)])
            .when(DETECTION, server_command(server::Command::WentOffline { server: FIRST }))
            .planned_on(Some(planned_on))
            .refused("plan_stale")
            .because(Rejection::PlanStale { object: FIRST.into(), planned_on });
        servers(1)
            .when(DETECTION, server_command(server::Command::WentOffline { server: FIRST }))
            .planned_on(Some(Revision::ZERO))
            .refused("plan_stale");
    }

    fn only_failure_detection_fails_a_server() {
        for actor in [ADMINISTRATOR, JOIN, MEMBERSHIP, Actor::Server(FIRST), Actor::Server(SECOND)] {
            servers(2)
                .when(actor, server_command(server::Command::WentOffline { server: FIRST }))
                .refused("not_permitted")
                .because(Rejection::NotPermitted { actor });
        }
    }

    fn a_server_speaks_of_itself_alone() {
        let announce = || server_command(server::Command::Announce { server: FIRST, program: program("0.1.0") });
        servers(2).when(Actor::Server(FIRST), announce()).then([]).told(Effect::Unchanged, FIRST);
        servers(2).when(Actor::Server(SECOND), announce()).refused("not_permitted");
        servers(2).when(ADMINISTRATOR, announce()).refused("not_permitted");
        let report = server::Command::ReportProjection { server: FIRST, projection: ProjectionState::Mismatched };
        servers(2).when(Actor::Server(SECOND), server_command(report)).refused("not_permitted");
    }

    fn the_word_of_a_server_that_is_gone_counts_no_more() {
        let announce = server_command(server::Command::Announce { server: FIRST, program: program("0.1.0") });
        let actor = Actor::Server(FIRST);
        servers(1).and([removed()]).when(actor, announce.clone()).refused("credential_revoked").because(
            Rejection::CredentialRevoked { actor },
        );
        a_destination().when(actor, announce).refused("credential_revoked");
    }

    fn a_name_and_addresses_are_edited() {
        let addresses = |primary: &str, secondary: Option<&str>| {
            Some(Addresses { primary: address(primary), secondary: secondary.map(address), ports: PORTS })
        };
        let both = || Change {
            name: Some("chest".into()),
            primary_address: Some("chest:1".into()),
            secondary_address: Some("chest:2".into()),
        };
        let given = servers(1)
            .when(ADMINISTRATOR, edit(both()))
            .then([edited(Some("chest"), addresses("chest:1", Some("chest:2")))])
            .told(Effect::Changed, FIRST);
        let given = given.when(ADMINISTRATOR, edit(both())).under("again").then([]).told(Effect::Unchanged, FIRST);
        given
            .when(ADMINISTRATOR, edit(Change { secondary_address: Some(String::new()), ..Change::default() }))
            .under("third")
            .then([edited(None, addresses("chest:1", None))]);
        servers(1)
            .when(ADMINISTRATOR, edit(Change { secondary_address: Some("chest".into()), ..Change::default() }))
            .refused("invalid_field")
            .for_field("secondary_address", FieldFault::NoAddress);
        a_destination().when(ADMINISTRATOR, edit(both())).refused("not_found");
    }

    fn maintenance_has_an_end() {
        servers(1).when(ADMINISTRATOR, maintain(10)).then([intended(maintenance(10))]).told(Effect::Changed, FIRST);
        // A span begins when it is decided, whatever the clock of whoever asked for it.
        let span = maintain_as(Lasting::For(9 * MINUTE_MS));
        servers(1).later(MINUTE_MS).when(ADMINISTRATOR, span).then([intended(maintenance(10))]);
        servers(1).when(ADMINISTRATOR, maintain(0)).refused("invalid_field").for_field("until", FieldFault::InThePast);
        let end = || server_command(server::Command::EndMaintenance { server: FIRST });
        let given = || servers(1).and([intended(maintenance(10))]);
        given().later(10 * MINUTE_MS - 1).when(DETECTION, end()).then([]).told(Effect::Unchanged, FIRST);
        given().later(10 * MINUTE_MS).when(DETECTION, end()).then([intended(Intent::Active)]);
        given().later(10 * MINUTE_MS).when(ADMINISTRATOR, end()).refused("not_permitted");
        given()
            .when(ADMINISTRATOR, server_command(server::Command::Activate { server: FIRST }))
            .then([intended(Intent::Active)]);
    }

    fn a_server_is_drained_and_activated_again() {
        let drain = || server_command(server::Command::Drain { server: FIRST });
        let given = servers(1).when(ADMINISTRATOR, drain()).then([intended(Intent::Draining)]).told(Effect::Changed, FIRST);
        let given = given.when(ADMINISTRATOR, drain()).under("again").then([]).told(Effect::Unchanged, FIRST);
        let activate = server_command(server::Command::Activate { server: FIRST });
        given.when(ADMINISTRATOR, activate).under("third").then([intended(Intent::Active)]);
    }

    fn a_server_without_store_points_is_removed() {
        servers(1).when(ADMINISTRATOR, remove()).then([removed()]).told(Effect::Removed, FIRST);
        a_destination().and(added(1)).when(ADMINISTRATOR, remove()).then([ended(1, End::Cancelled), removed()]);
        servers(1).and([removed()]).when(ADMINISTRATOR, remove()).refused("not_found");
        let retired = store_point::Event::Intended { store_point: SHELF, server: FIRST, intent: store_point::Intent::Retired };
        a_shelf().and([retired.into()]).when(ADMINISTRATOR, remove()).then([removed()]);
    }

    fn a_removal_lists_the_store_points_in_the_way() {
        servers(2).and([created(1, 1), created(2, 2), created(3, 1)]).when(ADMINISTRATOR, remove()).refused("in_use").because(
            Rejection::InUse {
                object: FIRST.into(),
                blockers: [
                    Blocker { object: SHELF.into(), name: "shelf 1".into() },
                    Blocker { object: StorePointId(3).into(), name: "shelf 3".into() },
                ]
                .into_iter()
                .collect(),
            },
        );
    }

    fn servers_keep_their_destination_and_site() {
        let blocker = |object, name: &str| Blocker { object, name: name.into() };
        let servers = || servers(2).and([server::Event::Removed { server: SECOND, destination: DESTINATION }.into()]);
        servers()
            .when(ADMINISTRATOR, Command::Destination(destination::Command::Remove { destination: DESTINATION }))
            .refused("in_use")
            .because(Rejection::InUse {
                object: DESTINATION.into(),
                blockers: [blocker(FIRST.into(), "ark-1")].into_iter().collect(),
            });
        servers().when(ADMINISTRATOR, remove_site(1)).refused("in_use").because(Rejection::InUse {
            object: SiteId(1).into(),
            blockers: [blocker(DESTINATION.into(), "vault"), blocker(FIRST.into(), "ark-1")].into_iter().collect(),
        });
        servers()
            .and([removed()])
            .when(ADMINISTRATOR, Command::Destination(destination::Command::Remove { destination: DESTINATION }))
            .then([destination::Event::Removed { destination: DESTINATION }.into()]);
    }

    fn another_machine_takes_the_place_of_a_dead_one() {
        let [started, replaced] = replaced(2);
        an_offline_server()
            .when(ADMINISTRATOR, replace(introduction(2)))
            .then([started, replaced, introduced(FIRST, 2), welcomed(welcome(FIRST, 2))])
            .told(Effect::Accepted, OperationId(2))
            .when(JOIN, join_succeeded())
            .then([server::Event::Joined { server: FIRST }.into(), ended(2, End::Succeeded), resolved([1]), resolved([2])]);
    }

    fn a_server_that_answers_is_not_replaced() {
        for given in [servers(1), a_destination().and(added(1))] {
            given.when(ADMINISTRATOR, replace(introduction(2))).refused("server_not_offline").because(
                Rejection::ServerNotOffline { server: FIRST },
            );
        }
    }

    fn a_place_stays_where_the_newcomer_fails() {
        let failure = JoinFailure::Unreachable;
        let given = an_offline_server()
            .and(replaced(2))
            .when(JOIN, join_failed(failure))
            .then([failed(failure), went_offline(FIRST), ended(2, End::Failed { failure })])
            .told(Effect::Changed, FIRST);
        let refused = given.when(ADMINISTRATOR, replace(introduction(2))).refused("connection_string_used");
        refused
            .because(Rejection::ConnectionStringUsed { server: FIRST })
            .when(ADMINISTRATOR, replace(introduction(1)))
            .refused("server_known")
            .because(Rejection::ServerKnown { guid: guid(1), server: FIRST })
            .when(ADMINISTRATOR, replace(another_string(2)))
            .refused("server_known");
    }

    /// The machine whose place it was to have has it again; the newcomer is free to take that place, or another one.
    fn a_newcomer_whose_string_stands_no_longer_is_free_and_leaves_the_place_as_it_was() {
        let failure = JoinFailure::Superseded;
        let given = || {
            an_offline_server()
                .and(replaced(2))
                .when(JOIN, join_failed(failure))
                .then([
                    failed(failure),
                    went_offline(FIRST),
                    introduced(FIRST, 1),
                    welcomed(welcome(FIRST, 1)),
                    ended(2, End::Failed { failure }),
                ])
                .told(Effect::Changed, FIRST)
        };
        let row = |given: Given| server::Server::clone(given.into_state().servers().get(FIRST).expect("it stays"));
        let (before, after) = (row(an_offline_server()), row(given()));
        assert_eq!(after, server::Server { changed: after.changed, ..before });

        // It answers again, or its place goes to the next.
        let came = || server_command(server::Command::CameOnline { server: FIRST });
        given().when(DETECTION, came()).under("again").then([
            server::Event::CameOnline { server: FIRST }.into(), resolved([1]), resolved([2]),
        ]);
        given().when(ADMINISTRATOR, replace(another_string(1))).under("again").refused("server_known");
        let (operation, secret) = (OperationId(3), another_string(2).secret);
        let facts = || checked_server_facts(2);
        let started = |server| started(3, Task::JoinServer { server });
        given().when(ADMINISTRATOR, replace(another_string(2))).under("again").then([
            started(FIRST),
            server::Event::Replaced { server: FIRST, facts: facts(), secret, operation }.into(),
            introduced(FIRST, 2),
            welcomed(welcome(FIRST, 2)),
        ]);
        let name = name("ark-2");
        let added = server::Event::Added { server: SECOND, destination: DESTINATION, name, facts: facts(), secret, operation };
        let projection = Projection { peers: BTreeMap::from([(FIRST, peer(FIRST, 1))]), ..welcome(SECOND, 2) };
        given().when(ADMINISTRATOR, add_as("ark-2", another_string(2))).under("again").then([
            started(SECOND), added.into(), introduced(SECOND, 2), welcomed(projection),
        ]);
    }

    fn only_administrators_run_servers() {
        let commands = [
            add(introduction(1)), replace(introduction(2)), edit(Change::default()), maintain(10), remove(),
            server_command(server::Command::Drain { server: FIRST }), server_command(server::Command::Activate { server: FIRST }),
        ];
        for command in commands {
            for actor in [JOIN, DETECTION, Actor::Server(FIRST), Actor::AuthorityNode(AuthorityNodeId(1)), Actor::Joiner] {
                servers(1).when(actor, command.clone()).refused("not_permitted");
            }
        }
    }
}

#[test]
fn a_destination_comes_down_to_its_servers_and_store_points() {
    let rolled = |given: Given| RollUp::of(&given.into_state(), DESTINATION);
    let nothing = RollUp { servers: 0, offline_servers: 0, store_points: 0, accepting: Accepting::None };
    assert_eq!(rolled(a_destination()), nothing);
    assert_eq!(RollUp::of(&servers(1).into_state(), DestinationId(2)), nothing);
    assert_eq!(rolled(servers(2)), RollUp { servers: 2, ..nothing });
    let made = || servers(2).and([created(1, 1), created(2, 2), created(3, 2)]);
    let shelves = || made().and([(1, 1), (2, 2), (3, 2)].map(|(shelf, server)| reported(shelf, server, Report::Online)));
    let all = RollUp { servers: 2, store_points: 3, accepting: Accepting::All, ..nothing };
    assert_eq!(rolled(made()), RollUp { accepting: Accepting::None, ..all }, "they are only being made");
    assert_eq!(rolled(shelves()), all);
    let closed = |store_point, server| {
        let flags = Some(Flags { accepting_data: false, ..Flags::default() });
        let (store_point, server) = (StorePointId(store_point), ServerId(server));
        Event::from(store_point::Event::Edited { store_point, server, name: None, flags, quota: None })
    };
    let draining = store_point::Event::Intended { store_point: SHELF, server: FIRST, intent: store_point::Intent::Draining };
    assert_eq!(rolled(shelves().and([closed(3, 2)])), RollUp { accepting: Accepting::Some, ..all });
    let none = shelves().and([draining.into(), closed(2, 2), closed(3, 2)]);
    assert_eq!(rolled(none), RollUp { accepting: Accepting::None, ..all });
    let retired = store_point::Event::Intended { store_point: SHELF, server: FIRST, intent: store_point::Intent::Retired };
    let gone = || shelves().and([retired.clone().into(), removed()]);
    assert_eq!(rolled(gone()), RollUp { servers: 1, store_points: 2, ..all });
    // Backups go nowhere where nobody answers, whatever administrators have set.
    let [second, third] = [2, 3].map(StorePointId);
    let offline = rolled(gone().and([
        went_offline(SECOND),
        raised([destination_offline(1)]),
        raised([server_offline(2, SECOND, by_alert(1))]),
        raised([store_point_out_of_sight(3, second, 2), store_point_out_of_sight(4, third, 2)]),
    ]));
    assert_eq!(offline, RollUp { servers: 1, store_points: 2, offline_servers: 1, accepting: Accepting::None });
    let half = rolled(shelves().and([
        went_offline(SECOND),
        raised([server_offline(1, SECOND, None)]),
        raised([store_point_out_of_sight(2, second, 1), store_point_out_of_sight(3, third, 1)]),
    ]));
    assert_eq!(half, RollUp { offline_servers: 1, accepting: Accepting::Some, ..all });
}
