//! Topics: names that stand for partitions.
//!
//! `catalog` knows which there are, `lifecycle` makes and removes their directories. The order of the two is what
//! makes a crash harmless: a topic is created on the disk first and then in the catalog, and deleted from the catalog
//! first. So whatever the catalog names is whole, and what it does not name is nobody's.

mod catalog;
mod lifecycle;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;

use crate::error::{Error, Result};
use crate::replication::Partition;
use crate::storage::{TopicConfig, topic_collision_key, validate_topic_name};
use crate::types::TopicId;

pub(crate) use catalog::{CATALOG, Catalog, Change, TopicEntry};
pub(crate) use lifecycle::{
    NewPartitions, clear_leftovers, create_partitions, discard_partitions, import_partitions, remove_dir,
    remove_partitions,
};

/// A topic in a list.
///
/// ```
/// # use ottla::{Admin, Engine, NewTopic};
/// # let engine = Engine::in_memory()?;
/// # let admin = Admin::new(&engine);
/// admin.create_topic(NewTopic::new("orders").partitions(4))?;
/// for topic in admin.list_topics()? {
///     assert_eq!((topic.name.as_str(), topic.partitions), ("orders", 4));
/// }
/// # Ok::<(), ottla::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TopicListing {
    /// Its name.
    pub name: String,
    /// What tells it from another topic that had the name before.
    pub id: TopicId,
    /// How many partitions it has.
    pub partitions: u32,
}

impl TopicListing {
    pub(crate) fn of(entry: &TopicEntry) -> Self {
        Self { name: entry.name.to_string(), id: entry.id, partitions: entry.partitions }
    }
}

/// A topic: its partitions are there as long as somebody holds it, even when it was deleted meanwhile.
#[derive(Debug)]
pub(crate) struct Topic {
    pub(crate) entry: TopicEntry,
    pub(crate) config: Arc<TopicConfig>,
    pub(crate) partitions: Vec<Arc<Partition>>,
    /// There is another one of the same id now, with these partitions and more.
    is_outgrown: AtomicBool,
}

impl Topic {
    pub(crate) fn new(entry: TopicEntry, config: Arc<TopicConfig>, partitions: Vec<Arc<Partition>>) -> Self {
        Self { entry, config, partitions, is_outgrown: AtomicBool::new(false) }
    }

    /// Whether it is neither deleted nor outgrown.
    pub(crate) fn is_current(&self) -> bool {
        !self.is_deleted() && !self.is_outgrown.load(Ordering::Acquire)
    }

    pub(crate) fn set_outgrown(&self) {
        self.is_outgrown.store(true, Ordering::Release);
    }

    pub(crate) fn name(&self) -> &Arc<str> {
        &self.entry.name
    }

    pub(crate) fn id(&self) -> TopicId {
        self.entry.id
    }

    /// Partition number `partition`.
    pub(crate) fn partition(&self, partition: u32) -> Result<&Arc<Partition>> {
        let index = usize::try_from(partition).unwrap_or(usize::MAX);
        self.partitions.get(index).ok_or_else(|| Error::unknown_topic(format_args!("{}-{partition}", self.name())))
    }

    pub(crate) fn is_deleted(&self) -> bool {
        // They are all deleted together.
        self.partitions.first().is_some_and(|partition| partition.is_deleted())
    }
}

/// All topics by name; looking one up takes no lock.
#[derive(Debug, Default)]
pub(crate) struct Topics {
    by_name: ArcSwap<BTreeMap<Arc<str>, Arc<Topic>>>,
}

impl Topics {
    pub(crate) fn find(&self, name: &str) -> Option<Arc<Topic>> {
        self.by_name.load().get(name).map(Arc::clone)
    }

    /// All of them, by name.
    pub(crate) fn all(&self) -> Vec<Arc<Topic>> {
        self.by_name.load().values().map(Arc::clone).collect()
    }

    /// Adds or replaces a topic. Changes are made by one thread at a time, which holds the engine's lock for that.
    pub(crate) fn insert(&self, topic: Arc<Topic>) {
        let mut topics = self.by_name.load().as_ref().clone();
        topics.insert(Arc::clone(topic.name()), topic);
        self.by_name.store(Arc::new(topics));
    }

    pub(crate) fn remove(&self, name: &str) {
        let mut topics = self.by_name.load().as_ref().clone();
        topics.remove(name);
        self.by_name.store(Arc::new(topics));
    }

    /// Whether a topic may be created under `name`: Kafka's letters, no other topic of that name, and none whose name
    /// differs in `.` and `_` only.
    pub(crate) fn check_new_name(&self, name: &str) -> Result<()> {
        validate_topic_name(name)?;
        if self.find(name).is_some() {
            return Err(Error::TopicAlreadyExists { topic: name.into() });
        }
        let key = topic_collision_key(name);
        let topics = self.by_name.load();
        match topics.keys().find(|other| topic_collision_key(other) == key) {
            None => Ok(()),
            Some(other) => {
                let reason = format!("it differs from {other:?} only in '.' and '_'");
                Err(Error::InvalidTopic { name: name.into(), reason: reason.into() })
            }
        }
    }
}
