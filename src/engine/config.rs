//! The settings of an engine.

use std::time::Duration;

use crate::config::{at_least, known, settings, words};
use crate::error::{Error, Result};
use crate::io::Reading;
use crate::types::ReadMode;

words!(ReadMode, "buffered or mmap": "buffered" => Self::Buffered, "mmap" => Self::Mmap);

settings! {
    /// The settings of an engine; whatever is not set has the default.
    ///
    /// ```
    /// # use ottla::{Engine, EngineConfig};
    /// let config = EngineConfig::builder().auto_create_topics(false).num_partitions(4).build()?;
    /// let engine = Engine::builder().config(config.clone()).open_memory(&ottla::MemoryDisk::new())?;
    /// assert_eq!((config.auto_create_topics(), config.num_partitions()), (false, 4));
    /// # engine.close()?;
    /// # Ok::<(), ottla::Error>(())
    /// ```
    pub struct EngineConfig, EngineConfigBuilder, "num.partitions" = "4" not "0" {
        /// Whether a topic that a producer sends to is created if it does not exist.
        auto_create_topics: bool = true, "auto.create.topics.enable";
        /// How many partitions a topic gets that is created without saying how many; at least 1.
        num_partitions: u32 = 1, "num.partitions";
        /// How often what opening after a crash starts from is brought to the disk; less often costs a longer
        /// recovery, and nothing else. At least 1 ms.
        recovery_point_interval: Duration = Duration::from_secs(5), "log.flush.offset.checkpoint.interval.ms"
            kafka "60000" because "it is cheap here: one small file";
        /// Whether topics can be deleted.
        delete_topics: bool = true, "delete.topic.enable";
        /// How many members a group may have; at least 1.
        group_max_size: u32 = 2_147_483_647, "group.max.size";
        /// How long the note beside a committed offset may be, in bytes.
        offset_metadata_max_bytes: usize = 4096, "offset.metadata.max.bytes";
        /// How many minutes offsets stay that a group has committed and does not use: of a group without members, since
        /// the last one has gone; of a topic that no member subscribes to, since the commit. A group without members and
        /// offsets goes too. -1, or 1 and more; -1 keeps all.
        offsets_retention_minutes: i32 = -1, "offsets.retention.minutes"
            kafka "10080" because "an application that was off for a week would begin anew";
        /// How often it is looked whether offsets have to go; at least 1 ms.
        offsets_retention_check_interval: Duration = Duration::from_secs(600), "offsets.retention.check.interval.ms";
        /// How long a log remembers a producer that appends nothing, by the timestamps of its records; at least 1 ms. Opening
        /// a directory forgets those that are silent for longer.
        producer_id_expiration: Duration = Duration::from_secs(86_400), "producer.id.expiration.ms";
        /// How sealed segments are read: `buffered`, or `mmap`, which is faster and ends the process if the disk fails
        /// or a file is cut off. See [`ReadMode`].
        read_mode: ReadMode = ReadMode::Buffered, "log.read.mode"
            because "a broker does not read: it hands files on";
        /// How many bytes of sealed segments rest mapped at a time with `log.read.mode` `mmap`. A segment that is larger
        /// is read with calls. What consumers still hold comes on top.
        read_mapped_bytes: u64 = 16 << 30, "log.read.mapped.bytes"
            because "Kafka maps indexes alone";
        /// How many sealed segments have an open descriptor at a time, and how many are mapped; at least 1. The one that
        /// was read longest ago makes room for the next.
        read_open_segments: u32 = 128, "log.read.open.segments"
            because "a broker keeps all of them open: here the application may need descriptors of its own";
    }
    without_effect [known::ENGINE] refused [known::NOT_OF_ENGINES]
}

impl EngineConfig {
    fn check(&self) -> Result<()> {
        at_least("num.partitions", self.num_partitions, 1)?;
        at_least("group.max.size", self.group_max_size, 1)?;
        at_least("log.flush.offset.checkpoint.interval.ms", self.recovery_point_interval.as_millis(), 1)?;
        at_least("log.read.open.segments", self.read_open_segments, 1)?;
        at_least("offsets.retention.check.interval.ms", self.offsets_retention_check_interval.as_millis(), 1)?;
        at_least("producer.id.expiration.ms", self.producer_id_expiration.as_millis(), 1)?;
        let minutes = self.offsets_retention_minutes;
        if minutes == 0 || minutes < -1 {
            return Err(Error::invalid_config("offsets.retention.minutes", minutes, "it has to be -1, or at least 1"));
        }
        Ok(())
    }

    /// How long offsets stay that nobody uses; `None` if they always do.
    pub(super) fn offsets_retention(&self) -> Option<Duration> {
        let minutes = u64::try_from(self.offsets_retention_minutes).ok()?;
        Some(Duration::from_secs(60 * minutes))
    }

    pub(crate) const fn reading(&self) -> Reading {
        Reading {
            mode: self.read_mode,
            max_open_segments: self.read_open_segments,
            max_mapped_bytes: self.read_mapped_bytes,
        }
    }
}
