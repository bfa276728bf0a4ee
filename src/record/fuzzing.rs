//! What fuzzing holds the numbers in records to.

use crate::record::varint;

/// Takes varints off `bytes` until they end: no more bytes than one may have, and a number that is written as it is read.
///
/// # Panics
/// If that does not hold.
pub fn varint(bytes: &[u8]) {
    let mut rest = bytes;
    while let Some(value) = take(&mut rest, varint::take_i32, 5) {
        assert_eq!(varint::take_i32(&mut written(i64::from(value)).as_slice()), Some(value));
    }
    rest = bytes;
    while let Some(value) = take(&mut rest, varint::take_i64, varint::MAX_BYTES) {
        assert_eq!(varint::take_i64(&mut written(value).as_slice()), Some(value));
    }
}

fn take<T>(rest: &mut &[u8], take: impl FnOnce(&mut &[u8]) -> Option<T>, most: usize) -> Option<T> {
    let before = *rest;
    let value = take(rest)?;
    assert!(before.ends_with(rest), "what is left is the end of what was there");
    assert!((1..=most).contains(&(before.len() - rest.len())), "{} bytes for one", before.len() - rest.len());
    Some(value)
}

fn written(value: i64) -> Vec<u8> {
    let mut bytes = Vec::new();
    varint::push(&mut bytes, value);
    assert_eq!(bytes.len(), varint::size(value));
    bytes
}
