//! The settings of an engine.

use std::time::Duration;

use crate::config::{at_least, known, settings};
use crate::error::Result;

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
        /// How long the note beside a committed offset may be, in bytes.
        offset_metadata_max_bytes: usize = 4096, "offset.metadata.max.bytes";
    }
    without_effect [known::ENGINE] refused [known::NOT_OF_ENGINES]
}

impl EngineConfig {
    fn check(&self) -> Result<()> {
        at_least("num.partitions", self.num_partitions, 1)?;
        at_least("log.flush.offset.checkpoint.interval.ms", self.recovery_point_interval.as_millis(), 1)
    }
}
