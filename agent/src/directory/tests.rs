#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    sync::{LazyLock, OnceLock},
    time::Duration,
};

use bursar_domain::{AuthorityNodeId, ClusterId, ServerId, Timestamp};
use bursar_net::{
    CertificateAuthority, DiskFiles, LeafProfile, MasterLicenseKey, Member, PeerIdentity, SystemEntropy, WallClock,
};
use bursar_wire::ConnectionString;
use tempfile::TempDir;

use super::*;
use crate::{
    faults::{FaultyFiles, Moment},
    introduction::{Issued, issue},
    make::{MakeError, Making, make},
    settings::{Advertised, Listen, SettingsFault},
    standing::StringRefusal,
};

const NOON: Timestamp = Timestamp(1_900_000_000_000);

struct Noon;

impl WallClock for Noon {
    fn now_unix_ms(&self) -> u64 {
        NOON.0
    }
}

static LICENSE: LazyLock<MasterLicenseKey> = LazyLock::new(|| MasterLicenseKey::generate(&SystemEntropy::new()));

fn settings() -> Settings {
    let address = |text: &str| text.parse().unwrap();
    Settings {
        name: "store-7".into(),
        listen: Listen { peer: address("[::]:4283"), transfer: address("[::]:4286"), control: address("[::]:4288") },
        advertised: Advertised { primary: address("store-7.example:4288"), secondary: None },
    }
}

fn make_in(root: &Path, files: Arc<dyn Files>) -> Result<Issued, MakeError> {
    let (clock, entropy) = (&Noon, &SystemEntropy::new());
    make(Making { directory: root, settings: settings(), license_key: &LICENSE, files, clock, entropy })
}

fn made() -> (TempDir, PathBuf, Issued) {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("server");
    let issued = make_in(&root, Arc::new(DiskFiles)).unwrap();
    (folder, root, issued)
}

fn open(root: &Path) -> DataDirectory {
    DataDirectory::open(Arc::new(DiskFiles), root).unwrap()
}

fn names(root: &Path) -> Vec<String> {
    DiskFiles.list(root).unwrap().into_iter().map(|name| name.into_string().unwrap()).collect()
}

#[test]
fn a_server_that_was_made_is_who_its_connection_string_says() {
    let (_folder, root, issued) = made();
    let directory = open(&root);
    let server = directory.server().unwrap();
    let says = ConnectionString::decode(issued.line.expose()).unwrap();
    assert_eq!(says, issued.says);
    assert_eq!(says.check(NOON, &LICENSE.public_key()), Ok(()));
    assert_eq!((says.guid, says.certificate), (server.identity.guid, server.certificate.fingerprint()));
    assert_eq!((says.name.as_str(), says.peer_port, says.transfer_port), ("store-7", 4283, 4286));
    assert_eq!(directory.standing().unwrap().unwrap().takes(says.secret.hash(), NOON), Ok(()));
}

#[test]
fn everything_in_it_is_for_its_owner_alone_and_no_secret_of_others_rests_in_it() {
    let (_folder, root, issued) = made();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(&root), 0o700);
    for name in names(&root) {
        assert_eq!(mode(&root.join(&name)), 0o600, "{name}");
        let contents = fs::read_to_string(root.join(&name)).unwrap();
        assert!(!contents.contains(LICENSE.as_str()), "{name} holds the master license key");
        assert!(!contents.contains(issued.says.secret.expose()), "{name} holds the one-time secret");
    }
}

#[test]
fn only_a_clean_directory_is_taken_and_a_refusal_changes_nothing() {
    for name in ["notes.txt", "log", "ca.crt", "projection", ".hidden", ".notes.aside"] {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
        fs::write(folder.path().join(name), "mine").unwrap();
        let refused = make_in(folder.path(), Arc::new(DiskFiles)).unwrap_err();
        assert!(
            matches!(&refused, MakeError::Directory(DirectoryError::Occupied { name: found, .. }) if found == name),
            "{refused}"
        );
        assert_eq!(names(folder.path()), [name]);
    }
    let (_folder, root, issued) = made();
    let refused = make_in(&root, Arc::new(DiskFiles)).unwrap_err();
    assert!(matches!(refused, MakeError::Directory(DirectoryError::NotEmpty { .. })), "{refused}");
    assert_eq!(open(&root).server().unwrap().identity.guid, issued.says.guid);
}

#[test]
fn of_two_makings_at_once_the_later_one_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("server");
    let (others, made) = (root.clone(), Arc::new(OnceLock::new()));
    let rivals = Arc::clone(&made);
    let files = FaultyFiles::overtaken_by(move || {
        rivals.set(make_in(&others, Arc::new(DiskFiles)).unwrap().says.guid).unwrap();
    });
    let refused = make_in(&root, Arc::new(files)).unwrap_err();
    assert!(matches!(refused, MakeError::Directory(DirectoryError::NotEmpty { .. })), "{refused}");
    assert_eq!(Some(&open(&root).server().unwrap().identity.guid), made.get(), "the earlier one's server is untouched");
}

#[test]
fn unusable_settings_make_no_directory() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("server");
    let mut settings = settings();
    settings.name = String::new();
    let files = Arc::new(DiskFiles);
    let entropy = SystemEntropy::new();
    let making = Making { directory: &root, settings, license_key: &LICENSE, files, clock: &Noon, entropy: &entropy };
    assert!(matches!(make(making), Err(MakeError::Settings(SettingsFault::Name(_)))));
    assert!(!root.exists());
}

#[test]
fn an_interrupted_making_leaves_no_server_or_a_whole_one_and_can_be_repeated() {
    for moment in Moment::ALL {
        let mut made_whole = 0;
        for at in 0.. {
            let folder = tempfile::tempdir().unwrap();
            let root = folder.path().join("server");
            let files = Arc::new(FaultyFiles::ending_at(at, moment));
            let attempt = make_in(&root, files.clone());
            if !files.have_ended() {
                assert!(attempt.is_ok() && at >= 7, "a making changes the disk {at} times");
                break;
            }
            assert!(attempt.is_err(), "{moment:?} at {at}");
            if root.join(IDENTITY_FILE).exists() {
                made_whole += 1;
            } else {
                make_in(&root, Arc::new(DiskFiles)).unwrap();
            }
            let directory = open(&root);
            let issued = issue(&directory, &Noon, &SystemEntropy::new()).unwrap();
            assert_eq!(issued.says.guid, directory.server().unwrap().identity.guid, "{moment:?} at {at}");
        }
        // Only once its last file is there.
        assert_eq!(made_whole, usize::from(matches!(moment, Moment::After)), "{moment:?}");
    }
}

#[test]
fn a_connection_string_voids_every_former_one() {
    let (_folder, root, first) = made();
    let directory = open(&root);
    // A server that runs does not stand in the way.
    let _running = directory.lock().unwrap();
    let second = issue(&directory, &Noon, &SystemEntropy::new()).unwrap();
    assert_ne!(first.says.secret, second.says.secret);
    let standing = directory.standing().unwrap().unwrap();
    assert_eq!(standing.takes(first.says.secret.hash(), NOON), Err(StringRefusal::Voided));
    assert_eq!(standing.takes(second.says.secret.hash(), NOON), Ok(()));
}

#[test]
fn whenever_issuing_is_interrupted_one_string_stands() {
    for moment in Moment::ALL {
        let (_folder, root, first) = made();
        // The lock is its first change to the disk, the string its second.
        for at in 0..2 {
            let files = Arc::new(FaultyFiles::ending_at(at, moment));
            let directory = DataDirectory::open(files, &root).unwrap();
            assert!(issue(&directory, &Noon, &SystemEntropy::new()).is_err());
            let first_stands = open(&root).standing().unwrap().unwrap().takes(first.says.secret.hash(), NOON).is_ok();
            assert_eq!(first_stands, !(at == 1 && matches!(moment, Moment::After)), "{moment:?} at {at}");
        }
        issue(&open(&root), &Noon, &SystemEntropy::new()).unwrap();
    }
}

#[test]
fn two_do_not_issue_at_the_same_time() {
    let (_folder, root, _) = made();
    let directory = open(&root);
    let _held = directory.lock_standing().unwrap();
    let refused = issue(&open(&root), &Noon, &SystemEntropy::new()).unwrap_err();
    assert!(matches!(refused, DirectoryError::StandingHeld(_)), "{refused}");
}

#[test]
fn files_of_another_server_are_noticed() {
    let ((_one, root, _), (_other, others, _)) = (made(), made());
    for (swapped, named) in [
        (&[KEY_FILE][..], [CERTIFICATE_FILE, KEY_FILE]),
        (&[CERTIFICATE_FILE], [CERTIFICATE_FILE, KEY_FILE]),
        (&[IDENTITY_FILE], [CERTIFICATE_FILE, IDENTITY_FILE]),
        (&[KEY_FILE, CERTIFICATE_FILE], [CERTIFICATE_FILE, IDENTITY_FILE]),
    ] {
        let own: Vec<_> = swapped.iter().map(|file| fs::read(root.join(file)).unwrap()).collect();
        for file in swapped {
            fs::copy(others.join(file), root.join(file)).unwrap();
        }
        let Err(refused) = open(&root).server() else { panic!("{swapped:?} of another server are taken") };
        let said = refused.to_string();
        assert!(named.iter().all(|file| said.contains(&root.join(file).display().to_string())), "{said}");
        assert!(said.contains("restore it from a backup"), "{said}");
        for (file, contents) in swapped.iter().zip(own) {
            fs::write(root.join(file), contents).unwrap();
        }
        open(&root).server().unwrap();
    }
}

#[test]
fn a_digit_that_changed_in_the_identity_is_noticed() {
    let (_folder, root, _) = made();
    let path = root.join(IDENTITY_FILE);
    let sound = fs::read_to_string(&path).unwrap();
    for field in ["guid", "certificate", "public_key", "signature"] {
        let at = sound.find(&format!("{field} = \"")).unwrap() + field.len() + 4;
        let digit = if &sound[at..=at] == "0" { "1" } else { "0" };
        let mut changed = sound.clone();
        changed.replace_range(at..=at, digit);
        fs::write(&path, changed).unwrap();
        assert!(matches!(open(&root).server(), Err(DirectoryError::AtOdds { .. })), "{field}");
    }
}

#[test]
fn what_others_may_read_is_refused() {
    let (_folder, root, _) = made();
    for file in [IDENTITY_FILE, KEY_FILE, CERTIFICATE_FILE] {
        fs::set_permissions(root.join(file), fs::Permissions::from_mode(0o640)).unwrap();
        let Err(refused) = open(&root).server() else { panic!("{file} is used although others may read it") };
        assert!(refused.to_string().contains("chmod 600"), "{refused}");
        fs::set_permissions(root.join(file), fs::Permissions::from_mode(0o600)).unwrap();
    }
    fs::set_permissions(root.join(SETTINGS_FILE), fs::Permissions::from_mode(0o644)).unwrap();
    open(&root).server().unwrap();
    fs::set_permissions(&root, fs::Permissions::from_mode(0o750)).unwrap();
    let Err(refused) = DataDirectory::open(Arc::new(DiskFiles), &root) else { panic!("a loose directory is opened") };
    assert!(refused.to_string().contains("chmod 700"), "{refused}");
}

const DAY: Duration = Duration::from_secs(24 * 3_600);

/// What makes the server in `root` the seventh of a cluster.
fn told(root: &Path) -> control::Membership {
    let cluster = ClusterId([7; 16]);
    let name = bursar_net::ClusterId::new(&cluster.to_string()).unwrap();
    let entropy = SystemEntropy::new();
    let authority = CertificateAuthority::create(&name, DAY, &Noon, &entropy).unwrap();
    let identity = PeerIdentity { member: Member::server(7), cluster: name };
    let profile = LeafProfile { identity, further_names: Vec::new(), lifetime: DAY };
    let request = open(root).server().unwrap().key.request().unwrap();
    control::Membership {
        cluster,
        server: ServerId(7),
        ca_certificate: authority.certificate_pem().to_owned(),
        certificate: authority.issue(&request, &profile, &Noon, &entropy).unwrap().pem,
        authority: BTreeMap::from([(AuthorityNodeId(1), "authority-1.example:4288".parse().unwrap())]),
    }
}

fn membership(root: &Path) -> Result<Option<Membership>, DirectoryError> {
    let directory = open(root);
    directory.membership(&directory.server().unwrap())
}

#[test]
fn an_interrupted_adoption_leaves_a_newcomer_or_a_member_and_can_be_repeated() {
    let (_folder, root, issued) = made();
    let told = told(&root);
    for moment in Moment::ALL {
        for at in 0.. {
            let files = Arc::new(FaultyFiles::ending_at(at, moment));
            let directory = DataDirectory::open(files.clone(), &root).unwrap();
            let attempt = directory.adopt(&directory.server().unwrap(), issued.says.secret.hash(), &told);
            if !files.have_ended() {
                assert!(attempt.is_ok() && at == 4, "an adoption changes the disk {at} times");
                break;
            }
            assert!(attempt.is_err(), "{moment:?} at {at}");
            // The lock is the first change; it is a member only once its last file is there.
            let is_member = at == 3 && matches!(moment, Moment::After);
            assert_eq!(membership(&root).unwrap().is_some(), is_member, "{moment:?} at {at}");
        }
        let adopted = membership(&root).unwrap().unwrap();
        assert_eq!((adopted.cluster, adopted.server, &adopted.authority), (told.cluster, told.server, &told.authority));
        fs::remove_file(root.join(MEMBERSHIP_FILE)).unwrap();
    }
}

#[test]
fn what_changed_in_a_membership_is_noticed() {
    let (_folder, root, issued) = made();
    let told = told(&root);
    let directory = open(&root);
    directory.adopt(&directory.server().unwrap(), issued.says.secret.hash(), &told).unwrap();
    let noticed = |what: &str| {
        let Err(refused) = membership(&root) else { panic!("{what} is taken") };
        let said = refused.to_string();
        assert!(said.contains(MEMBERSHIP_FILE) && said.contains("restore it from a backup"), "{what}: {said}");
    };
    let path = root.join(MEMBERSHIP_FILE);
    let sound = fs::read_to_string(&path).unwrap();
    for (field, quotes) in [("guid", 1), ("cluster", 1), ("ca_fingerprint", 1), ("server", 0)] {
        let at = sound.find(&format!("{field} = ")).unwrap() + field.len() + 3 + quotes;
        let digit = if &sound[at..=at] == "0" { "1" } else { "0" };
        let mut changed = sound.clone();
        changed.replace_range(at..=at, digit);
        fs::write(&path, changed).unwrap();
        noticed(field);
    }
    fs::write(&path, &sound[..sound.find("[[").unwrap()]).unwrap();
    noticed("a membership without an authority");
    fs::write(&path, &sound).unwrap();

    let (_other_folder, others, others_issued) = made();
    let other = open(&others);
    other.adopt(&other.server().unwrap(), others_issued.says.secret.hash(), &self::told(&others)).unwrap();
    for file in [CLUSTERS_CERTIFICATE_FILE, AUTHORITY_FILE, MEMBERSHIP_FILE] {
        let own = fs::read(root.join(file)).unwrap();
        fs::copy(others.join(file), root.join(file)).unwrap();
        noticed(file);
        fs::write(root.join(file), own).unwrap();
    }
    assert!(membership(&root).unwrap().is_some());
}

#[test]
fn an_empty_directory_holds_no_server() {
    let folder = tempfile::tempdir().unwrap();
    let refused = DataDirectory::open(Arc::new(DiskFiles), folder.path()).err().unwrap();
    assert!(matches!(refused, DirectoryError::Empty(_)) && refused.to_string().contains("storage-server init"), "{refused}");
}
