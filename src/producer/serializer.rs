//! Serializers: values into bytes, the same as Kafka's make of them.
//!
//! | type | bytes |
//! |---|---|
//! | `[u8]`, `Vec<u8>`, `Bytes` | as they are |
//! | `str`, `String` | UTF-8 |
//! | `i16`, `i32`, `i64` | 2, 4 or 8, big-endian |
//! | `f32` | 4: its bits, big-endian, those of a NaN too |
//! | `f64` | 8: its bits, big-endian; every NaN is `7ff8000000000000` |
//! | `bool` | 01 or 00 |
//! | `()` | null |
//! | `Uuid` (feature `uuid`) | its 36 letters, lower case |
//! | `Option<T>` | those of `T`; null for `None` |
//! | lists of these | see [`list`] |
//! | `Json<T>`, or any type that serde knows (feature `json`) | JSON |

mod list;

use bytes::Bytes;
#[cfg(feature = "uuid")]
use uuid::Uuid;

use crate::error::Cause;
#[cfg(feature = "json")]
use crate::types::Json;

pub use list::ListSerializer;

/// Turns keys or values of type `T` into bytes. Null stays null and never comes here.
///
/// Kafka: `Serializer`.
///
/// ```
/// # use ottla::{Cause, Engine, Error, Producer, ProducerConfig, ProducerRecord, Serializer, StringSerializer};
/// /// Text that has to be a single line.
/// struct Line;
///
/// impl Serializer<str> for Line {
///     fn serialize<'a>(&self, _topic: &str, data: &'a str, _scratch: &'a mut Vec<u8>) -> Result<&'a [u8], Cause> {
///         if data.contains('\n') {
///             return Err(Cause::msg("more than one line"));
///         }
///         Ok(data.as_bytes())
///     }
///
///     fn needs_scratch(&self) -> bool {
///         false
///     }
/// }
///
/// # let engine = Engine::in_memory()?;
/// let config = ProducerConfig::default();
/// let producer = Producer::<str, str>::with_serializers(&engine, config, StringSerializer, Line)?;
/// let refused = producer.send(ProducerRecord::to("lines").value("a\nb"));
/// assert!(matches!(refused, Err(Error::Serialization { .. })));
/// # Ok::<(), Error>(())
/// ```
pub trait Serializer<T: ?Sized>: Send + Sync {
    /// The bytes of `data`, borrowed from it or written into `scratch`, which is empty.
    ///
    /// # Errors
    /// Whatever is wrong with `data`; `send` answers it as [`Error::Serialization`](crate::Error::Serialization).
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Serializer, StringSerializer};
    /// let mut scratch = Vec::new();
    /// let bytes = Serializer::<str>::serialize(&StringSerializer, "orders", "paid", &mut scratch)?;
    /// assert_eq!(bytes, b"paid");
    /// # Ok::<(), ottla::Cause>(())
    /// ```
    fn serialize<'a>(&self, topic: &str, data: &'a T, scratch: &'a mut Vec<u8>) -> Result<&'a [u8], Cause>;

    /// As [`serialize`](Self::serialize), or `None` where `data` stands for null: to be written by a serializer for
    /// which some of its values do. `send` calls this one.
    ///
    /// # Errors
    /// Those of [`serialize`](Self::serialize).
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Cause, Engine, Producer, ProducerConfig, ProducerRecord, Serializer, StringSerializer};
    /// /// Text; an empty one deletes its key from a compacted topic.
    /// struct EmptyIsNull;
    ///
    /// impl Serializer<str> for EmptyIsNull {
    ///     fn serialize<'a>(&self, _topic: &str, data: &'a str, _scratch: &'a mut Vec<u8>) -> Result<&'a [u8], Cause> {
    ///         Ok(data.as_bytes())
    ///     }
    ///
    ///     fn serialize_or_null<'a>(
    ///         &self,
    ///         topic: &str,
    ///         data: &'a str,
    ///         scratch: &'a mut Vec<u8>,
    ///     ) -> Result<Option<&'a [u8]>, Cause> {
    ///         if data.is_empty() { Ok(None) } else { self.serialize(topic, data, scratch).map(Some) }
    ///     }
    /// }
    ///
    /// # let engine = Engine::in_memory()?;
    /// let config = ProducerConfig::default();
    /// let producer = Producer::<str, str>::with_serializers(&engine, config, StringSerializer, EmptyIsNull)?;
    /// let metadata = producer.send(ProducerRecord::to("orders").key("o-17").value(""))?.wait()?;
    /// assert_eq!(metadata.serialized_value_size(), None);
    /// # Ok::<(), ottla::Error>(())
    /// ```
    fn serialize_or_null<'a>(
        &self,
        topic: &str,
        data: &'a T,
        scratch: &'a mut Vec<u8>,
    ) -> Result<Option<&'a [u8]>, Cause> {
        self.serialize(topic, data, scratch).map(Some)
    }

    /// Whether `scratch` is ever used. Where it is not, none is kept ready.
    fn needs_scratch(&self) -> bool {
        true
    }

    /// How many bytes each value takes, if lists of it are stored without lengths: Kafka does that for numbers and
    /// UUIDs.
    fn constant_size(&self) -> Option<usize> {
        None
    }
}

/// A type that has a serializer of its own, which [`Producer::new`](crate::Producer::new) takes.
///
/// ```
/// # use ottla::{Cause, Engine, Producer, ProducerRecord, Serialize, Serializer};
/// struct Celsius(i16);
///
/// #[derive(Default)]
/// struct CelsiusSerializer;
///
/// impl Serializer<Celsius> for CelsiusSerializer {
///     fn serialize<'a>(&self, _: &str, data: &'a Celsius, scratch: &'a mut Vec<u8>) -> Result<&'a [u8], Cause> {
///         scratch.extend_from_slice(&data.0.to_be_bytes());
///         Ok(scratch)
///     }
/// }
///
/// impl Serialize for Celsius {
///     type Serializer = CelsiusSerializer;
/// }
///
/// # let engine = Engine::in_memory()?;
/// let producer = Producer::<str, Celsius>::new(&engine)?;
/// let metadata = producer.send(ProducerRecord::to("readings").key("roof").value(&Celsius(-4)))?.wait()?;
/// assert_eq!(metadata.serialized_value_size(), Some(2));
/// # Ok::<(), ottla::Error>(())
/// ```
pub trait Serialize {
    /// Its serializer.
    type Serializer: Serializer<Self> + Default + 'static;
}

/// Bytes as they are. Kafka: `ByteArraySerializer`.
///
/// ```
/// # use ottla::{BytesSerializer, Engine, Producer, ProducerConfig, ProducerRecord};
/// # let engine = Engine::in_memory()?;
/// let config = ProducerConfig::default();
/// let producer = Producer::<[u8], [u8]>::with_serializers(&engine, config, BytesSerializer, BytesSerializer)?;
/// assert!(producer.send(ProducerRecord::to("frames").value(b"\xff"))?.wait().is_ok());
/// # Ok::<(), ottla::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct BytesSerializer;

/// Text in UTF-8. Kafka: `StringSerializer`.
///
/// ```
/// # use ottla::{BytesSerializer, Engine, Producer, ProducerConfig, ProducerRecord, StringSerializer};
/// # let engine = Engine::in_memory()?;
/// let config = ProducerConfig::default();
/// let producer = Producer::<str, [u8]>::with_serializers(&engine, config, StringSerializer, BytesSerializer)?;
/// let metadata = producer.send(ProducerRecord::to("frames").key("camera-1").value(b"\xff"))?.wait()?;
/// assert_eq!(metadata.serialized_key_size(), Some(8));
/// # Ok::<(), ottla::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct StringSerializer;

macro_rules! borrowed {
    ($serializer:ty: $($type:ty),+) => { $(
        impl Serializer<$type> for $serializer {
            fn serialize<'a>(&self, _: &str, data: &'a $type, _: &'a mut Vec<u8>) -> Result<&'a [u8], Cause> {
                Ok(data.as_ref())
            }

            fn needs_scratch(&self) -> bool {
                false
            }
        }

        impl Serialize for $type {
            type Serializer = $serializer;
        }
    )+ };
}

borrowed!(BytesSerializer: [u8], Vec<u8>, Bytes);
borrowed!(StringSerializer: str, String);

/// Serializers of types that have a fixed number of bytes, which are the `$bytes` of `$data`.
macro_rules! numbers {
    ($($serializer:ident: $type:ty, $doc:literal, $example:literal, $shown:literal; $data:ident -> $bits:expr;)+) => { $(
        #[doc = $doc]
        ///
        /// ```
        #[doc = concat!("# use ottla::{Serializer, ", stringify!($serializer), "};")]
        /// let mut scratch = Vec::new();
        #[doc = concat!(
            "let bytes = ", stringify!($serializer), ".serialize(\"readings\", &", $example, ", &mut scratch)?;"
        )]
        #[doc = concat!("assert_eq!(bytes, ", $shown, ");")]
        /// # Ok::<(), ottla::Cause>(())
        /// ```
        #[derive(Clone, Copy, Debug, Default)]
        pub struct $serializer;

        impl Serializer<$type> for $serializer {
            fn serialize<'a>(&self, _: &str, $data: &'a $type, scratch: &'a mut Vec<u8>) -> Result<&'a [u8], Cause> {
                scratch.extend_from_slice(&$bits.to_be_bytes());
                Ok(scratch)
            }

            fn constant_size(&self) -> Option<usize> {
                Some(size_of::<$type>())
            }
        }

        impl Serialize for $type {
            type Serializer = $serializer;
        }
    )+ };
}

numbers! {
    ShortSerializer: i16, "Two bytes, big-endian. Kafka: `ShortSerializer`.", "-2_i16", "[0xff, 0xfe]";
        data -> data;
    IntegerSerializer: i32, "Four bytes, big-endian. Kafka: `IntegerSerializer`.", "258_i32", "[0, 0, 1, 2]";
        data -> data;
    LongSerializer: i64, "Eight bytes, big-endian. Kafka: `LongSerializer`.", "258_i64", "[0, 0, 0, 0, 0, 0, 1, 2]";
        data -> data;
    FloatSerializer: f32, "The four bytes of the number's bits, big-endian. Kafka: `FloatSerializer`.", "1.5_f32",
        "[0x3f, 0xc0, 0, 0]"; data -> data;
    DoubleSerializer: f64, "The eight bytes of the number's bits, big-endian; all NaNs are one, as in Kafka.\n\nKafka: \
        `DoubleSerializer`.", "1.5_f64", "[0x3f, 0xf8, 0, 0, 0, 0, 0, 0]"; data -> canonical(*data);
}

/// One NaN for all, as Java has it in this place: whatever the hardware has put into one would make equal keys differ.
const fn canonical(number: f64) -> f64 {
    if number.is_nan() { f64::from_bits(0x7ff8_0000_0000_0000) } else { number }
}

/// One byte, 01 or 00. Kafka: `BooleanSerializer`.
///
/// ```
/// # use ottla::{BooleanSerializer, Serializer};
/// assert_eq!(BooleanSerializer.serialize("switches", &true, &mut Vec::new())?, [1]);
/// # Ok::<(), ottla::Cause>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct BooleanSerializer;

impl Serializer<bool> for BooleanSerializer {
    fn serialize<'a>(&self, _: &str, data: &'a bool, _: &'a mut Vec<u8>) -> Result<&'a [u8], Cause> {
        Ok(if *data { &[1] } else { &[0] })
    }

    fn needs_scratch(&self) -> bool {
        false
    }
}

impl Serialize for bool {
    type Serializer = BooleanSerializer;
}

/// Null, whatever comes. Kafka: `VoidSerializer`.
///
/// ```
/// # use ottla::{Engine, Producer, ProducerRecord};
/// # let engine = Engine::in_memory()?;
/// let producer = Producer::<(), str>::new(&engine)?; // records never have a key
/// let metadata = producer.send(ProducerRecord::to("orders").key(&()).value("paid"))?.wait()?;
/// assert_eq!(metadata.serialized_key_size(), None);
/// # Ok::<(), ottla::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct VoidSerializer;

impl Serializer<()> for VoidSerializer {
    fn serialize<'a>(&self, _: &str, (): &'a (), _: &'a mut Vec<u8>) -> Result<&'a [u8], Cause> {
        Err(Cause::msg("nothing has no bytes"))
    }

    fn serialize_or_null<'a>(&self, _: &str, (): &'a (), _: &'a mut Vec<u8>) -> Result<Option<&'a [u8]>, Cause> {
        Ok(None)
    }

    fn needs_scratch(&self) -> bool {
        false
    }
}

impl Serialize for () {
    type Serializer = VoidSerializer;
}

/// What `S` makes of a value, and null where there is none.
///
/// ```
/// # use ottla::{Engine, Producer, ProducerRecord};
/// # let engine = Engine::in_memory()?;
/// let producer = Producer::<str, Option<i32>>::new(&engine)?;
/// let sizes = [Some(7), None].map(|stock| {
///     let delivery = producer.send(ProducerRecord::to("stock").key("pears").value(&stock));
///     delivery.and_then(|delivery| delivery.wait()).map(|metadata| metadata.serialized_value_size())
/// });
/// assert!(matches!(sizes, [Ok(Some(4)), Ok(None)]));
/// # Ok::<(), ottla::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct OptionSerializer<S>(pub S);

impl<T, S: Serializer<T>> Serializer<Option<T>> for OptionSerializer<S> {
    fn serialize<'a>(&self, topic: &str, data: &'a Option<T>, scratch: &'a mut Vec<u8>) -> Result<&'a [u8], Cause> {
        self.serialize_or_null(topic, data, scratch)?.ok_or_else(|| Cause::msg("null has no bytes"))
    }

    fn serialize_or_null<'a>(
        &self,
        topic: &str,
        data: &'a Option<T>,
        scratch: &'a mut Vec<u8>,
    ) -> Result<Option<&'a [u8]>, Cause> {
        data.as_ref().map_or(Ok(None), |data| self.0.serialize_or_null(topic, data, scratch))
    }

    fn needs_scratch(&self) -> bool {
        self.0.needs_scratch()
    }

    fn constant_size(&self) -> Option<usize> {
        self.0.constant_size()
    }
}

impl<T: Serialize> Serialize for Option<T> {
    type Serializer = OptionSerializer<T::Serializer>;
}

/// The 36 letters of the UUID, lower case. Kafka: `UUIDSerializer`.
///
/// ```
/// # use ottla::{Serializer, UuidSerializer};
/// let id = uuid::Uuid::from_u128(7);
/// let mut scratch = Vec::new();
/// assert_eq!(UuidSerializer.serialize("ids", &id, &mut scratch)?, b"00000000-0000-0000-0000-000000000007");
/// # Ok::<(), ottla::Cause>(())
/// ```
#[cfg(feature = "uuid")]
#[derive(Clone, Copy, Debug, Default)]
pub struct UuidSerializer;

#[cfg(feature = "uuid")]
impl Serializer<Uuid> for UuidSerializer {
    fn serialize<'a>(&self, _: &str, data: &'a Uuid, scratch: &'a mut Vec<u8>) -> Result<&'a [u8], Cause> {
        scratch.resize(uuid::fmt::Hyphenated::LENGTH, 0);
        Ok(data.hyphenated().encode_lower(scratch).as_bytes())
    }

    fn constant_size(&self) -> Option<usize> {
        Some(uuid::fmt::Hyphenated::LENGTH)
    }
}

#[cfg(feature = "uuid")]
impl Serialize for Uuid {
    type Serializer = UuidSerializer;
}

/// JSON of any type that serde serializes.
///
/// ```
/// # use ottla::{Engine, JsonSerializer, Producer, ProducerConfig, ProducerRecord, StringSerializer};
/// # use std::collections::BTreeMap;
/// type Order = BTreeMap<&'static str, u32>; // or a type of yours with #[derive(serde::Serialize)]
///
/// # let engine = Engine::in_memory()?;
/// let config = ProducerConfig::default();
/// let producer = Producer::<str, Order>::with_serializers(&engine, config, StringSerializer, JsonSerializer)?;
/// let order = Order::from([("pears", 3)]);
/// let metadata = producer.send(ProducerRecord::to("orders").key("o-17").value(&order))?.wait()?;
/// assert_eq!(metadata.serialized_value_size(), Some(r#"{"pears":3}"#.len()));
/// # Ok::<(), ottla::Error>(())
/// ```
#[cfg(feature = "json")]
#[derive(Clone, Copy, Debug, Default)]
pub struct JsonSerializer;

#[cfg(feature = "json")]
impl<T: serde::Serialize + ?Sized> Serializer<T> for JsonSerializer {
    fn serialize<'a>(&self, _: &str, data: &'a T, scratch: &'a mut Vec<u8>) -> Result<&'a [u8], Cause> {
        serde_json::to_writer(&mut *scratch, data)?;
        Ok(scratch)
    }
}

#[cfg(feature = "json")]
impl<T: serde::Serialize + ?Sized> Serialize for Json<T> {
    type Serializer = JsonSerializer;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes<T: Serialize>(data: T) -> Vec<u8> {
        let mut scratch = Vec::new();
        T::Serializer::default().serialize("t", &data, &mut scratch).unwrap().to_vec()
    }

    #[test]
    fn numbers_are_kafkas() {
        assert_eq!(bytes(-1_i16), [0xff, 0xff]);
        assert_eq!(bytes(42_i32), [0, 0, 0, 42]);
        assert_eq!(bytes(i64::MIN), [0x80, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(bytes(f32::from_bits(0x7fc0_0123)), [0x7f, 0xc0, 0x01, 0x23], "a NaN keeps its bits");
        assert_eq!(bytes(f64::from_bits(0xfff8_0000_0000_0123)), [0x7f, 0xf8, 0, 0, 0, 0, 0, 0], "there is one NaN");
        assert_eq!(bytes(-0.0_f64), [0x80, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!((bytes(true), bytes(false)), (vec![1], vec![0]));
    }

    #[test]
    fn null_is_what_stands_for_it_and_nothing_else() {
        let mut scratch = Vec::new();
        assert_eq!(VoidSerializer.serialize_or_null("t", &(), &mut scratch).unwrap(), None);
        let optional = OptionSerializer(IntegerSerializer);
        assert_eq!(optional.serialize_or_null("t", &None, &mut scratch).unwrap(), None);
        assert!(optional.serialize("t", &None, &mut scratch).is_err());
        assert_eq!(optional.serialize_or_null("t", &Some(1), &mut scratch).unwrap(), Some(&[0, 0, 0, 1][..]));
        assert_eq!(StringSerializer.serialize_or_null("t", "", &mut Vec::new()).unwrap(), Some(&b""[..]));
    }

    #[cfg(feature = "json")]
    #[test]
    fn value_that_is_no_json_is_refused() {
        let by_pair = std::collections::BTreeMap::from([((1, 2), 3)]);
        assert!(JsonSerializer.serialize("t", &by_pair, &mut Vec::new()).is_err(), "keys are text in JSON");
        assert_eq!(bytes(Json(Some("a"))), b"\"a\"");
    }
}
