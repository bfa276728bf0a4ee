//! Records that tell for themselves which they are and whether they are whole.

/// How long each is, in bytes.
pub const LEN: usize = 1024;
/// How many digits a record begins with: its number.
const NUMBER_LEN: usize = 8;
/// Where the bit is that is flipped: in the middle of the record, far from its number.
pub const FLIPPED_AT: usize = LEN / 2;

/// The record of that number. No two have anything in common but the alphabet, and none can be compressed to less than
/// its entropy: 64 letters, by chance.
pub fn record(number: u64) -> Vec<u8> {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut record = format!("{number:0NUMBER_LEN$}").into_bytes();
    let mut state = number;
    while record.len() < LEN {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        record.extend((0..8).map(|at| LETTERS[usize::try_from(mixed >> (8 * at) & 63).unwrap_or(0)]));
    }
    record.truncate(LEN);
    record
}

/// What some bytes are that a crate has returned as a record.
pub enum Is {
    /// A record, byte for byte.
    Whole(u64),
    /// Nothing that was ever appended.
    Wrong,
}

pub fn recognise(bytes: &[u8]) -> Is {
    let number = bytes.get(..NUMBER_LEN).and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
    match number {
        Some(number) if record(number) == bytes => Is::Whole(number),
        _ => Is::Wrong,
    }
}
