//! What the clients write: values that no compression and no comparison with the last one can make cheaper.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::system::{OBJECTS, VALUE_BYTES};

/// A stream of objects and values, unlike every other stream of this run and the same in every run.
pub struct Values {
    state: u64,
}

impl Values {
    /// The next stream.
    pub fn new() -> Self {
        static STREAMS: AtomicU64 = AtomicU64::new(0);
        let stream = STREAMS.fetch_add(1, Ordering::Relaxed);
        Self { state: stream << 40 }
    }

    /// Some object.
    pub fn object(&mut self) -> usize {
        (self.draw() % OBJECTS as u64) as usize
    }

    /// [`VALUE_BYTES`] letters, digits, dashes and underscores, six random bits in each.
    pub fn value(&mut self) -> String {
        const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        const CHARACTERS_A_DRAW: usize = 10;
        let mut value = String::with_capacity(VALUE_BYTES);
        while value.len() < VALUE_BYTES {
            let mut bits = self.draw();
            for _ in 0..CHARACTERS_A_DRAW.min(VALUE_BYTES - value.len()) {
                value.push(char::from(ALPHABET[(bits & 63) as usize]));
                bits >>= 6;
            }
        }
        value
    }

    /// SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
    fn draw(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn values_are_long_enough_and_never_the_same() {
        let mut streams = [Values::new(), Values::new()];
        let mut seen = BTreeSet::new();
        for stream in &mut streams {
            for _ in 0..500 {
                let value = stream.value();
                assert_eq!(value.len(), VALUE_BYTES);
                assert!(seen.insert(value));
            }
        }
    }

    #[test]
    fn objects_cover_their_range() {
        let mut values = Values::new();
        let seen: BTreeSet<_> = (0..20 * OBJECTS).map(|_| values.object()).collect();
        assert_eq!((seen.first(), seen.last(), seen.len()), (Some(&0), Some(&(OBJECTS - 1)), OBJECTS));
    }
}
