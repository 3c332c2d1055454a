//! Of servers, their store points, alerts and projections: one value for every variant, and the values that they are made of.

use std::collections::BTreeMap;

use bursar_domain::{
    AlertId, AuthorityNodeId, Hash, Level, ObjectRef, OperationId, Projection, Record, ServerGuid, ServerId, StorePointId,
    Submission,
    alert::{self, Acknowledgement, Alert, Extent, Kind, Raised, Reason, Severity},
    encoding::{DecodeError, decode, encode},
    projection::{self, Listens, Making, Peer},
    server::{
        self, Addresses, CheckedFacts, Condition, Facts, Intent, Introduction, JoinFailure, Ports, Predecessor, Program,
        ProgramFacts, ProjectionState, Server,
    },
    store_point::{self, CreationFailure, Findings, Flags, Found, OfflineReason, Quota, Report, StorePoint},
};

use super::{
    Actor, Command, DESTINATION, Event, LATER, NODE, NOW, OPERATION, Reading, STAMP, Specimen, TOKEN, address, name, path,
    record, submission, text,
};

pub(super) const SERVER: ServerId = ServerId(300);
pub(super) const STORE_POINT: StorePointId = StorePointId(7);
pub(super) const ALERT: AlertId = AlertId(1 << 33);
pub(super) const GUID: ServerGuid = ServerGuid([0xb6; 16]);
const PORTS: Ports = Ports { peer: 4283, transfer: 4286 };

pub(super) fn servers() -> Vec<Specimen> {
    let rows = family! { "server": Server => Server, |server| server, |server| server;
        "replacement": Server { predecessor: None, .. } => Server { former: vec![ServerGuid([1; 16])], ..server() },
        "replacing": Server { predecessor: Some(_), .. } => Server {
            former: vec![ServerGuid([1; 16])],
            predecessor: Some(Box::new(Predecessor { facts: checked_facts(), secret: Hash([7; 32]) })),
            condition: Condition::Joining { operation: OperationId(40) },
            ..server()
        },
    };
    let intents = family! { "server_intent": Intent => Server, |intent| Server { intent, ..server() }, |server| &server.intent;
        "active": Intent::Active => Intent::Active,
        "maintenance": Intent::Maintenance { .. } => maintenance(),
        "draining": Intent::Draining => Intent::Draining,
        "removed": Intent::Removed => Intent::Removed,
    };
    fn being(condition: Condition) -> Server {
        Server { condition, ..server() }
    }
    let conditions = family! { "server_condition": Condition => Server, being, |server| &server.condition;
        "joining": Condition::Joining { .. } => Condition::Joining { operation: OPERATION },
        "online": Condition::Online => Condition::Online,
        "offline": Condition::Offline => Condition::Offline,
        "excluded": Condition::Excluded => Condition::Excluded,
    };
    fn holding(projection: ProjectionState) -> Server {
        Server { projection, ..server() }
    }
    let projection_states = family! { "projection_state": ProjectionState => Server, holding, |server| &server.projection;
        "matching": ProjectionState::Matching => ProjectionState::Matching,
        "mismatched": ProjectionState::Mismatched => ProjectionState::Mismatched,
    };
    fn failing(failure: JoinFailure) -> Record {
        record(Event::Server(server::Event::JoinFailed { server: SERVER, failure }))
    }
    fn failure(record: &Record) -> &JoinFailure {
        let Event::Server(server::Event::JoinFailed { failure, .. }) = &record.event else { panic!("a failure was expected") };
        failure
    }
    let failures = family! { "join_failure": JoinFailure => Record, failing, failure;
        "unreachable": JoinFailure::Unreachable => JoinFailure::Unreachable,
        "another_identity": JoinFailure::AnotherIdentity => JoinFailure::AnotherIdentity,
        "superseded": JoinFailure::Superseded => JoinFailure::Superseded,
        "expired": JoinFailure::Expired => JoinFailure::Expired,
    };
    [rows, intents, conditions, projection_states, failures].into_iter().flatten().collect()
}

pub(super) fn store_points() -> Vec<Specimen> {
    let rows = family! { "store_point": StorePoint => StorePoint, |store_point| store_point, |store_point| store_point;
        "unlimited": StorePoint { quota: Quota::Unlimited, .. } => store_point(),
        "limited": StorePoint { quota: Quota::Bytes(_), .. } => StorePoint { quota: Quota::Bytes(1 << 42), ..store_point() },
    };
    fn wanted(intent: store_point::Intent) -> StorePoint {
        StorePoint { intent, ..store_point() }
    }
    let intents = family! { "store_point_intent": store_point::Intent => StorePoint, wanted, |store_point| &store_point.intent;
        "active": store_point::Intent::Active => store_point::Intent::Active,
        "draining": store_point::Intent::Draining => store_point::Intent::Draining,
        "retired": store_point::Intent::Retired => store_point::Intent::Retired,
    };
    fn being(condition: store_point::Condition) -> StorePoint {
        StorePoint { condition, ..store_point() }
    }
    let conditions = family! {
        "store_point_condition": store_point::Condition => StorePoint, being, |store_point| &store_point.condition;
        "creating": store_point::Condition::Creating => store_point::Condition::Creating,
        "failed": store_point::Condition::Failed(_) => store_point::Condition::Failed(CreationFailure::NotWritable),
        "online": store_point::Condition::Online => store_point::Condition::Online,
        "offline": store_point::Condition::Offline(_) => store_point::Condition::Offline(OfflineReason::IoFailing),
        "unknown": store_point::Condition::Unknown => store_point::Condition::Unknown,
    };
    fn reporting(report: Report) -> Record {
        record(Event::StorePoint(store_point::Event::Reported { store_point: STORE_POINT, server: SERVER, report }))
    }
    fn report(record: &Record) -> &Report {
        let Event::StorePoint(store_point::Event::Reported { report, .. }) = &record.event else {
            panic!("a report was expected")
        };
        report
    }
    fn reason(record: &Record) -> &OfflineReason {
        let Report::Offline(reason) = report(record) else { panic!("a reason was expected") };
        reason
    }
    fn failure(record: &Record) -> &CreationFailure {
        let Report::Failed(failure) = report(record) else { panic!("a failure was expected") };
        failure
    }
    let reports = family! { "store_point_report": Report => Record, reporting, report;
        "online": Report::Online => Report::Online,
        "offline": Report::Offline(_) => Report::Offline(OfflineReason::ReadOnly),
        "failed": Report::Failed(_) => Report::Failed(CreationFailure::PathMissing),
    };
    let reasons = family! { "offline_reason": OfflineReason => Record, |reason| reporting(Report::Offline(reason)), reason;
        "read_only": OfflineReason::ReadOnly => OfflineReason::ReadOnly,
        "missing": OfflineReason::Missing => OfflineReason::Missing,
        "foreign_identity": OfflineReason::ForeignIdentity => OfflineReason::ForeignIdentity,
        "io_failing": OfflineReason::IoFailing => OfflineReason::IoFailing,
    };
    let failures = family! {
        "creation_failure": CreationFailure => Record, |failure| reporting(Report::Failed(failure)), failure;
        "path_missing": CreationFailure::PathMissing => CreationFailure::PathMissing,
        "directory_exists": CreationFailure::DirectoryExists => CreationFailure::DirectoryExists,
        "not_writable": CreationFailure::NotWritable => CreationFailure::NotWritable,
        "io_failing": CreationFailure::IoFailing => CreationFailure::IoFailing,
    };
    fn finding(found: Found) -> Submission {
        submission(Command::StorePoint(create(Findings { found, ..findings() })))
    }
    fn found(submission: &Submission) -> &Found {
        let Command::StorePoint(store_point::Command::Create { findings, .. }) = &submission.command else {
            panic!("findings were expected")
        };
        &findings.found
    }
    let finds = family! { "found": Found => Submission, finding, found;
        "nothing": Found::Nothing => Found::Nothing,
        "directory": Found::Directory => Found::Directory,
        "something_else": Found::SomethingElse => Found::SomethingElse,
    };
    [rows, intents, conditions, reports, reasons, failures, finds].into_iter().flatten().collect()
}

pub(super) fn alerts() -> Vec<Specimen> {
    let rows = family! { "alert": Alert => Alert, |alert| alert, |alert| alert;
        "unnoted": Alert { acknowledgement: None, .. } => alert(),
        "acknowledged": Alert { acknowledgement: Some(_), .. } => Alert {
            acknowledgement: Some(Acknowledgement { by: Actor::Token(TOKEN), at: LATER, note: text("seen to") }),
            ..alert()
        },
    };
    let kinds = family! { "alert_kind": Kind => Alert, |kind| Alert { kind, ..alert() }, |alert| &alert.kind;
        "store_point_offline": Kind::StorePointOffline => Kind::StorePointOffline,
        "server_offline": Kind::ServerOffline => Kind::ServerOffline,
        "destination_offline": Kind::DestinationOffline => Kind::DestinationOffline,
        "version_conflict": Kind::VersionConflict => Kind::VersionConflict,
        "projection_mismatch": Kind::ProjectionMismatch => Kind::ProjectionMismatch,
    };
    fn weighing(severity: Severity) -> Alert {
        Alert { severity, ..alert() }
    }
    let severities = family! { "severity": Severity => Alert, weighing, |alert| &alert.severity;
        "warning": Severity::Warning => Severity::Warning,
        "critical": Severity::Critical => Severity::Critical,
    };
    let extents = family! { "extent": Extent => Alert, |extent| Alert { extent, ..alert() }, |alert| &alert.extent;
        "partial": Extent::Partial => Extent::Partial,
        "whole": Extent::Whole => Extent::Whole,
    };
    fn explained(reason: Reason) -> Alert {
        Alert { reason, ..alert() }
    }
    let reasons = family! { "alert_reason": Reason => Alert, explained, |alert| &alert.reason;
        "unusable": Reason::Unusable(_) => Reason::Unusable(OfflineReason::ForeignIdentity),
        "server_silent": Reason::ServerSilent => Reason::ServerSilent,
        "silent": Reason::Silent => Reason::Silent,
        "all_servers_silent": Reason::AllServersSilent => Reason::AllServersSilent,
        "version_differs": Reason::VersionDiffers => Reason::VersionDiffers,
        "digest_differs": Reason::DigestDiffers => Reason::DigestDiffers,
    };
    fn being(condition: alert::Condition) -> Alert {
        Alert { condition, ..alert() }
    }
    let conditions = family! { "alert_condition": alert::Condition => Alert, being, |alert| &alert.condition;
        "firing": alert::Condition::Firing { .. } => alert::Condition::Firing { since: NOW },
        "resolved": alert::Condition::Resolved { .. } => alert::Condition::Resolved { since: NOW, at: LATER },
    };
    [rows, kinds, severities, reasons, extents, conditions].into_iter().flatten().collect()
}

pub(super) fn projections() -> Vec<Specimen> {
    let projections = family! { "projection": Projection => Projection, |projection| projection, |projection| projection;
        "knowing": Projection { .. } => projection(),
    };
    fn making(making: Making) -> Projection {
        let mut projection = projection();
        projection.store_points.values_mut().for_each(|store_point| store_point.making = making);
        projection
    }
    fn made(projection: &Projection) -> &Making {
        &projection.store_points[&STORE_POINT].making
    }
    let makings = family! { "making": Making => Projection, making, made;
        "wanted": Making::Wanted => Making::Wanted,
        "done": Making::Done => Making::Done,
        "failed": Making::Failed => Making::Failed,
    };
    [projections, makings].into_iter().flatten().collect()
}

pub(super) fn facts() -> Facts {
    Facts {
        guid: GUID,
        primary_address: "ark.example:4288".into(),
        secondary_address: Some("[2001:db8::9]:4288".into()),
        ports: PORTS,
        public_key: Hash([0xd7; 32]),
        tls_fingerprint: Hash([0xe8; 32]),
        program: ProgramFacts { version: "0.1.0".into(), platform: "linux-x86_64".into(), supported: Level(1) },
    }
}

pub(super) fn checked_facts() -> CheckedFacts {
    CheckedFacts {
        guid: GUID,
        addresses: Addresses {
            primary: address("ark.example:4288"),
            secondary: Some(address("[2001:db8::9]:4288")),
            ports: PORTS,
        },
        public_key: Hash([0xd7; 32]),
        tls_fingerprint: Hash([0xe8; 32]),
        program: Program { version: name("0.1.0"), platform: name("linux-x86_64"), supported: Level(1) },
    }
}

pub(super) fn introduction() -> Introduction {
    Introduction { facts: facts(), secret: Hash([6; 32]), expires_at: LATER, license_key: vec![7; 32] }
}

pub(super) fn maintenance() -> Intent {
    Intent::Maintenance { until: LATER, reason: text("new disks") }
}

pub(super) fn findings() -> Findings {
    Findings {
        found: Found::Directory,
        canonical_path: "/srv/first".into(),
        writable: true,
        within: Some(STORE_POINT),
        foreign_identity: false,
        free_bytes: 1 << 40,
    }
}

pub(super) fn create(findings: Findings) -> store_point::Command {
    store_point::Command::Create {
        server: SERVER,
        name: "first shelf".into(),
        path: "/srv/first".into(),
        notes: "call the vendor\n".into(),
        quota: Quota::Unlimited,
        findings,
    }
}

pub(super) fn peer() -> Peer {
    Peer { name: name("ark"), addresses: checked_facts().addresses, guid: GUID }
}

pub(super) fn raised(number: u64) -> Raised {
    Raised {
        alert: AlertId(number),
        kind: Kind::StorePointOffline,
        severity: Severity::Critical,
        subject: ObjectRef::StorePoint(StorePointId(number)),
        text: "Store point is unavailable: first shelf".into(),
        reason: Reason::Unusable(OfflineReason::IoFailing),
        extent: Extent::Whole,
        inhibited_by: (number > 0).then_some(ObjectRef::Alert(AlertId(0))),
    }
}

pub(super) fn projection() -> Projection {
    Projection {
        server: SERVER,
        name: name("ark"),
        addresses: checked_facts().addresses,
        destination: DESTINATION,
        intent: Intent::Active,
        authority: BTreeMap::from([(NODE, listens("n2")), (AuthorityNodeId(3), listens("n3"))]),
        peers: BTreeMap::from([(ServerId(301), peer())]),
        store_points: BTreeMap::from([(STORE_POINT, projection::StorePoint::from(&store_point()))]),
    }
}

fn listens(host: &str) -> Listens {
    Listens { control: address(&format!("{host}.example:4288")), peer: address(&format!("{host}.example:4283")) }
}

fn server() -> Server {
    Server {
        id: SERVER,
        name: name("ark"),
        destination: DESTINATION,
        facts: checked_facts(),
        former: Vec::new(),
        secret: Hash([6; 32]),
        predecessor: None,
        intent: Intent::Active,
        condition: Condition::Online,
        projection: ProjectionState::Matching,
        created: STAMP,
        changed: STAMP,
    }
}

fn store_point() -> StorePoint {
    StorePoint {
        id: STORE_POINT,
        server: SERVER,
        name: name("first shelf"),
        path: path("/srv/first"),
        directory: store_point::directory_name(SERVER, STORE_POINT),
        notes: text("call the vendor\n"),
        flags: Flags::default(),
        quota: Quota::Unlimited,
        intent: store_point::Intent::Active,
        condition: store_point::Condition::Online,
        created: STAMP,
        changed: STAMP,
    }
}

fn alert() -> Alert {
    Alert {
        id: ALERT,
        kind: Kind::ServerOffline,
        severity: Severity::Critical,
        subject: ObjectRef::Server(SERVER),
        text: "Server is offline: ark".into(),
        reason: Reason::Silent,
        extent: Extent::Whole,
        condition: alert::Condition::Firing { since: NOW },
        occurrences: 3,
        inhibited_by: Some(ObjectRef::Destination(DESTINATION)),
        acknowledgement: None,
        created: STAMP,
        changed: STAMP,
    }
}
