//! A log that another process writes, as it is read here.
//!
//! It is the same [`Log`] that an engine reads, made of the names in its directory and of the bounds that `positions`
//! gives: [`read`](Log::read) and [`offset_for_time`](Log::offset_for_time) do what they always do. What nobody here may
//! do is append: it has no writer, and is dropped when the list of its segments has become old.
//!
//! The bounds come first, then the lengths of the files: so every file is at least as long as the bounds need it to be.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::error::Result;
use crate::io::Dir;
use crate::storage::config::TopicConfig;
use crate::storage::files::parse_segment_name;
use crate::storage::leader_epochs::LeaderEpochs;
use crate::storage::log::{Log, Parts, Segments};
use crate::storage::positions::Position;
use crate::storage::producers::Producers;
use crate::storage::segment::{IndexFiller, Segment};
use crate::types::{Timestamp, TopicPartition};

impl Log {
    /// The log in `dir` up to the high watermark of `position`, which was read before.
    ///
    /// Index files are taken as they are: what they say is checked where it is used.
    ///
    /// # Errors
    /// The operating system's.
    pub(crate) fn view(dir: &Arc<dyn Dir>, name: TopicPartition, position: &Position) -> Result<Self> {
        let config = Arc::new(TopicConfig::default());
        let interval = u64::from(config.index_interval_bytes);
        let mut segments = Segments::new();
        for entry in dir.list()? {
            if let Some((base, "log")) = parse_segment_name(&entry.name).filter(|_| !entry.is_dir) {
                segments.push(Arc::new(Segment::at(dir, base, entry.len, true, interval)));
            }
        }
        segments.sort_unstable_by_key(|segment| segment.base_offset());
        if segments.is_empty() {
            segments.push(Arc::new(Segment::at(dir, position.log_start, 0, true, interval)));
        }
        // One that is missing or damaged confirms nothing, and refutes nothing.
        let (epochs, _) = LeaderEpochs::load(dir.as_ref())?;
        let parts = Parts {
            segments,
            epochs,
            epoch: position.leader_epoch,
            log_start: position.log_start,
            log_end: position.high_watermark,
            producers: Producers::none_below(position.high_watermark), // which nothing here asks for
            indexes_unsynced: Vec::new(),
            closed_at: None,
        };
        Ok(Self::from_parts(dir, name, config, parts, IndexFiller::new(interval), None, Timestamp::NONE))
    }

    /// The writer has got on, in the same epoch: `position` are its bounds now.
    ///
    /// If it has begun another segment, what lies in there looks missing: then it takes another view.
    ///
    /// # Errors
    /// The operating system's.
    pub(crate) fn follow(&self, position: &Position) -> Result<()> {
        let segments = self.segments.load();
        if let Some(last) = segments.last() {
            last.set_end(last.file()?.len()?);
        }
        self.log_start.store(position.log_start.0, Ordering::Release);
        self.log_end.store(position.high_watermark.0, Ordering::Release);
        Ok(())
    }
}
