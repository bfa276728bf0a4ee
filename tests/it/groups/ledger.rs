//! What all members of a group have in common: who owns what, what was done, what is committed. It is told of everything,
//! and fails at the first thing that must not be.
//!
//! | of a partition | holds at any time |
//! |---|---|
//! | its owner | is one: from `on_partitions_assigned` until `on_partitions_revoked` returns, or until it can have been expelled |
//! | its records | are handed to the owner alone, one after the other, from where the group had committed when it took over |
//! | what is committed | never goes back, and lies behind nothing that was not processed |
//! | at the end | every record was processed, at least once |

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ottla::TopicId;

/// A partition of a topic, which another one of the same name is not.
pub(crate) type Place = (TopicId, u32);

/// The time, as the engine's clock has it.
pub(crate) type Clock = Arc<dyn Fn() -> Duration + Send + Sync>;

/// Told by all members.
pub(crate) struct Ledger {
    book: Mutex<Book>,
    clock: Clock,
    /// Of the members: `max.poll.interval.ms`.
    interval: Duration,
}

#[derive(Default)]
struct Book {
    owners: BTreeMap<Place, u64>,
    polled: BTreeMap<u64, Polled>,
    done: BTreeMap<Place, Done>,
    committed: BTreeMap<Place, i64>,
    tally: Tally,
}

/// When a member began to poll.
#[derive(Clone, Copy)]
struct Polled {
    last: Duration,
    /// The time before that, while the last one goes on: it may just be about to find that it has come too late.
    before: Option<Duration>,
}

/// Which offsets of a partition were processed.
#[derive(Default)]
struct Done {
    /// All before this, and
    until: i64,
    /// these behind it.
    beyond: BTreeSet<i64>,
}

impl Done {
    fn contains(&self, offset: i64) -> bool {
        offset < self.until || self.beyond.contains(&offset)
    }

    fn insert(&mut self, offset: i64) {
        self.beyond.insert(offset);
        while self.beyond.remove(&self.until) {
            self.until += 1;
        }
    }
}

/// How much of everything there was.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) processed: u64,
    /// Of those, what had been processed before.
    pub(crate) again: u64,
    pub(crate) taken: u64,
    pub(crate) revoked: u64,
    pub(crate) lost: u64,
    /// Partitions that were taken from members that stalled.
    pub(crate) from_stalled: u64,
    pub(crate) refused_commits: u64,
    pub(crate) panics: u64,
    pub(crate) quiet: u64,
}

impl Tally {
    pub(crate) fn add(&mut self, other: &Self) {
        self.processed += other.processed;
        self.again += other.again;
        self.taken += other.taken;
        self.revoked += other.revoked;
        self.lost += other.lost;
        self.from_stalled += other.from_stalled;
        self.refused_commits += other.refused_commits;
        self.panics += other.panics;
        self.quiet += other.quiet;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { processed, again, taken, revoked, lost, from_stalled, refused_commits, panics, quiet } = self;
        write!(f, "{processed} records processed ({again} again); partitions: {taken} taken, {revoked} revoked, ")?;
        write!(f, "{lost} lost, {from_stalled} taken from stalled members; {refused_commits} commits refused, ")?;
        write!(f, "{panics} panics; balanced {quiet} times")
    }
}

impl Ledger {
    pub(crate) fn new(clock: Clock, interval: Duration) -> Self {
        Self { book: Mutex::default(), clock, interval }
    }

    fn now(&self) -> Duration {
        (self.clock)()
    }

    fn with<T>(&self, act: impl FnOnce(&mut Book) -> T) -> T {
        act(&mut self.book.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The member begins a poll.
    pub(crate) fn polls(&self, member: u64) {
        let now = self.now();
        self.with(|book| {
            let before = book.polled.get(&member).map(|polled| polled.last);
            book.polled.insert(member, Polled { last: now, before });
        });
    }

    /// Its poll has returned.
    pub(crate) fn has_polled(&self, member: u64) {
        self.with(|book| {
            if let Some(polled) = book.polled.get_mut(&member) {
                polled.before = None;
            }
        });
    }

    /// Whether the member can have been expelled by now.
    pub(crate) fn is_late(&self, member: u64) -> bool {
        let now = self.now();
        self.with(|book| book.is_late(member, now, self.interval))
    }

    /// The member has got a partition, of which so much is committed.
    pub(crate) fn take(&self, member: u64, place: Place, committed: i64) {
        self.with(|book| {
            let now = self.now();
            if let Some(other) = book.owners.insert(place, member) {
                assert_ne!(other, member, "{place:?} was taken twice by {member}");
                let is_late = book.is_late(other, now, self.interval);
                assert!(is_late, "{place:?} is taken by {member} and owned by {other}, which is not late");
                book.tally.from_stalled += 1;
            }
            book.tally.taken += 1;
            book.observe(place, committed);
        });
    }

    /// The member has given a partition up.
    pub(crate) fn release(&self, member: u64, place: Place) {
        let now = self.now();
        self.with(|book| {
            book.tally.revoked += 1;
            match book.owners.get(&place) {
                Some(owner) if *owner == member => drop(book.owners.remove(&place)),
                owner => {
                    let is_late = book.is_late(member, now, self.interval);
                    assert!(is_late, "{member} gives {place:?} up, which {owner:?} owns");
                }
            }
        });
    }

    /// The member has noticed that a partition is not its own any more.
    pub(crate) fn lose(&self, member: u64, place: Place) {
        let now = self.now();
        self.with(|book| {
            assert!(book.is_late(member, now, self.interval), "{member} has lost {place:?}, and was not late");
            book.tally.lost += 1;
            if book.owners.get(&place) == Some(&member) {
                book.owners.remove(&place);
            }
        });
    }

    /// The member panics, or its process has died: what it owned is nobody's.
    pub(crate) fn dies(&self, member: u64) {
        self.with(|book| book.owners.retain(|_, owner| *owner != member));
    }

    /// A record was handed to the member.
    pub(crate) fn hand(&self, member: u64, place: Place) {
        let now = self.now();
        self.with(|book| {
            let owner = book.owners.get(&place).copied();
            let is_right = owner == Some(member) || book.is_late(member, now, self.interval);
            assert!(is_right, "{member} was handed a record of {place:?}, which {owner:?} owns");
        });
    }

    pub(crate) fn process(&self, place: Place, offset: i64) {
        self.with(|book| {
            let done = book.done.entry(place).or_default();
            book.tally.again += u64::from(done.contains(offset));
            book.tally.processed += 1;
            done.insert(offset);
        });
    }

    /// Looks at what is committed, with `committed` asked while nobody else looks.
    pub(crate) fn observe(&self, place: Place, committed: impl FnOnce() -> i64) {
        self.with(|book| book.observe(place, committed()));
    }

    pub(crate) fn owned_by(&self, member: u64) -> usize {
        self.with(|book| book.owners.values().filter(|owner| **owner == member).count())
    }

    pub(crate) fn count(&self, note: impl FnOnce(&mut Tally)) {
        self.with(|book| note(&mut book.tally));
    }

    /// Whether all of the partition's first `sent` records were processed.
    pub(crate) fn is_done(&self, place: Place, sent: i64) -> bool {
        self.with(|book| book.done.get(&place).map_or(0, |done| done.until) >= sent)
    }

    pub(crate) fn tally(&self) -> Tally {
        self.with(|book| book.tally)
    }
}

impl Book {
    fn is_late(&self, member: u64, now: Duration, interval: Duration) -> bool {
        self.polled.get(&member).is_none_or(|polled| now >= polled.before.unwrap_or(polled.last) + interval)
    }

    fn observe(&mut self, place: Place, committed: i64) {
        let done = self.done.get(&place).map_or(0, |done| done.until);
        assert!(committed <= done, "{place:?}: {committed} is committed, and {done} was not processed");
        let before = self.committed.insert(place, committed).unwrap_or(0);
        assert!(committed >= before, "{place:?}: {committed} is committed, which was {before} before");
    }
}
