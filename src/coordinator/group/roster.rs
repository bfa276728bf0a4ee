//! The members of a group, as threads share them.
//!
//! What decides is [`Members`], behind one lock. A poll does not take it: whether there is anything to do for its member
//! is a flag in the member's [`Seat`], and so is when it last polled. The lock is taken when the flag is up, and by
//! commits.
//!
//! A seat's clock is one number, changed by compare-and-swap, so that a member is either expelled or polls, never both:
//!
//! ```text
//!   begin_wait            end_wait                 overdue
//!   (polled at t) ------> POLLING ------> (polled at t') ------> EXPELLED, for good
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::coordinator::group::Group;
use crate::coordinator::group::assignor::GroupAssignment;
#[cfg(test)]
use crate::coordinator::group::assignor::{NamedAssignor, RangeAssignor};
use crate::coordinator::group::shown::GroupMembers;
use crate::coordinator::group::state::{
    AssignJob, Interest, JoinRefused, Joining, MemberId, Members, Place, Step, TopicFacts, TopicImage,
};
use crate::error::{Cause, Error, Result};
#[cfg(test)]
use crate::sync::Threads;
use crate::sync::{Moment, Scheduler, Signal, lock};
use crate::topics::{Topic, Topics};
use crate::types::TopicId;

/// The members of one group, and their seats.
#[derive(Debug, Default)]
pub(super) struct Roster(Mutex<Seated>);

#[derive(Debug, Default)]
struct Seated {
    members: Members,
    seats: BTreeMap<MemberId, Arc<Seat>>,
}

impl Seated {
    /// Tells those who have something to do since the last time.
    fn tell(&mut self) {
        for id in self.members.take_news() {
            if let Some(seat) = self.seats.get(&id) {
                seat.tell();
            }
        }
    }
}

/// What a member brings along that is not its group's business.
#[derive(Clone, Debug)]
pub(crate) struct SeatTerms {
    /// Moves when there is something for the member to do.
    pub(crate) signal: Arc<Signal>,
    /// Moves when a deadline may be nearer than it was.
    pub(crate) deadlines: Arc<Signal>,
    pub(crate) scheduler: Arc<dyn Scheduler>,
    pub(crate) max_poll_interval: Duration,
    pub(crate) session_timeout: Duration,
}

/// What a member and its group share without a lock.
#[derive(Debug)]
struct Seat {
    terms: SeatTerms,
    has_news: AtomicBool,
    /// When it last polled, in nanoseconds; or one of the two below.
    polled_at: AtomicU64,
}

/// How long upkeep waits at the least for a member that polls.
const LEAST_WAIT: Duration = Duration::from_millis(100);

const POLLING: u64 = u64::MAX;
const EXPELLED: u64 = u64::MAX - 1;

fn nanos(moment: Moment) -> u64 {
    u64::try_from(moment.0.as_nanos()).unwrap_or(EXPELLED).min(EXPELLED - 1)
}

impl Seat {
    fn tell(&self) {
        self.has_news.store(true, Ordering::SeqCst);
        self.terms.signal.notify();
    }

    /// Sets the clock, unless the member was expelled.
    fn set(&self, to: u64) -> bool {
        let change = |now| (now != EXPELLED).then_some(to);
        self.polled_at.fetch_update(Ordering::SeqCst, Ordering::SeqCst, change).is_ok()
    }

    /// Expels the member if it is overdue at `now`.
    fn expel_if_late(&self, now: Moment) -> bool {
        let is_late = |at| at < EXPELLED && now >= Moment(Duration::from_nanos(at)) + self.terms.max_poll_interval;
        let change = |at| is_late(at).then_some(EXPELLED);
        self.polled_at.fetch_update(Ordering::SeqCst, Ordering::SeqCst, change).is_ok()
    }

    /// When it is worth looking whether the member is overdue.
    fn look_again_at(&self, now: Moment) -> Moment {
        let at = self.polled_at.load(Ordering::SeqCst);
        if at < EXPELLED {
            Moment(Duration::from_nanos(at)) + self.terms.max_poll_interval
        } else {
            now + self.terms.max_poll_interval.max(LEAST_WAIT) // when its poll may have ended and been long ago
        }
    }
}

/// A member's place in its group, until it is dropped.
pub(crate) struct Membership {
    group: Arc<Group>,
    id: MemberId,
    seat: Arc<Seat>,
}

impl fmt::Debug for Membership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Membership({} of {})", self.id, self.group.name())
    }
}

/// A commit that may be made; it is under way until this is dropped.
#[derive(Debug)]
pub(crate) struct CommitPermit {
    group: Arc<Group>,
    id: Option<MemberId>,
    holds_all: bool,
}

impl Drop for CommitPermit {
    fn drop(&mut self) {
        let mut seated = lock(&self.group.roster.0);
        seated.members.end_commit(self.id.as_ref(), self.holds_all);
        seated.tell();
    }
}

/// What members have to know of `topics`.
fn image(topics: &Topics) -> TopicImage {
    let facts = |topic: &Topic| TopicFacts { id: topic.id(), partitions: topic.entry.partitions };
    topics.all().iter().map(|topic| (Arc::clone(topic.name()), facts(topic))).collect()
}

impl Group {
    /// Becomes a member of the group.
    ///
    /// # Errors
    /// [`Error::GroupMaxSizeReached`], [`Error::UnreleasedInstanceId`], [`Error::InconsistentGroupProtocol`].
    pub(crate) fn join(
        self: &Arc<Self>,
        joining: Joining,
        terms: SeatTerms,
        topics: &Topics,
        max_size: u32,
    ) -> Result<Membership> {
        let now = terms.scheduler.now();
        let deadlines = Arc::clone(&terms.deadlines);
        let seat = Arc::new(Seat { terms, has_news: AtomicBool::new(true), polled_at: AtomicU64::new(nanos(now)) });
        let id = {
            let mut seated = lock(&self.roster.0);
            // Looked at under the lock: a topic that comes later finds this member.
            let joined = seated.members.join(joining, &image(topics), max_size);
            let id = joined.map_err(|refused| self.refuse(refused, max_size))?;
            seated.seats.insert(Arc::clone(&id), Arc::clone(&seat));
            seated.tell();
            id
        };
        deadlines.notify();
        log::info!("{id} joined the group {}", self.name());
        Ok(Membership { group: Arc::clone(self), id, seat })
    }

    fn refuse(&self, refused: JoinRefused, limit: u32) -> Error {
        let group = self.name().into();
        match refused {
            JoinRefused::Full => Error::GroupMaxSizeReached { group, limit },
            JoinRefused::InstanceInUse(instance) => Error::UnreleasedInstanceId { group, instance },
            JoinRefused::NoCommonAssignor => Error::InconsistentGroupProtocol { group },
        }
    }

    /// Whether a commit for `places` is in order: by a member that owns them, or, without a membership, while there is
    /// no member.
    ///
    /// # Errors
    /// [`Error::CommitFailed`] if it is not.
    pub(crate) fn admit(self: &Arc<Self>, membership: Option<&Membership>, places: &[Place]) -> Result<CommitPermit> {
        let id = membership.map(|membership| &membership.id);
        let begun = lock(&self.roster.0).members.begin_commit(id, places);
        match begun {
            Ok(holds_all) => Ok(CommitPermit { group: Arc::clone(self), id: id.map(Arc::clone), holds_all }),
            Err(reason) => Err(Error::CommitFailed { group: self.name().into(), reason: reason.into() }),
        }
    }

    /// Wakes all members: the engine closes.
    pub(crate) fn wake_members(&self) {
        lock(&self.roster.0).seats.values().for_each(|seat| seat.terms.signal.notify());
    }

    /// Topics have come, gone or grown.
    pub(crate) fn refresh_topics(&self, topics: &Topics) {
        let mut seated = lock(&self.roster.0);
        if seated.members.has_members() {
            seated.members.set_topics(&image(topics));
            seated.tell();
        }
    }

    /// Expels members that have not polled for too long, and lets static ones go that did not come back. Says when that
    /// is to be looked at again, if ever.
    pub(crate) fn expire(&self, now: Moment) -> Option<Moment> {
        let mut seated = lock(&self.roster.0);
        let late: Vec<MemberId> =
            seated.seats.iter().filter(|(_, seat)| seat.expel_if_late(now)).map(|(id, _)| Arc::clone(id)).collect();
        for id in &late {
            seated.members.remove(id);
            if let Some(seat) = seated.seats.remove(id) {
                seat.tell();
            }
        }
        seated.members.expire(now);
        seated.tell();
        let polls = seated.seats.values().map(|seat| seat.look_again_at(now));
        let next = polls.chain(seated.members.next_expiry()).min();
        drop(seated); // a logger is the user's
        for id in late {
            log::warn!("{id} was expelled from the group {}: it has not polled for max.poll.interval.ms", self.name());
        }
        next
    }

    /// Whether it has members; static ones too that are expected back.
    pub(crate) fn has_members(&self) -> bool {
        lock(&self.roster.0).members.has_members()
    }

    /// The ids of the topics that its members subscribe to.
    pub(crate) fn subscribed_topics(&self) -> BTreeSet<TopicId> {
        lock(&self.roster.0).members.subscribed_topics()
    }

    pub(crate) fn describe_members(&self) -> GroupMembers {
        lock(&self.roster.0).members.describe()
    }
}

impl Membership {
    pub(crate) fn id(&self) -> &MemberId {
        &self.id
    }

    /// The epoch that the member has come to.
    pub(crate) fn epoch(&self) -> u64 {
        lock(&self.group.roster.0).members.epoch_of(&self.id)
    }

    /// The member polls; `false` if it was expelled before.
    pub(crate) fn touch(&self, now: Moment) -> bool {
        self.seat.set(nanos(now))
    }

    /// The member is inside of a poll, and waits: it cannot be overdue. `false` if it was expelled before.
    pub(crate) fn begin_wait(&self) -> bool {
        self.seat.set(POLLING)
    }

    /// Its poll ends, or runs code of the user's, at `now`.
    pub(crate) fn end_wait(&self, now: Moment) {
        self.seat.set(nanos(now));
    }

    /// Whether there is anything to do for the member.
    pub(crate) fn has_news(&self) -> bool {
        self.seat.has_news.load(Ordering::SeqCst)
    }

    /// What the member has to do now; `None` if it was expelled. Works out who is to have what if nobody has.
    ///
    /// # Errors
    /// [`Error::Assignor`] if an assignor failed, or dealt against the rules.
    pub(crate) fn sync(&self) -> Result<Option<Step>> {
        self.seat.has_news.store(false, Ordering::SeqCst); // before looking, or what comes meanwhile would be lost
        let roster = &self.group.roster;
        loop {
            let Some(job) = lock(&roster.0).members.begin_assign() else { break };
            self.assign(&job)?;
        }
        let mut seated = lock(&roster.0);
        let step = seated.members.sync(&self.id);
        seated.tell();
        drop(seated);
        if !matches!(step, Some(Step::Nothing)) {
            self.seat.has_news.store(true, Ordering::SeqCst); // also if what is to be done for it panics
        }
        Ok(step)
    }

    /// Runs an assignor, outside of the lock: it may be the user's.
    fn assign(&self, job: &AssignJob) -> Result<()> {
        let unfinished = Unfinished(self, job);
        let failed = |cause: Cause| Error::Assignor {
            group: self.group.name().into(),
            assignor: Arc::clone(&job.assignor.name),
            cause,
        };
        let assignment: GroupAssignment = job.assignor.assignor.target(&job.subscription).map_err(failed)?;
        std::mem::forget(unfinished);
        let mut seated = lock(&self.group.roster.0);
        let finished = seated.members.finish_assign(job, &assignment);
        seated.tell();
        if finished.is_err() {
            self.seat.has_news.store(true, Ordering::SeqCst); // to be tried again
        }
        finished.map_err(|reason| failed(Cause::msg(reason)))
    }

    /// The member has let go of `places`.
    pub(crate) fn release(&self, places: Vec<Place>) {
        let mut seated = lock(&self.group.roster.0);
        seated.members.release(&self.id, places);
        seated.tell();
    }

    /// The member wants other topics from now on.
    pub(crate) fn resubscribe(&self, interest: Interest, topics: &Topics) {
        let mut seated = lock(&self.group.roster.0);
        seated.members.resubscribe(&self.id, interest, &image(topics));
        seated.tell();
    }

    /// Has the partitions dealt anew.
    pub(crate) fn enforce(&self) {
        let mut seated = lock(&self.group.roster.0);
        seated.members.begin_epoch();
        seated.tell();
    }
}

/// An assignment that a member has begun; dropped, it failed, or the assignor panicked. The member's next poll tries
/// again: others may have seen it under way, and wait for it.
struct Unfinished<'a>(&'a Membership, &'a AssignJob);

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        lock(&self.0.group.roster.0).members.abandon_assign(self.1);
        self.0.seat.has_news.store(true, Ordering::SeqCst);
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        let SeatTerms { scheduler, session_timeout, deadlines, .. } = &self.seat.terms;
        let mut seated = lock(&self.group.roster.0);
        seated.members.leave(&self.id, scheduler.now() + *session_timeout);
        seated.seats.remove(&self.id);
        seated.tell();
        drop(seated);
        deadlines.notify();
    }
}

#[cfg(test)]
impl Group {
    /// Becomes a member, which wants nothing.
    pub(crate) fn join_for_test(self: &Arc<Self>) -> Membership {
        let joining = Joining {
            prefix: "consumer".into(),
            instance: None,
            interest: Interest::Topics(BTreeSet::new()),
            assignors: vec![NamedAssignor::new(Arc::new(RangeAssignor))],
        };
        let terms = SeatTerms {
            signal: Arc::default(),
            deadlines: Arc::default(),
            scheduler: Arc::new(Threads::new()),
            max_poll_interval: Duration::from_secs(300),
            session_timeout: Duration::from_secs(45),
        };
        self.join(joining, terms, &Topics::default(), 1000).unwrap()
    }
}
