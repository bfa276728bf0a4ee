//! A member of a group that tells the ledger of all it does.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ottla::{Admin, Cause, Consumer, ConsumerConfig, Engine, Error, Offset, RebalanceListener, Result, TopicPartition};

use super::ledger::{Ledger, Place};

pub(crate) type TextConsumer = Consumer<str, str>;

/// What the partitions of a worker are, and which offset comes next.
type Held = Arc<Mutex<BTreeMap<TopicPartition, (Option<Place>, i64)>>>;

/// What may befall workers.
#[derive(Clone, Default)]
pub(crate) struct Fate {
    /// The listener fails at its next call.
    pub(crate) listener_fails: Arc<AtomicBool>,
    /// The machine is down, and nothing works.
    pub(crate) is_down: Arc<AtomicBool>,
}

/// How a worker is to be.
#[derive(Clone, Debug)]
pub(crate) struct Terms {
    pub(crate) number: u64,
    pub(crate) instance: Option<String>,
    /// Names of assignors.
    pub(crate) assignors: String,
    pub(crate) is_manual: bool,
    pub(crate) max_poll_interval: Duration,
    pub(crate) session_timeout: Duration,
}

/// A member, and what it has not finished.
pub(crate) struct Worker {
    pub(crate) consumer: TextConsumer,
    pub(crate) terms: Terms,
    ledger: Arc<Ledger>,
    held: Held,
    fate: Fate,
    unfinished: Vec<(Place, i64)>,
}

fn locked(held: &Held) -> std::sync::MutexGuard<'_, BTreeMap<TopicPartition, (Option<Place>, i64)>> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the group has committed of a partition; 0 if nothing, since that is where all begin then.
fn committed(consumer: &TextConsumer, partition: &TopicPartition) -> Result<i64> {
    Ok(consumer.committed(partition)?.map_or(0, |committed| committed.offset.0))
}

impl Worker {
    pub(crate) fn new(engine: &Engine, ledger: &Arc<Ledger>, fate: &Fate, terms: Terms) -> Self {
        let config = ConsumerConfig::builder()
            .group_id(Some("workers".into()))
            .client_id(Some(format!("worker-{}", terms.number)))
            .group_instance_id(terms.instance.clone())
            .enable_auto_commit(!terms.is_manual)
            .auto_commit_interval(Duration::from_millis(20))
            .max_poll_records(40)
            .max_poll_interval(terms.max_poll_interval)
            .session_timeout(terms.session_timeout)
            .set("partition.assignment.strategy", &terms.assignors)
            .and_then(|config| config.build())
            .unwrap();
        let consumer = Consumer::with_config(engine, config).unwrap();
        let (ledger, fate) = (Arc::clone(ledger), fate.clone());
        Self { consumer, terms, ledger, held: Held::default(), fate, unfinished: Vec::new() }
    }

    fn watch(&self, engine: &Engine) -> Watch {
        Watch {
            number: self.terms.number,
            is_manual: self.terms.is_manual,
            admin: Admin::new(engine),
            ledger: Arc::clone(&self.ledger),
            held: Arc::clone(&self.held),
            fate: self.fate.clone(),
        }
    }

    pub(crate) fn subscribe(&mut self, engine: &Engine, topics: &[&str]) -> Result<()> {
        let watch = self.watch(engine);
        self.consumer.subscribe_with(topics, watch)
    }

    pub(crate) fn subscribe_pattern(&mut self, engine: &Engine, pattern: &str) -> Result<()> {
        let watch = self.watch(engine);
        self.consumer.subscribe_pattern_with(pattern, watch)
    }

    /// Polls, and processes all but the last `left` records; says how many there were.
    pub(crate) fn poll(&mut self, timeout: Duration, left: usize) -> Result<usize> {
        self.finish(); // a poll may commit what was returned before
        self.ledger.polls(self.terms.number);
        let polled = self.consumer.poll(timeout);
        self.ledger.has_polled(self.terms.number);
        let records = polled?;
        for record in &records {
            let partition = record.topic_partition();
            let mut held = locked(&self.held);
            let Some((place, next)) = held.get_mut(partition) else {
                panic!("{} was handed a record of {partition}, which it does not own", self.terms.number)
            };
            assert_eq!(record.offset().0, *next, "{partition}: of {}", self.terms.number);
            assert_eq!(record.value()?, Some(value(partition, *next).as_str()));
            *next += 1;
            let Some(place) = *place else { continue }; // its topic is gone
            drop(held);
            self.ledger.hand(self.terms.number, place);
            self.unfinished.push((place, record.offset().0));
        }
        let rest = self.unfinished.split_off(self.unfinished.len().saturating_sub(left));
        self.finish();
        self.unfinished = rest;
        Ok(records.len())
    }

    /// Processes what is left of what was polled.
    pub(crate) fn finish(&mut self) {
        self.unfinished.drain(..).for_each(|(place, offset)| self.ledger.process(place, offset));
    }

    /// Commits all that was polled.
    pub(crate) fn commit(&mut self, waits: bool) {
        self.finish();
        let is_down = Arc::clone(&self.fate.is_down);
        let outcome = if waits {
            self.consumer.commit_sync()
        } else {
            self.consumer.commit_async_with(move |_, outcome| {
                assert!(outcome.is_ok() || is_down.load(Ordering::SeqCst), "{outcome:?}");
            })
        };
        self.expect_committed(outcome);
    }

    /// A commit may be refused if its member was expelled, and for nothing else.
    fn expect_committed(&self, outcome: Result<()>) {
        match outcome {
            Err(Error::CommitFailed { .. }) if self.ledger.is_late(self.terms.number) => {
                self.ledger.count(|tally| tally.refused_commits += 1);
            }
            Err(Error::RebalanceListener { .. }) => {} // of a close
            outcome => assert!(outcome.is_ok() || self.fate.is_down.load(Ordering::SeqCst), "{outcome:?}"),
        }
    }

    /// Goes back to what is committed, as somebody does whose work was rolled back.
    pub(crate) fn seek_back(&mut self) -> Result<()> {
        self.consumer.commit_sync_offsets([])?; // none is under way any more
        let names: Vec<TopicPartition> = locked(&self.held).keys().cloned().collect();
        for name in names {
            let Ok(at) = committed(&self.consumer, &name) else { continue }; // its topic is gone
            self.consumer.seek(&name, Offset(at))?;
            if let Some((_, next)) = locked(&self.held).get_mut(&name) {
                *next = at;
            }
        }
        Ok(())
    }

    /// Closes, or is dropped as somebody does who does not care.
    pub(crate) fn leave(mut self, is_dropped: bool) {
        self.finish();
        if is_dropped {
            drop(self.consumer);
        } else {
            let closed = self.consumer.close();
            self.expect_committed(closed);
        }
        assert!(self.fate.is_down.load(Ordering::SeqCst) || self.ledger.owned_by(self.terms.number) == 0);
    }

    /// Panics in the middle of its work.
    pub(crate) fn panic(self) {
        self.ledger.count(|tally| tally.panics += 1);
        self.ledger.dies(self.terms.number);
        let panicked = catch_unwind(AssertUnwindSafe(move || {
            let _worker = self;
            resume_unwind(Box::new("on purpose"));
        }));
        assert!(panicked.is_err_and(|panic| panic.downcast_ref() == Some(&"on purpose")));
    }
}

/// What the record of a partition at `offset` says.
pub(crate) fn value(partition: &TopicPartition, offset: i64) -> String {
    format!("{partition}@{offset}")
}

/// The listener of a worker.
struct Watch {
    number: u64,
    is_manual: bool,
    admin: Admin,
    ledger: Arc<Ledger>,
    held: Held,
    fate: Fate,
}

impl Watch {
    fn end(&self) -> Result<(), Cause> {
        if self.fate.listener_fails.swap(false, Ordering::SeqCst) {
            return Err(Cause::msg("on purpose"));
        }
        Ok(())
    }

    fn give(&self, partition: &TopicPartition) -> Option<Place> {
        let held = locked(&self.held).remove(partition);
        held.unwrap_or_else(|| panic!("{} gives {partition} up, which it does not have", self.number)).0
    }
}

impl RebalanceListener<str, str> for Watch {
    fn on_partitions_revoked(
        &mut self,
        consumer: &mut TextConsumer,
        partitions: &[TopicPartition],
    ) -> Result<(), Cause> {
        assert!(!partitions.is_empty());
        if self.is_manual {
            let committed = consumer.commit_sync(); // all that was polled is processed
            let is_late = || self.ledger.is_late(self.number) || self.fate.is_down.load(Ordering::SeqCst);
            assert!(committed.is_ok() || is_late(), "{committed:?}");
        }
        for partition in partitions {
            if let Some(place) = self.give(partition) {
                self.ledger.release(self.number, place);
            }
        }
        self.end()
    }

    fn on_partitions_assigned(
        &mut self,
        consumer: &mut TextConsumer,
        partitions: &[TopicPartition],
    ) -> Result<(), Cause> {
        for partition in partitions {
            let topic = self.admin.describe_topic(partition.topic());
            let place = topic.ok().map(|topic| (topic.id, partition.partition()));
            let next = committed(consumer, partition).unwrap_or(0);
            let twice = locked(&self.held).insert(partition.clone(), (place, next));
            assert!(twice.is_none(), "{} has {partition} already", self.number);
            if let Some(place) = place {
                self.ledger.take(self.number, place, next);
            }
        }
        self.end()
    }

    fn on_partitions_lost(&mut self, _: &mut TextConsumer, partitions: &[TopicPartition]) -> Result<(), Cause> {
        for partition in partitions {
            if let Some(place) = self.give(partition) {
                self.ledger.lose(self.number, place);
            }
        }
        self.end()
    }
}
