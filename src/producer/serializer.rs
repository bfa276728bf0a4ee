//! Serializers: values into bytes.

use bytes::Bytes;

use crate::error::Cause;

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
///             return Err(Cause::from(Box::<dyn std::error::Error + Send + Sync>::from("more than one line")));
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

    /// Whether `scratch` is ever used. Where it is not, none is kept ready.
    fn needs_scratch(&self) -> bool {
        true
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
