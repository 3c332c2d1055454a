//! CRC-32C (Castagnoli), which `crc32fast` does not offer, for any part of a block after one pass over it.
//!
//! The search for a record at *every* byte of a file asks for the checksums of very many overlapping parts. A CRC is
//! linear: that of a part follows from the registers at its two ends, once the first is carried over the length between.

/// The registers of the CRC, started from zero, before each byte of a block and behind the last.
pub(super) struct Registers(Vec<u32>);

impl Registers {
    /// Goes once over a block.
    pub(super) fn of(block: &[u8]) -> Self {
        let mut registers = Vec::with_capacity(block.len() + 1);
        let mut register = 0;
        registers.push(register);
        for byte in block {
            register = step(register, *byte);
            registers.push(register);
        }
        Registers(registers)
    }

    /// The CRC-32C of the bytes from `from` on and before `to`.
    pub(super) fn checksum(&self, from: usize, to: usize) -> u32 {
        // The checksum of a part starts from all ones, so that is carried along with what stood before the part.
        !(self.0[to] ^ over_zeros(self.0[from] ^ !0, to - from))
    }
}

/// The register after one byte.
fn step(register: u32, byte: u8) -> u32 {
    STEPS[usize::from(register as u8 ^ byte)] ^ (register >> 8)
}

/// The register after as many zero bytes.
fn over_zeros(mut register: u32, bytes: usize) -> u32 {
    for (power, map) in OVER_ZEROS.iter().enumerate() {
        if bytes >> power & 1 == 1 {
            register = apply(map, register);
        }
    }
    register
}

/// A linear map of registers, as the images of the single bits.
type Map = [u32; 32];

const fn apply(map: &Map, mut register: u32) -> u32 {
    let mut image = 0;
    while register != 0 {
        image ^= map[register.trailing_zeros() as usize];
        register &= register - 1;
    }
    image
}

/// The change of the register by each byte.
const STEPS: [u32; 256] = {
    let mut steps = [0; 256];
    let mut byte = 0;
    while byte < steps.len() {
        let mut register = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            register = (register >> 1) ^ if register & 1 == 1 { 0x82f6_3b78 } else { 0 };
            bit += 1;
        }
        steps[byte] = register;
        byte += 1;
    }
    steps
};

/// The maps over 1, 2, 4, … 32,768 zero bytes.
const OVER_ZEROS: [Map; 16] = {
    let mut maps = [[0; 32]; 16];
    let mut bit = 0;
    while bit < 32 {
        let register = 1_u32 << bit;
        maps[0][bit] = STEPS[(register & 0xff) as usize] ^ (register >> 8);
        bit += 1;
    }
    let mut power = 1;
    while power < maps.len() {
        let mut bit = 0;
        while bit < 32 {
            maps[power][bit] = apply(&maps[power - 1], maps[power - 1][bit]);
            bit += 1;
        }
        power += 1;
    }
    maps
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_castagnolis() {
        let whole = |bytes: &[u8]| Registers::of(bytes).checksum(0, bytes.len());
        assert_eq!(whole(b""), 0);
        assert_eq!(whole(b"123456789"), 0xe306_9283);
        assert_eq!(whole(&[0; 32]), 0x8a91_36aa);
    }

    #[test]
    fn a_part_has_the_checksum_that_it_has_alone() {
        let block: Vec<u8> = (0..32_768_u32).map(|index| ((index * index) >> 7) as u8).collect();
        let registers = Registers::of(&block);
        for (from, to) in [(0, 1), (0, 32_768), (1, 32_768), (32_767, 32_768), (5, 5), (100, 20_001), (4_096, 8_192)] {
            let alone = Registers::of(&block[from..to]).checksum(0, to - from);
            assert_eq!(registers.checksum(from, to), alone, "{from} to {to}");
        }
    }
}
