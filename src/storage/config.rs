//! The settings of a topic: how its logs are cut into segments and indexed, and what they take.

use std::time::Duration;

use crate::config::{at_least, known, settings};
use crate::error::{Error, Result};
use crate::types::TimestampType;

settings! {
    /// The settings of a topic; whatever is not set has the default.
    ///
    /// ```
    /// # use ottla::TopicConfig;
    /// let config = TopicConfig::builder().segment_bytes(64 * 1024 * 1024).build()?;
    /// assert_eq!(config.value("segment.bytes").as_deref(), Some("67108864"));
    /// assert!(TopicConfig::builder().set("segment.bytes", "1").and_then(|builder| builder.build()).is_err());
    /// # Ok::<(), ottla::Error>(())
    /// ```
    pub struct TopicConfig, TopicConfigBuilder, "segment.bytes" = "1048576" not "0" {
        /// How long a segment file may get, in bytes, at least 128; then the next one is begun.
        segment_bytes: u32 = 1 << 30, "segment.bytes";
        /// How much later than a segment's first record one may be before the next segment is begun, by the records'
        /// timestamps; at least 1 ms.
        segment_ms: Duration = Duration::from_millis(604_800_000), "segment.ms";
        /// How large each index of a segment may get, in bytes, at least 36. When one is full, the next segment begins.
        segment_index_bytes: u32 = 10 << 20, "segment.index.bytes";
        /// About how many bytes of batches lie between two entries of an index.
        index_interval_bytes: u32 = 4096, "index.interval.bytes";
        /// How large a batch may be, in bytes, its header included.
        max_message_bytes: u32 = 1_048_588, "max.message.bytes";
        /// Whose clock the records' timestamps are from: the producer's, or the log's when it appends.
        message_timestamp_type: TimestampType = TimestampType::CreateTime, "message.timestamp.type";
    }
    without_effect [known::TOPIC] refused [known::NOT_OF_TOPICS]
}

impl TopicConfig {
    fn check(&self) -> Result<()> {
        at_least("segment.bytes", self.segment_bytes, 128)?;
        at_most_i32("segment.bytes", self.segment_bytes)?;
        at_least("segment.ms", self.segment_ms.as_millis(), 1)?;
        // Three entries of a time index: one, and one kept free for when the segment is sealed.
        at_least("segment.index.bytes", self.segment_index_bytes, 36)?;
        at_most_i32("segment.index.bytes", self.segment_index_bytes)?;
        at_most_i32("index.interval.bytes", self.index_interval_bytes)?;
        at_most_i32("max.message.bytes", self.max_message_bytes)
    }
}

fn at_most_i32(name: &str, value: u32) -> Result<()> {
    if i32::try_from(value).is_err() {
        return Err(Error::invalid_config(name, value, format!("it has to be at most {}", i32::MAX)));
    }
    Ok(())
}
