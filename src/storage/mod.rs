//! One replica's log in one directory, and the files of our own beside it.
//!
//! Everything here works on files of one directory and knows nothing of leaders, groups or threads.
//!
//! | part | what it is |
//! |---|---|
//! | [`log`] | a log's state, and the order in which it changes; [`append`], [`read`], [`measure`] and [`recovery`] work on it |
//! | [`segment`], [`index`] | one file of batches, and where in it an offset or a time is to be found |
//! | [`walk`] | goes through a segment batch by batch, past damage |
//! | [`journal`] | our own state: catalog and groups; frames that are appended and compacted |
//! | [`positions`] | how far each log is known to be on the disk; read by recovery and by other processes |
//! | [`checkpoint`], [`leader_epochs`], [`producer_state`] | Kafka's small files |
//! | [`lag`] | how far a reader is behind: records, bytes, time |
//! | [`files`] | the names of files and directories, and what may be a name |
//! | [`producers`] | what a log remembers of its producers, and when snapshots of it are written |
//! | [`quarantine`] | keeps what recovery cuts off, and what repairing replaces |
//! | [`mend`] | takes what cannot be read out of a log |
//! | [`export`] | writes a copy of a log as a Kafka cluster takes it over |
//! | [`import`] | writes the log of a partition that comes with its records |
//! | [`report`] | what opening a directory found |
//! | [`foreign`] | what is known of a log that a broker wrote |
//! | [`verify`] | checks all files of a log against each other, and changes nothing |
//! | [`view`] | a log that another process writes, as it is read here |

mod append;
mod checkpoint;
mod config;
mod export;
mod files;
mod foreign;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod import;
mod index;
mod journal;
mod lag;
mod leader_epochs;
mod log;
mod measure;
mod mend;
mod positions;
mod producer_state;
mod producers;
mod quarantine;
mod read;
mod recovery;
mod report;
mod segment;
#[cfg(test)]
mod tests;
mod verify;
mod view;
mod walk;

pub(crate) use append::AppendError;
pub(crate) use checkpoint::{
    CLEAN_SHUTDOWN, CLEANED, HIGH_WATERMARKS, LOG_STARTS, META_PROPERTIES, MetaProperties, PARTITION_METADATA,
    RECOVERY_POINTS, each_epoch, each_offset, ensure_meta_properties, has_clean_shutdown, has_meta_properties,
    parse_properties, read_clean_shutdown, read_meta_properties, read_offsets, read_partition_metadata,
    remove_clean_shutdown, salvage_meta_properties, write_clean_shutdown, write_meta_properties, write_offsets,
    write_partition_metadata,
};
pub use config::{TopicConfig, TopicConfigBuilder};
pub(crate) use export::LogExport;
pub(crate) use files::{
    PartitionDirKind, RESERVE, RESERVE_BYTES, group_file_name, marked_dir_name, parse_group_file_name,
    parse_partition_dir, parse_segment_name, partition_dir_name, segment_behind, segment_name, topic_collision_key,
    validate_topic_name,
};
pub(crate) use foreign::{ForeignLog, LogDirFacts};
#[cfg(feature = "fuzzing")]
pub(crate) use fuzzing::segment_of_sample;
pub(crate) use import::{ImportedLog, LogImport, NewLog};
pub use index::AbortedTransaction;
pub(crate) use journal::{
    BehindHole, Journal, JournalDamage, JournalFinding, JournalIds, JournalOpening, PREVIOUS, Passage, Salvage,
    SalvageState, each_passage,
};
pub use lag::Lag;
pub(crate) use leader_epochs::{LEADER_EPOCHS, LeaderEpochs};
pub(crate) use log::{Log, SyncWork};
pub(crate) use mend::{LogMend, Mending};
pub(crate) use positions::{
    Known, POSITIONS, Position, Positions, PositionsByLog, PositionsDamage, PositionsFinding, PositionsWatch, SlotId,
    each_half,
};
pub use producer_state::ProducerState;
pub(crate) use producer_state::{SNAPSHOT, read_snapshot};
pub(crate) use quarantine::{free_name, save};
pub(crate) use read::ReadPlace;
pub(crate) use recovery::Opening;
pub use report::{Finding, OpenReport};
pub(crate) use segment::{SWAPPED, Segment};
pub use verify::{Defect, DefectKind};
pub(crate) use verify::{LogFacts, LogVerdict, OurLog, Seen, confirmed, verify_log};
pub(crate) use walk::{AtHand, Check, Foreign, Step, Walk};
