//! The randomness that the programs of a machine are given.

use std::sync::{Mutex, PoisonError};

use bursar_net::Entropy;

use crate::draws::Stream;

/// Bytes from a stream of the seed, for one process.
#[derive(Debug)]
pub struct HostEntropy(Mutex<Stream>);

impl HostEntropy {
    /// Those of `stream`.
    pub fn new(stream: Stream) -> Self {
        Self(Mutex::new(stream))
    }
}

impl Entropy for HostEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).fill(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draws::Draws;

    #[test]
    fn a_process_draws_what_its_stream_holds_and_never_twice_the_same() {
        let stream = || Draws::of_seed(7).stream("entropy/h0/1");
        let entropy: &dyn Entropy = &HostEntropy::new(stream());
        let first = entropy.array::<32>();
        assert_ne!(entropy.array::<32>(), first);
        assert_eq!((&HostEntropy::new(stream()) as &dyn Entropy).array::<32>(), first);
    }
}
