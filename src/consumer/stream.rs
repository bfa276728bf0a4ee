//! A consumer as an iterator that blocks, and a handle that ends it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::consumer::Consumer;
use crate::consumer::deserializer::Deserialize;
use crate::consumer::record::{ConsumerRecords, OwnedRecord, Place};
use crate::error::Result;
use crate::sync::Signal;

/// Gives the records of a consumer one after the other, waits for those that are not there yet, and ends when it is told
/// to; made by [`Consumer::stream`].
///
/// What it has given counts as read, and what it has not does not: when it is dropped, the consumer stands behind the
/// last record that it gave.
///
/// ```
/// # use ottla::{Consumer, Engine, Offset, Producer, ProducerRecord, RecordStream};
/// # let engine = Engine::in_memory()?;
/// # let producer = Producer::<str, str>::new(&engine)?;
/// for value in ["made", "paid", "sent"] {
///     producer.send(ProducerRecord::to("orders").value(value))?.wait()?;
/// }
/// let mut consumer = Consumer::<str, str>::new(&engine, "billing")?;
/// consumer.subscribe(["orders"])?;
/// let mut records: RecordStream<'_, str, str> = consumer.stream();
/// let first = records.next().expect("nobody has stopped it")?;
/// assert_eq!(first.value()?, Some("made"));
/// drop(records);
/// assert_eq!(consumer.position(&("orders", 0).into())?, Offset(1)); // the other two are still to be read
/// # Ok::<(), ottla::Error>(())
/// ```
pub struct RecordStream<'c, K: ?Sized + Deserialize, V: ?Sized + Deserialize> {
    consumer: &'c mut Consumer<K, V>,
    /// What the last poll returned, and the next of it to be given.
    records: Option<ConsumerRecords<K, V>>,
    place: Place,
    stop: StopHandle,
    has_ended: bool,
}

/// Ends a [`RecordStream`] from any thread. Clones end the same one.
///
/// ```
/// # use ottla::{Admin, Consumer, Engine, NewTopic, StopHandle};
/// # use std::thread;
/// # let engine = Engine::in_memory()?;
/// # Admin::new(&engine).create_topic(NewTopic::new("orders"))?;
/// let mut consumer = Consumer::<str, str>::new(&engine, "billing")?;
/// consumer.subscribe(["orders"])?;
/// let records = consumer.stream();
/// let handle: StopHandle = records.stop_handle();
/// thread::scope(|scope| {
///     scope.spawn(move || handle.stop()); // when the program is to end, say
///     assert_eq!(records.count(), 0); // waits for records until then
/// });
/// # Ok::<(), ottla::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct StopHandle {
    is_called: Arc<AtomicBool>,
    signal: Arc<Signal>,
}

impl StopHandle {
    /// Ends the stream: it gives no record any more, whether it waits for one or has some. Never blocks.
    pub fn stop(&self) {
        self.is_called.store(true, Ordering::SeqCst);
        self.signal.notify();
    }

    fn is_called(&self) -> bool {
        self.is_called.load(Ordering::SeqCst)
    }
}

impl<K: ?Sized + Deserialize, V: ?Sized + Deserialize> Consumer<K, V> {
    /// Reads record by record, and waits whenever there is none: an endless loop of polls, as an iterator.
    ///
    /// Behind each record stands what [`poll`](Self::poll) does: automatic commits cover the records that were given
    /// before, interceptors see what a poll brings. To commit by hand, poll, or drop the stream first: it puts the
    /// positions behind the last record that it gave.
    ///
    /// An error ends the stream, behind the records before it. When its cause is gone, or passed with
    /// [`seek`](Self::seek), a new stream goes on there.
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Consumer, Engine, Producer, ProducerRecord};
    /// # let engine = Engine::in_memory()?;
    /// # let producer = Producer::<str, str>::new(&engine)?;
    /// for value in ["made", "paid", "sent"] {
    ///     producer.send(ProducerRecord::to("orders").value(value))?.wait()?;
    /// }
    /// let mut consumer = Consumer::<str, str>::new(&engine, "billing")?;
    /// consumer.subscribe(["orders"])?;
    /// let records = consumer.stream();
    /// let stop = records.stop_handle();
    /// let mut seen = Vec::new();
    /// for record in records {
    ///     let record = record?;
    ///     seen.extend(record.value()?.map(str::to_owned));
    ///     if seen.len() == 3 {
    ///         stop.stop(); // often from another thread
    ///     }
    /// }
    /// assert_eq!(seen, ["made", "paid", "sent"]);
    /// consumer.close()?;
    /// # Ok::<(), ottla::Error>(())
    /// ```
    pub fn stream(&mut self) -> RecordStream<'_, K, V> {
        let signal = Arc::clone(self.fetcher.signal());
        let stop = StopHandle { is_called: Arc::default(), signal };
        RecordStream { consumer: self, records: None, place: Place::default(), stop, has_ended: false }
    }
}

impl<K: ?Sized + Deserialize, V: ?Sized + Deserialize> RecordStream<'_, K, V> {
    /// What ends this stream from elsewhere.
    #[must_use]
    pub fn stop_handle(&self) -> StopHandle {
        self.stop.clone()
    }

    /// Waits for records; none once the stream was stopped.
    fn poll(&mut self) -> Result<Option<ConsumerRecords<K, V>>> {
        while !self.stop.is_called() {
            let stop = self.stop.clone();
            let records = self.consumer.poll_unless(Duration::MAX, &|| stop.is_called())?;
            if !records.is_empty() {
                return Ok(Some(records));
            }
        }
        Ok(None)
    }

    /// Puts the positions where the first records stand that were not given.
    fn rewind(&mut self) {
        let Some(records) = self.records.take() else { return };
        for (partition, offset) in records.behind(&self.place) {
            if let Ok(lane) = self.consumer.fetcher.lane(partition) {
                lane.rewind(offset);
            }
        }
    }
}

impl<K: ?Sized + Deserialize, V: ?Sized + Deserialize> Iterator for RecordStream<'_, K, V> {
    type Item = Result<OwnedRecord<K, V>>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.has_ended && !self.stop.is_called() {
            if let Some(record) = self.records.as_ref().and_then(|records| records.take_at(&mut self.place)) {
                return Some(Ok(record));
            }
            self.records = None;
            match self.poll() {
                Ok(records) => (self.records, self.place) = (records, Place::default()),
                Err(error) => {
                    self.has_ended = true;
                    return Some(Err(error));
                }
            }
        }
        None
    }
}

impl<K: ?Sized + Deserialize, V: ?Sized + Deserialize> std::iter::FusedIterator for RecordStream<'_, K, V> {}

impl<K: ?Sized + Deserialize, V: ?Sized + Deserialize> Drop for RecordStream<'_, K, V> {
    fn drop(&mut self) {
        self.rewind();
    }
}

impl<K: ?Sized + Deserialize, V: ?Sized + Deserialize> fmt::Debug for RecordStream<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordStream").field("consumer", &self.consumer).finish_non_exhaustive()
    }
}
