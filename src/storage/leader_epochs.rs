//! At which offset each leader epoch began: the file `leader-epoch-checkpoint`, and the same in memory.
//!
//! Epochs and offsets both rise strictly. An epoch lasts to the begin of the next one, the latest to the log's end:
//!
//! ```text
//!   entries        (0, 0)              (3, 40)      (4, 75)
//!   offsets    0 ---------------- 40 ---------- 75 ------ end
//!   epoch             0                  3           4            the end of 0, of 1 and of 2 is 40, that of 3 is 75
//! ```
//!
//! Followers cut what diverges by this, and a committed offset is read as the smaller of itself and the end of its
//! epoch. Batches of format v2 carry their epoch, so the file is a cache of the log: one that is damaged or missing is
//! a finding, and recovery rebuilds it from the batches. Only epochs without a batch are lost by that.

use std::fmt;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::io::{self, Dir};
use crate::storage::checkpoint::{parse_lines, read_if_there};
use crate::types::{LeaderEpoch, Offset};

/// The file's name.
pub(crate) const LEADER_EPOCHS: &str = "leader-epoch-checkpoint";

/// An epoch takes up to 32 bytes, and this many epochs nobody reaches.
const LIMIT: u64 = 64 * 1024 * 1024;

/// The epochs of one log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LeaderEpochs {
    /// Both numbers rise strictly from entry to entry, and neither is negative.
    entries: Vec<(LeaderEpoch, Offset)>,
}

/// Why the file does not say which epochs there were.
#[derive(Clone, Debug)]
pub(crate) enum LeaderEpochsFinding {
    /// There is none, as before Kafka 0.11.
    Missing(PathBuf),
    /// It has no bytes: left so by a crash, or by a broker for a log without epochs.
    Empty(PathBuf),
    /// It says something else.
    Damaged(Error),
}

impl LeaderEpochsFinding {
    /// What was wrong, for a report that names the file itself.
    pub(crate) fn reason(&self) -> String {
        match self {
            Self::Missing(_) => "it was missing".to_owned(),
            Self::Empty(_) => "it was empty".to_owned(),
            Self::Damaged(error) => error.to_string(),
        }
    }
}

impl fmt::Display for LeaderEpochsFinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(path) => write!(f, "{} is missing: rebuilt from the batches", path.display()),
            Self::Empty(path) => write!(f, "{} is empty: rebuilt from the batches", path.display()),
            Self::Damaged(error) => write!(f, "{error}: rebuilt from the batches"),
        }
    }
}

impl LeaderEpochs {
    /// Reads the file of a log. With a finding, the epochs are none, and have to be rebuilt.
    ///
    /// # Errors
    /// The operating system's. A file that is missing or damaged is a finding.
    pub(crate) fn load(dir: &dyn Dir) -> Result<(Self, Option<LeaderEpochsFinding>)> {
        let path = dir.path().join(LEADER_EPOCHS);
        let content = match read_if_there(dir, LEADER_EPOCHS, LIMIT) {
            Ok(Some(content)) => content,
            Ok(None) => return Ok((Self::default(), Some(LeaderEpochsFinding::Missing(path)))),
            Err(error) if error.is_corruption() => {
                return Ok((Self::default(), Some(LeaderEpochsFinding::Damaged(error))));
            }
            Err(error) => return Err(error),
        };
        if content.is_empty() {
            return Ok((Self::default(), Some(LeaderEpochsFinding::Empty(path))));
        }
        match Self::parse(&path, &content) {
            Ok(epochs) => Ok((epochs, None)),
            Err(error) => Ok((Self::default(), Some(LeaderEpochsFinding::Damaged(error)))),
        }
    }

    /// Replaces the file of a log; durable when this returns.
    ///
    /// # Errors
    /// The operating system's.
    pub(crate) fn store(&self, dir: &dyn Dir) -> Result<()> {
        io::replace(dir, LEADER_EPOCHS, self.encode().as_bytes())
    }

    /// Notes that `epoch` begins at `offset`; says whether that changed anything.
    ///
    /// What contradicts it, an epoch as high or a begin as late, is dropped. Without an epoch, as batches of an
    /// import may be, nothing is noted.
    pub(crate) fn assign(&mut self, epoch: LeaderEpoch, offset: Offset) -> bool {
        let is_known = self.latest().is_some_and(|(latest, start)| latest == epoch && offset >= start);
        if is_known || epoch.0 < 0 || offset.0 < 0 {
            return false;
        }
        let kept = self.entries.iter().take_while(|(known, start)| *known < epoch && *start < offset).count();
        self.entries.truncate(kept);
        self.entries.push((epoch, offset));
        true
    }

    /// Where `epoch` ends in a log that ends at `log_end`, and which epoch that is: the greatest known one up to it.
    ///
    /// `None` for an epoch that is above the latest, or none. One below the first known epoch ends where that begins.
    pub(crate) fn end_offset_for(&self, epoch: LeaderEpoch, log_end: Offset) -> Option<(LeaderEpoch, Offset)> {
        let (latest, _) = self.latest()?;
        if epoch.0 < 0 || epoch > latest {
            return None;
        }
        if epoch == latest {
            return Some((epoch, log_end));
        }
        let next = self.entries.partition_point(|(known, _)| *known <= epoch);
        let found = next.checked_sub(1).map_or(epoch, |at| self.entries[at].0);
        Some((found, self.entries[next].1))
    }

    /// The epoch that `offset` was or would be written in; `None` below the first one.
    pub(crate) fn epoch_at(&self, offset: Offset) -> Option<LeaderEpoch> {
        let next = self.entries.partition_point(|(_, start)| *start <= offset);
        next.checked_sub(1).map(|at| self.entries[at].0)
    }

    /// Where the first epoch began, and with it the log.
    pub(crate) fn beginning(&self) -> Option<Offset> {
        self.entries.first().map(|&(_, offset)| offset)
    }

    /// The latest epoch, and where it began.
    pub(crate) fn latest(&self) -> Option<(LeaderEpoch, Offset)> {
        self.entries.last().copied()
    }

    /// Drops the epochs that begin at `end` or later, for a log that is cut there; says whether there were any.
    pub(crate) fn truncate_from_end(&mut self, end: Offset) -> bool {
        let kept = self.entries.partition_point(|(_, start)| *start < end);
        let changes = kept < self.entries.len();
        self.entries.truncate(kept);
        changes
    }

    fn encode(&self) -> String {
        let mut text = format!("0\n{}\n", self.entries.len());
        for (epoch, start) in &self.entries {
            writeln!(text, "{epoch} {start}").expect("a string takes all");
        }
        text
    }

    fn parse(path: &Path, content: &[u8]) -> Result<Self> {
        let lines = parse_lines::<2>(path, content)?;
        if lines.is_empty() && content.iter().filter(|byte| **byte == b'\n').count() < 2 {
            return Err(Error::corrupt_file(path, content.len() as u64, "the count of epochs is not all there"));
        }
        let mut epochs = Self::default();
        for line in lines {
            let (epoch, start) = (LeaderEpoch(line.number(line.fields[0])?), Offset(line.number(line.fields[1])?));
            if epoch.0 < 0 || start.0 < 0 {
                return Err(line.refused("a negative epoch or offset"));
            }
            if epochs.latest().is_some_and(|(latest, begin)| epoch <= latest || start < begin) {
                return Err(line.refused("epochs and offsets have to rise"));
            }
            epochs.assign(epoch, start); // takes the place of an epoch without a record
        }
        Ok(epochs)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::io::MemoryDisk;

    fn epochs(entries: &[(i32, i64)]) -> LeaderEpochs {
        LeaderEpochs { entries: entries.iter().map(|(epoch, start)| (LeaderEpoch(*epoch), Offset(*start))).collect() }
    }

    fn root() -> Arc<dyn Dir> {
        MemoryDisk::new().disk().root()
    }

    fn load(content: &[u8]) -> (LeaderEpochs, Option<LeaderEpochsFinding>) {
        let dir = root();
        io::replace(&*dir, LEADER_EPOCHS, content).unwrap();
        LeaderEpochs::load(&*dir).unwrap()
    }

    #[test]
    fn assign_keeps_what_fits_and_drops_what_contradicts() {
        for (epoch, offset, expected) in [
            (4, 75, &[(0, 0), (3, 40), (4, 75)][..]),
            (4, 90, &[(0, 0), (3, 40), (4, 75)]),
            (5, 90, &[(0, 0), (3, 40), (4, 75), (5, 90)]),
            (5, 75, &[(0, 0), (3, 40), (5, 75)]),
            (5, 60, &[(0, 0), (3, 40), (5, 60)]),
            (4, 60, &[(0, 0), (3, 40), (4, 60)]),
            (3, 80, &[(0, 0), (3, 80)]),
            (2, 50, &[(0, 0), (2, 50)]),
            (2, 30, &[(0, 0), (2, 30)]),
            (7, 0, &[(7, 0)]),
            (-1, 90, &[(0, 0), (3, 40), (4, 75)]),
            (5, -1, &[(0, 0), (3, 40), (4, 75)]),
            (i32::MAX, i64::MAX, &[(0, 0), (3, 40), (4, 75), (i32::MAX, i64::MAX)]),
        ] {
            let mut cache = epochs(&[(0, 0), (3, 40), (4, 75)]);
            let before = cache.clone();
            let changes = cache.assign(LeaderEpoch(epoch), Offset(offset));
            assert_eq!(cache, epochs(expected), "{epoch} at {offset}");
            assert_eq!(changes, cache != before);
        }
    }

    #[test]
    fn end_of_an_epoch_is_the_begin_of_the_next_known_one() {
        let cache = epochs(&[(2, 10), (3, 40), (6, 75)]);
        for (epoch, expected) in [
            (-1, None),
            (0, Some((0, 10))),
            (1, Some((1, 10))),
            (2, Some((2, 40))),
            (3, Some((3, 75))),
            (5, Some((3, 75))),
            (6, Some((6, 100))),
            (7, None),
        ] {
            let expected = expected.map(|(epoch, end)| (LeaderEpoch(epoch), Offset(end)));
            assert_eq!(cache.end_offset_for(LeaderEpoch(epoch), Offset(100)), expected, "{epoch}");
        }
        assert_eq!(epochs(&[]).end_offset_for(LeaderEpoch(0), Offset(100)), None);
    }

    #[test]
    fn epoch_at_an_offset_is_the_one_that_covers_it() {
        let cache = epochs(&[(2, 10), (3, 40)]);
        for (offset, expected) in [(9, None), (10, Some(2)), (39, Some(2)), (40, Some(3)), (i64::MAX, Some(3))] {
            assert_eq!(cache.epoch_at(Offset(offset)), expected.map(LeaderEpoch));
        }
    }

    #[test]
    fn truncation_from_the_end_drops_later_epochs() {
        for (end, expected) in
            [(100, &[(2, 10), (3, 40)][..]), (41, &[(2, 10), (3, 40)]), (40, &[(2, 10)]), (10, &[]), (0, &[])]
        {
            let mut cache = epochs(&[(2, 10), (3, 40)]);
            assert_eq!(cache.truncate_from_end(Offset(end)), expected.len() < 2);
            assert_eq!(cache, epochs(expected), "{end}");
        }
    }

    #[test]
    fn file_is_written_as_kafka_does() {
        let dir = root();
        epochs(&[(0, 0), (i32::MAX, i64::MAX)]).store(&*dir).unwrap();
        let content = read_if_there(&*dir, LEADER_EPOCHS, 100).unwrap().unwrap();
        assert_eq!(content, b"0\n2\n0 0\n2147483647 9223372036854775807\n");
        epochs(&[]).store(&*dir).unwrap();
        assert_eq!(read_if_there(&*dir, LEADER_EPOCHS, 100).unwrap().unwrap(), b"0\n0\n");
        let (cache, finding) = LeaderEpochs::load(&*dir).unwrap();
        assert!(cache.entries.as_slice().is_empty() && finding.is_none());
    }

    #[test]
    fn file_that_a_crash_left_is_a_finding() {
        let (_, missing) = LeaderEpochs::load(&*root()).unwrap();
        assert!(matches!(missing, Some(LeaderEpochsFinding::Missing(_))));
        assert!(matches!(load(b"").1, Some(LeaderEpochsFinding::Empty(_))));
        for content in [
            &[0; 64][..],
            b"0\n1",
            b"0\n0",
            b"0\n",
            b"0",
            b"0\n1\n",
            b"0\n1\n0\n",
            b"0\n1\n0 0 0\n",
            b"1\n0\n",
            b"0\n1\n-1 0\n",
            b"0\n1\n0 -1\n",
            b"0\n2\n1 0\n0 5\n",
            b"0\n2\n0 5\n1 4\n",
            b"0\n1\n2147483648 0\n",
            b"\xff\xfe",
        ] {
            let (cache, finding) = load(content);
            assert_eq!(cache, epochs(&[]), "{content:?}");
            let finding = finding.expect("it is damaged");
            assert!(matches!(finding, LeaderEpochsFinding::Damaged(_)), "{content:?}");
            assert!(finding.to_string().contains(LEADER_EPOCHS));
        }
    }

    #[test]
    fn epoch_without_a_record_gives_way_to_the_next_one() {
        let (cache, finding) = load(b"0\n3\n0 0\n1 7\n2 7\n");
        assert!(finding.is_none());
        assert_eq!(cache, epochs(&[(0, 0), (2, 7)]));
    }

    proptest! {
        #[test]
        fn epochs_rise_whatever_is_assigned_and_round_trip(
            steps in prop::collection::vec((0..3u8, -1..12i32, -1..40i64), 0..60),
        ) {
            let mut cache = LeaderEpochs::default();
            for (step, epoch, offset) in steps {
                match step {
                    0 => cache.truncate_from_end(Offset(offset)),
                    _ => cache.assign(LeaderEpoch(epoch), Offset(offset)),
                };
                prop_assert!(cache.entries.is_sorted_by(|one, other| one.0 < other.0 && one.1 < other.1));
            }
            let parsed = LeaderEpochs::parse(Path::new("f"), cache.encode().as_bytes()).unwrap();
            prop_assert_eq!(parsed, cache);
        }

        #[test]
        fn garbage_never_panics(content in prop::collection::vec(any::<u8>(), 0..100), lines in "[0-9 \n-]{0,40}") {
            load(&content);
            load(lines.as_bytes());
        }
    }
}
