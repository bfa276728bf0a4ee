//! A consumer as the member of its group: it joins with its first poll, and each poll brings it to what the group has
//! dealt.
//!
//! ```text
//!   poll -- expelled? -- lost -- join again --+
//!    |                                        |
//!    +-- news? -- sync --+-- revoke: commit, listener, wait for commits, drop the lanes, release -- sync
//!                        +-- take:   add the lanes, listener -- sync
//!                        +-- nothing: go on reading
//! ```
//!
//! **No record is skipped, and none is read by two members at a time.** A partition is released when its lane is gone and
//! no commit of ours is under way; before that the group gives it to nobody. Whoever takes it then looks up what the
//! group has committed, and begins there.

use std::sync::Arc;
use std::time::Duration;

use crate::consumer::config::ConsumerConfig;
use crate::consumer::deserializer::Deserialize;
use crate::consumer::listener::Event;
use crate::consumer::{Consumer, subscription};
use crate::coordinator::group::{
    Assignor, Joining, Membership, NamedAssignor, Place, SeatTerms, Step, assignor_by_name,
};
use crate::error::{Error, Result};
use crate::types::TopicPartition;

/// What a consumer brings along when it joins a group.
#[derive(Clone, Debug)]
pub(super) struct MemberTerms {
    prefix: Arc<str>,
    instance: Option<Arc<str>>,
    assignors: Vec<NamedAssignor>,
    max_poll_interval: Duration,
    session_timeout: Duration,
}

impl MemberTerms {
    /// Of the assignors, `own` come first, in place of those that the settings name.
    pub(super) fn new(config: &ConsumerConfig, own: Vec<Arc<dyn Assignor>>) -> Self {
        let named = config.partition_assignment_strategy.names().filter_map(assignor_by_name);
        let assignors = if own.is_empty() { named.collect() } else { own };
        Self {
            prefix: config.client_id.as_deref().unwrap_or("consumer").into(),
            instance: config.group_instance_id.as_deref().map(Arc::from),
            assignors: assignors.into_iter().map(NamedAssignor::new).collect(),
            max_poll_interval: config.max_poll_interval,
            session_timeout: config.session_timeout,
        }
    }
}

/// Keeps the first of several errors.
#[derive(Default)]
struct FirstError(Option<Error>);

impl FirstError {
    fn keep(&mut self, outcome: Result<()>) {
        if let Err(error) = outcome {
            match &self.0 {
                None => self.0 = Some(error),
                Some(_) => log::warn!("{error}"),
            }
        }
    }

    fn into_result(self) -> Result<()> {
        self.0.map_or(Ok(()), Err)
    }
}

/// Who a consumer is in its group. Kafka: `ConsumerGroupMetadata`.
///
/// ```
/// # use ottla::{Admin, Consumer, Engine, NewTopic};
/// # use std::time::Duration;
/// # let engine = Engine::in_memory()?;
/// # Admin::new(&engine).create_topic(NewTopic::new("orders"))?;
/// let mut consumer = Consumer::<str, str>::new(&engine, "billing")?;
/// consumer.subscribe(["orders"])?;
/// assert_eq!(consumer.group_metadata()?.member_id, None);
/// consumer.poll(Duration::ZERO)?;
/// assert_eq!(consumer.group_metadata()?.member_id.as_deref(), Some("consumer-1"));
/// # Ok::<(), ottla::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConsumerGroupMetadata {
    /// Its group.
    pub group: String,
    /// The epoch of the group that it has come to; 0 if it is no member. Kafka: `generationId`.
    pub epoch: u64,
    /// Its id as a member, if it is one.
    pub member_id: Option<String>,
    /// Its `group.instance.id`, if it is a static member.
    pub instance_id: Option<String>,
}

impl<K: ?Sized + Deserialize, V: ?Sized + Deserialize> Consumer<K, V> {
    /// Who the consumer is in its group. Kafka: `KafkaConsumer.groupMetadata`.
    ///
    /// # Errors
    /// [`Error::InvalidGroupId`] without a group.
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Consumer, Engine};
    /// # let engine = Engine::in_memory()?;
    /// let consumer = Consumer::<str, str>::new(&engine, "billing")?;
    /// assert_eq!(consumer.group_metadata()?.group, "billing");
    /// # Ok::<(), ottla::Error>(())
    /// ```
    pub fn group_metadata(&self) -> Result<ConsumerGroupMetadata> {
        let membership = self.commits.membership();
        Ok(ConsumerGroupMetadata {
            group: self.commits.group_or_error()?.name().to_owned(),
            epoch: membership.map_or(0, Membership::epoch),
            member_id: membership.map(|membership| membership.id().to_string()),
            instance_id: self.terms.instance.as_ref().map(ToString::to_string),
        })
    }

    /// Has the group deal its partitions anew, though nothing has changed that it knows of: when an assignor of yours
    /// would deal them otherwise now. The next poll of any member does it. Without effect if the consumer is no member
    /// yet. Kafka: `KafkaConsumer.enforceRebalance`.
    ///
    /// # Errors
    /// [`Error::Closed`] after [`close`](Self::close); [`Error::IllegalState`] inside a rebalance listener.
    ///
    /// # Examples
    /// ```
    /// # use ottla::{Admin, Consumer, Engine, NewTopic};
    /// # use std::time::Duration;
    /// # let engine = Engine::in_memory()?;
    /// # Admin::new(&engine).create_topic(NewTopic::new("orders"))?;
    /// let mut consumer = Consumer::<str, str>::new(&engine, "billing")?;
    /// consumer.subscribe(["orders"])?;
    /// consumer.poll(Duration::ZERO)?;
    /// let before = consumer.group_metadata()?.epoch;
    /// consumer.enforce_rebalance()?;
    /// consumer.poll(Duration::ZERO)?;
    /// assert_eq!(consumer.group_metadata()?.epoch, before + 1);
    /// # Ok::<(), ottla::Error>(())
    /// ```
    pub fn enforce_rebalance(&mut self) -> Result<()> {
        self.ensure_open()?;
        self.ensure_outside_listener()?; // or the poll that is under way would not end
        if let Some(membership) = self.commits.membership() {
            membership.enforce();
        }
        Ok(())
    }

    /// Joins the group if it is no member, and comes to what the group has dealt.
    pub(super) fn keep_up(&mut self) -> Result<()> {
        if !self.subscription.is_dynamic() {
            return Ok(());
        }
        let mut first = FirstError::default();
        let now = self.engine.scheduler().now();
        if self.commits.membership().is_some_and(|membership| !membership.touch(now)) {
            first.keep(self.lose());
        }
        if self.commits.membership().is_none() {
            first.keep(self.join());
        }
        while first.0.is_none() && self.commits.has_news() {
            self.come_to_target(&mut first);
        }
        first.into_result()
    }

    fn come_to_target(&mut self, first: &mut FirstError) {
        let began = self.engine.scheduler().now();
        let mut has_changed = false;
        while let Some(membership) = self.commits.membership() {
            match membership.sync() {
                Ok(Some(Step::Revoke(places))) => first.keep(self.revoke(places)),
                Ok(Some(Step::Take(places))) => first.keep(self.take(places)),
                Ok(Some(Step::Nothing)) => break,
                Ok(None) => {
                    first.keep(self.lose());
                    first.keep(self.join());
                    break;
                }
                Err(error) => {
                    self.rebalances.note_failed();
                    first.keep(Err(error));
                    break;
                }
            }
            has_changed = true;
        }
        if has_changed {
            let now = self.engine.scheduler().now();
            self.rebalances.note(now, now.since(began));
        }
    }

    fn join(&mut self) -> Result<()> {
        let group = self.commits.group_or_error()?;
        let joining = Joining {
            prefix: Arc::clone(&self.terms.prefix),
            instance: self.terms.instance.as_ref().map(Arc::clone),
            interest: self.subscription.interest(),
            assignors: self.terms.assignors.clone(),
        };
        let (max_poll_interval, session_timeout) = (self.terms.max_poll_interval, self.terms.session_timeout);
        let membership = self.engine.join_group(group, joining, |deadlines, scheduler| SeatTerms {
            signal: Arc::clone(self.fetcher.signal()),
            deadlines,
            scheduler,
            max_poll_interval,
            session_timeout,
        });
        self.commits.set_membership(membership.inspect_err(|_| self.rebalances.note_failed())?);
        Ok(())
    }

    /// Lets `places` go, for somebody else to take.
    fn revoke(&mut self, places: Vec<Place>) -> Result<()> {
        if let Err(error) = self.commit_changes() {
            log::warn!("auto-commit failed: {error}"); // the next owner reads some records again
        }
        // Those that `take` found gone have never been told of.
        let known = places.iter().filter(|place| self.fetcher.reads(place));
        let names: Vec<TopicPartition> = known.map(|place| place.partition.clone()).collect();
        let told = self.tell_of_loss(Event::Revoked, &names);
        self.commits.wait_for_begun(self.fetcher.signal());
        self.fetcher.remove(&places);
        if let Some(membership) = self.commits.membership() {
            membership.release(places);
        }
        told
    }

    /// Tells the listener that `partitions` go, if any do.
    fn tell_of_loss(&mut self, event: Event, partitions: &[TopicPartition]) -> Result<()> {
        if partitions.is_empty() { Ok(()) } else { self.tell_listener(event, partitions) }
    }

    /// Takes up `places`, which nobody else has.
    fn take(&mut self, places: Vec<Place>) -> Result<()> {
        // Of a topic that was deleted a moment ago there is nothing to read; it is revoked with the next epoch.
        let sources = places.iter().filter_map(|place| subscription::source_of(&self.engine, place));
        let sources: Vec<_> = sources.collect();
        let names: Vec<TopicPartition> = sources.iter().map(|source| source.name().clone()).collect();
        self.fetcher.add(sources);
        self.tell_listener(Event::Assigned, &names)
    }

    /// The consumer is no member any more, and others may have its partitions.
    fn lose(&mut self) -> Result<()> {
        let names = self.assignment();
        let told = self.tell_of_loss(Event::Lost, &names);
        self.fetcher.assign(Vec::new());
        self.commits.leave();
        told
    }

    /// Lets everything go, and leaves the group.
    pub(super) fn leave_group(&mut self) -> Result<()> {
        let Some(membership) = self.commits.membership() else { return Ok(()) };
        if !membership.touch(self.engine.scheduler().now()) {
            return self.lose();
        }
        let names = self.assignment();
        let told = self.tell_of_loss(Event::Revoked, &names);
        self.commits.wait_for_begun(self.fetcher.signal());
        self.fetcher.assign(Vec::new());
        self.commits.leave();
        told
    }
}
