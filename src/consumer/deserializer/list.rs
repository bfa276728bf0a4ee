//! Lists, as Kafka stores them.
//!
//! ```text
//!   values of one size:    00 | nulls: i32 | index: i32, for each null | count: i32 | the others' bytes
//!   values of any size:    01 | count: i32 | for each: length: i32, -1 for null | bytes
//! ```
//!
//! The count is that of all elements, nulls included. What a list claims to hold is held against the bytes that are
//! there before anything is made for it.
//!
//! Kafka: `ListDeserializer`. It loses an empty element at the end, and fills up one that was cut off; this does not.

use std::collections::BTreeSet;
use std::sync::Arc;

#[cfg(feature = "uuid")]
use uuid::Uuid;

use crate::consumer::deserializer::{Deserialize, Deserializer, OwnDeserializer};
use crate::error::Cause;

/// Makes lists of values of type `T`.
struct List<T> {
    inner: Arc<dyn Deserializer<T>>,
}

impl<T: OwnDeserializer> List<T> {
    fn new() -> Self {
        Self { inner: T::deserializer() }
    }
}

impl<T: Deserialize> Deserialize for Vec<Option<T>> {
    type View<'a> = Vec<Option<T::View<'a>>>;
}

impl<T: Deserialize> Deserializer<Vec<Option<T>>> for List<T> {
    fn deserialize<'a>(&self, topic: &str, bytes: &'a [u8]) -> Result<Vec<Option<T::View<'a>>>, Cause> {
        let elements = elements(bytes, self.inner.constant_size())?.into_iter();
        elements.map(|element| element.map(|bytes| self.inner.deserialize(topic, bytes)).transpose()).collect()
    }
}

impl<T: OwnDeserializer> OwnDeserializer for Vec<Option<T>> {
    fn deserializer() -> Arc<dyn Deserializer<Self>> {
        Arc::new(List::new())
    }
}

/// Lists in which nothing is null. Not for every type: a list of bytes is bytes.
macro_rules! lists_without_null {
    ($($type:ty),+) => { $(
        impl Deserialize for Vec<$type> {
            type View<'a> = Self;
        }

        impl Deserializer<Vec<$type>> for List<$type> {
            fn deserialize(&self, topic: &str, bytes: &[u8]) -> Result<Vec<$type>, Cause> {
                let elements = elements(bytes, self.inner.constant_size())?.into_iter();
                let element = |element: Option<&[u8]>| {
                    self.inner.deserialize(topic, element.ok_or_else(|| Cause::msg("an element is null"))?)
                };
                elements.map(element).collect()
            }
        }

        impl OwnDeserializer for Vec<$type> {
            fn deserializer() -> Arc<dyn Deserializer<Self>> {
                Arc::new(List::<$type>::new())
            }
        }
    )+ };
}

lists_without_null!(i16, i32, i64, f32, f64, bool, String);
#[cfg(feature = "uuid")]
lists_without_null!(Uuid);

/// The bytes of each element, `None` for null.
fn elements(bytes: &[u8], constant_size: Option<usize>) -> Result<Vec<Option<&[u8]>>, Cause> {
    let mut rest = Rest(bytes);
    match (rest.take(1)?, constant_size) {
        ([0], Some(size)) => of_one_size(rest, size),
        ([1], _) => of_any_size(rest),
        ([flag], _) => Err(Cause::msg(format!("a list of this type does not begin with {flag}"))),
        _ => Err(Cause::msg("a list has at least one byte")),
    }
}

fn of_one_size(mut rest: Rest<'_>, size: usize) -> Result<Vec<Option<&[u8]>>, Cause> {
    let nulls = rest.count()?;
    let nulls = rest.take(nulls.saturating_mul(4))?.as_chunks().0.iter().map(|index| i32::from_be_bytes(*index));
    let nulls: BTreeSet<usize> = nulls.map(|index| usize::try_from(index).unwrap_or(usize::MAX)).collect();
    let count = rest.count()?;
    let wanted = count.checked_sub(nulls.len()).and_then(|values| values.checked_mul(size));
    if wanted != Some(rest.0.len()) || nulls.last().is_some_and(|&last| last >= count) {
        return Err(Cause::msg(format!("{} bytes are not what a list of {count} takes", rest.0.len())));
    }
    (0..count).map(|index| if nulls.contains(&index) { Ok(None) } else { rest.take(size).map(Some) }).collect()
}

fn of_any_size(mut rest: Rest<'_>) -> Result<Vec<Option<&[u8]>>, Cause> {
    let count = rest.count()?;
    if count > rest.0.len() / 4 {
        return Err(Cause::msg(format!("{} bytes are too few for a list of {count}", rest.0.len())));
    }
    let mut elements = Vec::with_capacity(count);
    for _ in 0..count {
        elements.push(match rest.number()? {
            -1 => None,
            len => Some(rest.take(usize::try_from(len).unwrap_or(usize::MAX))?),
        });
    }
    if !rest.0.is_empty() {
        return Err(Cause::msg(format!("{} bytes are left behind a list", rest.0.len())));
    }
    Ok(elements)
}

/// What is not read yet.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], Cause> {
        let Some((taken, rest)) = self.0.split_at_checked(len) else {
            return Err(Cause::msg(format!("a list ends {} bytes too early", len - self.0.len())));
        };
        self.0 = rest;
        Ok(taken)
    }

    fn number(&mut self) -> Result<i32, Cause> {
        let bytes = self.take(4)?;
        Ok(i32::from_be_bytes(bytes.try_into().expect("four bytes were taken")))
    }

    fn count(&mut self) -> Result<usize, Cause> {
        usize::try_from(self.number()?).map_err(|_error| Cause::msg("a count is negative"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        let digits: Vec<u32> = hex.chars().filter_map(|digit| digit.to_digit(16)).collect();
        digits.chunks(2).map(|pair| u8::try_from(pair[0] * 16 + pair[1]).unwrap()).collect()
    }

    #[test]
    fn lists_are_kafkas() {
        let with_null = bytes("00 00000001 00000001 00000003 00000001 00000003");
        assert_eq!(Vec::<Option<i32>>::deserializer().deserialize("t", &with_null).unwrap(), [Some(1), None, Some(3)]);
        let error = Vec::<i32>::deserializer().check("t", &with_null).unwrap_err();
        assert_eq!(error.to_string(), "an element is null");
        assert!(Vec::<i32>::deserializer().deserialize("t", &bytes("00 00000000 00000000")).unwrap().is_empty());
        let texts = bytes("01 00000003 00000001 61 ffffffff 00000001 62");
        let texts = Vec::<Option<String>>::deserializer().deserialize("t", &texts).unwrap();
        assert_eq!(texts, [Some("a".to_owned()), None, Some("b".to_owned())]);
        let truths = bytes("01 00000002 00000001 01 00000001 00");
        assert_eq!(Vec::<bool>::deserializer().deserialize("t", &truths).unwrap(), [true, false]);
        let shorts = bytes("00 00000000 00000002 0001 ffff");
        assert_eq!(Vec::<i16>::deserializer().deserialize("t", &shorts).unwrap(), [1, -1]);
    }

    #[test]
    fn empty_element_at_the_end_is_there_and_one_that_is_cut_off_is_not() {
        let list = Vec::<String>::deserializer();
        let empty_last = bytes("01 00000002 00000001 61 00000000");
        assert_eq!(list.deserialize("t", &empty_last).unwrap(), ["a", ""]);
        assert!(list.check("t", &bytes("01 00000001 00000003 6162")).is_err());
    }

    #[test]
    fn list_that_claims_more_than_is_there_is_refused() {
        let (numbers, texts) = (Vec::<Option<i32>>::deserializer(), Vec::<Option<String>>::deserializer());
        for wrong in [
            "",
            "02 00000000",
            "00",
            "00 7fffffff",
            "00 00000000 7fffffff",
            "00 00000001 00000005 00000001",
            "00 00000001 ffffffff 00000001",
            "00 00000000 00000001 000000",
            "00 00000000 00000001 0000000000",
            "00 00000000 ffffffff",
            "01 7fffffff",
            "01 ffffffff",
            "01 00000001 7fffffff",
            "01 00000001 fffffffe",
            "01 00000000 00",
        ] {
            assert!(numbers.check("t", &bytes(wrong)).is_err(), "{wrong}");
            assert!(texts.check("t", &bytes(wrong)).is_err(), "{wrong}");
        }
        assert!(texts.check("t", &bytes("00 00000000 00000000")).is_err(), "text has no constant size");
        assert!(numbers.check("t", &bytes("01 00000001 00000004 00000007")).is_ok(), "with lengths it is one too");
    }
}
