//! The servers, store points and alerts that rules are about.

use bursar_domain::{
    AbsolutePath, Actor, AlertId, Command, DestinationId, Duty, Event, Hash, Level, ObjectRef, OperationId, ServerGuid, ServerId,
    StorePointId,
    alert::{self, Extent, Kind, Raised, Reason},
    operation::{End, Task},
    projection::Listens,
    server::{self, Addresses, CheckedFacts, Facts, Introduction, Ports, Program, ProgramFacts},
    store_point::{self, Findings, Flags, Found, OfflineReason, Quota, Report},
    text::Address,
};

use crate::book::*;

pub const JOIN: Actor = Actor::Duty(Duty::Join);
pub const DETECTION: Actor = Actor::Duty(Duty::FailureDetection);
pub const DESTINATION: DestinationId = DestinationId(1);
pub const FIRST: ServerId = ServerId(1);
pub const SECOND: ServerId = ServerId(2);
pub const PORTS: Ports = Ports { peer: 4283, transfer: 4286 };
pub const SHELF: StorePointId = StorePointId(1);

/// A destination without servers.
pub fn a_destination() -> Given {
    a_cluster().and([site_created(1, "Dublin"), destination_created(1, "vault", 1)])
}

/// A destination with that many servers, all online; server `n` came by operation `n` and is called `ark-n`.
pub fn servers(count: u64) -> Given {
    (1..=count).fold(a_destination(), |given, number| given.and(added(number)).and(server_joined(number)))
}

/// A destination with one server, which has one store point, which works.
pub fn a_shelf() -> Given {
    servers(1).and([created(1, 1), reported(1, 1, Report::Online)])
}

pub fn guid(machine: u8) -> ServerGuid {
    ServerGuid([machine; 16])
}

pub fn server_name(server: u64) -> String {
    format!("ark-{server}")
}

pub fn program(version: &str) -> ProgramFacts {
    ProgramFacts { version: version.into(), platform: "linux-x86_64".into(), supported: Level(1) }
}

/// Of the machine with that number.
pub fn server_facts(machine: u8) -> Facts {
    Facts {
        guid: guid(machine),
        primary_address: format!("ark{machine}.example:4288"),
        secondary_address: None,
        ports: PORTS,
        public_key: Hash::of(&[b's', machine]),
        tls_fingerprint: Hash::of(&[b't', machine]),
        program: program("0.1.0"),
    }
}

pub fn checked_server_facts(machine: u8) -> CheckedFacts {
    let facts = server_facts(machine);
    CheckedFacts {
        guid: facts.guid,
        addresses: Addresses { primary: address(&facts.primary_address), secondary: None, ports: PORTS },
        public_key: facts.public_key,
        tls_fingerprint: facts.tls_fingerprint,
        program: checked_program(&facts.program),
    }
}

/// Where the authority node of that machine listens.
pub fn listens(machine: u8) -> Listens {
    let facts = checked_facts(machine);
    Listens { control: facts.control_address, peer: facts.peer_address }
}

pub fn checked_program(program: &ProgramFacts) -> Program {
    Program { version: name(&program.version), platform: name(&program.platform), supported: program.supported }
}

pub fn address(text: &str) -> Address {
    Address::parse("address", text).expect("a proper address")
}

pub fn path(text: &str) -> AbsolutePath {
    AbsolutePath::parse("path", text).expect("a proper path")
}

/// What the connection string of that machine says; it lasts an hour.
pub fn introduction(machine: u8) -> Introduction {
    Introduction {
        facts: server_facts(machine),
        secret: Hash::of(&[b'o', machine]),
        expires_at: START.plus_ms(60 * MINUTE_MS),
        license_key: vec![1; 32],
    }
}

/// Server `n` was added by operation `n`.
pub fn added(number: u64) -> [Event; 2] {
    added_as(ServerId(number), u8::try_from(number).expect("few servers"), number)
}

/// That machine was added as that server, by that operation.
pub fn added_as(server: ServerId, machine: u8, operation: u64) -> [Event; 2] {
    let operation = OperationId(operation);
    let added = server::Event::Added {
        server,
        destination: DESTINATION,
        name: name(&server_name(server.0)),
        facts: checked_server_facts(machine),
        secret: introduction(machine).secret,
        operation,
    };
    [started(operation.0, Task::JoinServer { server }), added.into()]
}

pub fn server_joined(number: u64) -> [Event; 2] {
    [server::Event::Joined { server: ServerId(number) }.into(), ended(number, End::Succeeded)]
}

pub fn went_offline(server: ServerId) -> Event {
    server::Event::WentOffline { server }.into()
}

pub fn came_online(server: ServerId) -> Event {
    server::Event::CameOnline { server }.into()
}

/// Store point `n` is to be made on a server, at `/srv/n`, as `shelf n`.
pub fn created(number: u64, server: u64) -> Event {
    let (store_point, server) = (StorePointId(number), ServerId(server));
    store_point::Event::Created {
        store_point,
        server,
        name: name(&format!("shelf {number}")),
        path: path(&format!("/srv/{number}")),
        directory: store_point::directory_name(server, store_point),
        flags: Flags::default(),
        quota: Quota::Unlimited,
    }
    .into()
}

pub fn reported(number: u64, server: u64, report: Report) -> Event {
    store_point::Event::Reported { store_point: StorePointId(number), server: ServerId(server), report }.into()
}

/// What a server finds at a path that will do.
pub fn findings(path: &str) -> Findings {
    Findings {
        found: Found::Directory,
        canonical_path: path.into(),
        writable: true,
        within: None,
        foreign_identity: false,
        free_bytes: 1 << 40,
    }
}

pub fn report(store_point: StorePointId, report: Report) -> Command {
    Command::StorePoint(store_point::Command::Report { store_point, report })
}

pub const MISSING: Report = Report::Offline(OfflineReason::Missing);

pub fn server_command(command: server::Command) -> Command {
    Command::Server(command)
}

// Alerts.

pub fn raised(alerts: impl IntoIterator<Item = Raised>) -> Event {
    alert::Event::Raised { alerts: alerts.into_iter().collect() }.into()
}

pub fn resolved(alerts: impl IntoIterator<Item = u64>) -> Event {
    alert::Event::Resolved { alerts: alerts.into_iter().map(AlertId).collect() }.into()
}

pub fn covered(alerts: impl IntoIterator<Item = (u64, Option<ObjectRef>)>) -> Event {
    let alerts = alerts.into_iter().map(|(alert, by)| alert::Covered { alert: AlertId(alert), by });
    alert::Event::Covered { alerts: alerts.collect() }.into()
}

pub fn worsened(alert: u64) -> Event {
    alert::Event::Worsened { alerts: vec![AlertId(alert)] }.into()
}

pub fn explained(alert: u64, reason: Reason) -> Event {
    alert::Event::Explained { alerts: vec![alert::Explained { alert: AlertId(alert), reason }] }.into()
}

pub fn acknowledged(alerts: impl IntoIterator<Item = u64>) -> Event {
    alert::Event::Acknowledged { alerts: alerts.into_iter().map(AlertId).collect(), note: description("seen to") }.into()
}

pub fn by_alert(alert: u64) -> Option<ObjectRef> {
    Some(AlertId(alert).into())
}

/// One that nothing covers.
fn alert(number: u64, kind: Kind, subject: impl Into<ObjectRef>, text: String, reason: Reason) -> Raised {
    let (alert, subject) = (AlertId(number), subject.into());
    Raised { alert, kind, severity: kind.severity(), subject, text, reason, extent: Extent::Whole, inhibited_by: None }
}

pub fn server_offline(number: u64, server: ServerId, inhibited_by: Option<ObjectRef>) -> Raised {
    let text = format!("Server is offline: {}", server_name(server.0));
    Raised { inhibited_by, ..alert(number, Kind::ServerOffline, server, text, Reason::Silent) }
}

pub fn destination_offline(number: u64) -> Raised {
    alert(number, Kind::DestinationOffline, DESTINATION, "Destination is offline: vault".into(), Reason::AllServersSilent)
}

/// It is missing.
pub fn store_point_offline(number: u64, store_point: StorePointId, inhibited_by: Option<ObjectRef>) -> Raised {
    let text = format!("Store point is unavailable: shelf {}", store_point.0);
    Raised { inhibited_by, ..alert(number, Kind::StorePointOffline, store_point, text, Reason::Unusable(OfflineReason::Missing)) }
}

/// Nothing is known of it, for its server is silent: that alert covers its own.
pub fn store_point_out_of_sight(number: u64, store_point: StorePointId, servers_alert: u64) -> Raised {
    Raised { reason: Reason::ServerSilent, ..store_point_offline(number, store_point, by_alert(servers_alert)) }
}

pub fn version_conflict(number: u64, server: ServerId, version: &str) -> Raised {
    let name = server_name(server.0);
    let text = format!("Server version is not the same as the master: {name}, version = {version}");
    alert(number, Kind::VersionConflict, server, text, Reason::VersionDiffers)
}

pub fn projection_mismatch(number: u64, server: ServerId) -> Raised {
    let text = format!("Server holds another state than the authority: {}", server_name(server.0));
    alert(number, Kind::ProjectionMismatch, server, text, Reason::DigestDiffers)
}
