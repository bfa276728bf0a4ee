//! The topics that a producer has sent to, by name.
//!
//! Looking one up is on the path of every record, so it takes no lock and no atomic operation but plain loads: lists
//! hang in a fixed number of buckets, and an entry, once there, stays until the producer is dropped. A topic that was
//! deleted and made again, or has got more partitions, has a second entry behind its first.

use std::sync::{Arc, OnceLock};

use crate::producer::TopicQueues;
use crate::topics::Topic;

/// More topics than this make lists longer than one.
const BUCKETS: usize = 64;

/// Topics by name; they only become more.
pub(super) struct KnownTopics {
    buckets: [Link; BUCKETS],
}

type Link = OnceLock<Box<Node>>;

struct Node {
    queues: Arc<TopicQueues>,
    next: Link,
}

impl KnownTopics {
    pub(super) const fn new() -> Self {
        Self { buckets: [const { OnceLock::new() }; BUCKETS] }
    }

    /// The topic of that name, if it is known as it is now.
    #[inline]
    pub(super) fn find(&self, name: &str) -> Option<&Arc<TopicQueues>> {
        let mut link = &self.buckets[bucket(name)];
        while let Some(node) = link.get() {
            if **node.queues.topic.name() == *name && node.queues.topic.is_current() {
                return Some(&node.queues);
            }
            link = &node.next;
        }
        None
    }

    /// Adds a topic, unless another thread was faster: answers the entry that counts. `make` is given the one before of
    /// the same topic, which had fewer partitions.
    pub(super) fn add(
        &self,
        topic: &Arc<Topic>,
        make: impl Fn(Option<&TopicQueues>) -> TopicQueues,
    ) -> &Arc<TopicQueues> {
        let mut link = &self.buckets[bucket(topic.name())];
        let mut before: Option<&TopicQueues> = None;
        loop {
            // Of two threads that come here at once one wins, and the other takes what it made: a partition has one queue,
            // or its order would be lost.
            let node = link.get_or_init(|| Box::new(Node { queues: Arc::new(make(before)), next: OnceLock::new() }));
            if node.queues.topic.id() == topic.id() {
                if node.queues.topic.partitions.len() >= topic.partitions.len() {
                    return &node.queues;
                }
                before = Some(&node.queues);
            }
            link = &node.next;
        }
    }
}

/// FNV-1a.
#[inline]
fn bucket(name: &str) -> usize {
    let mix = |hash: u32, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    let hash = name.bytes().fold(0x811c_9dc5, mix);
    (hash ^ (hash >> 16)) as usize % BUCKETS
}
