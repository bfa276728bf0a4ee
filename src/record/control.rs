//! Control records: markers that the log's own machinery writes among the records of an application.

use std::fmt;

/// What a control record marks, by the key of its only record. Kafka: `ControlRecordType`.
///
/// ```
/// # use ottla::ControlType;
/// let key = [0, 0, 0, 0]; // of the record of a batch whose header says `is_control`
/// assert_eq!(ControlType::from_key(&key), Some(ControlType::Abort));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ControlType {
    /// A transaction was aborted.
    Abort,
    /// A transaction was committed.
    Commit,
    /// Of the log in which a Kafka cluster keeps its own metadata.
    LeaderChange,
    /// The same.
    SnapshotHeader,
    /// The same.
    SnapshotFooter,
    /// The same.
    KraftVersion,
    /// The same.
    KraftVoters,
    /// One that came later: to be passed over.
    Unknown(i16),
}

/// Kafka's names.
impl fmt::Display for ControlType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Abort => "ABORT",
            Self::Commit => "COMMIT",
            Self::LeaderChange => "LEADER_CHANGE",
            Self::SnapshotHeader => "SNAPSHOT_HEADER",
            Self::SnapshotFooter => "SNAPSHOT_FOOTER",
            Self::KraftVersion => "KRAFT_VERSION",
            Self::KraftVoters => "KRAFT_VOTERS",
            Self::Unknown(_) => "UNKNOWN",
        })
    }
}

impl ControlType {
    /// The number that stands for it in the key of a control record.
    ///
    /// ```
    /// # use ottla::ControlType;
    /// assert_eq!((ControlType::Commit.id(), ControlType::Unknown(99).id()), (1, 99));
    /// ```
    #[must_use]
    pub const fn id(self) -> i16 {
        match self {
            Self::Abort => 0,
            Self::Commit => 1,
            Self::LeaderChange => 2,
            Self::SnapshotHeader => 3,
            Self::SnapshotFooter => 4,
            Self::KraftVersion => 5,
            Self::KraftVoters => 6,
            Self::Unknown(id) => id,
        }
    }

    /// Reads the key of a control record: a version, and the type. `None` if it is too short or of a negative version.
    ///
    /// ```
    /// # use ottla::ControlType;
    /// assert_eq!(ControlType::from_key(&[0, 0, 0, 1]), Some(ControlType::Commit));
    /// assert_eq!(ControlType::from_key(&[0, 0, 0, 99]), Some(ControlType::Unknown(99)));
    /// assert_eq!(ControlType::from_key(&[0, 0]), None);
    /// ```
    #[must_use]
    pub fn from_key(key: &[u8]) -> Option<Self> {
        let [version @ .., high, low] = key.first_chunk::<4>()?;
        if i16::from_be_bytes(*version) < 0 {
            return None;
        }
        Some(match i16::from_be_bytes([*high, *low]) {
            0 => Self::Abort,
            1 => Self::Commit,
            2 => Self::LeaderChange,
            3 => Self::SnapshotHeader,
            4 => Self::SnapshotFooter,
            5 => Self::KraftVersion,
            6 => Self::KraftVoters,
            other => Self::Unknown(other),
        })
    }
}
