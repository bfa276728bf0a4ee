//! Stored directories, read without an engine: no lock is taken, and nothing is ever written.
//!
//! So it works beside whoever writes the directory, behind one that was killed, on a read-only mount, and on a copy.
//!
//! | to | use |
//! |---|---|
//! | see topics, their settings and bounds, and how far groups have come | [`Directory`] |
//! | read a partition, from any offset or time on, and follow it while it grows | [`PartitionReader`] |
//! | go through all that stands in stored logs, whoever wrote them: ours, those of any Kafka broker, copies of them | [`Archive`] |
//! | play records back: some of them, by time, backwards, at their own speed | [`Archive::replay`] |
//! | know how far the groups of a Kafka cluster have come | [`GroupCommits`] |
//! | see what stands in a file, entry by entry | [`dump`](fn@dump) |
//! | check every file | [`verify`] |
//!
//! ```
//! # use ottla::{Engine, Offset, Producer, ProducerRecord};
//! use ottla::replay::Directory;
//! # let data = tempfile::tempdir().expect("a temporary directory");
//!
//! let engine = Engine::open(data.path())?; // in this process, or in another one
//! Producer::<str, str>::new(&engine)?.send(ProducerRecord::to("orders").key("o-17").value("paid"))?.wait()?;
//!
//! let mut orders = Directory::open(data.path())?.reader(&("orders", 0).into())?;
//! for record in &orders.read(1 << 20)? {
//!     assert_eq!((record.offset(), record.value()), (Offset(0), Some(&b"paid"[..])));
//! }
//! # Ok::<(), ottla::Error>(())
//! ```

mod archive;
mod consumer_offsets;
mod directory;
mod dump;
mod follow;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod options;
mod playback;
mod records;
mod report;
mod scan;
mod target;
mod transactions;
mod verify;

pub use crate::storage::{AbortedTransaction, ProducerState};
pub use archive::{Archive, ArchivedLog};
pub use consumer_offsets::{GroupCommits, SkippedRecords, StoredCommit, StoredGroup};
pub use directory::{Bounds, Directory, StoredPartition, StoredTopic};
pub use dump::{DumpKind, DumpOptions, Dumped, DumpedCommit, DumpedFrame, dump};
pub use follow::PartitionReader;
pub use options::{OnDamage, ReplayOptions};
pub use playback::{OwnedReplayedRecord, Replay, ReplayedRecord};
pub use records::{StoredIter, StoredRecords};
pub use report::ReplayReport;
pub use scan::{Scan, Scanned, StoredBatch};
pub(crate) use target::is_ours;
pub(crate) use transactions::Transactions;
pub(crate) use verify::verify_dir;
pub use verify::{VerifyOptions, VerifyReport, verify};
