#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

use std::sync::LazyLock;

use bursar_net::{MasterLicenseKey, SystemEntropy};
use proptest::prelude::*;

use super::*;

/// A line that was written down once; nothing writes the file.
const CORPUS: &str = include_str!("corpus.txt");
/// When the specimens are issued.
const NOW: Timestamp = Timestamp(1_900_000_000_000);

/// A server's key, and what it says.
struct Specimen {
    key: NodeKey,
    license: MasterLicenseKey,
    says: ConnectionString,
}

/// Made once: deriving a license's key takes a while.
static SPECIMEN: LazyLock<Specimen> = LazyLock::new(|| {
    let license = MasterLicenseKey::generate(&SystemEntropy::new());
    let key = NodeKey::generate().unwrap();
    let (guid, public_key) = (ServerGuid([7; 16]), key.public_key());
    let says = ConnectionString {
        guid,
        name: "store-7".into(),
        primary_address: "store-7.example:4288".parse().unwrap(),
        secondary_address: Some("[fd00::7]:4288".parse().unwrap()),
        peer_port: 4283,
        transfer_port: 4286,
        platform: "x86_64-linux".into(),
        version: "0.1.0".into(),
        certificate: Fingerprint::from([9; 32]),
        secret: Secret::new("s3cret"),
        issued_at: NOW,
        expires_at: NOW.plus_ms(LIFETIME_MS),
        license: license.prove(&license_subject(guid, &public_key)),
        public_key,
    };
    Specimen { key, license, says }
});

static LINE: LazyLock<String> = LazyLock::new(|| SPECIMEN.says.encode(&SPECIMEN.key).expose().to_owned());

fn refusal(text: &str) -> ConnectionStringError {
    ConnectionString::decode(text).unwrap_err()
}

/// A change to what a server says, signed by the server.
fn signed(change: impl FnOnce(&mut ConnectionString)) -> String {
    let mut says = SPECIMEN.says.clone();
    change(&mut says);
    says.encode(&SPECIMEN.key).expose().to_owned()
}

#[test]
fn a_connection_string_survives_being_copied() {
    assert_eq!(ConnectionString::decode(&format!(" {}\n", *LINE)), Ok(SPECIMEN.says.clone()));
    assert!(LINE.starts_with("bursar1.") && LINE.len() < 1024, "{}", *LINE);
}

#[test]
fn its_secret_shows_nowhere_but_in_the_line() {
    assert!(!format!("{:?}", SPECIMEN.says).contains("s3cret"));
    assert!(!format!("{:?}", SPECIMEN.says.encode(&SPECIMEN.key)).contains("bursar1"));
}

#[test]
fn the_line_that_was_written_down_reads_and_is_encoded_as_it_was() {
    let read = ConnectionString::decode(CORPUS).unwrap();
    let encoded = URL_SAFE_NO_PAD.encode(frame::encode(&read).unwrap());
    assert_eq!(CORPUS.split('.').nth(1), Some(encoded.as_str()));
    let license = MasterLicenseKey::parse("BURSAR-00000-00000-00000").unwrap();
    assert_eq!(read.check(read.issued_at, &license.public_key()), Ok(()));
    assert_eq!((read.name.as_str(), read.guid), ("store-7", ServerGuid([7; 16])));
}

#[test]
fn every_cut_is_told_as_one() {
    for end in 0..LINE.len() {
        let refused = refusal(&LINE[..end]);
        // Of less than its name nobody can tell what it was to be.
        let expected = if end < NAME.len() { ConnectionStringError::Foreign } else { ConnectionStringError::Truncated };
        assert_eq!(refused, expected, "cut after {end}");
        assert!(refused.to_string().contains("copy the whole line"), "{refused}");
    }
}

#[test]
fn what_is_longer_than_any_is_not_looked_at() {
    let refused = refusal(&format!("{}{}", *LINE, "A".repeat(TEXT_BYTES_MAX)));
    assert_eq!(refused, ConnectionStringError::TooLong { bytes: LINE.len() + TEXT_BYTES_MAX });
}

#[test]
fn the_longest_server_fits() {
    let host = format!("{0}.{0}.{0}.{1}", "h".repeat(63), "h".repeat(61));
    let line = signed(|says| {
        says.name = "\u{10ffff}".repeat(128);
        says.primary_address = Address::new(&host, 65_535).unwrap();
        says.secondary_address = Some(Address::new(&host, 65_535).unwrap());
        says.platform = "p".repeat(WORD_BYTES_MAX);
        says.version = "v".repeat(WORD_BYTES_MAX);
        says.secret = Secret::new("s".repeat(64));
    });
    assert!(ConnectionString::decode(&line).is_ok(), "{} bytes", line.len());
}

#[test]
fn another_version_and_other_texts_are_told_apart() {
    let rest = LINE.strip_prefix("bursar1.").unwrap();
    for version in ["2", "10", "01", "99999999"] {
        let refused = refusal(&format!("bursar{version}.{rest}"));
        assert_eq!(refused, ConnectionStringError::UnknownVersion { found: version.into() });
        assert!(refused.to_string().contains("same version of the program"), "{refused}");
    }
    for other in ["", "hello", "bursar-join1.e30.00000000", &format!("bursar.{rest}"), &format!("Bursar1.{rest}")] {
        assert_eq!(refusal(other), ConnectionStringError::Foreign, "{other}");
    }
}

#[test]
fn a_signature_by_another_key_is_refused() {
    let other = NodeKey::generate().unwrap();
    assert_eq!(refusal(SPECIMEN.says.encode(&other).expose()), ConnectionStringError::Tampered);
}

#[test]
fn what_no_server_says_is_refused_although_it_is_signed() {
    let lies: [fn(&mut ConnectionString); 11] = [
        |says| says.name = String::new(),
        |says| says.name = "a\u{1b}[2J".into(),
        |says| says.primary_address = "store-7.example:0".parse().unwrap(),
        |says| says.secondary_address = Some("store-7.example:0".parse().unwrap()),
        |says| says.peer_port = 0,
        |says| says.transfer_port = 0,
        |says| says.platform = "<script>\n".into(),
        |says| says.version = String::new(),
        |says| says.version = "1".repeat(WORD_BYTES_MAX + 1),
        |says| says.expires_at = says.issued_at,
        |says| says.expires_at = says.issued_at.plus_ms(LIFETIME_MS + 1),
    ];
    for (number, lie) in lies.into_iter().enumerate() {
        let refused = refusal(&signed(lie));
        assert!(matches!(refused, ConnectionStringError::Malformed { .. }), "lie {number}: {refused}");
    }
}

#[test]
fn it_is_good_for_a_day_and_for_one_license() {
    let Specimen { says, license, .. } = &*SPECIMEN;
    let key = license.public_key();
    let last = Timestamp(says.expires_at.0 - 1);
    let behind = Timestamp(says.issued_at.0 - AHEAD_MS_MAX);
    for good in [says.issued_at, last, behind] {
        assert_eq!(says.check(good, &key), Ok(()), "{good}");
    }
    let (expires_at, issued_at) = (says.expires_at, says.issued_at);
    assert_eq!(says.check(expires_at, &key), Err(ConnectionStringError::Expired { expires_at, now: expires_at }));
    let now = Timestamp(behind.0 - 1);
    assert_eq!(says.check(now, &key), Err(ConnectionStringError::Premature { issued_at, now }));

    let other = MasterLicenseKey::generate(&SystemEntropy::new()).public_key();
    assert_eq!(says.check(NOW, &other), Err(ConnectionStringError::ForeignLicense));
    assert_eq!(says.check(NOW, b""), Err(ConnectionStringError::ForeignLicense));
}

#[test]
fn a_proof_that_was_copied_from_another_server_is_none() {
    let key = SPECIMEN.license.public_key();
    let other_guid = ConnectionString { guid: ServerGuid([8; 16]), ..SPECIMEN.says.clone() };
    let other_key = ConnectionString { public_key: NodeKey::generate().unwrap().public_key(), ..SPECIMEN.says.clone() };
    for copied in [other_guid, other_key] {
        assert_eq!(copied.check(NOW, &key), Err(ConnectionStringError::ForeignLicense));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn every_changed_character_is_noticed(at in any::<prop::sample::Index>(), to in any::<char>()) {
        let mut characters: Vec<char> = LINE.chars().collect();
        let at = at.index(characters.len());
        prop_assume!(characters[at] != to);
        characters[at] = to;
        let changed: String = characters.into_iter().collect();
        prop_assert!(ConnectionString::decode(&changed).is_err(), "changed at {at} to {to:?}");
    }

    #[test]
    fn every_letter_of_base64url_in_place_of_another_is_noticed(at in any::<prop::sample::Index>(), to in "[A-Za-z0-9_.-]") {
        let at = at.index(LINE.len());
        prop_assume!(LINE[at..=at] != to);
        let mut changed = LINE.clone();
        changed.replace_range(at..=at, &to);
        prop_assert!(ConnectionString::decode(&changed).is_err(), "changed at {at} to {to:?}");
    }

    #[test]
    fn no_text_makes_decoding_panic(text in any::<String>(), payload in any::<Vec<u8>>()) {
        let payload = URL_SAFE_NO_PAD.encode(payload);
        for text in [text.clone(), format!("bursar1.{text}"), format!("bursar1.{payload}.{}", "A".repeat(SIGNATURE_CHARACTERS))] {
            prop_assert!(ConnectionString::decode(&text).is_err());
        }
    }

    #[test]
    fn whatever_a_server_says_reads_back(
        guid in any::<[u8; 16]>(),
        name in "[a-zA-Zäöü0-9._-]{1,128}",
        port in 1_u16..,
        has_secondary in any::<bool>(),
        issued_at in 0_u64..1 << 60,
        lifetime in 1..=LIFETIME_MS,
    ) {
        let mut says = SPECIMEN.says.clone();
        says.guid = ServerGuid(guid);
        says.name = name;
        says.primary_address = Address::new("10.0.0.7", port).unwrap();
        says.secondary_address = says.secondary_address.filter(|_| has_secondary);
        says.issued_at = Timestamp(issued_at);
        says.expires_at = Timestamp(issued_at + lifetime);
        prop_assert_eq!(ConnectionString::decode(says.encode(&SPECIMEN.key).expose()), Ok(says));
    }
}
