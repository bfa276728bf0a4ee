//! Murmur2 as Kafka's clients compute it, so that a key has the same partition here and there.

const SEED: u32 = 0x9747_b28c;
const M: u32 = 0x5bd1_e995;

pub(super) fn murmur2(bytes: &[u8]) -> u32 {
    let len = u32::try_from(bytes.len() & 0xffff_ffff).unwrap_or(u32::MAX);
    let mut hash = SEED ^ len;
    let (words, rest) = bytes.as_chunks::<4>();
    for &[a, b, c, d] in words {
        // Little-endian, by definition.
        let mut word = u32::from_be_bytes([d, c, b, a]).wrapping_mul(M);
        word ^= word >> 24;
        hash = hash.wrapping_mul(M) ^ word.wrapping_mul(M);
    }
    if !rest.is_empty() {
        for (index, &byte) in rest.iter().enumerate() {
            hash ^= u32::from(byte) << (8 * index);
        }
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::murmur2;

    #[test]
    fn hashes_are_kafkas() {
        let cases: [(&[u8], u32); 25] = [
            (b"", 0x106e_08d9),
            (b"a", 0xa2d0_b27c),
            (b"ab", 0x12d8_262a),
            (b"abc", 0x1c94_221b),
            (b"abcd", 0xb11a_b5f4),
            (b"abcde", 0x1b89_7edd),
            (b"21", 0xc5f2_f8ec),
            (b"foobar", 0xd0e4_7bbe),
            (b"key", 0xbfa1_76a9),
            (b"0", 0x39e0_b3c4),
            (b"1", 0x892e_6f8f),
            (b"kafka", 0xd067_cf64),
            ("h\u{e9}llo".as_bytes(), 0x24a0_a9ca),
            ("\u{65e5}\u{672c}\u{8a9e}".as_bytes(), 0x5558_73ca),
            (b"user-42", 0x5700_682c),
            (b"a-little-bit-long-string", 0xc53b_1da0),
            (b"a-little-bit-longer-string", 0xa768_c9c3),
            (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", 0xfc7d_49cd),
            (&[0], 0x1661_97bc),
            (&[0; 4], 0x32b8_9340),
            (&[0xff], 0xed6f_615b),
            (&[0xff; 4], 0x2665_46a5),
            (&[0xff; 7], 0xfbc0_2593),
            (&[0, 0, 0, 42], 0x5fc5_2bb8),
            (&[0, 0, 0, 0, 0, 0, 0, 1], 0x7d32_dfac),
        ];
        for (bytes, hash) in cases {
            assert_eq!(murmur2(bytes), hash, "{bytes:?}");
        }
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(murmur2(&all), 0x8bde_9476);
    }
}
