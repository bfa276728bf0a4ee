//! Which partition a record goes to: the one it names, that of its key, or the one that is having its turn; or the one
//! that a partitioner of the user's chooses.

mod murmur2;
mod round_robin;
mod sticky;

pub use round_robin::RoundRobinPartitioner;

pub(super) use sticky::Sticky;

/// Chooses the partition of records that name none. Kafka: `Partitioner`.
///
/// Without one, a record goes to the partition of its key: `murmur2` of its bytes, as Kafka's clients compute it. One
/// without a key goes where a batch is filled at the moment.
///
/// ```
/// # use ottla::{Admin, Engine, NewTopic, Partitioner, Producer, ProducerRecord};
/// /// Orders of a hundred and more have a partition of their own, the last one.
/// struct LargeOrders;
///
/// impl Partitioner for LargeOrders {
///     fn partition(&self, _topic: &str, key: Option<&[u8]>, value: Option<&[u8]>, count: u32) -> u32 {
///         let is_large = value.is_some_and(|value| value.len() > 2);
///         if is_large || count == 1 { count - 1 } else { ottla::partition_for_key(key.unwrap_or_default(), count - 1) }
///     }
/// }
///
/// # let engine = Engine::in_memory()?;
/// Admin::new(&engine).create_topic(NewTopic::new("orders").partitions(4))?;
/// let producer = Producer::<str, str>::builder(&engine).partitioner(LargeOrders).build()?;
/// let metadata = producer.send(ProducerRecord::to("orders").key("ann").value("250"))?.wait()?;
/// assert_eq!(metadata.partition(), 3);
/// # Ok::<(), ottla::Error>(())
/// ```
pub trait Partitioner: Send + Sync {
    /// The number of the partition for a record with these bytes, of `count` that `topic` has: below `count`, or the
    /// record is refused with [`Error::IllegalArgument`](crate::Error::IllegalArgument).
    ///
    /// Called once for each record, by the thread that sends it, many at the same time; not for those that name their
    /// partition.
    fn partition(&self, topic: &str, key: Option<&[u8]>, value: Option<&[u8]>, count: u32) -> u32;
}

/// The partition of a key, of `count`, which is at least 1: where Kafka's clients send it too. An empty key is a key.
///
/// Kafka: `BuiltInPartitioner.partitionForKey`.
///
/// # Panics
/// If `count` is 0.
///
/// # Examples
/// ```
/// assert_eq!(ottla::partition_for_key(b"user-42", 12), 4);
/// ```
#[must_use]
pub fn partition_for_key(key: &[u8], count: u32) -> u32 {
    (murmur2::murmur2(key) & 0x7fff_ffff) % count
}

#[cfg(test)]
mod tests {
    use super::partition_for_key;

    #[test]
    fn keys_go_where_kafka_sends_them() {
        let cases: [(&str, u32, u32); 8] = [
            ("wu", 10, 0),
            ("100:48069", 12, 9),
            ("21", 40, 20),
            ("kafka", 3, 1),
            ("thing\u{e4}\u{f6}\u{fc}\u{c4}\u{d6}\u{dc}", 10, 2),
            ("TT0124", 15, 10),
            ("fd7af248-ce5c-46a5-93d7-1c0c9005b99d", 32, 26),
            ("", 4, 1),
        ];
        for (key, count, partition) in cases {
            assert_eq!(partition_for_key(key.as_bytes(), count), partition, "{key} of {count}");
        }
        assert_eq!(partition_for_key(b"", 7), 2);
    }
}
