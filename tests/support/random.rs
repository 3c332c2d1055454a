//! Numbers that look random, and are the same in every run.

use std::ops::Range;

/// SplitMix64.
pub struct Random(u64);

impl Random {
    /// A sequence of its own for each name.
    pub fn of(name: &str) -> Self {
        Self(name.bytes().fold(0, |seed: u64, byte| seed.wrapping_mul(31).wrapping_add(u64::from(byte))))
    }

    /// The next number of a range that is not empty.
    pub fn within(&mut self, range: Range<usize>) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let width = range.len() as u64;
        range.start + ((mixed ^ (mixed >> 31)) % width) as usize
    }
}
