//! The catalog: which topics there are. Its journal is the truth; directories without an entry belong to no topic.
//!
//! Pure state: payloads of journal frames go in, what is known comes out. All numbers are big-endian.
//!
//! ```text
//! frame   u8 kind, then
//!   1  leader epoch   i32 epoch          every partition's leader epoch from now on
//!   2  topic created  16 bytes id, u32 partitions, text name, u32 count, that many pairs of text: settings
//!   3  topic deleted  16 bytes id
//! text    u32 length, UTF-8
//! ```

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::types::{LeaderEpoch, TopicId};

/// The name of its journal.
pub(crate) const CATALOG: &str = "catalog";

/// What the catalog knows of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TopicEntry {
    pub(crate) name: Arc<str>,
    pub(crate) id: TopicId,
    pub(crate) partitions: u32,
    /// The settings that differ from the defaults, by Kafka's names.
    pub(crate) overrides: BTreeMap<String, String>,
}

/// One change of the catalog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Epoch(LeaderEpoch),
    Created(TopicEntry),
    Deleted(TopicId),
}

/// All topics, and the leader epoch of their partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Catalog {
    epoch: LeaderEpoch,
    topics: BTreeMap<Arc<str>, TopicEntry>,
}

impl Default for Catalog {
    fn default() -> Self {
        Self { epoch: LeaderEpoch::FIRST, topics: BTreeMap::new() }
    }
}

impl Catalog {
    /// What the frames of the journal at `path` say.
    ///
    /// # Errors
    /// [`Error::UnsupportedVersion`] if one of them is of a kind that this version does not know.
    pub(crate) fn read(payloads: &[Vec<u8>], path: &Path) -> Result<Self> {
        let mut catalog = Self::default();
        for payload in payloads {
            let unknown = || Error::UnsupportedVersion {
                path: path.to_owned(),
                reason: "it has a frame that this version does not know".into(),
            };
            catalog.apply(Change::decode(payload).ok_or_else(unknown)?);
        }
        Ok(catalog)
    }

    pub(crate) fn epoch(&self) -> LeaderEpoch {
        self.epoch
    }

    pub(crate) fn topics(&self) -> impl Iterator<Item = &TopicEntry> {
        self.topics.values()
    }

    /// Applies one change. A topic that is created under a name that is taken replaces it: its id tells them apart.
    pub(crate) fn apply(&mut self, change: Change) {
        match change {
            Change::Epoch(epoch) => self.epoch = self.epoch.max(epoch),
            Change::Created(entry) => {
                self.topics.insert(Arc::clone(&entry.name), entry);
            }
            Change::Deleted(id) => self.topics.retain(|_, entry| entry.id != id),
        }
    }

    /// The shortest list of payloads that leads here.
    pub(crate) fn snapshot(&self) -> Vec<Vec<u8>> {
        let epoch = Change::Epoch(self.epoch).encode();
        let topics = self.topics.values().map(|entry| Change::Created(entry.clone()).encode());
        std::iter::once(epoch).chain(topics).collect()
    }
}

const EPOCH: u8 = 1;
const CREATED: u8 = 2;
const DELETED: u8 = 3;

impl Change {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        match self {
            Self::Epoch(epoch) => {
                bytes.push(EPOCH);
                bytes.extend_from_slice(&epoch.0.to_be_bytes());
            }
            Self::Created(entry) => {
                bytes.push(CREATED);
                bytes.extend_from_slice(&entry.id.0);
                bytes.extend_from_slice(&entry.partitions.to_be_bytes());
                push_text(&mut bytes, &entry.name);
                bytes.extend_from_slice(&len_u32(entry.overrides.len()).to_be_bytes());
                for (name, value) in &entry.overrides {
                    push_text(&mut bytes, name);
                    push_text(&mut bytes, value);
                }
            }
            Self::Deleted(id) => {
                bytes.push(DELETED);
                bytes.extend_from_slice(&id.0);
            }
        }
        bytes
    }

    /// Reads what [`encode`](Self::encode) wrote; `None` if it is anything else.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes;
        let change = match take::<1>(&mut rest)? {
            [EPOCH] => Self::Epoch(LeaderEpoch(i32::from_be_bytes(take(&mut rest)?))),
            [CREATED] => {
                let id = TopicId(take(&mut rest)?);
                let partitions = u32::from_be_bytes(take(&mut rest)?);
                let name = take_text(&mut rest)?.into();
                let count = u32::from_be_bytes(take(&mut rest)?);
                let mut overrides = BTreeMap::new();
                for _ in 0..count {
                    overrides.insert(take_text(&mut rest)?, take_text(&mut rest)?);
                }
                Self::Created(TopicEntry { name, id, partitions, overrides })
            }
            [DELETED] => Self::Deleted(TopicId(take(&mut rest)?)),
            _ => return None,
        };
        rest.is_empty().then_some(change)
    }
}

fn len_u32(len: usize) -> u32 {
    u32::try_from(len).expect("names and settings are short")
}

fn push_text(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend_from_slice(&len_u32(text.len()).to_be_bytes());
    bytes.extend_from_slice(text.as_bytes());
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (front, behind) = rest.split_first_chunk()?;
    *rest = behind;
    Some(*front)
}

fn take_text(rest: &mut &[u8]) -> Option<String> {
    let len = usize::try_from(u32::from_be_bytes(take(rest)?)).ok()?;
    let (text, behind) = rest.split_at_checked(len)?;
    *rest = behind;
    String::from_utf8(text.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::*;

    fn entry(name: &str, id: u8) -> TopicEntry {
        let overrides = [("segment.bytes".to_owned(), "4096".to_owned())].into();
        TopicEntry { name: name.into(), id: TopicId([id; 16]), partitions: 3, overrides }
    }

    #[test]
    fn snapshot_leads_to_the_same_catalog() {
        let mut catalog = Catalog::default();
        for change in [
            Change::Created(entry("a", 1)),
            Change::Created(entry("b", 2)),
            Change::Epoch(LeaderEpoch(4)),
            Change::Deleted(TopicId([1; 16])),
            Change::Created(entry("a", 3)),
        ] {
            assert_eq!(Change::decode(&change.encode()), Some(change.clone()));
            catalog.apply(change);
        }
        let mut again = Catalog::default();
        for payload in catalog.snapshot() {
            again.apply(Change::decode(&payload).unwrap());
        }
        assert_eq!(again, catalog);
        assert_eq!(again.topics().map(|entry| entry.id.0[0]).collect::<Vec<_>>(), [3, 2]);
        assert_eq!(again.epoch(), LeaderEpoch(4));
    }

    #[test]
    fn deleting_an_older_topic_leaves_the_one_that_took_its_name() {
        let mut catalog = Catalog::default();
        catalog.apply(Change::Created(entry("a", 2)));
        catalog.apply(Change::Deleted(TopicId([1; 16])));
        assert_eq!(catalog.topics().count(), 1);
    }

    proptest! {
        #[test]
        fn any_bytes_decode_or_not_and_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Some(change) = Change::decode(&bytes) {
                assert_eq!(Change::decode(&change.encode()), Some(change));
            }
        }
    }
}
