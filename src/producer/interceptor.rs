//! Interceptors: code of the user's that sees every record before it is sent, and what became of it.
//!
//! One that fails, or panics, is logged and passed over: it never stops a record, nor the interceptors behind it.

use std::any::Any;
use std::cell::OnceCell;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::error::{Cause, Error, Result};
use crate::producer::record::{ProducerRecord, RecordMetadata};

/// Sees, and may change, each record before it is serialized; and learns what became of it. Kafka:
/// `ProducerInterceptor`.
///
/// ```
/// # use ottla::{Cause, Consumer, Engine, Keep, Producer, ProducerInterceptor, ProducerRecord};
/// # use std::time::Duration;
/// /// Adds a header with the length of the value.
/// struct Length;
///
/// impl ProducerInterceptor<str, str> for Length {
///     fn on_send<'a>(
///         &self,
///         record: ProducerRecord<'a, str, str>,
///         keep: &'a Keep,
///     ) -> Result<ProducerRecord<'a, str, str>, Cause> {
///         let length = record.value.map_or(0, str::len);
///         Ok(record.header("length", keep.hold(length.to_string())))
///     }
/// }
///
/// # let engine = Engine::in_memory()?;
/// let producer = Producer::<str, str>::builder(&engine).interceptor(Length).build()?;
/// producer.send(ProducerRecord::to("orders").value("paid"))?.wait()?;
/// # let mut consumer = Consumer::<str, str>::new(&engine, "billing")?;
/// # consumer.subscribe(["orders"])?;
/// for record in &consumer.poll(Duration::from_secs(1))? {
///     assert_eq!(record.headers().last("length"), Some(Some(&b"4"[..])));
/// }
/// # Ok::<(), ottla::Error>(())
/// ```
pub trait ProducerInterceptor<K: ?Sized, V: ?Sized>: Send + Sync {
    /// What is sent in the place of `record`: the same, or another one. What it is made of may be put into `keep`.
    ///
    /// Called by the thread that sends, before anything else, in the order in which interceptors were added; each gets
    /// what the one before it answered.
    ///
    /// # Errors
    /// Any; it is logged, and the next interceptor gets what this one was given. So it is if this panics.
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Cause, Keep, ProducerInterceptor, ProducerRecord};
    /// struct Nothing;
    ///
    /// impl ProducerInterceptor<str, str> for Nothing {}
    ///
    /// let keep = Keep::default();
    /// let record = ProducerRecord::to("orders").value("paid");
    /// assert_eq!(Nothing.on_send(record, &keep)?.value, Some("paid"));
    /// # Ok::<(), Cause>(())
    /// ```
    fn on_send<'a>(&self, record: ProducerRecord<'a, K, V>, keep: &'a Keep) -> Result<ProducerRecord<'a, K, V>, Cause> {
        let _ = keep;
        Ok(record)
    }

    /// What became of a record: where it is, or why it is not. `partition` is `None` if none had been chosen when it
    /// failed.
    ///
    /// Called once for each record: on the engine's thread for callbacks, before the record's own callback, or by the
    /// thread that sends if `send` refuses the record. It must not wait for deliveries. If it panics that is logged.
    fn on_acknowledgement(&self, topic: &str, partition: Option<u32>, outcome: Result<&RecordMetadata, &Error>) {
        let _ = (topic, partition, outcome);
    }
}

/// Holds what an interceptor makes for a record until that is sent.
///
/// A record borrows what it is made of; what does not live long enough goes in here.
///
/// ```
/// # use ottla::{Keep, ProducerRecord};
/// let keep = Keep::default();
/// let record = ProducerRecord::<str, str>::to("orders").value(keep.hold(format!("order {}", 17)));
/// assert_eq!(record.value, Some("order 17"));
/// ```
#[derive(Default)]
pub struct Keep {
    first: Link,
}

/// The end of a list is where the next thing goes: nothing that was lent moves.
type Link = OnceCell<Box<Held>>;

struct Held {
    thing: Box<dyn Any + Send>,
    next: Link,
}

impl Keep {
    /// Holds `thing`, and lends it.
    pub fn hold<T: Any + Send>(&self, thing: T) -> &T {
        let mut link = &self.first;
        while let Some(held) = link.get() {
            link = &held.next;
        }
        let held = link.get_or_init(|| Box::new(Held { thing: Box::new(thing), next: Link::new() }));
        held.thing.downcast_ref().expect("it was just put there")
    }
}

impl fmt::Debug for Keep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keep")
    }
}

/// The interceptors of one producer, in order.
pub(super) struct Interceptors<K: ?Sized, V: ?Sized> {
    chain: Vec<Arc<dyn ProducerInterceptor<K, V>>>,
    /// The same, as those who acknowledge see them: the types of keys and values do not matter to them.
    listeners: Vec<Listener>,
}

type Listener = Arc<dyn Fn(&str, Option<u32>, Result<&RecordMetadata, &Error>) + Send + Sync>;

/// Who is told what became of a record.
#[derive(Clone)]
pub(super) struct Listeners(Arc<[Listener]>);

impl<K: ?Sized, V: ?Sized> Default for Interceptors<K, V> {
    fn default() -> Self {
        Self { chain: Vec::new(), listeners: Vec::new() }
    }
}

impl<K: ?Sized, V: ?Sized> Interceptors<K, V> {
    pub(super) fn add(&mut self, interceptor: impl ProducerInterceptor<K, V> + 'static)
    where
        K: 'static,
        V: 'static,
    {
        let interceptor: Arc<dyn ProducerInterceptor<K, V>> = Arc::new(interceptor);
        self.chain.push(Arc::clone(&interceptor));
        self.listeners.push(Arc::new(move |topic, partition, outcome| {
            interceptor.on_acknowledgement(topic, partition, outcome);
        }));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.chain.is_empty()
    }

    pub(super) fn listeners(&self) -> Listeners {
        Listeners(self.listeners.iter().cloned().collect())
    }

    /// What is sent in the place of `record`.
    pub(super) fn on_send<'a>(&self, record: ProducerRecord<'a, K, V>, keep: &'a Keep) -> ProducerRecord<'a, K, V> {
        self.chain.iter().fold(record, |record, interceptor| {
            let given = record.clone();
            match catch_unwind(AssertUnwindSafe(|| interceptor.on_send(given, keep))) {
                Ok(Ok(changed)) => return changed,
                Ok(Err(cause)) => log::warn!("{}: an interceptor failed: {cause}", record.topic),
                Err(_) => log::error!("{}: an interceptor panicked", record.topic),
            }
            record
        })
    }
}

impl Listeners {
    pub(super) fn tell(&self, topic: &str, partition: Option<u32>, outcome: Result<&RecordMetadata, &Error>) {
        for listener in self.0.iter() {
            if catch_unwind(AssertUnwindSafe(|| listener(topic, partition, outcome))).is_err() {
                log::error!("{topic}: an interceptor panicked when it was told of a record; the others go on");
            }
        }
    }
}

impl<K: ?Sized, V: ?Sized> fmt::Debug for Interceptors<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} interceptors", self.chain.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_stays_where_it_is() {
        let keep = Keep::default();
        let (first, second) = (keep.hold("a".to_owned()), keep.hold(vec![1, 2]));
        for number in 0..100 {
            assert_eq!(*keep.hold(number), number);
        }
        assert_eq!((first.as_str(), second.as_slice()), ("a", &[1, 2][..]));
    }
}
