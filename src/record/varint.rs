//! Zigzag varints: small numbers of either sign in few bytes.
//!
//! `n` becomes `(n << 1) ^ (n >> 63)`, which is written seven bits at a time, the lowest first; a set high bit says
//! that more follow. Kafka: `ByteUtils.writeVarint`, `writeVarlong`.

/// The most bytes that a varint of 64 bits takes.
pub(crate) const MAX_BYTES: usize = 10;

/// How many bytes `value` takes.
#[inline]
pub(crate) const fn size(value: i64) -> usize {
    let bits = 64 - (zigzag(value) | 1).leading_zeros() as usize;
    (bits * 9 + 64) / 64 // as dividing by 7 and rounding up, for up to 64 bits, without the division
}

/// Writes `value` to the end of `into`.
#[inline]
pub(crate) fn push(into: &mut Vec<u8>, value: i64) {
    let mut rest = zigzag(value);
    if rest < 0x80 {
        into.push(low_byte(rest)); // most of them
        return;
    }
    while rest >= 0x80 {
        into.push(low_byte(rest) | 0x80);
        rest >>= 7;
    }
    into.push(low_byte(rest));
}

/// Several varints, one behind the other, that take eight bytes at the most: in a register until they go where they
/// belong, all at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Short {
    bytes: u64,
    pub(crate) len: usize,
}

impl Short {
    /// `None` if one of them takes more than two bytes, or all of them more than eight.
    #[inline]
    pub(crate) fn of(values: &[i64]) -> Option<Self> {
        let (mut bytes, mut len, mut largest) = (0, 0, 0);
        for &value in values {
            let value = zigzag(value);
            largest |= value;
            let is_two = value >= 0x80;
            let low = (value & 0x7f) | (u64::from(is_two) << 7);
            // The first byte is the highest. Behind the eighth it is not used.
            bytes |= ((low << 56) | (value >> 7 << 48)).wrapping_shr(8 * len);
            len += 1 + u32::from(is_two);
        }
        (largest < 1 << 14 && len <= 8).then_some(Self { bytes, len: len as usize })
    }

    /// Writes them to the end of `into`.
    #[inline]
    pub(crate) fn append_to(self, into: &mut Vec<u8>) {
        let end = into.len() + self.len;
        into.extend_from_slice(&self.bytes.to_be_bytes()); // a known number: one move, and no call
        into.truncate(end);
    }
}

/// Takes a varint of at most 64 bits off the front of `bytes`; `None` if it is not whole, or longer.
#[inline]
pub(crate) fn take_i64(bytes: &mut &[u8]) -> Option<i64> {
    let (value, rest) = match take_short(bytes)? {
        Some(short) => short,
        None => take_long(bytes, MAX_BYTES)?,
    };
    *bytes = rest;
    Some(unzigzag(value))
}

/// Takes a varint of at most 32 bits. Like Kafka, drops the high bits of a fifth byte.
#[inline]
pub(crate) fn take_i32(bytes: &mut &[u8]) -> Option<i32> {
    let (value, rest) = match take_short(bytes)? {
        Some(short) => short,
        None => take_long(bytes, 5)?,
    };
    *bytes = rest;
    let value = u32::try_from(value & u64::from(u32::MAX)).ok()?;
    Some((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
}

/// One of one or two bytes, as most are, and what is behind it; `Some(None)` if it is longer.
#[inline(always)]
fn take_short(bytes: &[u8]) -> Option<Option<(u64, &[u8])>> {
    let (&first, rest) = bytes.split_first()?;
    if first < 0x80 {
        return Some(Some((u64::from(first), rest)));
    }
    let (&second, rest) = rest.split_first()?;
    Some((second < 0x80).then(|| (u64::from(first & 0x7f) | (u64::from(second) << 7), rest)))
}

/// One of any length. It is no part of those who call it, and takes no pointer to what they hold, which can so stay in
/// registers.
#[inline(never)]
fn take_long(bytes: &[u8], most: usize) -> Option<(u64, &[u8])> {
    let mut value = 0;
    for (index, &byte) in bytes.iter().take(most).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte < 0x80 {
            return Some((value, bytes.get(index + 1..)?));
        }
    }
    None
}

#[inline]
const fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

#[inline]
const fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

const fn low_byte(value: u64) -> u8 {
    value.to_be_bytes()[7]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::*;

    fn bytes_of(value: i64) -> Vec<u8> {
        let mut bytes = Vec::new();
        push(&mut bytes, value);
        bytes
    }

    #[test]
    fn bytes_are_kafkas() {
        let vectors: [(i64, &[u8]); 10] = [
            (0, &[0x00]),
            (-1, &[0x01]),
            (1, &[0x02]),
            (63, &[0x7e]),
            (-64, &[0x7f]),
            (64, &[0x80, 0x01]),
            (300, &[0xd8, 0x04]),
            (i64::from(i32::MAX), &[0xfe, 0xff, 0xff, 0xff, 0x0f]),
            (i64::from(i32::MIN), &[0xff, 0xff, 0xff, 0xff, 0x0f]),
            (-86_400_000, &[0xff, 0xef, 0xb2, 0x52]),
        ];
        for (value, bytes) in vectors {
            assert_eq!(bytes_of(value), bytes);
            assert_eq!(take_i64(&mut &*bytes), Some(value));
            assert_eq!(take_i32(&mut &*bytes), i32::try_from(value).ok());
        }
    }

    #[test]
    fn decoder_is_as_strict_as_kafkas() {
        assert_eq!(take_i32(&mut [0x80, 0x00].as_slice()), Some(0), "not the shortest form");
        assert_eq!(take_i32(&mut [0xff, 0xff, 0xff, 0xff, 0x7f].as_slice()), Some(i32::MIN), "high bits dropped");
        assert_eq!(take_i32(&mut [0x80; 5].as_slice()), None, "it never ends");
        assert_eq!(take_i64(&mut [0x80; 10].as_slice()), None);
        assert_eq!(take_i64(&mut [].as_slice()), None);
    }

    proptest! {
        #[test]
        fn short_ones_are_the_same_bytes(values in proptest::collection::vec(-9000..9000_i64, 0..7)) {
            let whole: Vec<_> = values.iter().flat_map(|&value| bytes_of(value)).collect();
            let mut bytes = vec![7];
            match Short::of(&values) {
                Some(short) => {
                    short.append_to(&mut bytes);
                    assert_eq!(bytes[1..], whole);
                    assert_eq!(short.len, whole.len());
                }
                None => assert!(whole.len() > 8 || values.iter().any(|&value| size(value) > 2)),
            }
        }

        #[test]
        fn what_is_written_is_read(value in any::<i64>()) {
            let bytes = bytes_of(value);
            assert_eq!(bytes.len(), size(value));
            let mut rest = bytes.as_slice();
            assert_eq!(take_i64(&mut rest), Some(value));
            assert!(rest.is_empty());
        }
    }
}
