//! One value for every variant of every enum that rests or travels, each inside the type that carries it.
//!
//! A family is a table: the variant's name, a pattern, a value. The patterns of a family make up one `match` without a
//! wildcard, so a new variant does not compile before it has a line here, and a line here is a file of the corpus.

use bursar_domain::{
    AbsolutePath, Actor, Audience, AuthorityNodeId, Blocker, Closing, ClusterId, Command, Cursor, DecisionSpan, DestinationId,
    Duty, Effect, Epoch, Event, ExpectedRevision, FieldFault, Hash, JoinTokenId, Level, Name, ObjectRef, OperationId, Outcome,
    Record, Rejection, Reply, RequestId, Revision, SiteId, Stamp, StoreId, Submission, Text, Timestamp, TokenId, alert,
    authority_node::{self, AuthorityNode, CheckedFacts, Facts, Intent},
    cluster::{self, Cluster},
    destination::{self, Balancing, Change, DailyWindow, Destination, FreeSpaceThresholds},
    encoding::{DecodeError, decode, encode},
    join_token::{self, JoinToken},
    operation::{self, End, Operation, Reached, Status, Step, Task, Wait, WaitCode},
    requests::Remembered,
    server::{self, JoinFailure},
    site::{self, Site},
    state::{Counters, Header},
    store_point,
    text::Address,
    token::{self, Token},
};

/// One variant, inside the type that carries it.
pub struct Specimen {
    /// The enum, or the carrier, as a folder of the corpus.
    pub family: &'static str,
    /// The variant, as a file of the corpus.
    pub variant: &'static str,
    /// What this program writes.
    pub bytes: Vec<u8>,
    /// Decodes bytes of the family, and tells which variant they hold and how this program would write them.
    pub read: fn(&[u8]) -> Result<Reading, DecodeError>,
}

/// What a file of the corpus turned out to hold.
pub struct Reading {
    /// The variant's name.
    pub variant: &'static str,
    /// The value encoded again.
    pub again: Vec<u8>,
}

impl Specimen {
    /// The file's place within the corpus.
    pub fn path(&self) -> String {
        format!("{}/{}.v1.msgpack", self.family, self.variant)
    }
}

macro_rules! family {
    ($family:literal: $value:ty => $carrier:ty, $wrap:expr, $find:expr; $($variant:literal: $pattern:pat => $specimen:expr,)*) => {{
        fn variant(value: &$value) -> &'static str {
            match value {
                $($pattern => $variant,)*
            }
        }
        fn read(bytes: &[u8]) -> Result<Reading, DecodeError> {
            let find: fn(&$carrier) -> &$value = $find;
            let carrier: $carrier = decode(bytes)?;
            Ok(Reading { variant: variant(find(&carrier)), again: encode(&carrier) })
        }
        let wrap: fn($value) -> $carrier = $wrap;
        vec![$(Specimen { family: $family, variant: $variant, bytes: encode(&wrap($specimen)), read }),*]
    }};
}

#[path = "fleet.rs"]
mod fleet;

use fleet::{ALERT, GUID, SERVER, STORE_POINT};

/// Every specimen there is.
pub fn all() -> Vec<Specimen> {
    [
        commands(),
        submissions(),
        request_ids(),
        actors(),
        duties(),
        objects(),
        events(),
        records(),
        audiences(),
        ends(),
        outcomes(),
        effects(),
        rejections(),
        field_faults(),
        operations(),
        authority_nodes(),
        scalars(),
        rows(),
        fleet::servers(),
        fleet::store_points(),
        fleet::alerts(),
        fleet::projections(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Everything that can be asked for.
pub fn commands() -> Vec<Specimen> {
    family! { "command": Command => Submission, submission, |submission| &submission.command;
        "cluster.found": Command::Cluster(cluster::Command::Found { .. }) => Command::Cluster(cluster::Command::Found {
            cluster: CLUSTER,
            license_key: vec![7; 32],
            ca_certificate: CERTIFICATE.into(),
            sealed_ca_key: vec![0xfe; 300],
            setup_secret: Hash([2; 32]),
            node: facts(),
        }),
        "cluster.raise_level": Command::Cluster(cluster::Command::RaiseLevel { .. }) =>
            Command::Cluster(cluster::Command::RaiseLevel { level: Level(2) }),
        "authority_node.admit": Command::AuthorityNode(authority_node::Command::Admit { .. }) =>
            Command::AuthorityNode(authority_node::Command::Admit {
                secret: Hash([3; 32]),
                public_key: PUBLIC_KEY,
                facts: facts(),
            }),
        "authority_node.announce": Command::AuthorityNode(authority_node::Command::Announce { .. }) =>
            Command::AuthorityNode(authority_node::Command::Announce { node: NODE, facts: facts() }),
        "authority_node.edit": Command::AuthorityNode(authority_node::Command::Edit { .. }) =>
            Command::AuthorityNode(authority_node::Command::Edit { node: NODE, site: Some(SITE) }),
        "authority_node.remove": Command::AuthorityNode(authority_node::Command::Remove { .. }) =>
            Command::AuthorityNode(authority_node::Command::Remove { node: NODE }),
        "authority_node.settle": Command::AuthorityNode(authority_node::Command::Settle { .. }) =>
            Command::AuthorityNode(authority_node::Command::Settle { node: NODE }),
        "join_token.issue": Command::JoinToken(join_token::Command::Issue { .. }) =>
            Command::JoinToken(join_token::Command::Issue { secret: Hash([3; 32]), expires_at: LATER }),
        "join_token.revoke": Command::JoinToken(join_token::Command::Revoke { .. }) =>
            Command::JoinToken(join_token::Command::Revoke { token: JOIN_TOKEN }),
        "site.create": Command::Site(site::Command::Create { .. }) =>
            Command::Site(site::Command::Create { name: "Dublin".into(), expected_latency_ms: 70_000 }),
        "site.edit": Command::Site(site::Command::Edit { .. }) =>
            Command::Site(site::Command::Edit { site: SITE, name: Some("Málaga".into()), expected_latency_ms: None }),
        "site.remove": Command::Site(site::Command::Remove { .. }) => Command::Site(site::Command::Remove { site: SITE }),
        "destination.create": Command::Destination(destination::Command::Create { .. }) =>
            Command::Destination(destination::Command::Create {
                name: "vault".into(),
                description: "two\nlines".into(),
                site: SITE,
                offered: true,
                balancing: balancing(),
                free_space: FreeSpaceThresholds::default(),
            }),
        "destination.edit": Command::Destination(destination::Command::Edit { .. }) =>
            Command::Destination(destination::Command::Edit {
                destination: DESTINATION,
                change: Change { description: Some(String::new()), offered: Some(false), ..Change::default() },
            }),
        "destination.remove": Command::Destination(destination::Command::Remove { .. }) =>
            Command::Destination(destination::Command::Remove { destination: DESTINATION }),
        "server.add": Command::Server(server::Command::Add { .. }) => Command::Server(server::Command::Add {
            destination: DESTINATION,
            name: "ark".into(),
            introduction: fleet::introduction(),
        }),
        "server.replace": Command::Server(server::Command::Replace { .. }) =>
            Command::Server(server::Command::Replace { server: SERVER, introduction: fleet::introduction() }),
        "server.edit": Command::Server(server::Command::Edit { .. }) => Command::Server(server::Command::Edit {
            server: SERVER,
            change: server::Change {
                name: None,
                primary_address: Some("ark.example:4288".into()),
                secondary_address: Some(String::new()),
            },
        }),
        "server.maintain": Command::Server(server::Command::Maintain { .. }) => Command::Server(server::Command::Maintain {
            server: SERVER,
            lasting: server::Lasting::Until(LATER),
            reason: "new disks".into(),
        }),
        "server.end_maintenance": Command::Server(server::Command::EndMaintenance { .. }) =>
            Command::Server(server::Command::EndMaintenance { server: SERVER }),
        "server.drain": Command::Server(server::Command::Drain { .. }) =>
            Command::Server(server::Command::Drain { server: SERVER }),
        "server.activate": Command::Server(server::Command::Activate { .. }) =>
            Command::Server(server::Command::Activate { server: SERVER }),
        "server.remove": Command::Server(server::Command::Remove { .. }) =>
            Command::Server(server::Command::Remove { server: SERVER }),
        "server.join_succeeded": Command::Server(server::Command::JoinSucceeded { .. }) =>
            Command::Server(server::Command::JoinSucceeded { server: SERVER }),
        "server.join_failed": Command::Server(server::Command::JoinFailed { .. }) =>
            Command::Server(server::Command::JoinFailed { server: SERVER, failure: JoinFailure::Superseded }),
        "server.went_offline": Command::Server(server::Command::WentOffline { .. }) =>
            Command::Server(server::Command::WentOffline { server: SERVER }),
        "server.came_online": Command::Server(server::Command::CameOnline { .. }) =>
            Command::Server(server::Command::CameOnline { server: SERVER }),
        "server.announce": Command::Server(server::Command::Announce { .. }) =>
            Command::Server(server::Command::Announce { server: SERVER, program: fleet::facts().program }),
        "server.report_projection": Command::Server(server::Command::ReportProjection { .. }) =>
            Command::Server(server::Command::ReportProjection {
                server: SERVER,
                projection: server::ProjectionState::Mismatched,
            }),
        "store_point.create": Command::StorePoint(store_point::Command::Create { .. }) =>
            Command::StorePoint(fleet::create(fleet::findings())),
        "store_point.edit": Command::StorePoint(store_point::Command::Edit { .. }) =>
            Command::StorePoint(store_point::Command::Edit {
                store_point: STORE_POINT,
                change: store_point::Change { accepting_data: Some(false), ..store_point::Change::default() },
            }),
        "store_point.drain": Command::StorePoint(store_point::Command::Drain { .. }) =>
            Command::StorePoint(store_point::Command::Drain { store_point: STORE_POINT }),
        "store_point.activate": Command::StorePoint(store_point::Command::Activate { .. }) =>
            Command::StorePoint(store_point::Command::Activate { store_point: STORE_POINT }),
        "store_point.remove": Command::StorePoint(store_point::Command::Remove { .. }) =>
            Command::StorePoint(store_point::Command::Remove { store_point: STORE_POINT }),
        "store_point.report": Command::StorePoint(store_point::Command::Report { .. }) =>
            Command::StorePoint(store_point::Command::Report {
                store_point: STORE_POINT,
                report: store_point::Report::Offline(store_point::OfflineReason::ForeignIdentity),
            }),
        "alert.acknowledge": Command::Alert(alert::Command::Acknowledge { .. }) =>
            Command::Alert(alert::Command::Acknowledge { alerts: vec![ALERT], note: "seen to".into(), unnoted_only: true }),
        "operation.report": Command::Operation(operation::Command::Report { .. }) =>
            Command::Operation(operation::Command::Report {
                operation: OPERATION,
                step: Some(Step::Learning),
                waiting_on: vec![(WaitCode::NodeCatchingUp, NODE.into()), (WaitCode::MembershipChange, ObjectRef::Cluster)],
            }),
        "operation.cancel": Command::Operation(operation::Command::Cancel { .. }) =>
            Command::Operation(operation::Command::Cancel { operation: OPERATION }),
        "token.issue": Command::Token(token::Command::Issue { .. }) => Command::Token(token::Command::Issue {
            name: "on call".into(),
            secret: Hash([4; 32]),
            expires_at: Some(LATER),
            setup_secret: Some(Hash([2; 32])),
        }),
        "token.revoke": Command::Token(token::Command::Revoke { .. }) =>
            Command::Token(token::Command::Revoke { token: TOKEN }),
    }
}

/// Everything that can have happened.
pub fn events() -> Vec<Specimen> {
    family! { "event": Event => Record, record, |record| &record.event;
        "cluster.founded": Event::Cluster(cluster::Event::Founded { .. }) => Event::Cluster(cluster::Event::Founded {
            cluster: CLUSTER,
            license_key: vec![7; 32],
            ca_certificate: CERTIFICATE.into(),
            sealed_ca_key: vec![0xfe; 300],
            setup_secret: Hash([2; 32]),
        }),
        "cluster.setup_claimed": Event::Cluster(cluster::Event::SetupClaimed) => Event::Cluster(cluster::Event::SetupClaimed),
        "cluster.level_raised": Event::Cluster(cluster::Event::LevelRaised { .. }) =>
            Event::Cluster(cluster::Event::LevelRaised { level: Level(2) }),
        "authority_node.founded": Event::AuthorityNode(authority_node::Event::Founded { .. }) =>
            Event::AuthorityNode(authority_node::Event::Founded { node: NODE, facts: checked_facts() }),
        "authority_node.admitted": Event::AuthorityNode(authority_node::Event::Admitted { .. }) =>
            Event::AuthorityNode(authority_node::Event::Admitted {
                node: NODE,
                public_key: PUBLIC_KEY,
                facts: checked_facts(),
                operation: OPERATION,
            }),
        "authority_node.announced": Event::AuthorityNode(authority_node::Event::Announced { .. }) =>
            Event::AuthorityNode(authority_node::Event::Announced { node: NODE, facts: checked_facts() }),
        "authority_node.edited": Event::AuthorityNode(authority_node::Event::Edited { .. }) =>
            Event::AuthorityNode(authority_node::Event::Edited { node: NODE, site: None }),
        "authority_node.joined": Event::AuthorityNode(authority_node::Event::Joined { .. }) =>
            Event::AuthorityNode(authority_node::Event::Joined { node: NODE }),
        "authority_node.removal_started": Event::AuthorityNode(authority_node::Event::RemovalStarted { .. }) =>
            Event::AuthorityNode(authority_node::Event::RemovalStarted { node: NODE, operation: OPERATION }),
        "authority_node.removed": Event::AuthorityNode(authority_node::Event::Removed { .. }) =>
            Event::AuthorityNode(authority_node::Event::Removed { node: NODE }),
        "join_token.issued": Event::JoinToken(join_token::Event::Issued { .. }) =>
            Event::JoinToken(join_token::Event::Issued { token: JOIN_TOKEN, secret: Hash([3; 32]), expires_at: LATER }),
        "join_token.used": Event::JoinToken(join_token::Event::Used { .. }) =>
            Event::JoinToken(join_token::Event::Used { token: JOIN_TOKEN, by: NODE }),
        "join_token.revoked": Event::JoinToken(join_token::Event::Revoked { .. }) =>
            Event::JoinToken(join_token::Event::Revoked { token: JOIN_TOKEN }),
        "site.created": Event::Site(site::Event::Created { .. }) =>
            Event::Site(site::Event::Created { site: SITE, name: name("Dublin"), expected_latency_ms: 2 }),
        "site.edited": Event::Site(site::Event::Edited { .. }) =>
            Event::Site(site::Event::Edited { site: SITE, name: None, expected_latency_ms: Some(60_000) }),
        "site.removed": Event::Site(site::Event::Removed { .. }) => Event::Site(site::Event::Removed { site: SITE }),
        "destination.created": Event::Destination(destination::Event::Created { .. }) =>
            Event::Destination(destination::Event::Created {
                destination: DESTINATION,
                name: name("vault"),
                description: text("two\nlines"),
                site: SITE,
                offered: true,
                balancing: balancing(),
                free_space: FreeSpaceThresholds::default(),
            }),
        "destination.edited": Event::Destination(destination::Event::Edited { .. }) =>
            Event::Destination(destination::Event::Edited {
                destination: DESTINATION,
                name: Some(name("cellar")),
                description: Some(text("")),
                site: Some(SITE),
                offered: Some(false),
                balancing: Some(Balancing::default()),
                free_space: None,
            }),
        "destination.removed": Event::Destination(destination::Event::Removed { .. }) =>
            Event::Destination(destination::Event::Removed { destination: DESTINATION }),
        "server.added": Event::Server(server::Event::Added { .. }) => Event::Server(server::Event::Added {
            server: SERVER,
            destination: DESTINATION,
            name: name("ark"),
            facts: fleet::checked_facts(),
            secret: Hash([6; 32]),
            operation: OPERATION,
        }),
        "server.replaced": Event::Server(server::Event::Replaced { .. }) => Event::Server(server::Event::Replaced {
            server: SERVER,
            facts: fleet::checked_facts(),
            secret: Hash([6; 32]),
            operation: OPERATION,
        }),
        "server.introduced": Event::Server(server::Event::Introduced { .. }) => Event::Server(server::Event::Introduced {
            server: SERVER,
            destination: DESTINATION,
            peer: fleet::peer(),
        }),
        "server.welcomed": Event::Server(server::Event::Welcomed { .. }) =>
            Event::Server(server::Event::Welcomed { server: SERVER, projection: fleet::projection() }),
        "server.joined": Event::Server(server::Event::Joined { .. }) =>
            Event::Server(server::Event::Joined { server: SERVER }),
        "server.join_failed": Event::Server(server::Event::JoinFailed { .. }) =>
            Event::Server(server::Event::JoinFailed { server: SERVER, failure: JoinFailure::Unreachable }),
        "server.went_offline": Event::Server(server::Event::WentOffline { .. }) =>
            Event::Server(server::Event::WentOffline { server: SERVER }),
        "server.came_online": Event::Server(server::Event::CameOnline { .. }) =>
            Event::Server(server::Event::CameOnline { server: SERVER }),
        "server.announced": Event::Server(server::Event::Announced { .. }) =>
            Event::Server(server::Event::Announced { server: SERVER, program: fleet::checked_facts().program }),
        "server.projection_reported": Event::Server(server::Event::ProjectionReported { .. }) =>
            Event::Server(server::Event::ProjectionReported {
                server: SERVER,
                projection: server::ProjectionState::Mismatched,
            }),
        "server.edited": Event::Server(server::Event::Edited { .. }) => Event::Server(server::Event::Edited {
            server: SERVER,
            destination: DESTINATION,
            name: Some(name("chest")),
            addresses: Some(fleet::checked_facts().addresses),
        }),
        "server.intended": Event::Server(server::Event::Intended { .. }) =>
            Event::Server(server::Event::Intended { server: SERVER, intent: fleet::maintenance() }),
        "server.removed": Event::Server(server::Event::Removed { .. }) =>
            Event::Server(server::Event::Removed { server: SERVER, destination: DESTINATION }),
        "server.withdrawn": Event::Server(server::Event::Withdrawn { .. }) =>
            Event::Server(server::Event::Withdrawn { server: SERVER, destination: DESTINATION }),
        "store_point.created": Event::StorePoint(store_point::Event::Created { .. }) =>
            Event::StorePoint(store_point::Event::Created {
                store_point: STORE_POINT,
                server: SERVER,
                name: name("first shelf"),
                path: path("/srv/first"),
                directory: store_point::directory_name(SERVER, STORE_POINT),
                flags: store_point::Flags::default(),
                quota: store_point::Quota::Bytes(1 << 40),
            }),
        "store_point.annotated": Event::StorePoint(store_point::Event::Annotated { .. }) =>
            Event::StorePoint(store_point::Event::Annotated { store_point: STORE_POINT, notes: text("call the vendor\n") }),
        "store_point.edited": Event::StorePoint(store_point::Event::Edited { .. }) =>
            Event::StorePoint(store_point::Event::Edited {
                store_point: STORE_POINT,
                server: SERVER,
                name: Some(name("second shelf")),
                flags: Some(store_point::Flags { accepting_data: false, ..store_point::Flags::default() }),
                quota: Some(store_point::Quota::Unlimited),
            }),
        "store_point.intended": Event::StorePoint(store_point::Event::Intended { .. }) =>
            Event::StorePoint(store_point::Event::Intended {
                store_point: STORE_POINT,
                server: SERVER,
                intent: store_point::Intent::Retired,
            }),
        "store_point.reported": Event::StorePoint(store_point::Event::Reported { .. }) =>
            Event::StorePoint(store_point::Event::Reported {
                store_point: STORE_POINT,
                server: SERVER,
                report: store_point::Report::Offline(store_point::OfflineReason::Missing),
            }),
        "alert.raised": Event::Alert(alert::Event::Raised { .. }) =>
            Event::Alert(alert::Event::Raised { alerts: (0..12).map(fleet::raised).collect() }),
        "alert.resolved": Event::Alert(alert::Event::Resolved { .. }) =>
            Event::Alert(alert::Event::Resolved { alerts: vec![ALERT] }),
        "alert.covered": Event::Alert(alert::Event::Covered { .. }) => Event::Alert(alert::Event::Covered {
            alerts: vec![
                alert::Covered { alert: ALERT, by: Some(SERVER.into()) },
                alert::Covered { alert: ALERT, by: None },
            ],
        }),
        "alert.worsened": Event::Alert(alert::Event::Worsened { .. }) =>
            Event::Alert(alert::Event::Worsened { alerts: vec![ALERT] }),
        "alert.explained": Event::Alert(alert::Event::Explained { .. }) => Event::Alert(alert::Event::Explained {
            alerts: vec![alert::Explained { alert: ALERT, reason: alert::Reason::ServerSilent }],
        }),
        "alert.acknowledged": Event::Alert(alert::Event::Acknowledged { .. }) =>
            Event::Alert(alert::Event::Acknowledged { alerts: vec![ALERT], note: text("two\nlines") }),
        "operation.started": Event::Operation(operation::Event::Started { .. }) =>
            Event::Operation(operation::Event::Started { operation: OPERATION, task: Task::AddAuthorityNode { node: NODE } }),
        "operation.advanced": Event::Operation(operation::Event::Advanced { .. }) =>
            Event::Operation(operation::Event::Advanced { operation: OPERATION, step: Step::CaughtUp }),
        "operation.waiting": Event::Operation(operation::Event::Waiting { .. }) =>
            Event::Operation(operation::Event::Waiting { operation: OPERATION, waiting_on: vec![wait(WaitCode::NodeUnreachable)] }),
        "operation.ended": Event::Operation(operation::Event::Ended { .. }) => ended(End::Succeeded),
        "token.issued": Event::Token(token::Event::Issued { .. }) => Event::Token(token::Event::Issued {
            token: TOKEN,
            name: name("on call"),
            secret: Hash([4; 32]),
            expires_at: None,
        }),
        "token.revoked": Event::Token(token::Event::Revoked { .. }) => Event::Token(token::Event::Revoked { token: TOKEN }),
    }
}

/// Every refusal.
pub fn rejections() -> Vec<Specimen> {
    family! { "rejection": Rejection => Remembered, refused, refusal;
        "invalid_field": Rejection::InvalidField { .. } =>
            Rejection::InvalidField { field: "name".into(), fault: FieldFault::Empty },
        "name_taken": Rejection::NameTaken { .. } => Rejection::NameTaken { name: "dublin".into(), holder: SITE.into() },
        "not_found": Rejection::NotFound { .. } => Rejection::NotFound { object: DESTINATION.into() },
        "in_use": Rejection::InUse { .. } => Rejection::InUse {
            object: SITE.into(),
            blockers: (0..120).map(|number| Blocker { object: DestinationId(number).into(), name: "vault".into() }).collect(),
        },
        "revision_mismatch": Rejection::RevisionMismatch { .. } =>
            Rejection::RevisionMismatch { object: SITE.into(), expected: cursor(4), actual: cursor(1 << 40) },
        "request_key_reused": Rejection::RequestKeyReused { .. } => Rejection::RequestKeyReused { revision: Revision(300) },
        "plan_stale": Rejection::PlanStale { .. } =>
            Rejection::PlanStale { object: NODE.into(), planned_on: Revision(70_000) },
        "credential_revoked": Rejection::CredentialRevoked { .. } => Rejection::CredentialRevoked { actor: Actor::Token(TOKEN) },
        "credential_expired": Rejection::CredentialExpired { .. } => Rejection::CredentialExpired { actor: Actor::Token(TOKEN) },
        "not_permitted": Rejection::NotPermitted { .. } => Rejection::NotPermitted { actor: Actor::Joiner },
        "already_founded": Rejection::AlreadyFounded => Rejection::AlreadyFounded,
        "not_founded": Rejection::NotFounded => Rejection::NotFounded,
        "setup_refused": Rejection::SetupRefused => Rejection::SetupRefused,
        "join_token_unknown": Rejection::JoinTokenUnknown => Rejection::JoinTokenUnknown,
        "join_token_used": Rejection::JoinTokenUsed { .. } => Rejection::JoinTokenUsed { token: JOIN_TOKEN, by: NODE },
        "join_token_expired": Rejection::JoinTokenExpired { .. } => Rejection::JoinTokenExpired { token: JOIN_TOKEN },
        "store_known": Rejection::StoreKnown { .. } => Rejection::StoreKnown { store: STORE, node: NODE },
        "level_too_low": Rejection::LevelTooLow { .. } => Rejection::LevelTooLow { needed: Level(2), supported: Level(1) },
        "level_not_next": Rejection::LevelNotNext { .. } => Rejection::LevelNotNext { asked: Level(9), current: Level(1) },
        "level_unsupported": Rejection::LevelUnsupported { .. } =>
            Rejection::LevelUnsupported { asked: Level(2), by: [NODE.into(), SERVER.into()].into_iter().collect() },
        "last_authority_node": Rejection::LastAuthorityNode { .. } => Rejection::LastAuthorityNode { node: NODE },
        "last_credential": Rejection::LastCredential => Rejection::LastCredential,
        "operation_ended": Rejection::OperationEnded { .. } => Rejection::OperationEnded { operation: OPERATION },
        "not_cancellable": Rejection::NotCancellable { .. } => Rejection::NotCancellable { operation: OPERATION },
        "license_foreign": Rejection::LicenseForeign => Rejection::LicenseForeign,
        "connection_string_used": Rejection::ConnectionStringUsed { .. } => Rejection::ConnectionStringUsed { server: SERVER },
        "connection_string_expired": Rejection::ConnectionStringExpired => Rejection::ConnectionStringExpired,
        "server_known": Rejection::ServerKnown { .. } => Rejection::ServerKnown { guid: GUID, server: SERVER },
        "server_joining": Rejection::ServerJoining { .. } =>
            Rejection::ServerJoining { server: SERVER, operation: OPERATION },
        "version_differs": Rejection::VersionDiffers { .. } =>
            Rejection::VersionDiffers { version: name("0.2.0"), node: NODE, node_version: name("0.1.0") },
        "server_not_online": Rejection::ServerNotOnline { .. } => Rejection::ServerNotOnline { server: SERVER },
        "server_not_offline": Rejection::ServerNotOffline { .. } => Rejection::ServerNotOffline { server: SERVER },
        "already_acknowledged": Rejection::AlreadyAcknowledged { .. } =>
            Rejection::AlreadyAcknowledged { alert: ALERT, by: Actor::Token(TOKEN), at: LATER },
        "unexpected_report": Rejection::UnexpectedReport { .. } => Rejection::UnexpectedReport { store_point: STORE_POINT },
        "decision_too_large": Rejection::DecisionTooLarge { .. } => Rejection::DecisionTooLarge { events: 1_001, bytes: 1 << 33 },
        "already_issued": Rejection::AlreadyIssued { .. } => Rejection::AlreadyIssued { object: TOKEN.into() },
        "internal_error": Rejection::Internal => Rejection::Internal,
    }
}

fn field_faults() -> Vec<Specimen> {
    fn wrap(fault: FieldFault) -> Remembered {
        refused(Rejection::InvalidField { field: "balancing/concurrency".into(), fault })
    }
    fn find(remembered: &Remembered) -> &FieldFault {
        let Rejection::InvalidField { fault, .. } = refusal(remembered) else { panic!("a fault of a field was expected") };
        fault
    }
    family! { "field_fault": FieldFault => Remembered, wrap, find;
        "empty": FieldFault::Empty => FieldFault::Empty,
        "too_long": FieldFault::TooLong { .. } => FieldFault::TooLong { characters_max: 128 },
        "too_many": FieldFault::TooMany { .. } => FieldFault::TooMany { entries_max: 100 },
        "control_character": FieldFault::ControlCharacter => FieldFault::ControlCharacter,
        "surrounding_blank": FieldFault::SurroundingBlank => FieldFault::SurroundingBlank,
        "no_address": FieldFault::NoAddress => FieldFault::NoAddress,
        "out_of_range": FieldFault::OutOfRange { .. } => FieldFault::OutOfRange { min: 1, max: u64::MAX },
        "thresholds_crossed": FieldFault::ThresholdsCrossed => FieldFault::ThresholdsCrossed,
        "in_the_past": FieldFault::InThePast => FieldFault::InThePast,
        "unknown": FieldFault::Unknown { .. } => FieldFault::Unknown { object: SITE.into() },
        "no_path": FieldFault::NoPath => FieldFault::NoPath,
        "path_missing": FieldFault::PathMissing => FieldFault::PathMissing,
        "not_a_directory": FieldFault::NotADirectory => FieldFault::NotADirectory,
        "symbolic_link": FieldFault::SymbolicLink { .. } => FieldFault::SymbolicLink { leads_to: path("/mnt/disk-1") },
        "within_store_point": FieldFault::WithinStorePoint { .. } => FieldFault::WithinStorePoint { store_point: STORE_POINT },
        "foreign_identity": FieldFault::ForeignIdentity => FieldFault::ForeignIdentity,
        "not_writable": FieldFault::NotWritable => FieldFault::NotWritable,
        "no_space": FieldFault::NoSpace => FieldFault::NoSpace,
    }
}

fn submissions() -> Vec<Specimen> {
    family! { "submission": Submission => Submission, |submission| submission, |submission| submission;
        "plain": Submission { expected: None, planned_on: None, .. } => submission(COMMAND),
        "expecting": Submission { expected: Some(_), .. } =>
            Submission { expected: Some(ExpectedRevision { object: SITE.into(), at: cursor(5) }), ..submission(COMMAND) },
        "planned": Submission { expected: None, planned_on: Some(_), .. } =>
            Submission { planned_on: Some(Revision(u64::MAX)), ..submission(COMMAND) },
    }
}

fn request_ids() -> Vec<Specimen> {
    fn wrap(request: RequestId) -> Submission {
        Submission { request, ..submission(COMMAND) }
    }
    family! { "request_id": RequestId => Submission, wrap, |submission| &submission.request;
        "given": RequestId::Given(_) => request(),
        "minted": RequestId::Minted(_) => RequestId::minted("membership.42.operation.1").expect("visible ASCII"),
    }
}

fn actors() -> Vec<Specimen> {
    fn wrap(actor: Actor) -> Submission {
        Submission { actor, ..submission(COMMAND) }
    }
    family! { "actor": Actor => Submission, wrap, |submission| &submission.actor;
        "founder": Actor::Founder => Actor::Founder,
        "token": Actor::Token(_) => Actor::Token(TOKEN),
        "joiner": Actor::Joiner => Actor::Joiner,
        "authority_node": Actor::AuthorityNode(_) => Actor::AuthorityNode(NODE),
        "server": Actor::Server(_) => Actor::Server(SERVER),
        "duty": Actor::Duty(_) => Actor::Duty(Duty::Membership),
    }
}

fn duties() -> Vec<Specimen> {
    fn wrap(duty: Duty) -> Submission {
        Submission { actor: Actor::Duty(duty), ..submission(COMMAND) }
    }
    fn find(submission: &Submission) -> &Duty {
        let Actor::Duty(duty) = &submission.actor else { panic!("a duty was expected") };
        duty
    }
    family! { "duty": Duty => Submission, wrap, find;
        "membership": Duty::Membership => Duty::Membership,
        "join": Duty::Join => Duty::Join,
        "failure_detection": Duty::FailureDetection => Duty::FailureDetection,
    }
}

fn objects() -> Vec<Specimen> {
    fn wrap(object: ObjectRef) -> Submission {
        Submission { expected: Some(ExpectedRevision { object, at: cursor(5) }), ..submission(COMMAND) }
    }
    fn find(submission: &Submission) -> &ObjectRef {
        &submission.expected.as_ref().expect("an expectation").object
    }
    family! { "object": ObjectRef => Submission, wrap, find;
        "cluster": ObjectRef::Cluster => ObjectRef::Cluster,
        "site": ObjectRef::Site(_) => SITE.into(),
        "destination": ObjectRef::Destination(_) => DESTINATION.into(),
        "authority_node": ObjectRef::AuthorityNode(_) => NODE.into(),
        "operation": ObjectRef::Operation(_) => OPERATION.into(),
        "token": ObjectRef::Token(_) => TOKEN.into(),
        "join_token": ObjectRef::JoinToken(_) => JOIN_TOKEN.into(),
        "server": ObjectRef::Server(_) => SERVER.into(),
        "store_point": ObjectRef::StorePoint(_) => STORE_POINT.into(),
        "alert": ObjectRef::Alert(_) => ALERT.into(),
    }
}

fn records() -> Vec<Specimen> {
    family! { "record": Record => Record, |record| record, |record| record;
        "within_a_decision": Record { closing: None, .. } => Record {
            decision: DecisionSpan { first: Revision(41), count: 3 },
            closing: None,
            ..record(ended(End::Succeeded))
        },
        "closing_a_decision": Record { closing: Some(_), .. } => record(ended(End::Succeeded)),
    }
}

fn audiences() -> Vec<Specimen> {
    fn wrap(audience: Audience) -> Record {
        Record { audience, ..record(ended(End::Succeeded)) }
    }
    family! { "audience": Audience => Record, wrap, |record| &record.audience;
        "administrators": Audience::Administrators => Audience::Administrators,
        "servers": Audience::Servers => Audience::Servers,
        "destination": Audience::Destination(_) => Audience::Destination(DESTINATION),
        "server": Audience::Server(_) => Audience::Server(SERVER),
    }
}

fn ends() -> Vec<Specimen> {
    fn find(record: &Record) -> &End {
        let Event::Operation(operation::Event::Ended { end, .. }) = &record.event else { panic!("an end was expected") };
        end
    }
    family! { "end": End => Record, |end| record(ended(end)), find;
        "succeeded": End::Succeeded => End::Succeeded,
        "failed": End::Failed { .. } => End::Failed { failure: JoinFailure::Superseded },
        "cancelled": End::Cancelled => End::Cancelled,
    }
}

fn outcomes() -> Vec<Specimen> {
    family! { "outcome": Outcome => Record, closed, closing;
        "done": Ok(_) => Ok(Reply::created(SITE)),
        "refused": Err(_) => Err(Rejection::NotPermitted { actor: Actor::Token(TOKEN) }),
    }
}

fn effects() -> Vec<Specimen> {
    fn find(record: &Record) -> &Effect {
        &closing(record).as_ref().expect("a reply").effect
    }
    family! { "effect": Effect => Record, |effect| closed(Ok(Reply { effect, object: OPERATION.into() })), find;
        "created": Effect::Created => Effect::Created,
        "changed": Effect::Changed => Effect::Changed,
        "unchanged": Effect::Unchanged => Effect::Unchanged,
        "removed": Effect::Removed => Effect::Removed,
        "accepted": Effect::Accepted => Effect::Accepted,
    }
}

fn operations() -> Vec<Specimen> {
    let tasks = family! { "task": Task => Operation, |task| Operation { task, ..operation() }, |operation| &operation.task;
        "add_authority_node": Task::AddAuthorityNode { .. } => Task::AddAuthorityNode { node: NODE },
        "remove_authority_node": Task::RemoveAuthorityNode { .. } => Task::RemoveAuthorityNode { node: NODE },
        "join_server": Task::JoinServer { .. } => Task::JoinServer { server: SERVER },
    };
    let statuses = family! { "status": Status => Operation, |status| Operation { status, ..operation() }, |operation| &operation.status;
        "running": Status::Running => Status::Running,
        "succeeded": Status::Succeeded => Status::Succeeded,
        "failed": Status::Failed { .. } => Status::Failed { failure: JoinFailure::Superseded },
        "cancelled": Status::Cancelled => Status::Cancelled,
    };
    fn reaching(step: Step) -> Operation {
        Operation { steps: vec![Reached { step, at: Revision(200) }], ..operation() }
    }
    let steps = family! { "step": Step => Operation, reaching, |operation| &operation.steps[0].step;
        "learning": Step::Learning => Step::Learning,
        "caught_up": Step::CaughtUp => Step::CaughtUp,
        "contacted": Step::Contacted => Step::Contacted,
        "certified": Step::Certified => Step::Certified,
    };
    fn waiting(code: WaitCode) -> Operation {
        Operation { waiting_on: vec![wait(code)], ..operation() }
    }
    let wait_codes = family! { "wait_code": WaitCode => Operation, waiting, |operation| &operation.waiting_on[0].code;
        "node_unreachable": WaitCode::NodeUnreachable => WaitCode::NodeUnreachable,
        "node_catching_up": WaitCode::NodeCatchingUp => WaitCode::NodeCatchingUp,
        "membership_change": WaitCode::MembershipChange => WaitCode::MembershipChange,
        "server_unreachable": WaitCode::ServerUnreachable => WaitCode::ServerUnreachable,
    };
    [tasks, statuses, steps, wait_codes].into_iter().flatten().collect()
}

fn authority_nodes() -> Vec<Specimen> {
    let intents = family! { "intent": Intent => AuthorityNode, |intent| AuthorityNode { intent, ..authority_node() }, |node| &node.intent;
        "joining": Intent::Joining { .. } => Intent::Joining { operation: OPERATION },
        "voting": Intent::Voting => Intent::Voting,
        "leaving": Intent::Leaving { .. } => Intent::Leaving { operation: OPERATION },
        "removed": Intent::Removed => Intent::Removed,
    };
    let rows = family! { "authority_node": AuthorityNode => AuthorityNode, |node| node, |node| node;
        "placed": AuthorityNode { site: Some(_), .. } => authority_node(),
        "nowhere": AuthorityNode { site: None, .. } => AuthorityNode { site: None, ..authority_node() },
    };
    [intents, rows].into_iter().flatten().collect()
}

fn scalars() -> Vec<Specimen> {
    let headers = family! { "header": Header => Header, |header| header, |header| header;
        "first": Header { revision: Revision::ZERO, .. } => Header::default(),
        "grown": _ => Header {
            epoch: Epoch(2),
            level: Level(300),
            revision: Revision(u64::MAX),
            head: Hash([9; 32]),
            time: NOW,
            floor: Revision(70_000),
            next: Counters {
                authority_node: 128,
                join_token: 65_536,
                site: 1 << 32,
                destination: (1 << 32) + 1,
                operation: 255,
                token: 127,
                server: 256,
                store_point: 70_000,
                alert: 1 << 20,
            },
        },
    };
    let clusters = family! { "cluster": Cluster => Cluster, |cluster| cluster, |cluster| cluster;
        "founded": Cluster { setup_secret: Some(_), .. } => cluster(),
        "claimed": Cluster { setup_secret: None, .. } => Cluster { setup_secret: None, ..cluster() },
    };
    [headers, clusters].into_iter().flatten().collect()
}

fn rows() -> Vec<Specimen> {
    let sites = family! { "site": Site => Site, |site| site, |site| site;
        "plain": Site { .. } => Site { id: SITE, name: name("Dublin"), expected_latency_ms: 2, created: STAMP, changed: STAMP },
    };
    let destinations = family! { "destination": Destination => Destination, |destination| destination, |destination| destination;
        "limited": Destination { balancing: Balancing { window: Some(_), .. }, .. } => destination(balancing()),
        "unlimited": Destination { balancing: Balancing { window: None, .. }, .. } => destination(Balancing::default()),
    };
    let tokens = family! { "token": Token => Token, |token| token, |token| token;
        "lasting": Token { expires_at: None, .. } => token(None),
        "expiring": Token { expires_at: Some(_), .. } => token(Some(LATER)),
    };
    let join_tokens = family! { "join_token": JoinToken => JoinToken, |token| token, |token| token;
        "unused": JoinToken { used_by: None, .. } => join_token(None),
        "used": JoinToken { used_by: Some(_), .. } => join_token(Some(NODE)),
    };
    let operations = family! { "operation": Operation => Operation, |operation| operation, |operation| operation;
        "idle": Operation { .. } => operation(),
    };
    let requests = family! { "remembered": Remembered => Remembered, |remembered| remembered, |remembered| remembered;
        "done": Remembered { outcome: Ok(_), .. } => Remembered { outcome: Ok(Reply::removed(SITE)), ..refused(Rejection::Internal) },
        "refused": Remembered { outcome: Err(_), .. } => refused(Rejection::NotPermitted { actor: Actor::Token(TOKEN) }),
    };
    [sites, destinations, tokens, join_tokens, operations, requests].into_iter().flatten().collect()
}

// The values that the specimens are made of.

const CLUSTER: ClusterId = ClusterId([1; 16]);
const STORE: StoreId = StoreId([0xa5; 16]);
const PUBLIC_KEY: Hash = Hash([0xc3; 32]);
const NODE: AuthorityNodeId = AuthorityNodeId(2);
const SITE: SiteId = SiteId(1);
const DESTINATION: DestinationId = DestinationId(130);
const OPERATION: OperationId = OperationId(70_000);
const TOKEN: TokenId = TokenId(1);
const JOIN_TOKEN: JoinTokenId = JoinTokenId(1 << 32);
const NOW: Timestamp = Timestamp(1_760_000_000_000);
const LATER: Timestamp = Timestamp(1_760_003_600_000);
const STAMP: Stamp = Stamp { at: NOW, by: Actor::Token(TOKEN), revision: Revision(42) };
const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
const COMMAND: Command = Command::Site(site::Command::Remove { site: SITE });

fn submission(command: Command) -> Submission {
    Submission {
        actor: Actor::Token(TOKEN),
        request: request(),
        fingerprint: Hash([5; 32]),
        expected: None,
        planned_on: None,
        command,
    }
}

fn record(event: Event) -> Record {
    Record {
        revision: Revision(43),
        decision: DecisionSpan { first: Revision(43), count: 1 },
        time: NOW,
        actor: Actor::Token(TOKEN),
        request: request(),
        audience: Audience::Administrators,
        previous: Hash([8; 32]),
        event,
        closing: Some(Closing { fingerprint: Hash([5; 32]), outcome: Ok(Reply::changed(NODE)) }),
    }
}

fn closed(outcome: Outcome) -> Record {
    Record { closing: Some(Closing { fingerprint: Hash([5; 32]), outcome }), ..record(ended(End::Succeeded)) }
}

fn closing(record: &Record) -> &Outcome {
    &record.closing.as_ref().expect("a decision's last record").outcome
}

fn refused(rejection: Rejection) -> Remembered {
    Remembered {
        revision: Revision(43),
        actor: Actor::Token(TOKEN),
        request: request(),
        fingerprint: Hash([5; 32]),
        outcome: Err(rejection),
        at: NOW,
    }
}

fn refusal(remembered: &Remembered) -> &Rejection {
    remembered.outcome.as_ref().expect_err("a refusal was expected")
}

fn ended(end: End) -> Event {
    Event::Operation(operation::Event::Ended { operation: OPERATION, end })
}

fn request() -> RequestId {
    RequestId::parse("3f0c-91").expect("visible ASCII")
}

const fn cursor(revision: u64) -> Cursor {
    Cursor { epoch: Epoch::FIRST, revision: Revision(revision) }
}

fn name(text: &str) -> Name {
    Name::parse("name", text).expect("a proper name")
}

fn text(text: &str) -> Text {
    Text::parse("description", text).expect("a proper text")
}

fn path(text: &str) -> AbsolutePath {
    AbsolutePath::parse("path", text).expect("a proper path")
}

fn address(text: &str) -> Address {
    Address::parse("address", text).expect("a proper address")
}

fn facts() -> Facts {
    Facts {
        store: STORE,
        peer_address: "[2001:db8::7]:4283".into(),
        api_address: "n2.example:4285".into(),
        control_address: "n2.example:4288".into(),
        version: "0.1.0".into(),
        supported: Level(1),
    }
}

fn checked_facts() -> CheckedFacts {
    CheckedFacts {
        store: STORE,
        peer_address: address("[2001:db8::7]:4283"),
        api_address: address("n2.example:4285"),
        control_address: address("n2.example:4288"),
        version: name("0.1.0"),
        supported: Level(1),
    }
}

fn balancing() -> Balancing {
    Balancing {
        enabled: false,
        allowed_variance_percent: 35,
        window: Some(DailyWindow { from_minute: 1_320, to_minute: 360 }),
        rate_bytes_per_second: Some(5_000_000_000),
        concurrency: 64,
    }
}

const fn wait(code: WaitCode) -> Wait {
    Wait { code, object: ObjectRef::AuthorityNode(NODE), since: Revision(42) }
}

fn operation() -> Operation {
    Operation {
        id: OPERATION,
        task: Task::AddAuthorityNode { node: NODE },
        status: Status::Running,
        steps: Vec::new(),
        waiting_on: Vec::new(),
        created: STAMP,
        changed: STAMP,
    }
}

fn authority_node() -> AuthorityNode {
    let CheckedFacts { store, peer_address, api_address, control_address, version, supported } = checked_facts();
    AuthorityNode {
        id: NODE,
        store,
        public_key: Some(PUBLIC_KEY),
        site: Some(SITE),
        peer_address,
        api_address,
        control_address,
        version,
        supported,
        intent: Intent::Voting,
        created: STAMP,
        changed: STAMP,
    }
}

fn cluster() -> Cluster {
    Cluster {
        id: CLUSTER,
        license_key: vec![7; 32],
        ca_certificate: CERTIFICATE.into(),
        sealed_ca_key: vec![0xfe; 300],
        setup_secret: Some(Hash([2; 32])),
        created: STAMP,
        changed: STAMP,
    }
}

fn destination(balancing: Balancing) -> Destination {
    Destination {
        id: DESTINATION,
        name: name("vault"),
        description: text("two\nlines"),
        site: SITE,
        offered: true,
        balancing,
        free_space: FreeSpaceThresholds::default(),
        created: STAMP,
        changed: STAMP,
    }
}

fn token(expires_at: Option<Timestamp>) -> Token {
    Token { id: TOKEN, name: name("on call"), secret: Hash([4; 32]), expires_at, created: STAMP, changed: STAMP }
}

fn join_token(used_by: Option<AuthorityNodeId>) -> JoinToken {
    JoinToken { id: JOIN_TOKEN, secret: Hash([3; 32]), expires_at: LATER, used_by, created: STAMP, changed: STAMP }
}
