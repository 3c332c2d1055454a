//! How a machine becomes a storage server, and what it says of itself: the real program, from the command line.

mod support;

use std::{
    fs,
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use bursar_agent::{DataDirectory, StringRefusal};
use bursar_domain::Timestamp;
use bursar_net::{DiskFiles, MasterLicenseKey, SystemClock, WallClock};
use bursar_wire::{ConnectionString, ConnectionStringError};
use serde_json::Value;
use support::{
    ended::{bursar, doctor},
    free_addresses,
};
use tempfile::TempDir;

const LICENSE: &str = "BURSAR-00000-00000-00000";

/// A folder with a master license key, and a place for a server.
struct Machine {
    folder: TempDir,
}

/// What a run of the program gave.
#[derive(Debug)]
struct Answer {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Machine {
    fn new() -> Self {
        let machine = Self { folder: tempfile::tempdir().expect("a temporary folder") };
        fs::write(machine.license(), LICENSE).expect("the license key");
        fs::set_permissions(machine.license(), fs::Permissions::from_mode(0o600)).expect("the license key");
        machine
    }

    fn dir(&self) -> PathBuf {
        self.folder.path().join("server")
    }

    fn license(&self) -> PathBuf {
        self.folder.path().join("license.key")
    }

    /// Makes a server, with these arguments instead of the usual ones.
    fn init(&self, changed: &[(&str, &str)]) -> Answer {
        let license = self.license().display().to_string();
        let usual = [
            ("--name", "store-7"),
            ("--primary-address", "store-7.example:4288"),
            ("--secondary-address", "10.0.0.7:4288"),
            ("--license-key-file", license.as_str()),
        ];
        let mut arguments = vec!["storage-server", "init"];
        let is_changed = |flag: &str| changed.iter().any(|(changed, _)| *changed == flag);
        for (flag, value) in usual.iter().filter(|(flag, _)| !is_changed(flag)).chain(changed) {
            arguments.extend([flag, value]);
        }
        self.run(&arguments)
    }

    fn connection_string(&self) -> Answer {
        self.run(&["storage-server", "connection-string"])
    }

    fn run(&self, arguments: &[&str]) -> Answer {
        let output = bursar(&[arguments, &["--dir"]].concat(), &self.dir());
        let text = |bytes| String::from_utf8(bytes).expect("text");
        Answer { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// What stands in the data directory, and how far a string is good by it.
    fn takes(&self, says: &ConnectionString) -> Result<(), StringRefusal> {
        let directory = DataDirectory::open(Arc::new(DiskFiles), &self.dir()).expect("a storage server");
        directory.standing().expect("the file reads").expect("a string stands").takes(says.secret.hash(), now())
    }
}

impl Answer {
    /// The connection string that was printed, alone on its line.
    fn line(&self) -> &str {
        assert_eq!(self.code, Some(0), "{self:?}");
        let line = self.stdout.strip_suffix('\n').expect("a whole line");
        assert!(!line.contains(char::is_whitespace), "the line stands alone: {line:?}");
        line
    }

    fn says(&self) -> ConnectionString {
        ConnectionString::decode(self.line()).expect("a connection string")
    }

    /// The last thing that a refusal says.
    fn refusal(&self, code: i32) -> &str {
        assert_eq!(self.code, Some(code), "{self:?}");
        assert_eq!(self.stdout, "", "a refusal prints no data");
        &self.stderr
    }
}

fn now() -> Timestamp {
    Timestamp(SystemClock.now_unix_ms())
}

fn license_key(text: &str) -> Vec<u8> {
    MasterLicenseKey::parse(text).expect("a license key").public_key()
}

#[test]
fn a_server_is_made_and_introduces_itself() {
    let machine = Machine::new();
    let made = machine.init(&[]);
    println!("{made:?}");
    let says = made.says();
    assert_eq!(says.name, "store-7");
    assert_eq!(says.primary_address.to_string(), "store-7.example:4288");
    assert_eq!(says.secondary_address.as_ref().map(ToString::to_string).as_deref(), Some("10.0.0.7:4288"));
    assert_eq!((says.peer_port, says.transfer_port), (4283, 4286));
    assert_eq!(says.version, env!("CARGO_PKG_VERSION"));
    assert_eq!(says.expires_at.since_ms(says.issued_at), 24 * 3_600 * 1_000);
    assert_eq!(says.check(now(), &license_key(LICENSE)), Ok(()));
    assert_eq!(says.check(now(), &license_key("BURSAR-00000-00000-00001")), Err(ConnectionStringError::ForeignLicense));
    assert!(matches!(says.check(says.expires_at, &license_key(LICENSE)), Err(ConnectionStringError::Expired { .. })));
    assert_eq!(machine.takes(&says), Ok(()));
    assert!(made.stderr.contains(&says.expires_at.to_string()), "it says until when: {}", made.stderr);
    assert!(!made.stderr.contains(made.line()), "the string goes to standard output alone");
}

#[test]
fn programs_get_json() {
    let machine = Machine::new();
    let init = || machine.init(&[("--output", "json")]);
    let again = || machine.run(&["storage-server", "connection-string", "-o", "json"]);
    for command in [&init as &dyn Fn() -> Answer, &again] {
        let answer = command();
        let document: Value = serde_json::from_str(&answer.stdout).unwrap_or_else(|error| panic!("{error}: {answer:?}"));
        let says = ConnectionString::decode(document["connection_string"].as_str().expect("a text")).expect("it decodes");
        assert_eq!(document["guid"], says.guid.to_string());
        assert_eq!(document["expires_at"], says.expires_at.to_string());
        assert_eq!(document["directory"], machine.dir().display().to_string());
        assert_eq!(machine.takes(&says), Ok(()));
    }
}

#[test]
fn what_it_keeps_is_its_owners_alone() {
    let machine = Machine::new();
    let says = machine.init(&[]).says();
    machine.connection_string().says();
    let mode = |path: &Path| fs::metadata(path).expect("a file").permissions().mode() & 0o7777;
    assert_eq!(mode(&machine.dir()), 0o700);
    let mut names = Vec::new();
    for entry in fs::read_dir(machine.dir()).expect("a folder") {
        let path = entry.expect("an entry").path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
        let contents = fs::read_to_string(&path).expect("a text");
        assert!(!contents.contains(LICENSE), "{} holds the license key", path.display());
        assert!(!contents.contains(says.secret.expose()), "{} holds the one-time secret", path.display());
        names.push(path.file_name().expect("a name").to_string_lossy().into_owned());
    }
    names.sort();
    let expected =
        ["bursar.toml", "connection-string.lock", "connection-string.toml", "identity.toml", "lock", "node.crt", "node.key"];
    assert_eq!(names, expected);
}

#[test]
fn a_second_connection_string_voids_the_first() {
    let machine = Machine::new();
    let first = machine.init(&[]).says();
    let again = machine.connection_string();
    let second = again.says();
    assert!(again.stderr.contains("void"), "{}", again.stderr);
    assert_eq!((second.guid, &second.public_key, second.certificate), (first.guid, &first.public_key, first.certificate));
    assert_eq!(machine.takes(&first), Err(StringRefusal::Voided));
    assert_eq!(machine.takes(&second), Ok(()));
}

#[test]
fn a_directory_in_use_is_refused() {
    let machine = Machine::new();
    fs::create_dir(machine.dir()).expect("a folder");
    fs::set_permissions(machine.dir(), fs::Permissions::from_mode(0o700)).expect("a folder");
    fs::write(machine.dir().join("notes.txt"), "mine").expect("a file");
    let occupied = machine.init(&[]);
    let said = occupied.refusal(1);
    assert!(said.contains("notes.txt") && said.contains("choose an empty directory"), "{said}");
    assert!(said.ends_with("next: bursar storage-server init --help\n"), "{said}");
    assert_eq!(fs::read_dir(machine.dir()).expect("a folder").count(), 1, "a refusal writes nothing");
    fs::remove_file(machine.dir().join("notes.txt")).expect("a file");

    let first = machine.init(&[]).says();
    let again = machine.init(&[]);
    let said = again.refusal(1);
    assert!(said.contains("holds a server already") && said.contains("storage-server connection-string"), "{said}");
    assert_eq!(machine.takes(&first), Ok(()), "the server that is there is untouched");
}

#[test]
fn a_directory_without_a_storage_server_issues_nothing() {
    let machine = Machine::new();
    let nothing = machine.connection_string();
    let said = nothing.refusal(1);
    assert!(said.contains("bursar storage-server init"), "{said}");
    let unmade = machine.run(&["storage-server", "run"]);
    assert!(unmade.refusal(1).ends_with("next: bursar storage-server init --help\n"), "{unmade:?}");
}

#[test]
fn a_directory_of_another_role_is_called_what_it_is_and_not_damaged() {
    let authority = ["authority", "init", "--peer-address", "127.0.0.1:4283", "--api-address", "127.0.0.1:4285"];
    let wrong = |machine: &Machine, arguments: &[&str], is: &str, meant: &str| {
        let answer = machine.run(arguments);
        let (said, dir) = (answer.refusal(2), machine.dir().display().to_string());
        assert!(said.starts_with(&format!("error: {dir} is the data directory of {is}, and this command is for ")), "{said}");
        assert!(said.ends_with(&format!("\nnext: bursar {meant} run --dir {dir}\n")), "{said}");
    };
    let node = Machine::new();
    assert_eq!(node.run(&authority).code, Some(0));
    for arguments in [["storage-server", "run"], ["storage-server", "connection-string"]] {
        wrong(&node, &arguments, "an authority node", "authority");
    }
    let server = Machine::new();
    server.init(&[]).line();
    let before = fs::read_dir(server.dir()).expect("a folder").count();
    for arguments in [&["authority", "run"][..], &authority] {
        wrong(&server, arguments, "a storage server", "storage-server");
    }
    assert_eq!(fs::read_dir(server.dir()).expect("a folder").count(), before, "a refusal writes nothing");
}

#[test]
fn whatever_refuses_a_command_line_names_the_command_to_try_next() {
    let machine = Machine::new();
    let unmade = machine.run(&["authority", "run"]);
    assert!(unmade.refusal(1).ends_with("next: bursar authority init --help\n"), "{unmade:?}");
    let unnamed = machine.run(&["storage-server", "init", "--name", "store-7"]);
    assert!(unnamed.refusal(2).ends_with("\nnext: bursar storage-server init --help\n"), "{unnamed:?}");
    let no_demo = machine.run(&["demo", "--stop"]);
    assert!(no_demo.refusal(1).ends_with(" demo --help\n"), "{no_demo:?}");
}

#[test]
fn the_license_key_must_be_there_private_and_whole() {
    let machine = Machine::new();
    let without = machine.run(&["storage-server", "init", "--name", "store-7", "--primary-address", "10.0.0.7:4288"]);
    assert!(without.refusal(2).contains("--license-key-file"), "{without:?}");
    let refused = |code| {
        let answer = machine.init(&[]);
        assert!(answer.refusal(code).contains(&machine.license().display().to_string()), "{answer:?}");
        assert!(!machine.dir().exists(), "a refusal makes no directory");
        answer.stderr
    };
    fs::set_permissions(machine.license(), fs::Permissions::from_mode(0o644)).expect("the license key");
    assert!(refused(1).contains("chmod 600"));
    fs::set_permissions(machine.license(), fs::Permissions::from_mode(0o600)).expect("the license key");
    fs::write(machine.license(), "too short").expect("the license key");
    assert!(refused(2).contains("16 to 256 visible characters"));
    fs::remove_file(machine.license()).expect("the license key");
    let absent = refused(1);
    assert!(absent.contains("does not exist"), "{absent}");
    let advice = absent.split_once("\nhint: ").expect("a hint").1;
    assert!(advice.starts_with("The key is in license.key, in the data directory of the authority node"), "{absent}");
    assert!(advice.ends_with("\nnext: bursar storage-server init --help\n"), "{absent}");
}

#[test]
fn addresses_and_names_that_cannot_be_are_refused() {
    let machine = Machine::new();
    for (changed, said) in [
        (("--primary-address", "store-7.example"), "the port is missing"),
        (("--primary-address", "a b:4288"), "letters, digits, dots"),
        (("--secondary-address", "::1:4288"), "brackets"),
        (("--primary-address", "0.0.0.0:4288"), "nobody can reach this server"),
        (("--secondary-address", "[::]:4288"), "nobody can reach this server"),
        (("--primary-address", "store-7.example:0"), "port 0"),
        (("--secondary-address", "store-7.example:4288"), "primary and the secondary"),
        (("--primary-address", "store-7.example:4283"), "same port"),
        (("--listen-transfer", "127.0.0.1:4288"), "same port"),
        (("--name", ""), "1 to 128 characters"),
        (("--name", " store-7"), "1 to 128 characters"),
    ] {
        let answer = machine.init(&[changed]);
        let refused = answer.refusal(2);
        assert!(refused.contains(said), "{changed:?}: {refused}");
        assert!(!machine.dir().exists(), "{changed:?}: a refusal makes no directory");
    }
}

#[test]
fn the_doctor_examines_a_newcomer() {
    let machine = Machine::new();
    let addresses = free_addresses(machine.folder.path());
    let [peer, transfer, control] = &addresses;
    let listen = [("--listen-peer", &**peer), ("--listen-transfer", transfer), ("--listen-control", control)];
    machine.init(&listen).line();
    let examined = doctor(&machine.dir());
    assert!(examined.healthy, "{:?}", examined.complaints());
    for (what, told) in [
        ("data directory", "no server runs in it"),
        ("identity", "belong together"),
        ("membership", "no cluster has taken it in yet, as far as it knows"),
        ("connection string", "one stands until"),
        ("fleet as it knows it", "nothing yet; it is read from the authority"),
        ("directories made", "none yet"),
        ("control port", &format!("{control} is free")),
    ] {
        assert!(examined.of(what).detail.contains(told), "{what}: {examined:?}");
    }
    let taken = TcpListener::bind(peer).expect("the port is free");
    let complaint = |what: &str| {
        let examined = doctor(&machine.dir());
        let complaints: Vec<_> = examined.complaints().iter().map(|finding| finding.what.clone()).collect();
        assert_eq!(complaints, [what], "{examined:?}");
        examined.of(what).detail.clone()
    };
    assert!(complaint("peer port").contains("in use by another program"));
    drop(taken);
    fs::set_permissions(machine.dir(), fs::Permissions::from_mode(0o755)).expect("the data directory");
    assert!(complaint("data directory").contains("chmod 700"));
    fs::set_permissions(machine.dir(), fs::Permissions::from_mode(0o700)).expect("the data directory");
    fs::write(machine.dir().join("made.toml"), "store = 1").expect("a file");
    fs::set_permissions(machine.dir().join("made.toml"), fs::Permissions::from_mode(0o600)).expect("the file");
    assert!(complaint("directories made").contains("made.toml"));
    fs::remove_file(machine.dir().join("made.toml")).expect("the file");
    fs::remove_file(machine.dir().join("identity.toml")).expect("the identity");
    assert!(complaint("identity").contains("identity.toml is missing"));
}

#[test]
fn the_doctor_tells_whoever_mistyped_a_path_what_it_looked_for() {
    let machine = Machine::new();
    let nowhere = machine.run(&["doctor"]);
    assert!(nowhere.refusal(2).contains("does not exist"), "{nowhere:?}");
    fs::create_dir(machine.dir()).expect("a directory");
    let nothing = machine.run(&["doctor"]);
    let said = nothing.refusal(2);
    for sought in ["identity.toml", "cluster.key", "membership.toml", "made.toml"] {
        assert!(said.contains(sought) && !said.contains("init"), "{said}");
    }
}
