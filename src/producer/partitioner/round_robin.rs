//! One record a partition, in turn.

use std::collections::BTreeMap;
use std::sync::Mutex;

use crate::producer::partitioner::Partitioner;
use crate::sync::lock;

/// Records of a topic go to one partition after the other, whatever their keys are. Kafka: `RoundRobinPartitioner`.
///
/// That is even by number of records; but batches fill slower, and records of one key lose their order. Records without
/// a key are spread evenly without it too, by whole batches.
///
/// ```
/// # use ottla::{Admin, Engine, NewTopic, Producer, ProducerRecord, RoundRobinPartitioner};
/// # let engine = Engine::in_memory()?;
/// Admin::new(&engine).create_topic(NewTopic::new("jobs").partitions(3))?;
/// let partitioner = RoundRobinPartitioner::default();
/// let producer = Producer::<str, str>::builder(&engine).partitioner(partitioner).build()?;
/// for turn in [0, 1, 2, 0] {
///     let delivery = producer.send(ProducerRecord::to("jobs").key("always the same").value("resize"))?;
///     assert_eq!(delivery.wait()?.partition(), turn);
/// }
/// # Ok::<(), ottla::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct RoundRobinPartitioner {
    /// Whose turn it is, by topic.
    turns: Mutex<BTreeMap<Box<str>, u32>>,
}

impl Partitioner for RoundRobinPartitioner {
    fn partition(&self, topic: &str, _key: Option<&[u8]>, _value: Option<&[u8]>, count: u32) -> u32 {
        let mut turns = lock(&self.turns);
        let Some(turn) = turns.get_mut(topic) else {
            turns.insert(topic.into(), 1);
            return 0;
        };
        let partition = *turn % count;
        *turn = (partition + 1) % count;
        partition
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_topic_has_its_own_turn() {
        let partitioner = RoundRobinPartitioner::default();
        let next = |topic, count| partitioner.partition(topic, Some(b"key"), None, count);
        assert_eq!([next("a", 3), next("a", 3), next("b", 3), next("a", 3), next("a", 3)], [0, 1, 0, 2, 0]);
        assert_eq!([next("c", 1), next("c", 1)], [0, 0]);
        assert_eq!(next("a", 1), 0, "a topic that was made again with fewer partitions");
    }
}
