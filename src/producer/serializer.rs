//! Serializers: values into bytes.

use bytes::Bytes;

use crate::error::Cause;

/// Turns keys or values of type `T` into bytes. Null stays null and never comes here.
///
/// Kafka: `Serializer`.
pub trait Serializer<T: ?Sized>: Send + Sync {
    /// The bytes of `data`, borrowed from it or written into `scratch`, which is empty.
    ///
    /// # Errors
    /// Whatever is wrong with `data`; `send` answers it as [`Error::Serialization`](crate::Error::Serialization).
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
#[derive(Clone, Copy, Debug, Default)]
pub struct BytesSerializer;

/// Text in UTF-8. Kafka: `StringSerializer`.
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
