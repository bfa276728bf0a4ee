//! Kafka's settings that have no effect here, and those that this version refuses. A name that ends in `*` stands for
//! all that begin like it.

/// Names, each with a reason.
pub(crate) type List = &'static [(&'static str, &'static str)];

const NO_NETWORK: &str = "there is no network";
const NO_SERVER: &str = "there is no server";
const BY_TYPE: &str = "the types of keys and values say it";
const BY_CODE: &str = "it names a Java class; the builder takes a value in its place";
const TRANSACTIONS: &str = "this version has no transactions";
const RETENTION: &str = "this version removes nothing from a log: it keeps all records";
const COMPACTION: &str = "this version does not compact logs";
const REPLICAS: &str = "this version keeps one replica";
const NO_JVM: &str = "there is no JVM";
const ALIVE: &str = "a member in the process is known to be alive";
const NO_PROVIDERS: &str = "values are taken as they stand";
const OF_TOPICS: &str = "it is the default of a topic's setting: EngineBuilder::topic_defaults takes that";

/// What producers and consumers need for a network only.
pub(crate) const NETWORK: List = &[
    ("bootstrap.*", NO_NETWORK),
    ("client.dns.lookup", NO_NETWORK),
    ("client.rack", NO_NETWORK),
    ("connections.max.idle.ms", NO_NETWORK),
    ("enable.metrics.push", NO_SERVER),
    ("metadata.max.age.ms", "topics are looked up in memory"),
    ("metadata.recovery.*", "topics are looked up in memory"),
    ("receive.buffer.bytes", NO_NETWORK),
    ("reconnect.backoff.*", NO_NETWORK),
    ("sasl.*", NO_NETWORK),
    ("security.*", NO_NETWORK),
    ("send.buffer.bytes", NO_NETWORK),
    ("socket.*", NO_NETWORK),
    ("ssl.*", NO_NETWORK),
];

/// What else a producer takes.
pub(crate) const PRODUCER: List = &[
    ("auto.include.jmx.reporter", NO_JVM),
    ("key.serializer", BY_TYPE),
    ("value.serializer", BY_TYPE),
    ("enable.idempotence", "only what is not in the log is tried again, so nothing is written twice"),
    ("max.in.flight.requests.per.connection", "batches are written in order, without requests"),
    ("metadata.max.idle.ms", "topics are looked up in memory"),
    ("metric.reporters", "Producer::metrics answers them"),
    ("metrics.recording.level", "there is one level"),
    ("partitioner.availability.timeout.ms", "one thread writes all partitions: none is slower than the others"),
    ("request.timeout.ms", "there are no requests; delivery.timeout.ms bounds the attempts together"),
    ("transaction.timeout.ms", TRANSACTIONS),
];

/// What a producer of this version refuses.
pub(crate) const NOT_OF_PRODUCERS: List = &[
    ("config.providers*", NO_PROVIDERS),
    ("interceptor.classes", BY_CODE),
    ("partitioner.class", BY_CODE),
    ("transactional.id", TRANSACTIONS),
    ("transaction.two.phase.commit.enable", TRANSACTIONS),
];

/// What else a consumer takes.
pub(crate) const CONSUMER: List = &[
    ("allow.auto.create.topics", "a consumer creates no topics"),
    ("auto.include.jmx.reporter", NO_JVM),
    ("check.crcs", "checksums are always checked"),
    ("default.api.timeout.ms", NO_SERVER),
    ("metric.reporters", "Consumer::metrics answers them"),
    ("metrics.recording.level", "there is one level"),
    ("request.timeout.ms", "there are no requests"),
    ("retry.backoff.*", "there are no requests"),
    ("key.deserializer", BY_TYPE),
    ("value.deserializer", BY_TYPE),
    ("group.protocol", "there is one, and members need not speak it"),
    ("group.remote.assignor", "partition.assignment.strategy says it"),
    ("heartbeat.interval.ms", ALIVE),
    ("exclude.internal.topics", "there are no internal topics"),
];

/// What a consumer of this version refuses.
pub(crate) const NOT_OF_CONSUMERS: List = &[
    ("config.providers*", NO_PROVIDERS),
    ("isolation.level", "this version has no transactions: consumers read all records"),
    ("interceptor.classes", BY_CODE),
    ("share.*", "this version has no share groups"),
];

/// What else a topic takes.
pub(crate) const TOPIC: List = &[
    ("follower.replication.throttled.replicas", NO_NETWORK),
    ("leader.replication.throttled.replicas", NO_NETWORK),
    ("message.downconversion.enable", NO_NETWORK),
    ("message.format.version", "batches are written in format v2"),
];

/// What a topic of this version refuses.
pub(crate) const NOT_OF_TOPICS: List = &[
    ("compression.*", "batches stay as their producers compress them: compression.type of a producer says how"),
    ("cleanup.policy", RETENTION),
    ("retention.*", RETENTION),
    ("file.delete.delay.ms", RETENTION),
    ("local.retention.*", RETENTION),
    ("remote.*", "there is no remote storage"),
    ("delete.retention.ms", COMPACTION),
    ("min.cleanable.dirty.ratio", COMPACTION),
    ("min.compaction.lag.ms", COMPACTION),
    ("max.compaction.lag.ms", COMPACTION),
    ("min.insync.replicas", REPLICAS),
    ("unclean.leader.election.enable", REPLICAS),
    ("preallocate", "this version reserves no space"),
];

/// What else an engine takes.
pub(crate) const ENGINE: List = &[
    ("advertised.listeners", NO_NETWORK),
    ("broker.*", NO_SERVER),
    ("controller.*", NO_SERVER),
    ("group.coordinator.*", "members are in the process"),
    ("group.consumer.*", "members are in the process; a consumer says it"),
    ("group.initial.rebalance.delay.ms", "partitions are handed over one by one, so nothing is gained by waiting"),
    ("group.min.session.timeout.ms", "a member in the process is known to be alive"),
    ("group.max.session.timeout.ms", "a member in the process is known to be alive"),
    ("inter.broker.*", NO_SERVER),
    ("listener.*", NO_NETWORK),
    ("listeners", NO_NETWORK),
    ("node.id", NO_SERVER),
    ("num.io.threads", NO_SERVER),
    ("num.network.threads", NO_NETWORK),
    ("num.replica.fetchers", NO_NETWORK),
    ("offsets.topic.*", "committed offsets are in journals"),
    ("process.roles", NO_SERVER),
    ("queued.*", NO_NETWORK),
    ("quota.*", NO_SERVER),
    ("replica.fetch.*", NO_NETWORK),
    ("replica.socket.*", NO_NETWORK),
    ("sasl.*", NO_NETWORK),
    ("security.*", NO_NETWORK),
    ("socket.*", NO_NETWORK),
    ("ssl.*", NO_NETWORK),
    ("transaction.state.log.*", TRANSACTIONS),
    ("zookeeper.*", NO_SERVER),
];

/// What an engine of this version refuses.
pub(crate) const NOT_OF_ENGINES: List = &[
    ("log.dir", "the directory is given to EngineBuilder::open"),
    ("log.dirs", "the directory is given to EngineBuilder::open"),
    ("compression.type", OF_TOPICS),
    ("message.max.bytes", OF_TOPICS),
    ("log.segment.bytes", OF_TOPICS),
    ("log.roll.*", OF_TOPICS),
    ("log.index.*", OF_TOPICS),
    ("log.message.timestamp.*", OF_TOPICS),
    ("log.flush.interval.*", OF_TOPICS),
    ("log.retention.*", RETENTION),
    ("log.cleaner.*", COMPACTION),
    ("log.cleanup.policy", RETENTION),
    ("default.replication.factor", REPLICAS),
    ("min.insync.replicas", REPLICAS),
    ("unclean.leader.election.enable", REPLICAS),
    ("transactional.id.expiration.ms", TRANSACTIONS),
    ("transaction.max.timeout.ms", TRANSACTIONS),
];

/// The reason that one of `lists` gives for `name`.
pub(crate) fn find_in(lists: &[List], name: &str) -> Option<&'static str> {
    let is_meant = |pattern: &str| match pattern.strip_suffix('*') {
        Some(front) => name.starts_with(front),
        None => name == pattern,
    };
    lists.iter().flat_map(|list| list.iter()).find(|(pattern, _)| is_meant(pattern)).map(|(_, reason)| *reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn star_stands_for_any_end_and_nothing_else() {
        assert_eq!(find_in(&[NETWORK], "ssl.keystore.location"), Some(NO_NETWORK));
        assert_eq!(find_in(&[NETWORK], "bootstrap.servers"), Some(NO_NETWORK));
        assert_eq!(find_in(&[TOPIC, NETWORK], "client.rack"), Some(NO_NETWORK));
        for name in ["ssl", "", "*", "client.rack.too", "acks"] {
            assert_eq!(find_in(&[NETWORK, PRODUCER], name), None, "{name}");
        }
    }

    #[test]
    fn no_name_is_taken_and_refused() {
        for (taken, refused) in [
            (PRODUCER, NOT_OF_PRODUCERS),
            (CONSUMER, NOT_OF_CONSUMERS),
            (TOPIC, NOT_OF_TOPICS),
            (ENGINE, NOT_OF_ENGINES),
        ] {
            for (name, _) in taken {
                assert_eq!(find_in(&[refused], name), None, "{name}");
            }
            for (name, _) in refused {
                assert_eq!(find_in(&[taken, NETWORK], name), None, "{name}");
            }
        }
    }
}
