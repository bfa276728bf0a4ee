//! Interceptors: code that sees every poll's records before the application does, and every commit behind it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::consumer::deserializer::Deserialize;
use crate::consumer::record::ConsumerRecords;
use crate::coordinator::group::Offsets;
use crate::error::Cause;

/// Sees what a consumer returns and commits; for counting, tracing, leaving records out. Kafka: `ConsumerInterceptor`.
///
/// It runs in the thread that uses the consumer, and cannot use the consumer itself. An error or panic of one is logged,
/// and nobody else's business: the records are as they were before it, the other interceptors run, the poll or commit
/// goes on.
///
/// ```
/// # use ottla::{Cause, Consumer, ConsumerInterceptor, ConsumerRecords, Engine, Offset, Producer, ProducerRecord};
/// # use std::time::Duration;
/// /// Leaves out what was sent to see whether the line works.
/// struct NoTests;
///
/// impl ConsumerInterceptor<str, str> for NoTests {
///     fn on_consume(&mut self, records: &mut ConsumerRecords<str, str>) -> Result<(), Cause> {
///         records.retain(|record| record.headers().last("test").is_none());
///         Ok(())
///     }
/// }
///
/// # let engine = Engine::in_memory()?;
/// let producer = Producer::<str, str>::new(&engine)?;
/// producer.send(ProducerRecord::to("orders").value("hello?").header("test", "1"))?.wait()?;
/// producer.send(ProducerRecord::to("orders").value("paid"))?.wait()?;
/// let mut consumer = Consumer::<str, str>::builder(&engine).interceptor(NoTests).build()?;
/// consumer.assign([("orders", 0).into()])?;
/// let records = consumer.poll(Duration::from_secs(1))?;
/// assert_eq!(records.iter().map(|record| record.offset()).collect::<Vec<_>>(), [Offset(1)]);
/// # Ok::<(), ottla::Error>(())
/// ```
pub trait ConsumerInterceptor<K: ?Sized + Deserialize, V: ?Sized + Deserialize>: Send {
    /// Called with what a poll is about to return, if that is anything. What it takes out counts as read all the same.
    ///
    /// # Errors
    /// Any: it is logged, and `records` are as they were.
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Cause, ConsumerInterceptor, ConsumerRecords};
    /// #[derive(Default)]
    /// struct Counter(usize);
    ///
    /// impl ConsumerInterceptor<str, str> for Counter {
    ///     fn on_consume(&mut self, records: &mut ConsumerRecords<str, str>) -> Result<(), Cause> {
    ///         self.0 += records.len();
    ///         Ok(())
    ///     }
    /// }
    /// assert_eq!(Counter::default().0, 0);
    /// ```
    fn on_consume(&mut self, records: &mut ConsumerRecords<K, V>) -> Result<(), Cause> {
        let _ = records;
        Ok(())
    }

    /// Called with what was committed, once it is on the disk: by whichever way of committing, and never for a commit
    /// that failed.
    ///
    /// # Errors
    /// Any: it is logged. The commit stands.
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Cause, ConsumerInterceptor, Offsets, TopicPartition};
    /// # use std::sync::mpsc::Sender;
    /// struct Report(Sender<TopicPartition>);
    ///
    /// impl ConsumerInterceptor<str, str> for Report {
    ///     fn on_commit(&mut self, offsets: &Offsets) -> Result<(), Cause> {
    ///         for partition in offsets.keys() {
    ///             self.0.send(partition.clone())?;
    ///         }
    ///         Ok(())
    ///     }
    /// }
    /// let (tell, told) = std::sync::mpsc::channel();
    /// Report(tell).on_commit(&Offsets::from([(("orders", 0).into(), ottla::Offset(3).into())]))?;
    /// assert_eq!(told.recv(), Ok(("orders", 0).into()));
    /// # Ok::<(), Cause>(())
    /// ```
    fn on_commit(&mut self, offsets: &Offsets) -> Result<(), Cause> {
        let _ = offsets;
        Ok(())
    }
}

/// The interceptors of a consumer, in the order in which they were added.
pub(super) struct Interceptors<K: ?Sized + Deserialize, V: ?Sized + Deserialize> {
    chain: Vec<Box<dyn ConsumerInterceptor<K, V>>>,
}

impl<K: ?Sized + Deserialize, V: ?Sized + Deserialize> Default for Interceptors<K, V> {
    fn default() -> Self {
        Self { chain: Vec::new() }
    }
}

impl<K: ?Sized + Deserialize, V: ?Sized + Deserialize> Interceptors<K, V> {
    pub(super) fn add(&mut self, interceptor: impl ConsumerInterceptor<K, V> + 'static) {
        self.chain.push(Box::new(interceptor));
    }

    /// Lets each see, and change, what the one before it left.
    pub(super) fn on_consume(&mut self, records: &mut ConsumerRecords<K, V>) {
        for interceptor in &mut self.chain {
            let before = records.clone();
            match catch_unwind(AssertUnwindSafe(|| interceptor.on_consume(records))) {
                Ok(Ok(())) => continue,
                Ok(Err(cause)) => log::warn!("an interceptor failed, and what it did is undone: {cause}"),
                Err(_) => log::error!("an interceptor panicked, and what it did is undone"),
            }
            *records = before;
        }
    }

    pub(super) fn on_commit(&mut self, offsets: &Offsets) {
        for interceptor in &mut self.chain {
            match catch_unwind(AssertUnwindSafe(|| interceptor.on_commit(offsets))) {
                Ok(Ok(())) => {}
                Ok(Err(cause)) => log::warn!("an interceptor failed when it was told of a commit: {cause}"),
                Err(_) => log::error!("an interceptor panicked when it was told of a commit; the others go on"),
            }
        }
    }
}
