//! What happens to servers, their store points and alerts.

use bursar_domain::{
    Actor, AlertId, Command, Duty, Hash, Level, ServerGuid, ServerId, State, StorePointId, alert,
    server::{self, Condition, Facts, Intent, Introduction, JoinFailure, Ports, ProgramFacts, ProjectionState, Server},
    store_point::{self, CreationFailure, Findings, Found, OfflineReason, Quota, Report, StorePoint},
};

use super::{History, MINUTE_MS};
use crate::dice::Dice;

impl History {
    /// What somebody wants of the fleet, and who. What everything else rests upon comes first: somewhere to add servers to,
    /// servers, store points.
    pub(super) fn fleet(&mut self, state: &State, administrator: Actor) -> (Actor, Command) {
        let online = self.servers(state, |server| server.condition == Condition::Online);
        let store_points = state.store_points().iter().filter(|row| row.is_present()).count();
        if self.dice.chance(70) {
            if state.sites().is_empty() {
                return (administrator, Command::Site(self.site(state)));
            }
            if state.destinations().is_empty() {
                return (administrator, Command::Destination(self.destination(state)));
            }
            if state.servers().iter().any(|server| matches!(server.condition, Condition::Joining { .. })) {
                return self.join(state);
            }
            if online.len() < 2 && self.dice.chance(50) {
                return (administrator, Command::Server(self.add(state)));
            }
            if !online.is_empty() && store_points < 2 {
                return (administrator, Command::StorePoint(self.create(state)));
            }
        }
        match self.dice.below(100) {
            0..=9 => (administrator, Command::Server(self.add(state))),
            10..=25 => self.join(state),
            26..=41 => self.detection(state),
            42..=48 => (administrator, Command::Server(self.server(state))),
            49..=53 => self.server_of_itself(state),
            54..=65 => (administrator, Command::StorePoint(self.create(state))),
            66..=73 => (administrator, Command::StorePoint(self.store_point(state))),
            74..=91 => self.report_of_server(state),
            _ => (administrator, Command::Alert(self.acknowledge(state))),
        }
    }

    fn add(&mut self, state: &State) -> server::Command {
        let offline = self.servers(state, |server| server.condition == Condition::Offline);
        let introduction = self.introduction(state);
        if !offline.is_empty() && self.dice.chance(25) {
            return server::Command::Replace { server: self.dice.pick(&offline), introduction };
        }
        server::Command::Add { destination: self.destination_id(state), name: self.name(), introduction }
    }

    fn introduction(&mut self, state: &State) -> Introduction {
        let used: Vec<_> = state.servers().iter().map(|server| server.secret).collect();
        let known: Vec<_> = state.servers().iter().map(|server| server.facts.guid).collect();
        let number = u8::try_from(self.dice.below(250)).expect("it fits");
        let joining = self.servers(state, |server| matches!(server.condition, Condition::Joining { .. }));
        // Now and then a machine comes again, also before it was taken in, or its disk was copied.
        let guid = match joining.first().and_then(|server| state.servers().get(*server)) {
            Some(joining) if self.dice.chance(10) => joining.facts.guid,
            _ if !known.is_empty() && self.dice.chance(5) => self.dice.pick(&known),
            _ => ServerGuid([number; 16]),
        };
        let license = if self.dice.chance(97) { 1 } else { 2 };
        Introduction {
            secret: self.secret(&used),
            expires_at: if self.dice.chance(5) { self.now } else { self.now.plus_ms(self.dice.below(120) * MINUTE_MS) },
            license_key: vec![license; 32],
            facts: Facts {
                guid,
                primary_address: self.address(),
                secondary_address: self.dice.chance(50).then(|| self.address()),
                ports: Ports { peer: 4283, transfer: if self.dice.chance(97) { 4286 } else { 0 } },
                public_key: Hash::of(&guid.0),
                tls_fingerprint: Hash::of(&[guid.0[0], 1]),
                program: self.program(state),
            },
        }
    }

    /// Mostly what the authority runs.
    fn program(&mut self, state: &State) -> ProgramFacts {
        let first = state.authority_nodes().first().map(|node| node.version.to_string());
        let version = first.filter(|_| self.dice.chance(90)).unwrap_or_else(|| format!("0.{}.0", self.dice.below(3)));
        ProgramFacts { version, platform: "linux-x86_64".into(), supported: Level(self.dice.pick(&[1, 2, 3, 3, 3, 9])) }
    }

    fn address(&mut self) -> String {
        match self.dice.below(30) {
            0 => "nowhere".to_owned(),
            number => format!("ark-{number}.example:4288"),
        }
    }

    fn join(&mut self, state: &State) -> (Actor, Command) {
        let joining = self.servers(state, |server| matches!(server.condition, Condition::Joining { .. }));
        let server = self.known_or_any(&joining, ServerId);
        let failures = [JoinFailure::Unreachable, JoinFailure::AnotherIdentity, JoinFailure::Superseded, JoinFailure::Expired];
        let command = if self.dice.chance(80) {
            server::Command::JoinSucceeded { server }
        } else {
            server::Command::JoinFailed { server, failure: self.dice.pick(&failures) }
        };
        (Actor::Duty(Duty::Join), Command::Server(command))
    }

    fn detection(&mut self, state: &State) -> (Actor, Command) {
        let server = self.server_id(state);
        let condition = state.servers().get(server).map(|server| server.condition);
        let command = match condition {
            Some(Condition::Offline) if self.dice.chance(85) => server::Command::CameOnline { server },
            _ if self.dice.chance(30) => server::Command::EndMaintenance { server },
            _ => server::Command::WentOffline { server },
        };
        (Actor::Duty(Duty::FailureDetection), Command::Server(command))
    }

    fn server(&mut self, state: &State) -> server::Command {
        let server = self.server_id(state);
        match self.dice.below(10) {
            0..=3 => server::Command::Edit {
                server,
                change: server::Change {
                    name: self.dice.chance(50).then(|| self.name()),
                    primary_address: self.dice.chance(40).then(|| self.address()),
                    secondary_address: self.dice.chance(40).then(|| {
                        let address = self.address();
                        self.dice.pick(&[String::new(), address])
                    }),
                },
            },
            4..=5 => {
                let span_ms = self.dice.below(20) * MINUTE_MS;
                let lasting = self.dice.pick(&[server::Lasting::For(span_ms), server::Lasting::Until(self.now.plus_ms(span_ms))]);
                server::Command::Maintain { server, lasting, reason: self.name() }
            }
            6 => server::Command::Drain { server },
            7..=8 => server::Command::Activate { server },
            _ => server::Command::Remove { server },
        }
    }

    fn server_of_itself(&mut self, state: &State) -> (Actor, Command) {
        let server = self.server_id(state);
        let command = if self.dice.chance(40) {
            server::Command::Announce { server, program: self.program(state) }
        } else {
            let projection = self.dice.pick(&[ProjectionState::Matching, ProjectionState::Mismatched]);
            server::Command::ReportProjection { server, projection }
        };
        (Actor::Server(server), Command::Server(command))
    }

    fn create(&mut self, state: &State) -> store_point::Command {
        let online = self.servers(state, |server| server.condition == Condition::Online);
        let known: Vec<_> = state.store_points().iter().map(|row| row.id).collect();
        let path = match self.dice.below(20) {
            0 => "srv".to_owned(),
            number => format!("/srv/{number}"),
        };
        let canonical_path = if self.dice.chance(95) { path.clone() } else { "/mnt/elsewhere".into() };
        store_point::Command::Create {
            server: self.known_or_any(&online, ServerId),
            name: self.name(),
            path,
            notes: self.dice.perhaps(50, |_| "call the vendor".to_owned()).unwrap_or_default(),
            quota: self.quota(),
            findings: Findings {
                found: match self.dice.below(30) {
                    0 => Found::Nothing,
                    1 => Found::SomethingElse,
                    _ => Found::Directory,
                },
                canonical_path,
                writable: self.dice.chance(97),
                within: if known.is_empty() { None } else { self.dice.perhaps(3, |dice| dice.pick(&known)) },
                foreign_identity: self.dice.chance(3),
                free_bytes: self.dice.below(50),
            },
        }
    }

    fn quota(&mut self) -> Quota {
        if self.dice.chance(60) { Quota::Unlimited } else { Quota::Bytes(self.dice.below(20)) }
    }

    fn store_point(&mut self, state: &State) -> store_point::Command {
        let store_point = self.store_point_id(state);
        let flag = |dice: &mut Dice| dice.perhaps(30, |dice| dice.chance(50));
        match self.dice.below(10) {
            0..=5 => store_point::Command::Edit {
                store_point,
                change: store_point::Change {
                    name: self.dice.chance(30).then(|| self.name()),
                    notes: self.dice.chance(30).then(|| self.name()),
                    accepting_data: flag(&mut self.dice),
                    accepting_new_archives: flag(&mut self.dice),
                    balancing: flag(&mut self.dice),
                    quota: self.dice.chance(20).then(|| self.quota()),
                },
            },
            6 => store_point::Command::Drain { store_point },
            7 => store_point::Command::Activate { store_point },
            _ => store_point::Command::Remove { store_point },
        }
    }

    /// Mostly its own.
    fn report_of_server(&mut self, state: &State) -> (Actor, Command) {
        let store_point = self.store_point_id(state);
        let server = match state.store_points().get(store_point) {
            Some(row) if self.dice.chance(96) => row.server,
            _ => self.server_id(state),
        };
        let report = match self.dice.below(10) {
            0..=4 => Report::Online,
            5..=6 => Report::Offline(OfflineReason::ReadOnly),
            7..=8 => {
                let reasons = [OfflineReason::Missing, OfflineReason::ForeignIdentity, OfflineReason::IoFailing];
                Report::Offline(self.dice.pick(&reasons))
            }
            _ => Report::Failed(CreationFailure::NotWritable),
        };
        (Actor::Server(server), Command::StorePoint(store_point::Command::Report { store_point, report }))
    }

    fn acknowledge(&mut self, state: &State) -> alert::Command {
        let is_again = self.dice.chance(25);
        let meant = state.alerts().iter().filter(|alert| alert.acknowledgement.is_some() == is_again);
        let meant: Vec<_> = meant.map(|alert| alert.id).collect();
        let alerts: Vec<_> = (0..self.dice.below(4)).map(|_| self.known_or_any(&meant, AlertId)).collect();
        let note = self.dice.pick(&["", "", "seen to", "a cable"]).to_owned();
        // One is meant by its number, several by what they have in common.
        let unnoted_only = alerts.len() > 1;
        alert::Command::Acknowledge { alerts, note, unnoted_only }
    }

    fn servers(&self, state: &State, wanted: fn(&Server) -> bool) -> Vec<ServerId> {
        state.servers().iter().filter(|server| wanted(server)).map(|server| server.id).collect()
    }

    /// Now and then one that is gone.
    fn server_id(&mut self, state: &State) -> ServerId {
        let wanted = if self.dice.chance(95) { |server: &Server| server.intent != Intent::Removed } else { |_: &Server| true };
        let known = self.servers(state, wanted);
        self.known_or_any(&known, ServerId)
    }

    /// Now and then one that is gone.
    fn store_point_id(&mut self, state: &State) -> StorePointId {
        let gone = self.dice.chance(5);
        let wanted = |row: &&std::sync::Arc<StorePoint>| gone || row.is_present();
        let known: Vec<_> = state.store_points().iter().filter(wanted).map(|row| row.id).collect();
        self.known_or_any(&known, StorePointId)
    }
}
