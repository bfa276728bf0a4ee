//! Lists, as Kafka stores them.
//!
//! ```text
//!   values of one size:    00 | nulls: i32 | index: i32, for each null | count: i32 | the others' bytes
//!   values of any size:    01 | count: i32 | for each: length: i32, -1 for null | bytes
//! ```
//!
//! The count is that of all elements, nulls included.

#[cfg(feature = "uuid")]
use uuid::Uuid;

use crate::error::Cause;
use crate::producer::serializer::{OptionSerializer, Serialize, Serializer};

/// Lists of what `S` makes bytes of. Kafka: `ListSerializer`.
///
/// A list of options may hold nulls; `[u8]` and `Vec<u8>` are bytes and no lists.
///
/// ```
/// # use ottla::{Engine, IntegerSerializer, ListSerializer, OptionSerializer, Producer, ProducerRecord, Serializer};
/// let list = ListSerializer(OptionSerializer(IntegerSerializer));
/// let (amounts, mut scratch) = (vec![Some(1), None], Vec::new());
/// let bytes = list.serialize("stock", &amounts, &mut scratch).expect("it is not too long");
/// assert_eq!(bytes, [0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 1]);
///
/// let engine = Engine::in_memory()?;
/// let producer = Producer::<str, Vec<Option<i32>>>::new(&engine)?; // uses it by itself
/// let metadata = producer.send(ProducerRecord::to("stock").value(&amounts))?.wait()?;
/// assert_eq!(metadata.serialized_value_size(), Some(17));
/// # Ok::<(), ottla::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct ListSerializer<S>(pub S);

impl<T, S: Serializer<T>> Serializer<[T]> for ListSerializer<S> {
    fn serialize<'a>(&self, topic: &str, data: &'a [T], scratch: &'a mut Vec<u8>) -> Result<&'a [u8], Cause> {
        match self.0.constant_size() {
            Some(size) => self.write_of_one_size(topic, data, size, scratch)?,
            None => self.write_of_any_size(topic, data, scratch)?,
        }
        Ok(scratch)
    }
}

impl<T, S: Serializer<T>> Serializer<Vec<T>> for ListSerializer<S> {
    fn serialize<'a>(&self, topic: &str, data: &'a Vec<T>, scratch: &'a mut Vec<u8>) -> Result<&'a [u8], Cause> {
        Serializer::<[T]>::serialize(self, topic, data, scratch)
    }
}

impl<S> ListSerializer<S> {
    fn write_of_one_size<T>(&self, topic: &str, data: &[T], size: usize, into: &mut Vec<u8>) -> Result<(), Cause>
    where
        S: Serializer<T>,
    {
        let mut nulls = Vec::new();
        let mut values = Vec::with_capacity(data.len().saturating_mul(size));
        let mut scratch = Vec::new();
        for (index, element) in data.iter().enumerate() {
            scratch.clear();
            match self.0.serialize_or_null(topic, element, &mut scratch)? {
                None => nulls.push(number(index)?),
                Some(bytes) if bytes.len() == size => values.extend_from_slice(bytes),
                Some(bytes) => return Err(Cause::msg(format!("{} bytes where each value has {size}", bytes.len()))),
            }
        }
        into.push(0);
        into.extend_from_slice(&number(nulls.len())?.to_be_bytes());
        nulls.iter().for_each(|index| into.extend_from_slice(&index.to_be_bytes()));
        into.extend_from_slice(&number(data.len())?.to_be_bytes());
        into.append(&mut values);
        Ok(())
    }

    fn write_of_any_size<T>(&self, topic: &str, data: &[T], into: &mut Vec<u8>) -> Result<(), Cause>
    where
        S: Serializer<T>,
    {
        into.push(1);
        into.extend_from_slice(&number(data.len())?.to_be_bytes());
        let mut scratch = Vec::new();
        for element in data {
            scratch.clear();
            let bytes = self.0.serialize_or_null(topic, element, &mut scratch)?;
            into.extend_from_slice(&bytes.map_or(Ok(-1), |bytes| number(bytes.len()))?.to_be_bytes());
            into.extend_from_slice(bytes.unwrap_or_default());
        }
        Ok(())
    }
}

fn number(count: usize) -> Result<i32, Cause> {
    i32::try_from(count).map_err(|_error| Cause::msg(format!("{count} does not fit a list")))
}

impl<T: Serialize> Serialize for [Option<T>] {
    type Serializer = ListSerializer<OptionSerializer<T::Serializer>>;
}

impl<T: Serialize> Serialize for Vec<Option<T>> {
    type Serializer = ListSerializer<OptionSerializer<T::Serializer>>;
}

/// Lists in which nothing is null. Not for every type: a list of bytes is bytes.
macro_rules! lists_without_null {
    ($($type:ty),+) => { $(
        impl Serialize for [$type] {
            type Serializer = ListSerializer<<$type as Serialize>::Serializer>;
        }

        impl Serialize for Vec<$type> {
            type Serializer = ListSerializer<<$type as Serialize>::Serializer>;
        }
    )+ };
}

lists_without_null!(i16, i32, i64, f32, f64, bool, String);
#[cfg(feature = "uuid")]
lists_without_null!(Uuid);

#[cfg(test)]
mod tests {
    use super::*;

    fn hex<T: Serialize + ?Sized>(data: &T) -> String {
        let mut scratch = Vec::new();
        let bytes = T::Serializer::default().serialize("t", data, &mut scratch).unwrap().to_vec();
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn lists_are_kafkas() {
        assert_eq!(hex(&vec![Some(1), None, Some(3)]), "000000000100000001000000030000000100000003");
        assert_eq!(hex(&Vec::<i32>::new()), "000000000000000000");
        let texts = [Some("a".to_owned()), None, Some("b".to_owned())];
        assert_eq!(hex(&texts[..]), "01000000030000000161ffffffff0000000162");
        assert_eq!(hex(&vec![true, false]), "010000000200000001010000000100");
        assert_eq!(hex(&[1_i16, -1][..]), "0000000000000000020001ffff");
        assert_eq!(hex(&vec![String::new()]), "010000000100000000");
        assert_eq!(hex(&vec![Some(Vec::<i16>::new())]), "010000000100000009000000000000000000", "a list of lists");
    }

    #[cfg(feature = "uuid")]
    #[test]
    fn uuids_have_one_size() {
        let id = Uuid::from_u128(1);
        let text: String = id.to_string().bytes().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex(&vec![id]), format!("000000000000000001{text}"));
    }
}
