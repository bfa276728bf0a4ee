//! Which partition a record goes to: the one it names, that of its key, or the one that is having its turn.

mod murmur2;
mod sticky;

pub(super) use sticky::Sticky;

/// The partition of a key, of `count`. An empty key is a key.
///
/// Kafka: `BuiltInPartitioner.partitionForKey`.
pub(super) fn partition_for_key(key: &[u8], count: u32) -> u32 {
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
