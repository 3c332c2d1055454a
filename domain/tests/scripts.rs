//! Scripts that tell a story each: a command a line, and below it, indented, what came of it.
//!
//! `BURSAR_BLESS=1 cargo test -p bursar-domain --test scripts` writes down what comes of the commands now; read the
//! difference before it is committed.
//!
//! ```text
//! # Comments narrate.
//! founder: found store=1
//!   created authority node 1
//!   1 cluster 01010101010101010101010101010101 founded
//!   2 authority node 1 founded the cluster at n1.example:4283
//! ```
//!
//! A line is `<actor> [key=<key>] [if-match=<cursor>] [planned-on=<revision>|none]: <command>`, or one of
//!
//! - `at +61m`: the leader's clock moves, also back (`at -5s`);
//! - `state`: where the ledger stands, and its digest;
//! - `repeat 100 <line>`: many times, with the turn in place of each `{n}`.
//!
//! Behind an event stands who gets to see it beside the administrators: `→ server 1`.

#[path = "common/fleet_words.rs"]
mod fleet_words;

use std::{collections::BTreeMap, env, fmt::Write as _, fs, path::Path};

use bursar_domain::{
    Actor, Audience, AuthorityNodeId, ClusterId, Command, Decision, DestinationId, Duty, ExpectedRevision, Hash, JoinTokenId,
    Level, ObjectRef, OperationId, Proposal, RequestId, Revision, Sealed, ServerId, SiteId, StoreId, Submission, Timestamp,
    TokenId,
    authority_node::{self, Facts},
    cluster,
    destination::{self, Balancing, Change, DailyWindow, FreeSpaceThresholds},
    invariants, join_token,
    operation::{self, Step, WaitCode},
    site, token,
};
use bursar_domain_testing::Ledger;

#[test]
fn the_scripts_tell_what_happens() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts");
    #[allow(clippy::disallowed_methods, reason = "whoever runs the tests gives the blessing; no decision reads it")]
    let bless = env::var("BURSAR_BLESS").is_ok_and(|value| value == "1");
    let entries = fs::read_dir(&folder).expect("the scripts").map(|entry| entry.expect("a script").path());
    let mut paths: Vec<_> = entries.filter(|path| path.extension().is_some_and(|extension| extension == "script")).collect();
    paths.sort();
    assert!(!paths.is_empty(), "no scripts in {}", folder.display());
    let mut wrong = String::new();
    for path in paths {
        let told = fs::read_to_string(&path).expect("a readable script");
        let happened = Stage::play(&told);
        if told == happened {
            continue;
        }
        if bless {
            fs::write(&path, happened).expect("a writable script");
            continue;
        }
        let line = told.lines().zip(happened.lines()).take_while(|(told, happened)| told == happened).count();
        let at = |text: &str| text.lines().nth(line).unwrap_or("the end").to_owned();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        writeln!(wrong, "{name}:{}\n  it tells:   {}\n  happened: {}", line + 1, at(&told), at(&happened)).expect("memory");
    }
    assert!(wrong.is_empty(), "{wrong}where this is meant, run again with BURSAR_BLESS=1 and read the difference");
}

/// Where a script is played.
#[derive(Default)]
struct Stage {
    ledger: Ledger,
    now: Timestamp,
    requests: u64,
}

impl Stage {
    /// The script with what really came of its lines.
    fn play(script: &str) -> String {
        let mut stage = Self::default();
        let mut happened = String::new();
        for line in script.lines().filter(|line| !line.starts_with(' ')) {
            writeln!(happened, "{line}").expect("memory");
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            for result in stage.line(line) {
                writeln!(happened, "  {result}").expect("memory");
            }
            let violations = invariants::violations(&stage.ledger.state);
            assert_eq!(violations, [], "after {line}");
        }
        happened
    }

    fn line(&mut self, line: &str) -> Vec<String> {
        if let Some(shift) = line.strip_prefix("at ") {
            self.now = shifted(self.now, shift);
            return vec![format!("the clock says {}", self.now)];
        }
        if line == "state" {
            let state = &self.ledger.state;
            return vec![format!("revision {}, sound, digest {}", state.revision(), state.digest())];
        }
        if let Some(rest) = line.strip_prefix("repeat ") {
            let (times, line) = rest.split_once(' ').expect("repeat <times> <line>");
            return self.repeat(times.parse().expect("a number of times"), line);
        }
        let submission = self.submission(line);
        let decision = self.put(submission);
        self.tell(&decision)
    }

    fn repeat(&mut self, times: u64, line: &str) -> Vec<String> {
        let mut counts = BTreeMap::new();
        for turn in 1..=times {
            let submission = self.submission(&line.replace("{n}", &turn.to_string()));
            let decision = self.put(submission);
            *counts.entry(result(&decision)).or_insert(0_u64) += 1;
        }
        counts.into_iter().map(|(result, count)| format!("{count} times {result}")).collect()
    }

    fn put(&mut self, submission: Submission) -> Decision {
        let before = (self.ledger.state.digest(), self.ledger.state.cursor());
        let decision = self.ledger.put(&Proposal { time: self.now, submission });
        if decision.events.is_empty() {
            assert_eq!((self.ledger.state.digest(), self.ledger.state.cursor()), before, "without events nothing changes");
        }
        decision
    }

    fn tell(&self, decision: &Decision) -> Vec<String> {
        let mut lines = vec![result(decision)];
        if let Err(rejection) = &decision.outcome {
            lines.push(format!("remedy: {}", rejection.remedy()));
        }
        let records = &self.ledger.journal[self.ledger.journal.len() - decision.events.len()..];
        lines.extend(records.iter().map(|Sealed { record, .. }| match record.audience {
            Audience::Administrators => format!("{} {}", record.revision, record.event),
            audience => format!("{} {} → {audience}", record.revision, record.event),
        }));
        lines
    }

    fn submission(&mut self, line: &str) -> Submission {
        self.requests += 1;
        let (head, command) = line.split_once(": ").unwrap_or_else(|| panic!("<actor>: <command> is expected: {line}"));
        let head = Words::read(head);
        let actor = head.actor();
        let command = self.command(&Words::read(command));
        let object = command.subject();
        let planned_on = match head.get("planned-on") {
            None => matches!(actor, Actor::Duty(_)).then(|| self.ledger.state.revision()),
            Some("none") => None,
            Some(revision) => Some(Revision(revision.parse().expect("a revision"))),
        };
        Submission {
            actor,
            request: match head.get("key") {
                Some(key) => RequestId::parse(key),
                None => RequestId::minted(&format!("request-{}", self.requests)),
            }
            .expect("a request id"),
            fingerprint: Hash::of(format!("{command:?}").as_bytes()),
            expected: head.get("if-match").map(|cursor| ExpectedRevision {
                object: object.expect("a command to an object that exists"),
                at: cursor.parse().expect("a cursor"),
            }),
            planned_on,
            command,
        }
    }

    fn command(&self, words: &Words) -> Command {
        let verb: Vec<_> = words.plain.iter().map(String::as_str).collect();
        match verb[..] {
            ["found"] => Command::Cluster(cluster::Command::Found {
                cluster: ClusterId([1; 16]),
                license_key: vec![1; 32],
                ca_certificate: words.get("certificate").unwrap_or("certificate").to_owned(),
                sealed_ca_key: vec![2; 48],
                setup_secret: Hash::of(b"setup"),
                node: words.facts(),
            }),
            ["raise", "level", level] => Command::Cluster(cluster::Command::RaiseLevel { level: Level(number(level)) }),
            ["issue", "token", name] => Command::Token(token::Command::Issue {
                name: name.to_owned(),
                secret: words.secret("secret"),
                expires_at: words.get("expires").map(|shift| shifted(self.now, shift)),
                setup_secret: words.get("setup").map(|secret| Hash::of(secret.as_bytes())),
            }),
            ["revoke", "token", token] => Command::Token(token::Command::Revoke { token: TokenId(number(token)) }),
            ["invite"] => Command::JoinToken(join_token::Command::Issue {
                secret: words.secret("secret"),
                expires_at: shifted(self.now, words.get("expires").unwrap_or("+1h")),
            }),
            ["withdraw", token] => Command::JoinToken(join_token::Command::Revoke { token: JoinTokenId(number(token)) }),
            ["create", "site", name] => Command::Site(site::Command::Create {
                name: name.to_owned(),
                expected_latency_ms: words.number("latency").unwrap_or(5),
            }),
            ["edit", "site", site] => Command::Site(site::Command::Edit {
                site: SiteId(number(site)),
                name: words.get("name").map(str::to_owned),
                expected_latency_ms: words.number("latency"),
            }),
            ["remove", "site", site] => Command::Site(site::Command::Remove { site: SiteId(number(site)) }),
            ["create", "destination", name] => Command::Destination(destination::Command::Create {
                name: name.to_owned(),
                description: words.get("description").unwrap_or_default().to_owned(),
                site: SiteId(words.number("site").expect("a site")),
                offered: words.get("offered") != Some("no"),
                balancing: words.balancing().unwrap_or_default(),
                free_space: words.free_space().unwrap_or_default(),
            }),
            ["edit", "destination", destination] => Command::Destination(destination::Command::Edit {
                destination: DestinationId(number(destination)),
                change: Change {
                    name: words.get("name").map(str::to_owned),
                    description: words.get("description").map(str::to_owned),
                    site: words.number("site").map(SiteId),
                    offered: words.get("offered").map(|offered| offered != "no"),
                    balancing: words.balancing(),
                    free_space: words.free_space(),
                },
            }),
            ["remove", "destination", destination] => {
                Command::Destination(destination::Command::Remove { destination: DestinationId(number(destination)) })
            }
            ["admit"] => {
                let facts = words.facts();
                // Each machine has a key of its own, unless it is said.
                let public_key = words.get("key").map_or_else(|| Hash::of(&facts.store.0), |key| Hash::of(key.as_bytes()));
                Command::AuthorityNode(authority_node::Command::Admit { secret: words.secret("secret"), public_key, facts })
            }
            ["announce", node] => Command::AuthorityNode(authority_node::Command::Announce {
                node: AuthorityNodeId(number(node)),
                facts: words.facts(),
            }),
            ["place", "node", node] => Command::AuthorityNode(authority_node::Command::Edit {
                node: AuthorityNodeId(number(node)),
                site: words.number("site").map(SiteId),
            }),
            ["remove", "node", node] => {
                Command::AuthorityNode(authority_node::Command::Remove { node: AuthorityNodeId(number(node)) })
            }
            ["settle", "node", node] => {
                Command::AuthorityNode(authority_node::Command::Settle { node: AuthorityNodeId(number(node)) })
            }
            ["report", "operation", operation] => Command::Operation(operation::Command::Report {
                operation: OperationId(number(operation)),
                step: words.get("step").map(step),
                waiting_on: words.get("waits").map(wait).into_iter().collect(),
            }),
            ["cancel", "operation", operation] => {
                Command::Operation(operation::Command::Cancel { operation: OperationId(number(operation)) })
            }
            _ => fleet_words::command(&verb, words, self.now).unwrap_or_else(|| panic!("no such command: {}", verb.join(" "))),
        }
    }
}

/// The outcome in one line.
fn result(decision: &Decision) -> String {
    match &decision.outcome {
        Ok(reply) if decision.repeated => format!("{reply}, at revision {}, as told before", decision.revision),
        Ok(reply) => reply.to_string(),
        Err(rejection) => format!("refused {}: {rejection}", rejection.code()),
    }
}

/// A line's words: plain ones in order, and those with a key.
struct Words {
    plain: Vec<String>,
    keyed: BTreeMap<String, String>,
}

impl Words {
    /// Words stand between blanks; within quotes blanks do not part, `\n`, `\t`, `\"` and `\u{7}` stand for characters, and
    /// `"x"*128` is a text 128 times.
    fn read(line: &str) -> Self {
        let mut words = Self { plain: Vec::new(), keyed: BTreeMap::new() };
        let mut rest = line.trim_start();
        while !rest.is_empty() {
            let bare = rest.find([' ', '"', '=']).unwrap_or(rest.len());
            let key = rest[bare..].starts_with('=').then(|| &rest[..bare]);
            let value = key.map_or(rest, |_| &rest[bare + 1..]);
            let (text, behind) = match value.strip_prefix('"') {
                Some(quoted) => unquoted(quoted),
                None => {
                    let (text, behind) = value.split_at(value.find(' ').unwrap_or(value.len()));
                    (text.to_owned(), behind)
                }
            };
            match key {
                Some(key) => drop(words.keyed.insert(key.to_owned(), text)),
                None => words.plain.push(text),
            }
            rest = behind.trim_start();
        }
        words
    }

    fn get(&self, key: &str) -> Option<&str> {
        self.keyed.get(key).map(String::as_str)
    }

    fn number<N: TryFrom<u64>>(&self, key: &str) -> Option<N> {
        self.get(key).map(number)
    }

    fn secret(&self, key: &str) -> Hash {
        Hash::of(self.get(key).unwrap_or_else(|| panic!("{key}= is missing")).as_bytes())
    }

    fn actor(&self) -> Actor {
        let words: Vec<_> = self.plain.iter().map(String::as_str).collect();
        match words[..] {
            ["founder"] => Actor::Founder,
            ["joiner"] => Actor::Joiner,
            ["membership", "duty"] => Actor::Duty(Duty::Membership),
            ["join", "duty"] => Actor::Duty(Duty::Join),
            ["detection", "duty"] => Actor::Duty(Duty::FailureDetection),
            ["server", server] => Actor::Server(ServerId(number(server))),
            ["token", token] => Actor::Token(TokenId(number(token))),
            ["node", node] => Actor::AuthorityNode(AuthorityNodeId(number(node))),
            _ => panic!("nobody is called {}", words.join(" ")),
        }
    }

    fn facts(&self) -> Facts {
        let store: u8 = self.number("store").expect("a store");
        Facts {
            store: StoreId([store; 16]),
            peer_address: self.get("address").map_or_else(|| format!("n{store}.example:4283"), str::to_owned),
            api_address: format!("n{store}.example:4285"),
            control_address: format!("n{store}.example:4288"),
            version: self.get("version").unwrap_or("0.1.0").to_owned(),
            supported: Level(self.number("supports").unwrap_or(1)),
        }
    }

    fn balancing(&self) -> Option<Balancing> {
        let keys = ["balancing", "variance", "window", "rate", "concurrency"];
        keys.iter().any(|key| self.get(key).is_some()).then(|| {
            let usual = Balancing::default();
            Balancing {
                enabled: self.get("balancing") != Some("off"),
                allowed_variance_percent: self.number("variance").unwrap_or(usual.allowed_variance_percent),
                window: self.get("window").map(|window| {
                    let (from, to) = window.split_once('-').expect("a window is <from>-<to>");
                    DailyWindow { from_minute: number(from), to_minute: number(to) }
                }),
                rate_bytes_per_second: self.number("rate"),
                concurrency: self.number("concurrency").unwrap_or(usual.concurrency),
            }
        })
    }

    fn free_space(&self) -> Option<FreeSpaceThresholds> {
        let (warning, critical) = self.get("free-space")?.split_once('/').expect("thresholds are <warning>/<critical>");
        Some(FreeSpaceThresholds { warning_percent: number(warning), critical_percent: number(critical) })
    }
}

/// The text up to the closing quote, as often as is said behind it, and what follows.
fn unquoted(quoted: &str) -> (String, &str) {
    let mut text = String::new();
    let mut characters = quoted.chars();
    loop {
        match characters.next().expect("a closing quote") {
            '"' => break,
            '\\' => text.push(match characters.next() {
                Some('n') => '\n',
                Some('t') => '\t',
                Some('"') => '"',
                Some('u') => {
                    let (digits, behind) = characters.as_str().split_once('}').expect("a closing brace");
                    characters = behind.chars();
                    let code = u32::from_str_radix(digits.trim_start_matches('{'), 16).expect("hexadecimal digits");
                    char::from_u32(code).expect("a character")
                }
                other => panic!("no such escape: {other:?}"),
            }),
            character => text.push(character),
        }
    }
    match characters.as_str().strip_prefix('*') {
        None => (text, characters.as_str()),
        Some(rest) => {
            let (times, behind) = rest.split_at(rest.find(' ').unwrap_or(rest.len()));
            (text.repeat(number(times)), behind)
        }
    }
}

fn number<N: TryFrom<u64>>(text: &str) -> N {
    let number: u64 = text.parse().unwrap_or_else(|_| panic!("{text} is no number"));
    N::try_from(number).unwrap_or_else(|_| panic!("{text} is too large"))
}

fn shifted(from: Timestamp, shift: &str) -> Timestamp {
    let (back, amount) = shift.strip_prefix('-').map_or((false, shift.trim_start_matches('+')), |amount| (true, amount));
    let digits = amount.find(|character: char| !character.is_ascii_digit()).expect("a unit: ms, s, m or h");
    let unit = match &amount[digits..] {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        unit => panic!("no such unit: {unit}"),
    };
    let milliseconds = number::<u64>(&amount[..digits]) * unit;
    Timestamp(if back { from.0.saturating_sub(milliseconds) } else { from.0 + milliseconds })
}

fn step(name: &str) -> Step {
    match name {
        "contacted" => Step::Contacted,
        "certified" => Step::Certified,
        "learning" => Step::Learning,
        "caught-up" => Step::CaughtUp,
        _ => panic!("no such step: {name}"),
    }
}

/// `node_unreachable:2`: what for, and which node or server.
fn wait(text: &str) -> (WaitCode, ObjectRef) {
    let (code, object) = text.split_once(':').expect("a wait is <code>:<node or server>");
    let codes = [WaitCode::NodeUnreachable, WaitCode::NodeCatchingUp, WaitCode::MembershipChange, WaitCode::ServerUnreachable];
    let code = codes.into_iter().find(|known| known.code() == code).unwrap_or_else(|| panic!("no such code: {code}"));
    let object = match code {
        WaitCode::ServerUnreachable => ServerId(number(object)).into(),
        _ => AuthorityNodeId(number(object)).into(),
    };
    (code, object)
}
