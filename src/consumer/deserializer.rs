//! From the bytes of a key or value to what the application sees.
//!
//! A type says with [`Deserialize`] what it looks like in a record, and a [`Deserializer`] makes that of bytes. What
//! can borrow from the record does: a `str` is seen as `&str`, without a copy.
//!
//! | type | seen as | any bytes |
//! |---|---|---|
//! | `str` | `&str` | no: strict UTF-8. Kafka puts U+FFFD in the place of what is not |
//! | `String` | `String` | no: strict UTF-8 |
//! | `[u8]` | `&[u8]` | yes |
//! | `Vec<u8>`, `Bytes` | a copy | yes |
//! | `i16`, `i32`, `i64`, `f32`, `f64` | itself | no: as many bytes as it has, big-endian |
//! | `bool` | itself | no: 00 or 01 |
//! | `()` | itself | no: none at all |
//! | `Uuid` (feature `uuid`) | itself | no: its 36 letters, in either case |
//! | `Vec<Option<T>>`, and `Vec<T>` of most of these | a `Vec` | no: see [`list`] |
//! | `Json<T>` (feature `json`) | `T` | no: what serde makes a `T` of |
//!
//! The bytes are those of Kafka's serializers for these types.
//!
//! A key or value that is null is `None`, whatever the type; no deserializer sees it.

mod list;

use std::sync::Arc;

use bytes::Bytes;
#[cfg(feature = "uuid")]
use uuid::Uuid;

use crate::error::Cause;
#[cfg(feature = "json")]
use crate::types::Json;

/// A type that keys or values can have. What ottla brings: `str`, `String`, `[u8]`, `Vec<u8>`, `Bytes`, `i16`, `i32`,
/// `i64`, `f32`, `f64`, `bool`, `()`, lists of them (`Vec<Option<T>>`; `Vec<T>` where none of it may be null), and with
/// the features of that name `uuid::Uuid` and `Json<T>`. The bytes are those of Kafka's own serializers.
///
/// Text is strict UTF-8, where Kafka puts U+FFFD in the place of what is not. `str` and `[u8]` are seen where they lie,
/// the others are copies. A key or value that is null is `None`, whatever the type; no deserializer sees it.
///
/// ```
/// # use ottla::{Cause, Consumer, ConsumerConfig, Deserialize, Deserializer, Engine};
/// # use std::sync::Arc;
/// struct Celsius; // the type, as in `Consumer<str, Celsius>`
///
/// impl Deserialize for Celsius {
///     type View<'a> = f32;
/// }
///
/// struct BigEndian;
///
/// impl Deserializer<Celsius> for BigEndian {
///     fn deserialize<'a>(&self, _topic: &str, bytes: &'a [u8]) -> Result<f32, Cause> {
///         Ok(f32::from_be_bytes(bytes.try_into()?))
///     }
/// }
///
/// let engine = Engine::in_memory()?;
/// let config = ConsumerConfig::builder().group_id(Some("weather".into())).build()?;
/// let consumer = Consumer::<[u8], Celsius>::with_deserializers(
///     &engine,
///     config,
///     <[u8] as ottla::OwnDeserializer>::deserializer(),
///     Arc::new(BigEndian),
/// )?;
/// assert!(consumer.subscription().is_empty());
/// # Ok::<(), ottla::Error>(())
/// ```
pub trait Deserialize: 'static {
    /// What a record shows of it. It may borrow the record's bytes.
    type View<'a>;
}

/// Makes values of type `T` from bytes. Kafka: `Deserializer`.
///
/// It runs inside [`poll`](crate::Consumer::poll), which looks at each record before it returns it, and again when the
/// value is asked for: it should be cheap, and say the same both times.
///
/// ```
/// # use ottla::{Cause, Consumer, ConsumerConfig, Deserialize, Deserializer, Engine, OwnDeserializer};
/// # use ottla::{Producer, ProducerRecord};
/// # use std::sync::Arc;
/// # use std::time::Duration;
/// /// Numbers that are written as text.
/// struct Number;
///
/// impl Deserialize for Number {
///     type View<'a> = u64;
/// }
///
/// struct Decimal;
///
/// impl Deserializer<Number> for Decimal {
///     fn deserialize(&self, _topic: &str, bytes: &[u8]) -> Result<u64, Cause> {
///         Ok(std::str::from_utf8(bytes)?.parse()?)
///     }
/// }
///
/// # let engine = Engine::in_memory()?;
/// Producer::<str, str>::new(&engine)?.send(ProducerRecord::to("cents").value("1299"))?.wait()?;
/// let (keys, values) = (str::deserializer(), Arc::new(Decimal));
/// let mut consumer =
///     Consumer::<str, Number>::with_deserializers(&engine, ConsumerConfig::default(), keys, values)?;
/// consumer.assign([("cents", 0).into()])?;
/// for record in &consumer.poll(Duration::from_secs(1))? {
///     assert_eq!(record.value()?, Some(1299));
/// }
/// # Ok::<(), ottla::Error>(())
/// ```
pub trait Deserializer<T: ?Sized + Deserialize>: Send + Sync {
    /// What `bytes`, the key or value of a record of `topic`, stand for.
    ///
    /// # Errors
    /// Why they stand for nothing: any error, in an `Arc`.
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Deserializer, OwnDeserializer};
    /// let text = str::deserializer();
    /// assert_eq!(text.deserialize("orders", b"paid")?, "paid");
    /// assert!(text.deserialize("orders", b"\xff").is_err()); // not UTF-8
    /// # Ok::<(), ottla::Cause>(())
    /// ```
    fn deserialize<'a>(&self, topic: &str, bytes: &'a [u8]) -> Result<T::View<'a>, Cause>;

    /// Whether [`deserialize`](Self::deserialize) would succeed; to be written where that is cheaper to find out.
    ///
    /// # Errors
    /// Those of [`deserialize`](Self::deserialize).
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Deserializer, OwnDeserializer};
    /// assert!(str::deserializer().check("orders", b"\xff").is_err());
    /// assert!(<[u8]>::deserializer().check("orders", b"\xff").is_ok()); // any bytes will do
    /// ```
    fn check(&self, topic: &str, bytes: &[u8]) -> Result<(), Cause> {
        self.deserialize(topic, bytes).map(drop)
    }

    /// Whether any bytes will do, so that nobody needs to look.
    fn accepts_all(&self) -> bool {
        false
    }

    /// How many bytes each value takes, if lists of it are stored without lengths: Kafka does that for numbers and
    /// UUIDs.
    fn constant_size(&self) -> Option<usize> {
        None
    }
}

/// A type that brings its deserializer along.
///
/// ```
/// # use ottla::{Cause, Consumer, Deserialize, Deserializer, Engine, OwnDeserializer};
/// # use ottla::{Producer, ProducerRecord};
/// # use std::sync::Arc;
/// # use std::time::Duration;
/// struct Flag;
///
/// impl Deserialize for Flag {
///     type View<'a> = bool;
/// }
///
/// impl Deserializer<Flag> for Flag {
///     fn deserialize(&self, _topic: &str, bytes: &[u8]) -> Result<bool, Cause> {
///         Ok(bytes != b"off")
///     }
/// }
///
/// impl OwnDeserializer for Flag {
///     fn deserializer() -> Arc<dyn Deserializer<Self>> {
///         Arc::new(Flag)
///     }
/// }
///
/// # let engine = Engine::in_memory()?;
/// Producer::<str, str>::new(&engine)?.send(ProducerRecord::to("switches").value("on"))?.wait()?;
/// let mut consumer = Consumer::<str, Flag>::new(&engine, "hall")?;
/// consumer.subscribe(["switches"])?;
/// for record in &consumer.poll(Duration::from_secs(1))? {
///     assert_eq!(record.value()?, Some(true));
/// }
/// # Ok::<(), ottla::Error>(())
/// ```
pub trait OwnDeserializer: Deserialize {
    /// The deserializer that consumers use if they are not given another one.
    fn deserializer() -> Arc<dyn Deserializer<Self>>;
}

/// Makes text of UTF-8, and refuses anything else.
#[derive(Debug)]
struct Utf8;

/// Takes the bytes as they are.
#[derive(Debug)]
struct Raw;

/// Makes numbers of big-endian bytes.
#[derive(Debug)]
struct BigEndian;

/// Makes truth values of 00 and 01.
#[derive(Debug)]
struct ZeroOrOne;

/// Refuses whatever is there.
#[derive(Debug)]
struct Nothing;

/// Makes UUIDs of their text.
#[cfg(feature = "uuid")]
#[derive(Debug)]
struct UuidText;

/// Makes values of JSON.
#[cfg(feature = "json")]
#[derive(Debug)]
struct JsonText;

impl Deserialize for str {
    type View<'a> = &'a Self;
}

impl Deserializer<str> for Utf8 {
    fn deserialize<'a>(&self, _topic: &str, bytes: &'a [u8]) -> Result<&'a str, Cause> {
        Ok(std::str::from_utf8(bytes)?)
    }
}

impl Deserialize for String {
    type View<'a> = Self;
}

impl Deserializer<String> for Utf8 {
    fn deserialize(&self, topic: &str, bytes: &[u8]) -> Result<String, Cause> {
        Deserializer::<str>::deserialize(self, topic, bytes).map(str::to_owned)
    }

    fn check(&self, topic: &str, bytes: &[u8]) -> Result<(), Cause> {
        Deserializer::<str>::check(self, topic, bytes)
    }
}

impl Deserialize for [u8] {
    type View<'a> = &'a Self;
}

impl Deserializer<[u8]> for Raw {
    fn deserialize<'a>(&self, _topic: &str, bytes: &'a [u8]) -> Result<&'a [u8], Cause> {
        Ok(bytes)
    }

    fn check(&self, _topic: &str, _bytes: &[u8]) -> Result<(), Cause> {
        Ok(())
    }

    fn accepts_all(&self) -> bool {
        true
    }
}

/// Types that copy the bytes, and how.
macro_rules! copies {
    ($($type:ty: $copy:expr),+) => { $(
        impl Deserialize for $type {
            type View<'a> = Self;
        }

        impl Deserializer<$type> for Raw {
            fn deserialize(&self, _topic: &str, bytes: &[u8]) -> Result<$type, Cause> {
                Ok($copy(bytes))
            }

            fn check(&self, _topic: &str, _bytes: &[u8]) -> Result<(), Cause> {
                Ok(())
            }

            fn accepts_all(&self) -> bool {
                true
            }
        }
    )+ };
}

copies!(Vec<u8>: <[u8]>::to_vec, Bytes: Bytes::copy_from_slice);

macro_rules! numbers {
    ($($type:ty),+) => { $(
        impl Deserialize for $type {
            type View<'a> = Self;
        }

        impl Deserializer<$type> for BigEndian {
            fn deserialize(&self, _topic: &str, bytes: &[u8]) -> Result<$type, Cause> {
                let size = size_of::<$type>();
                let found = bytes.len();
                let bytes = bytes.try_into().map_err(|_error| Cause::msg(format!("expected {size} bytes, found {found}")))?;
                Ok(<$type>::from_be_bytes(bytes))
            }

            fn constant_size(&self) -> Option<usize> {
                Some(size_of::<$type>())
            }
        }
    )+ };
}

numbers!(i16, i32, i64, f32, f64);

impl Deserialize for bool {
    type View<'a> = Self;
}

impl Deserializer<bool> for ZeroOrOne {
    fn deserialize(&self, _topic: &str, bytes: &[u8]) -> Result<bool, Cause> {
        match bytes {
            [0] => Ok(false),
            [1] => Ok(true),
            _ => Err(Cause::msg(format!("expected one byte, 00 or 01, found {}", bytes.len()))),
        }
    }
}

impl Deserialize for () {
    type View<'a> = ();
}

impl Deserializer<()> for Nothing {
    fn deserialize(&self, _topic: &str, bytes: &[u8]) -> Result<(), Cause> {
        Err(Cause::msg(format!("expected null, found {} bytes", bytes.len())))
    }
}

#[cfg(feature = "uuid")]
impl Deserialize for Uuid {
    type View<'a> = Self;
}

#[cfg(feature = "uuid")]
impl Deserializer<Uuid> for UuidText {
    fn deserialize(&self, _topic: &str, bytes: &[u8]) -> Result<Uuid, Cause> {
        let is_plain = bytes.len() == uuid::fmt::Hyphenated::LENGTH; // Kafka knows no other way to write one
        let parsed = Uuid::try_parse_ascii(if is_plain { bytes } else { &[] });
        parsed.map_err(|_error| Cause::msg(format!("{} bytes are not the text of a UUID", bytes.len())))
    }

    fn constant_size(&self) -> Option<usize> {
        Some(uuid::fmt::Hyphenated::LENGTH)
    }
}

#[cfg(feature = "json")]
impl<T: serde::de::DeserializeOwned + 'static> Deserialize for Json<T> {
    type View<'a> = T;
}

#[cfg(feature = "json")]
impl<T: serde::de::DeserializeOwned + 'static> Deserializer<Json<T>> for JsonText {
    fn deserialize(&self, _topic: &str, bytes: &[u8]) -> Result<T, Cause> {
        Ok(serde_json::from_slice(bytes)?)
    }
}

#[cfg(feature = "json")]
impl<T: serde::de::DeserializeOwned + 'static> OwnDeserializer for Json<T> {
    fn deserializer() -> Arc<dyn Deserializer<Self>> {
        Arc::new(JsonText)
    }
}

/// Which deserializer a type brings along.
macro_rules! own {
    ($($type:ty: $deserializer:expr),+) => { $(
        impl OwnDeserializer for $type {
            fn deserializer() -> Arc<dyn Deserializer<Self>> {
                Arc::new($deserializer)
            }
        }
    )+ };
}

own!(str: Utf8, String: Utf8, [u8]: Raw, Vec<u8>: Raw, Bytes: Raw);
own!(i16: BigEndian, i32: BigEndian, i64: BigEndian, f32: BigEndian, f64: BigEndian, bool: ZeroOrOne, (): Nothing);
#[cfg(feature = "uuid")]
own!(Uuid: UuidText);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_strict_utf8_and_borrows() {
        let bytes = "z\u{e9}ro".as_bytes();
        let text = str::deserializer();
        let seen = text.deserialize("t", bytes).unwrap();
        assert_eq!((seen, seen.as_ptr()), ("z\u{e9}ro", bytes.as_ptr()));
        assert!(text.check("t", b"\xff").is_err());
        assert!(String::deserializer().check("t", b"\xff").is_err());
        assert!(!text.accepts_all());
    }

    #[test]
    fn bytes_are_taken_as_they_are() {
        assert_eq!(<[u8]>::deserializer().deserialize("t", b"\xff").unwrap(), b"\xff");
        assert_eq!(Vec::<u8>::deserializer().deserialize("t", b"\xff").unwrap(), b"\xff");
        assert_eq!(Bytes::deserializer().deserialize("t", b"\xff").unwrap(), &b"\xff"[..]);
        assert!(<[u8]>::deserializer().accepts_all());
    }

    #[test]
    fn numbers_are_big_endian_and_have_their_length() {
        assert_eq!(i16::deserializer().deserialize("t", &[0xff, 0xfe]).unwrap(), -2);
        assert_eq!(i32::deserializer().deserialize("t", &[0, 0, 1, 2]).unwrap(), 258);
        assert_eq!(i64::deserializer().deserialize("t", &[0, 0, 0, 0, 0, 0, 1, 2]).unwrap(), 258);
        let nan = f32::deserializer().deserialize("t", &[0x7f, 0xc0, 0x01, 0x23]).unwrap();
        assert_eq!(nan.to_bits(), 0x7fc0_0123, "whatever the bits are");
        assert_eq!(f64::deserializer().deserialize("t", &[0x3f, 0xf8, 0, 0, 0, 0, 0, 0]).unwrap(), 1.5);
        let error = i32::deserializer().check("t", &[1, 2, 3]).unwrap_err();
        assert_eq!(error.to_string(), "expected 4 bytes, found 3");
        assert!(f64::deserializer().check("t", &[0; 4]).is_err());
        assert!(i16::deserializer().check("t", &[]).is_err());
    }

    #[test]
    fn truth_is_one_byte_and_nothing_is_none() {
        assert!(bool::deserializer().deserialize("t", &[1]).unwrap());
        assert!(!bool::deserializer().deserialize("t", &[0]).unwrap());
        for wrong in [&[2][..], &[], &[0, 0]] {
            assert!(bool::deserializer().check("t", wrong).is_err());
        }
        assert!(<()>::deserializer().check("t", &[]).is_err(), "empty is not null");
    }

    #[cfg(feature = "uuid")]
    #[test]
    fn uuid_is_text_with_hyphens_only() {
        let text = "67e55044-10b1-426f-9247-bb680e5fe0c8";
        let id = Uuid::deserializer().deserialize("t", text.as_bytes()).unwrap();
        assert_eq!(id.to_string(), text);
        assert_eq!(Uuid::deserializer().deserialize("t", text.to_uppercase().as_bytes()).unwrap(), id);
        for wrong in [text.replace('-', ""), format!("{{{text}}}"), text.replace('6', "g"), String::new()] {
            assert!(Uuid::deserializer().check("t", wrong.as_bytes()).is_err(), "{wrong}");
        }
        assert!(Uuid::deserializer().check("t", id.as_bytes()).is_err(), "16 bytes are no text");
    }

    #[cfg(feature = "json")]
    #[test]
    fn json_is_what_serde_makes_of_it() {
        let numbers = Json::<Vec<u8>>::deserializer();
        assert_eq!(numbers.deserialize("t", b"[1, 2]").unwrap(), [1, 2]);
        assert!(numbers.check("t", b"[1, 256]").is_err());
        assert!(numbers.check("t", b"[1").is_err());
    }
}
