//! Bytes from a disk or a wire may be anything: decoding them ends in a value or in a typed error, never in a panic, and
//! takes no more memory than the bytes deserve.

#[path = "common/specimens.rs"]
#[allow(dead_code, reason = "the corpus needs more of it")]
mod specimens;

use std::{env, fmt::Debug, process::Command};

use bursar_domain::{
    Projection, Proposal, Record, Sealed, State, Submission,
    alert::Alert,
    authority_node::AuthorityNode,
    cluster::Cluster,
    destination::Destination,
    encoding::{DecodeError, Encoded, Kind, decode, encode},
    join_token::JoinToken,
    operation::Operation,
    requests::Remembered,
    server::Server,
    site::Site,
    state::Header,
    store_point::StorePoint,
    token::Token,
};
use proptest::{collection::vec, prelude::*, sample::Index};

fn config() -> ProptestConfig {
    ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() }
}

/// Reads `bytes` as everything that they could be taken for.
fn read_as_anything(bytes: &[u8]) {
    fn read<T: Encoded + PartialEq + Debug>(bytes: &[u8]) {
        if let Ok(value) = decode::<T>(bytes) {
            assert_eq!(decode::<T>(&encode(&value)).as_ref(), Ok(&value), "what was read can be written");
        }
    }
    read::<Submission>(bytes);
    read::<Record>(bytes);
    read::<Header>(bytes);
    read::<Cluster>(bytes);
    read::<Site>(bytes);
    read::<Destination>(bytes);
    read::<AuthorityNode>(bytes);
    read::<Operation>(bytes);
    read::<Token>(bytes);
    read::<JoinToken>(bytes);
    read::<Remembered>(bytes);
    read::<Server>(bytes);
    read::<StorePoint>(bytes);
    read::<Alert>(bytes);
    read::<Projection>(bytes);
    if let Ok(proposal) = Proposal::decode(bytes) {
        assert_eq!(Proposal::decode(&proposal.encode()), Ok(proposal));
    }
    if let Ok(sealed) = Sealed::open(bytes.to_vec()) {
        assert_eq!(sealed.bytes, bytes);
    }
    if let Ok(state) = State::import([encode(&Header::default()).as_slice(), bytes]) {
        assert!(state.export().count() > 0);
    }
}

/// One thing that goes wrong with bytes.
#[derive(Clone, Debug)]
enum Damage {
    Flip { at: Index, bit: u8 },
    Set { at: Index, to: u8 },
    Cut { at: Index },
    Insert { at: Index, bytes: Vec<u8> },
    Repeat { from: Index, to: Index },
}

impl Damage {
    fn inflict(&self, bytes: &mut Vec<u8>) {
        let position = |index: &Index, bytes: &[u8]| index.index(bytes.len() + 1);
        match self {
            Self::Flip { at, bit } if !bytes.is_empty() => {
                let at = at.index(bytes.len());
                bytes[at] ^= 1 << (bit % 8);
            }
            Self::Set { at, to } if !bytes.is_empty() => {
                let at = at.index(bytes.len());
                bytes[at] = *to;
            }
            Self::Flip { .. } | Self::Set { .. } => {}
            Self::Cut { at } => bytes.truncate(position(at, bytes)),
            Self::Insert { at, bytes: more } => {
                let at = position(at, bytes);
                bytes.splice(at..at, more.iter().copied());
            }
            Self::Repeat { from, to } => {
                let (from, to) = (position(from, bytes), position(to, bytes));
                let part = bytes[from.min(to)..from.max(to)].to_vec();
                bytes.splice(from..from, part);
            }
        }
    }
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        (any::<Index>(), any::<u8>()).prop_map(|(at, bit)| Damage::Flip { at, bit }),
        (any::<Index>(), any::<u8>()).prop_map(|(at, to)| Damage::Set { at, to }),
        any::<Index>().prop_map(|at| Damage::Cut { at }),
        (any::<Index>(), vec(any::<u8>(), 1..8)).prop_map(|(at, bytes)| Damage::Insert { at, bytes }),
        (any::<Index>(), any::<Index>()).prop_map(|(from, to)| Damage::Repeat { from, to }),
    ]
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn damaged_bytes_are_read_or_refused(specimen: Index, damages in vec(damage(), 1..5)) {
        let specimens = specimens::all();
        let mut bytes = specimens[specimen.index(specimens.len())].bytes.clone();
        for damage in damages {
            damage.inflict(&mut bytes);
        }
        read_as_anything(&bytes);
    }

    #[test]
    fn random_bytes_are_read_or_refused(kind in 0..32_u8, version in 0..3_u8, rest in vec(any::<u8>(), 0..200)) {
        let mut bytes = vec![kind, version];
        bytes.extend(rest);
        read_as_anything(&bytes);
    }
}

#[test]
fn a_part_is_never_taken_for_the_whole() {
    for specimen in specimens::all() {
        for length in 0..specimen.bytes.len() {
            assert!((specimen.read)(&specimen.bytes[..length]).is_err(), "{} cut to {length} bytes", specimen.path());
        }
        let longer = [specimen.bytes.as_slice(), &[0xc0]].concat();
        assert!((specimen.read)(&longer).is_err(), "{} with a byte behind it", specimen.path());
    }
}

#[test]
fn an_unknown_field_is_refused() {
    for specimen in specimens::all() {
        let mut bytes = specimen.bytes.clone();
        assert!(matches!(bytes[2], 0x80..=0x8e), "{} begins with a small map", specimen.path());
        bytes[2] += 1;
        bytes.extend_from_slice(b"\xa7unknown\xc0");
        let Err(DecodeError::Malformed { detail, .. }) = (specimen.read)(&bytes) else {
            panic!("{} with an unknown field was read", specimen.path());
        };
        assert!(detail.contains("unknown field"), "{detail}");
    }
}

#[test]
fn another_version_or_kind_is_told_apart() {
    for specimen in specimens::all() {
        let refusal = |change: fn(&mut [u8])| {
            let mut bytes = specimen.bytes.clone();
            change(&mut bytes);
            (specimen.read)(&bytes).err()
        };
        assert!(matches!(refusal(|bytes| bytes[1] = 2), Some(DecodeError::Newer { found: 2, supported: 1, .. })));
        assert!(matches!(refusal(|bytes| bytes[1] = 0), Some(DecodeError::Malformed { .. })));
        assert!(matches!(refusal(|bytes| bytes[0] = 0xff), Some(DecodeError::WrongKind { found: 0xff, .. })));
    }
    assert!(matches!(decode::<Site>(&[Kind::Site as u8]), Err(DecodeError::Malformed { .. })));
    assert!(matches!(decode::<Site>(&[]), Err(DecodeError::Malformed { .. })));
}

#[test]
fn a_request_id_that_nobody_could_have_given_is_refused() {
    let specimen = specimens::all().into_iter().find(|specimen| specimen.path().starts_with("request_id/given")).expect("it");
    let id = specimen.bytes.windows(7).position(|bytes| bytes == b"3f0c-91").expect("its text");
    let mut bytes = specimen.bytes.clone();
    bytes[id + 4] = b' ';
    let Err(DecodeError::Malformed { detail, .. }) = (specimen.read)(&bytes) else { panic!("a blank was read") };
    assert!(detail.contains("visible ASCII"), "{detail}");
}

/// The first bytes of a text, of bytes, of an array, of a map and of an extension that claim four billion elements.
const ENDLESS: [u8; 5] = [0xdb, 0xc6, 0xdd, 0xdf, 0xc9];

/// What [`decoding_takes_little_memory`] runs in a process with little memory.
#[test]
fn claims_without_substance_are_refused() {
    for specimen in specimens::all() {
        for position in 2..specimen.bytes.len() {
            for marker in ENDLESS {
                let claim = [&specimen.bytes[..position], &[marker, 0xff, 0xff, 0xff, 0xff], &[1; 64]].concat();
                assert!((specimen.read)(&claim).is_err(), "{} with a claim at {position}", specimen.path());
            }
        }
        for nest in [0x91, 0x81] {
            let nested = [&specimen.bytes[..2], &[nest; 1 << 20]].concat();
            assert!((specimen.read)(&nested).is_err(), "{} with endless nesting", specimen.path());
        }
    }
}

#[test]
fn decoding_takes_little_memory() {
    const KIBIBYTES: &str = "1000000";
    let output = Command::new("sh")
        .args(["-c", r#"ulimit -v "$0" && exec "$@""#, KIBIBYTES])
        .arg(env::current_exe().expect("this program"))
        .args(["--exact", "claims_without_substance_are_refused", "--test-threads", "1"])
        .output()
        .expect("a shell");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && told.contains("1 passed"), "{told}\n{}", String::from_utf8_lossy(&output.stderr));
}
