//! What the engine has promised so far, and whether a disk keeps it.
//!
//! A record is known by its value, which is used once. What of it may be lost depends on what was answered:
//!
//! | the record was | it survives |
//! |---|---|
//! | acknowledged with `acks = all`; or seen by anybody, and of `acks = all` | every crash |
//! | in the log when an engine had opened after a crash, or had closed | every crash |
//! | acknowledged with `acks = 1` | a kill |
//! | refused with an error of class `Retry` | not even the call |
//! | anything else | perhaps |

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use ottla::{Acks, Error, MemoryDisk, TopicId};

/// How the machine goes down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Crash {
    /// The process dies.
    Kill,
    /// The power goes, and with it everything that was not synced.
    Cut,
    /// The power goes, and any part of what was not synced stays.
    CutKeeping(u64),
}

impl Crash {
    pub(super) fn happens(self, disk: &MemoryDisk) {
        match self {
            Self::Kill => disk.kill(),
            Self::Cut => disk.power_cut(),
            Self::CutKeeping(seed) => disk.power_cut_keeping(seed),
        }
    }
}

/// A partition of one topic; of another topic of the same name it is not the same.
pub(super) type Place = (TopicId, u32);

/// A log as it was read: values by offset.
pub(super) type Contents = BTreeMap<i64, String>;

/// What was sent.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) place: Place,
    acks: Acks,
    offset: Option<i64>,
    /// The call said that nothing of it is or will be in the log.
    is_refused: bool,
}

/// What a group has seen and committed of a partition.
#[derive(Debug, Default)]
struct Progress {
    polled: Contents,
    /// The last commit that returned, and those that were tried since.
    commits: Vec<i64>,
}

/// A topic, or what may be one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Existence {
    /// `create_topic` was called and did not return well.
    Perhaps,
    Yes(TopicId),
    /// `delete_topic` was called and did not return well.
    PerhapsGone(TopicId),
}

#[derive(Debug, Default)]
pub(super) struct Model {
    /// Put in front of what is wrong.
    pub(super) context: String,
    pub(super) sent: BTreeMap<String, Sent>,
    /// What every crash leaves.
    pub(super) durable: BTreeMap<Place, Contents>,
    /// What a kill leaves.
    pub(super) written: BTreeMap<Place, Contents>,
    /// Up to where the engine itself knows, whatever crash comes, that each log is on the disk.
    pub(super) settled: BTreeMap<Place, i64>,
    /// Sent with `acks = 0` since the engine was opened.
    pub(super) unanswered: BTreeSet<String>,
    /// Values that have to be somewhere.
    pub(super) closed_over: BTreeSet<String>,
    groups: BTreeMap<(&'static str, Place), Progress>,
    topics: BTreeMap<&'static str, (Existence, u32)>,
    deleted: BTreeSet<TopicId>,
    next_value: u64,
}

impl Model {
    pub(super) fn new(context: &str) -> Self {
        Self { context: context.to_owned(), ..Self::default() }
    }

    // --- records ---------------------------------------------------------------------------------------------------

    /// A value for a record that is about to be sent.
    pub(super) fn sends(&mut self, place: Place, acks: Acks, pad: &str) -> String {
        let value = format!("{}-{acks}{pad}", self.next_value);
        self.next_value += 1;
        if acks == Acks::Zero {
            self.unanswered.insert(value.clone());
        }
        self.sent.insert(value.clone(), Sent { place, acks, offset: None, is_refused: false });
        value
    }

    /// How many values there were; also a clock for their timestamps.
    pub(super) fn count(&self) -> u64 {
        self.next_value
    }

    pub(super) fn acknowledged(&mut self, value: &str, offset: Option<i64>) {
        let sent = self.sent.get_mut(value).expect("it was sent");
        let (place, acks) = (sent.place, sent.acks);
        let Some(offset) = offset else {
            return assert_eq!(acks, Acks::Zero, "{}: {value} has no offset", self.context);
        };
        sent.offset = Some(offset);
        let kept = if acks == Acks::All { &mut self.durable } else { &mut self.written };
        let other = kept.entry(place).or_default().insert(offset, value.to_owned());
        let is_new = other.as_deref().is_none_or(|other| other == value);
        assert!(is_new, "{}: {value} was acknowledged at {offset}, where {other:?} is", self.context);
    }

    pub(super) fn failed(&mut self, value: &str, error: &Error) {
        self.sent.get_mut(value).expect("it was sent").is_refused = error.is_retriable();
    }

    /// How many records were refused.
    pub(super) fn refused(&self) -> usize {
        self.sent.values().filter(|sent| sent.is_refused).count()
    }

    /// A consumer returned a record: nobody sees one of `acks = all` that a cut could take back.
    pub(super) fn saw(&mut self, place: Place, offset: i64, value: &str) {
        if self.known(place, offset, value).acks == Acks::All {
            self.durable.entry(place).or_default().insert(offset, value.to_owned());
        }
    }

    /// The engine opened after a crash, and this is in the log; or it closed.
    pub(super) fn is_settled(&mut self, place: Place, contents: &Contents) {
        self.settled.insert(place, contents.len() as i64);
        self.durable.insert(place, contents.clone());
    }

    /// `close` returned: everything that was sent is on the disk.
    pub(super) fn closed(&mut self) {
        for (place, contents) in std::mem::take(&mut self.written) {
            self.durable.entry(place).or_default().extend(contents);
        }
        self.closed_over.append(&mut self.unanswered);
    }

    /// The disk refuses writes: what was sent with `acks = 0` may be gone, and nobody is told.
    pub(super) fn doubts_unanswered(&mut self) {
        self.unanswered.clear();
    }

    pub(super) fn crashed(&mut self, crash: Crash) {
        self.doubts_unanswered();
        if crash != Crash::Kill {
            self.written.clear();
        }
    }

    fn known(&self, place: Place, offset: i64, value: &str) -> &Sent {
        let sent = self.sent.get(value).unwrap_or_else(|| panic!("{}: nobody sent {value:?}", self.context));
        assert_eq!(sent.place, place, "{}: {value} is in another partition", self.context);
        assert!(!sent.is_refused, "{}: {value} was refused, and is there", self.context);
        let is_right = sent.offset.is_none_or(|at| at == offset);
        assert!(is_right, "{}: {value} is at {offset}, and was acknowledged at {:?}", self.context, sent.offset);
        sent
    }

    /// Holds what was read of a partition against what was promised.
    pub(super) fn check_contents(&mut self, place: Place, contents: &Contents) {
        self.check_contents_but(place, contents, 0..0);
    }

    /// The same of a partition in which `damaged` offsets cannot be read.
    pub(super) fn check_contents_but(&mut self, place: Place, contents: &Contents, damaged: Range<i64>) {
        let context = &self.context;
        let end = contents.len() as i64 + (damaged.end - damaged.start);
        let expected = (0..end).filter(|offset| !damaged.contains(offset));
        assert!(contents.keys().copied().eq(expected), "{context}: {:?} without {damaged:?}", contents.keys());
        let values: BTreeSet<&String> = contents.values().collect();
        assert_eq!(values.len(), contents.len(), "{context}: a record is there twice: {contents:?}");
        for (&offset, value) in contents {
            self.known(place, offset, value);
        }
        let promised = [&self.durable, &self.written].into_iter().filter_map(|kept| kept.get(&place));
        for (offset, value) in promised.flatten().filter(|(offset, _)| !damaged.contains(offset)) {
            let found = contents.get(offset);
            assert_eq!(found, Some(value), "{context}: {place:?} at {offset}; the log is {contents:?}");
        }
        let (sent, is_whole) = (&self.sent, damaged.is_empty());
        self.closed_over.retain(|value| !values.contains(value) && (is_whole || sent[value].place != place));
    }

    /// All partitions were read.
    pub(super) fn check_nothing_is_missing(&self) {
        let Self { context, closed_over, .. } = self;
        assert!(closed_over.is_empty(), "{context}: sent before a close, and gone: {closed_over:?}");
    }

    // --- groups ----------------------------------------------------------------------------------------------------

    pub(super) fn polled(&mut self, group: &'static str, place: Place, offset: i64, value: &str) {
        self.saw(place, offset, value);
        self.groups.entry((group, place)).or_default().polled.insert(offset, value.to_owned());
    }

    pub(super) fn commits(&mut self, group: &'static str, place: Place, offset: i64) {
        let commits = &mut self.groups.entry((group, place)).or_default().commits;
        if commits.is_empty() {
            commits.push(0);
        }
        commits.push(offset);
    }

    /// The commits that were last tried have returned.
    pub(super) fn committed(&mut self, group: &'static str) {
        for ((name, _), progress) in &mut self.groups {
            if *name == group && !progress.commits.is_empty() {
                let last = progress.commits.len() - 1;
                progress.commits.drain(..last);
            }
        }
    }

    /// A group goes on at `start` in a log of these contents: it skips nothing that it has not seen, and it has lost no
    /// commit.
    pub(super) fn check_start(&self, group: &'static str, place: Place, start: i64, contents: &Contents) {
        let nothing = Progress::default();
        let progress = self.groups.get(&(group, place)).unwrap_or(&nothing);
        let end = contents.len() as i64;
        let is_new = |offset: &i64| progress.polled.get(offset) != contents.get(offset);
        let first_new = (0..end).find(is_new).unwrap_or(end);
        let committed = progress.commits.iter().copied().min().unwrap_or(0);
        let Self { context, .. } = self;
        assert!(start <= first_new, "{context}: {group} goes on at {start}, and {first_new} is new: {progress:?}");
        let floor = committed.min(first_new);
        assert!(start >= floor, "{context}: {group} goes on at {start}, and had committed {committed}: {progress:?}");
    }

    // --- topics ----------------------------------------------------------------------------------------------------

    pub(super) fn creates(&mut self, name: &'static str, partitions: u32) {
        self.topics.insert(name, (Existence::Perhaps, partitions));
    }

    pub(super) fn created(&mut self, name: &'static str, id: TopicId) {
        assert!(!self.deleted.contains(&id), "{}: {name} has the id of one that is gone", self.context);
        self.topics.get_mut(name).expect("it was being created").0 = Existence::Yes(id);
    }

    pub(super) fn deletes(&mut self, name: &'static str) {
        let id = self.id(name);
        self.topics.get_mut(name).expect("it is there").0 = Existence::PerhapsGone(id);
    }

    /// Whether a deletion was interrupted, and nobody has looked yet what became of it.
    pub(super) fn is_deleting(&self) -> bool {
        self.topics.values().any(|(existence, _)| matches!(existence, Existence::PerhapsGone(_)))
    }

    pub(super) fn deleted(&mut self, name: &'static str) {
        let (Existence::Yes(id) | Existence::PerhapsGone(id), _) = self.topics[name] else { return };
        self.deleted.insert(id);
        self.topics.remove(name);
        self.durable.retain(|place, _| place.0 != id);
        self.written.retain(|place, _| place.0 != id);
        let sent = &self.sent;
        self.closed_over.retain(|value| sent[value].place.0 != id);
        self.unanswered.retain(|value| sent[value].place.0 != id);
    }

    /// The topics that are there, as far as anybody knows.
    pub(super) fn topics(&self) -> Vec<(&'static str, TopicId, u32)> {
        let known = self.topics.iter().filter_map(|(name, (existence, partitions))| match existence {
            Existence::Perhaps => None,
            Existence::Yes(id) | Existence::PerhapsGone(id) => Some((*name, *id, *partitions)),
        });
        known.collect()
    }

    pub(super) fn id(&self, name: &str) -> TopicId {
        let found = self.topics().into_iter().find(|(topic, _, _)| *topic == name);
        found.unwrap_or_else(|| panic!("{}: there is no topic {name}", self.context)).1
    }

    /// Holds the topics that are listed against what was promised, and takes in what only they tell.
    pub(super) fn check_topics(&mut self, mut listed: BTreeMap<String, (TopicId, u32)>) {
        let context = self.context.clone();
        for (name, (existence, partitions)) in self.topics.clone() {
            let found = listed.remove(name);
            assert!(found.is_none_or(|(_, count)| count == partitions), "{context}: {name} is not whole");
            match (existence, found) {
                (Existence::Perhaps, None) => drop(self.topics.remove(name)),
                (Existence::Perhaps, Some((id, _))) => self.created(name, id),
                (Existence::Yes(id), found) => assert_eq!(found, Some((id, partitions)), "{context}: {name}"),
                (Existence::PerhapsGone(_), None) => self.deleted(name),
                (Existence::PerhapsGone(id), Some((other, _))) => {
                    assert_eq!(id, other, "{context}: {name}");
                    self.topics.insert(name, (Existence::Yes(id), partitions));
                }
            }
        }
        assert!(listed.is_empty(), "{context}: nobody created {listed:?}");
    }
}
