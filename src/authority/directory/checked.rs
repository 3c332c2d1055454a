//! Files in which no flipped bit passes unnoticed: the BLAKE3 hash of the rest stands before it.
//!
//! ```text
//! hash, 64 hexadecimal digits, newline | contents
//! ```

use bursar_domain::Hash;
use zeroize::Zeroizing;

/// Contents as they rest.
pub(super) fn with_hash(contents: &[u8]) -> Zeroizing<Vec<u8>> {
    Zeroizing::new([head(contents).as_bytes(), contents].concat())
}

/// The contents of what [`with_hash`] made; none where it is damaged.
pub(super) fn checked(bytes: &[u8]) -> Option<&[u8]> {
    let head_bytes = head(&[]).len();
    let (found, contents) = bytes.split_at_checked(head_bytes)?;
    (found == head(contents).as_bytes()).then_some(contents)
}

fn head(contents: &[u8]) -> String {
    format!("{}\n", Hash::of(contents))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let whole = with_hash(b"contents");
        assert_eq!(checked(&whole), Some(&b"contents"[..]));
        for bit in 0..whole.len() * 8 {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(checked(&flipped), None, "bit {bit}");
        }
        for length in 0..whole.len() {
            assert_eq!(checked(&whole[..length]), None, "{length} bytes");
        }
    }
}
