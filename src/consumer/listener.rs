//! Code of the user's that is told when partitions come and go.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use crate::consumer::Consumer;
use crate::consumer::deserializer::Deserialize;
use crate::error::{Cause, Error, Result};
use crate::types::TopicPartition;

/// Is told which partitions a consumer loses and gets when its group shares them out anew; given to
/// [`Consumer::subscribe_with`]. Kafka: `ConsumerRebalanceListener`.
///
/// All of it happens inside [`poll`](Consumer::poll), [`unsubscribe`](Consumer::unsubscribe) and
/// [`close`](Consumer::close), in their thread:
///
/// 1. what was read is committed, if `enable.auto.commit` says so, but for `unsubscribe`, which commits nothing,
/// 2. `on_partitions_revoked`, if any partition is to be given up: until it returns nobody else gets one of them,
/// 3. `on_partitions_assigned`, with what is new, which may be nothing: once for each time that the group shared its
///    partitions out, and again when partitions come later, since another member has only then let go of them. Of new
///    partitions nothing is read before it returns.
///
/// The consumer is theirs to commit with, to seek and to pause. Polling, subscribing and closing are refused with
/// [`Error::IllegalState`] meanwhile. An error is given by the poll, once all calls were made; the partitions have changed
/// hands all the same.
///
/// ```
/// # use ottla::{Cause, Consumer, Engine, Offset, Producer, ProducerRecord, RebalanceListener, TopicPartition};
/// # use std::time::Duration;
/// /// Reads everything again, whatever was committed.
/// struct FromTheBeginning;
///
/// impl RebalanceListener<str, str> for FromTheBeginning {
///     fn on_partitions_assigned(
///         &mut self,
///         consumer: &mut Consumer<str, str>,
///         partitions: &[TopicPartition],
///     ) -> Result<(), Cause> {
///         Ok(consumer.seek_to_beginning(partitions)?)
///     }
/// }
///
/// # let engine = Engine::in_memory()?;
/// Producer::<str, str>::new(&engine)?.send(ProducerRecord::to("orders").value("paid"))?.wait()?;
/// let mut consumer = Consumer::<str, str>::new(&engine, "billing")?;
/// consumer.commit_sync_offsets([(("orders", 0).into(), Offset(1).into())])?;
/// consumer.subscribe_with(["orders"], FromTheBeginning)?;
/// assert_eq!(consumer.poll(Duration::from_secs(1))?.len(), 1);
/// # Ok::<(), ottla::Error>(())
/// ```
pub trait RebalanceListener<K: ?Sized + Deserialize, V: ?Sized + Deserialize>: Send {
    /// These are given up when this returns. What the consumer has read of them can still be committed: the member that
    /// gets them begins there.
    ///
    /// # Errors
    /// Yours.
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Admin, Cause, Consumer, Engine, NewTopic, Offset, RebalanceListener, TopicPartition};
    /// # use std::time::Duration;
    /// /// Commits what was worked on, and not just read.
    /// struct CommitDone(Vec<(TopicPartition, Offset)>);
    ///
    /// impl RebalanceListener<str, str> for CommitDone {
    ///     fn on_partitions_revoked(
    ///         &mut self,
    ///         consumer: &mut Consumer<str, str>,
    ///         _partitions: &[TopicPartition],
    ///     ) -> Result<(), Cause> {
    ///         let done = self.0.drain(..).map(|(partition, offset)| (partition, offset.into()));
    ///         Ok(consumer.commit_sync_offsets(done)?)
    ///     }
    /// }
    ///
    /// # let engine = Engine::in_memory()?;
    /// # Admin::new(&engine).create_topic(NewTopic::new("orders"))?;
    /// let mut consumer = Consumer::<str, str>::new(&engine, "billing")?;
    /// consumer.subscribe_with(["orders"], CommitDone(vec![(("orders", 0).into(), Offset(0))]))?;
    /// consumer.poll(Duration::ZERO)?;
    /// consumer.unsubscribe()?;
    /// assert!(consumer.committed(&("orders", 0).into())?.is_some());
    /// # Ok::<(), ottla::Error>(())
    /// ```
    fn on_partitions_revoked(
        &mut self,
        consumer: &mut Consumer<K, V>,
        partitions: &[TopicPartition],
    ) -> Result<(), Cause> {
        let _ = (consumer, partitions);
        Ok(())
    }

    /// These are new, and may be none. Positions can be looked up and changed.
    ///
    /// # Errors
    /// Yours.
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Admin, Cause, Consumer, Engine, NewTopic, RebalanceListener, TopicPartition};
    /// # use std::sync::mpsc::{Sender, channel};
    /// # use std::time::Duration;
    /// struct Report(Sender<usize>);
    ///
    /// impl RebalanceListener<str, str> for Report {
    ///     fn on_partitions_assigned(
    ///         &mut self,
    ///         _consumer: &mut Consumer<str, str>,
    ///         partitions: &[TopicPartition],
    ///     ) -> Result<(), Cause> {
    ///         Ok(self.0.send(partitions.len())?)
    ///     }
    /// }
    ///
    /// # let engine = Engine::in_memory()?;
    /// # let admin = Admin::new(&engine);
    /// # admin.create_topic(NewTopic::new("orders").partitions(3))?;
    /// let (tell, told) = channel();
    /// let mut consumer = Consumer::<str, str>::new(&engine, "billing")?;
    /// consumer.subscribe_with(["orders"], Report(tell))?;
    /// consumer.poll(Duration::ZERO)?;
    /// assert_eq!(told.try_recv(), Ok(3));
    /// # Ok::<(), ottla::Error>(())
    /// ```
    fn on_partitions_assigned(
        &mut self,
        consumer: &mut Consumer<K, V>,
        partitions: &[TopicPartition],
    ) -> Result<(), Cause> {
        let _ = (consumer, partitions);
        Ok(())
    }

    /// These are gone already: the consumer has not polled for `max.poll.interval.ms`, and others may have them. Commits
    /// are refused. Does what `on_partitions_revoked` does if you do not say otherwise.
    ///
    /// # Errors
    /// Yours.
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Admin, Cause, Consumer, ConsumerConfig, Engine, NewTopic, RebalanceListener, TopicPartition};
    /// # use std::sync::mpsc::{Sender, channel};
    /// # use std::time::Duration;
    /// struct Report(Sender<usize>);
    ///
    /// impl RebalanceListener<str, str> for Report {
    ///     fn on_partitions_lost(
    ///         &mut self,
    ///         _consumer: &mut Consumer<str, str>,
    ///         partitions: &[TopicPartition],
    ///     ) -> Result<(), Cause> {
    ///         Ok(self.0.send(partitions.len())?)
    ///     }
    /// }
    ///
    /// # let engine = Engine::in_memory()?;
    /// # let admin = Admin::new(&engine);
    /// # admin.create_topic(NewTopic::new("orders").partitions(3))?;
    /// let (tell, told) = channel();
    /// let config = ConsumerConfig::builder().group_id(Some("billing".into()));
    /// let config = config.max_poll_interval(Duration::from_millis(1)).build()?;
    /// let mut consumer = Consumer::<str, str>::with_config(&engine, config)?;
    /// consumer.subscribe_with(["orders"], Report(tell))?;
    /// consumer.poll(Duration::ZERO)?;
    /// while !admin.group_members("billing")?.members.is_empty() {
    ///     std::thread::yield_now(); // too busy to poll
    /// }
    /// consumer.poll(Duration::ZERO)?;
    /// assert_eq!(told.try_recv(), Ok(3));
    /// # Ok::<(), ottla::Error>(())
    /// ```
    fn on_partitions_lost(
        &mut self,
        consumer: &mut Consumer<K, V>,
        partitions: &[TopicPartition],
    ) -> Result<(), Cause> {
        self.on_partitions_revoked(consumer, partitions)
    }
}

/// Which of a listener's methods is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    Revoked,
    Assigned,
    Lost,
}

impl Event {
    const fn method(self) -> &'static str {
        match self {
            Self::Revoked => "on_partitions_revoked",
            Self::Assigned => "on_partitions_assigned",
            Self::Lost => "on_partitions_lost",
        }
    }

    /// Kafka's names for how long the listener takes.
    pub(super) const fn latency_metrics(self) -> [&'static str; 2] {
        match self {
            Self::Revoked => ["partition-revoked-latency-avg", "partition-revoked-latency-max"],
            Self::Assigned => ["partition-assigned-latency-avg", "partition-assigned-latency-max"],
            Self::Lost => ["partition-lost-latency-avg", "partition-lost-latency-max"],
        }
    }
}

impl<K: ?Sized + Deserialize, V: ?Sized + Deserialize> Consumer<K, V> {
    /// Calls the listener, if there is one.
    pub(super) fn tell_listener(&mut self, event: Event, partitions: &[TopicPartition]) -> Result<()> {
        let Some(mut listener) = self.listener.take() else { return Ok(()) };
        self.is_in_listener = true;
        let began = self.engine.scheduler().now();
        let call = || match event {
            Event::Revoked => listener.on_partitions_revoked(self, partitions),
            Event::Assigned => listener.on_partitions_assigned(self, partitions),
            Event::Lost => listener.on_partitions_lost(self, partitions),
        };
        let outcome = catch_unwind(AssertUnwindSafe(call));
        self.is_in_listener = false;
        self.listener = Some(listener);
        let outcome = outcome.unwrap_or_else(|panic| resume_unwind(panic));
        let now = self.engine.scheduler().now();
        self.rebalances.note_listener(event, now, now.since(began));
        outcome.map_err(|cause| Error::RebalanceListener { method: event.method(), cause })
    }

    /// Refuses what a listener may not do.
    pub(super) fn ensure_outside_listener(&self) -> Result<()> {
        if self.is_in_listener {
            return Err(Error::illegal_state("not inside a rebalance listener"));
        }
        Ok(())
    }
}
