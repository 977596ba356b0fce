//! Inputs from inputs: bytes flipped, copied, cut, joined with those of others, and words of the format put in.

/// xorshift64*: the same inputs from the same seed.
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// Below `limit`; 0 if that is 0.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let value = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11;
        if limit == 0 { 0 } else { (value % limit as u64) as usize }
    }
}

/// Changes an input in a few places. `other` is another one, to take from.
pub(crate) fn mutate(input: &mut Vec<u8>, other: &[u8], words: &[&[u8]], longest: usize, random: &mut Random) {
    for _ in 0..1 << random.below(5) {
        let at = random.below(input.len() + 1);
        match random.below(10) {
            0 if at < input.len() => input[at] ^= 1 << random.below(8),
            1 if at < input.len() => input[at] = random.below(256) as u8,
            2 => input.insert(at, random.below(256) as u8),
            3 => drop(input.drain(at..(at + random.below(16)).min(input.len()))),
            4 => insert(input, at, words[random.below(words.len())]),
            5 => overwrite(input, at, words[random.below(words.len())]),
            6 => {
                let from = random.below(other.len());
                insert(input, at, &other[from..(from + random.below(64)).min(other.len())]);
            }
            7 => {
                // Whole blocks, as tars have them.
                let (from, to) = (random.below(input.len()) / 512 * 512, at / 512 * 512);
                let block = input[from..(from + 512).min(input.len())].to_vec();
                if random.below(2) == 0 {
                    overwrite(input, to, &block)
                } else {
                    insert(input, to.min(input.len()), &block)
                }
            }
            8 => {
                let (from, length) = (random.below(input.len()), random.below(32));
                let piece = input[from..(from + length).min(input.len())].to_vec();
                for _ in 0..random.below(8) {
                    insert(input, at.min(input.len()), &piece);
                }
            }
            _ => digits(input, at, random),
        }
    }
    input.truncate(longest);
}

fn insert(input: &mut Vec<u8>, at: usize, piece: &[u8]) {
    drop(input.splice(at..at, piece.iter().copied()));
}

fn overwrite(input: &mut [u8], at: usize, piece: &[u8]) {
    for (target, byte) in input.iter_mut().skip(at).zip(piece) {
        *target = *byte;
    }
}

/// Replaces the next number by one at an edge.
fn digits(input: &mut Vec<u8>, at: usize, random: &mut Random) {
    const EDGES: [&str; 10] = [
        "0",
        "-1",
        "1",
        "255",
        "65536",
        "2147483648",
        "4294967295",
        "9223372036854775807",
        "18446744073709551616",
        "00000000017",
    ];
    let Some(begin) = input.iter().skip(at).position(u8::is_ascii_digit).map(|n| n + at) else { return };
    let end = input[begin..].iter().position(|byte| !byte.is_ascii_digit()).map_or(input.len(), |n| n + begin);
    drop(input.splice(begin..end, EDGES[random.below(EDGES.len())].bytes()));
}

/// Gives the headers of a tar their right checksums, so that damage gets further than that.
pub(crate) fn fix_checksums(tar: &mut [u8]) {
    for block in tar.as_chunks_mut::<512>().0 {
        if &block[257..262] == b"ustar" {
            block[148..156].fill(b' ');
            let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
            block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
    }
}
