//! An incremental digest of a set of objects.
//!
//! The digest is the sum modulo 2²⁵⁶ of the BLAKE3 hashes of every object's (kind, id, encoding), after the additive
//! multiset hashes of Clarke et al., "Incremental Multiset Hash Functions and Their Application to Memory Integrity
//! Checking" (ASIACRYPT 2003). Adding, changing and removing an object cost one or two hashes, whatever the size of the
//! state. It detects divergence between replicas, not adversaries: against those stands the hash chain of the journal.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::hash::{Hash, hex};

/// A sum of hashes modulo 2²⁵⁶; limbs from the least significant.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Digest([u64; 4]);

impl Digest {
    /// Of the empty set.
    pub const EMPTY: Self = Self([0; 4]);

    /// Adds one object's hash.
    pub fn add(&mut self, hash: Hash) {
        *self = self.plus(Self::from_bytes(hash.0));
    }

    /// Takes one object's hash away.
    pub fn subtract(&mut self, hash: Hash) {
        // a - b = a + (not b) + 1 in two's complement, modulo 2²⁵⁶.
        let complement = Self(Self::from_bytes(hash.0).0.map(|limb| !limb));
        *self = self.plus(complement).plus(Self([1, 0, 0, 0]));
    }

    /// The digest of both sets together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        let mut carry = 0_u128;
        let mut sum = [0; 4];
        for ((limb, a), b) in sum.iter_mut().zip(self.0).zip(other.0) {
            let total = u128::from(a) + u128::from(b) + carry;
            *limb = (total & u128::from(u64::MAX)) as u64;
            carry = total >> 64;
        }
        Self(sum)
    }

    fn from_bytes(bytes: [u8; 32]) -> Self {
        let mut limbs = [0; 4];
        for (limb, chunk) in limbs.iter_mut().zip(bytes.chunks_exact(8)) {
            *limb = u64::from_le_bytes(chunk.try_into().expect("chunks of eight bytes"));
        }
        Self(limbs)
    }

    fn to_bytes(self) -> [u8; 32] {
        let mut bytes = [0; 32];
        for (chunk, limb) in bytes.chunks_exact_mut(8).zip(self.0) {
            chunk.copy_from_slice(&limb.to_le_bytes());
        }
        bytes
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(&self.to_bytes()))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

impl Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        hex::serialize(&self.to_bytes(), serializer)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        hex::deserialize(deserializer).map(Self::from_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_does_not_matter_and_subtraction_undoes_addition() {
        let [a, b] = [Hash::of(b"a"), Hash([0xff; 32])];
        let mut one = Digest::EMPTY;
        one.add(a);
        one.add(b);
        let mut other = Digest::EMPTY;
        other.add(b);
        other.add(a);
        assert_eq!(one, other);
        one.subtract(a);
        one.subtract(b);
        assert_eq!(one, Digest::EMPTY);
    }
}
