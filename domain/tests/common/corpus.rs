//! The corpus: where it is, and the form of its files.

use std::path::{Path, PathBuf};

use bursar_domain::State;

/// The proposals of a history, as the log held them.
pub const PROPOSALS: &str = "proposals.v1.bin";
/// The records that came of it, as the journal holds them.
pub const JOURNAL: &str = "journal.v1.bin";
/// What the records led to, for people to read.
pub const SUMMARY: &str = "journal.v1.txt";

/// Where the files are.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus")
}

/// Items one behind the other, each with its length before it: 4 bytes, big-endian.
pub fn joined(items: impl IntoIterator<Item = Vec<u8>>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for item in items {
        let length = u32::try_from(item.len()).expect("items are small");
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(&item);
    }
    bytes
}

/// The items that [`joined`] put together.
pub fn parted(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut items = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk() {
        let length = usize::try_from(u32::from_be_bytes(*length)).expect("a length fits");
        let (item, behind) = rest.split_at(length);
        items.push(item);
        bytes = behind;
    }
    assert!(bytes.is_empty(), "a length is cut short");
    items
}

/// What a state comes down to.
pub fn summary(state: &State) -> String {
    format!("revision {}\nhead {}\ndigest {}\n", state.revision(), state.head(), state.digest())
}
