//! Chance, as a function of the seed: an independent stream of draws for each name.
//!
//! A draw that is new, or left out, shifts no other stream. So a plan that lost one of its faults meets the same weather
//! otherwise, which is what makes it possible to shrink one.

use std::fmt;
use std::ops::RangeInclusive;

use blake3::OutputReader;

/// What a probability of one is, in parts per million.
pub const CERTAIN: u32 = 1_000_000;

/// All streams of a seed.
#[derive(Clone, Copy, Debug)]
pub struct Draws {
    seed: u64,
}

/// One stream of draws, without end.
pub struct Stream {
    words: OutputReader,
}

impl Draws {
    /// Those of `seed`.
    pub fn of_seed(seed: u64) -> Self {
        Self { seed }
    }

    /// The stream called `name`, from its beginning.
    pub fn stream(&self, name: &str) -> Stream {
        let mut hasher = blake3::Hasher::new_derive_key("Bursar simulation: a stream of draws");
        hasher.update(&self.seed.to_le_bytes());
        hasher.update(name.as_bytes());
        Stream { words: hasher.finalize_xof() }
    }
}

impl Stream {
    /// Any number.
    pub fn word(&mut self) -> u64 {
        let mut word = [0; 8];
        self.words.fill(&mut word);
        u64::from_le_bytes(word)
    }

    /// Fills the whole of `bytes`.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        self.words.fill(bytes);
    }

    /// A number below `bound`, which is not zero.
    pub fn below(&mut self, bound: u64) -> u64 {
        assert_ne!(bound, 0, "there is a number to draw");
        // 128 bits wide, so that no number is likelier than another by more than one part in 2^64 / bound.
        u64::try_from((u128::from(self.word()) * u128::from(bound)) >> 64).expect("it is below the bound")
    }

    /// A number within `range`, both ends included.
    pub fn within(&mut self, range: RangeInclusive<u64>) -> u64 {
        let (from, to) = range.into_inner();
        from + self.below(to.checked_sub(from).expect("a range from the lesser to the greater") + 1)
    }

    /// Like [`within`](Self::within), for places in memory.
    pub fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).expect("it is below a length")
    }

    /// Whether something of this probability, in parts per million ([`CERTAIN`]), happens.
    pub fn happens(&mut self, probability: u32) -> bool {
        self.below(CERTAIN.into()) < probability.into()
    }

    /// One of `choices`, which are not none.
    pub fn one_of<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.index(choices.len())]
    }

    /// Puts `items` in any order (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for place in (1..items.len()).rev() {
            items.swap(place, self.index(place + 1));
        }
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Stream").field("position", &self.words.position()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn words(stream: &mut Stream) -> Vec<u64> {
        (0..100).map(|_| stream.word()).collect()
    }

    #[test]
    fn a_stream_is_known_by_seed_and_name_alone() {
        let draws = Draws::of_seed(7);
        let mut disturbed = draws.stream("another");
        let first = words(&mut draws.stream("network"));
        words(&mut disturbed);
        assert_eq!(words(&mut draws.stream("network")), first);
        assert_ne!(words(&mut draws.stream("disk")), first);
        assert_ne!(words(&mut Draws::of_seed(8).stream("network")), first);
    }

    #[test]
    fn draws_cover_their_range_and_nothing_else() {
        let mut stream = Draws::of_seed(7).stream("range");
        let drawn: BTreeSet<u64> = (0..1_000).map(|_| stream.within(3..=9)).collect();
        assert_eq!(drawn, (3..=9).collect());
        assert_eq!(stream.within(5..=5), 5);
        assert_eq!((0..1_000).filter(|_| stream.happens(CERTAIN)).count(), 1_000);
        assert_eq!((0..1_000).filter(|_| stream.happens(0)).count(), 0);
        let often = (0..10_000).filter(|_| stream.happens(CERTAIN / 4)).count();
        assert!((2_200..2_800).contains(&often), "{often} of 10,000");
    }

    #[test]
    fn a_shuffle_keeps_everything_and_moves_something() {
        let mut items: Vec<u32> = (0..50).collect();
        Draws::of_seed(7).stream("shuffle").shuffle(&mut items);
        assert_ne!(items, (0..50).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..50).collect::<Vec<_>>());
    }
}
