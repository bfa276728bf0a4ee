//! The members of a group, and who holds which partition: decisions alone, without a lock, a clock or a thread.
//!
//! The rules are those of Kafka's KIP-848, without its heartbeats. Whatever changes members, subscriptions or topics begins
//! an epoch. An assignor works out a target for it: who is to have which partition. Each member then comes to it by
//! itself, at its next poll: it lets go of what it is not to have, and takes what nobody holds.
//!
//! ```text
//!              change                    finish_assign                 every member has synced
//!   (any) -------------> Assigning ---------------------> Reconciling -------------------------> Stable
//!            epoch + 1              target epoch = epoch               its epoch = target epoch
//! ```
//!
//! The one rule that everything else serves: **a partition has an owner from when a member takes it until that member has
//! let go of it**, whatever the target says meanwhile, and only a partition without an owner is taken. A member lets
//! go by `release`, when its poll has committed and told the listener; by leaving; or by being expelled. Commits of
//! it that are under way at that moment hold its partitions back until they are answered: the next owner begins where
//! they say, and no later commit of the former one can come.
//!
//! | a member that | keeps its partitions | until |
//! |---|---|---|
//! | polls | those of its target | |
//! | was told to give some up | all of them | it has let go of those |
//! | is static, and left | all that the target leaves it | another one comes with its instance id, or the time is up |
//! | left or was expelled | none | the commits that it has begun are answered |

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use regex::Regex;

use crate::coordinator::group::assignor::{GroupAssignment, GroupSubscription, MemberSubscription, NamedAssignor};
use crate::coordinator::group::shown::{GroupMember, GroupMembers, GroupState};
use crate::sync::Moment;
use crate::types::{TopicId, TopicPartition};

/// The id of a member, which nobody has had before in this group.
pub(crate) type MemberId = Arc<str>;

/// A partition of a topic, by id too: of one that was created anew, nothing is the same.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) partition: TopicPartition,
    pub(crate) topic_id: TopicId,
}

/// What members have to know of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TopicFacts {
    pub(crate) id: TopicId,
    pub(crate) partitions: u32,
}

/// All topics by name.
pub(crate) type TopicImage = BTreeMap<Arc<str>, TopicFacts>;

/// Which topics a member wants.
#[derive(Clone, Debug)]
pub(crate) enum Interest {
    /// Those of these that exist.
    Topics(BTreeSet<Arc<str>>),
    /// All whose name this matches.
    Pattern(Regex),
}

impl Interest {
    fn resolve(&self, image: &TopicImage) -> TopicImage {
        let known = |name: &Arc<str>| Some((Arc::clone(name), *image.get(name)?));
        match self {
            Self::Topics(names) => names.iter().filter_map(known).collect(),
            Self::Pattern(pattern) => image.keys().filter(|name| pattern.is_match(name)).filter_map(known).collect(),
        }
    }
}

/// Who wants to join.
#[derive(Clone, Debug)]
pub(crate) struct Joining {
    /// `client.id`, or another word that its id begins with.
    pub(crate) prefix: Arc<str>,
    /// `group.instance.id`.
    pub(crate) instance: Option<Arc<str>>,
    pub(crate) interest: Interest,
    /// In the order in which it prefers them; at least one.
    pub(crate) assignors: Vec<NamedAssignor>,
}

/// Why somebody may not join.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum JoinRefused {
    /// As many members as there may be.
    Full,
    /// A live member has the instance id.
    InstanceInUse(Arc<str>),
    /// No assignor that all members have.
    NoCommonAssignor,
}

/// What a member has to do to come to its target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Nothing,
    /// To let go of these, and then to `release` them.
    Revoke(Vec<Place>),
    /// These are its own from now on. Said once for each epoch even if there are none.
    Take(Vec<Place>),
}

/// Work for an assignor, outside of whatever guards the group.
#[derive(Debug)]
pub(crate) struct AssignJob {
    pub(crate) epoch: u64,
    pub(crate) assignor: NamedAssignor,
    pub(crate) subscription: GroupSubscription,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Presence {
    Active,
    /// Static, and gone for now; its place is kept until then.
    Away(Moment),
    /// Gone for good; commits of it are under way.
    Gone,
}

#[derive(Debug)]
struct Member {
    instance: Option<Arc<str>>,
    interest: Interest,
    assignors: Vec<NamedAssignor>,
    /// The topics that it wants and that exist.
    topics: TopicImage,
    presence: Presence,
    /// Of the target that it has come to.
    epoch: u64,
    target: BTreeSet<Place>,
    /// What it was given and has not let go of. It owns no less.
    held: BTreeSet<Place>,
    /// What it has let go of while commits of it were under way.
    leaving: BTreeSet<Place>,
    commits_under_way: usize,
}

impl Member {
    fn is_counted(&self) -> bool {
        self.presence != Presence::Gone
    }
}

/// The members of one group.
#[derive(Debug, Default)]
pub(crate) struct Members {
    epoch: u64,
    target_epoch: u64,
    /// The epoch that an assignor is at work for. One that hangs holds up nobody who wants a later one.
    assigning: Option<u64>,
    /// What was freed meanwhile and was nobody's target: the assignor may have taken it for owned, and withheld it.
    freed_meanwhile: Vec<Place>,
    /// The assignor of the last target.
    assignor: Option<Arc<str>>,
    by_id: BTreeMap<MemberId, Member>,
    owners: BTreeMap<Place, MemberId>,
    /// Who is to have what.
    targets: BTreeMap<Place, MemberId>,
    /// What any member wants.
    subscribed: TopicImage,
    standalone_commits: usize,
    last_number: u64,
    /// Members that have something to do since this was last asked for.
    news: BTreeSet<MemberId>,
}

impl Members {
    /// Takes in a member. One that comes with the instance id of a static member that is away takes its place, and
    /// nobody else notices if it wants the same.
    pub(crate) fn join(
        &mut self,
        joining: Joining,
        image: &TopicImage,
        max_size: u32,
    ) -> Result<MemberId, JoinRefused> {
        let former = joining.instance.as_ref().and_then(|instance| self.member_of_instance(instance));
        if let (Some(former), Some(instance)) = (&former, &joining.instance)
            && self.by_id[former].presence == Presence::Active
        {
            return Err(JoinRefused::InstanceInUse(Arc::clone(instance)));
        }
        let others = self.counted().filter(|(id, _)| Some(*id) != former.as_ref());
        if former.is_none() && others.clone().count() >= usize::try_from(max_size).unwrap_or(usize::MAX) {
            return Err(JoinRefused::Full);
        }
        let lists = others.map(|(_, member)| &member.assignors).chain([&joining.assignors]);
        if common_assignors(lists).is_empty() {
            return Err(JoinRefused::NoCommonAssignor);
        }
        self.last_number += 1;
        let front = joining.instance.as_ref().unwrap_or(&joining.prefix);
        let id: MemberId = format!("{front}-{}", self.last_number).into();
        let mut member = Member {
            topics: joining.interest.resolve(image),
            instance: joining.instance,
            interest: joining.interest,
            assignors: joining.assignors,
            presence: Presence::Active,
            epoch: 0,
            target: BTreeSet::new(),
            held: BTreeSet::new(),
            leaving: BTreeSet::new(),
            commits_under_way: 0,
        };
        let is_same = match former {
            Some(former) => self.succeed(&former, &id, &mut member),
            None => false,
        };
        self.by_id.insert(Arc::clone(&id), member);
        self.news.insert(Arc::clone(&id));
        if !is_same || self.assigning.is_some() {
            self.begin_epoch(); // an assignor that is at work knows only the former one
        }
        Ok(id)
    }

    /// Gives `member` the place of `former`; says whether it wants the same.
    fn succeed(&mut self, former: &MemberId, id: &MemberId, member: &mut Member) -> bool {
        let Some(before) = self.by_id.get_mut(former) else { return false };
        let names = |member: &Member| member.assignors.iter().map(|each| Arc::clone(&each.name)).collect::<Vec<_>>();
        let is_same = before.topics == member.topics && names(before) == names(member);
        member.target = std::mem::take(&mut before.target);
        before.presence = Presence::Gone;
        before.held.clear();
        for owner in self.targets.values_mut().filter(|owner| *owner == former) {
            *owner = Arc::clone(id);
        }
        // Its own by the books from now on, held once it has taken them up; or once the former one's commits are through.
        let owned = self.owned_by(former);
        if self.by_id[former].commits_under_way > 0 {
            self.let_go(former, owned);
        } else {
            owned.into_iter().for_each(|place| drop(self.owners.insert(place, Arc::clone(id))));
            self.forget_if_done(former);
        }
        is_same
    }

    fn member_of_instance(&self, instance: &Arc<str>) -> Option<MemberId> {
        let mut counted = self.counted();
        counted.find(|(_, member)| member.instance.as_ref() == Some(instance)).map(|(id, _)| Arc::clone(id))
    }

    /// The member wants other topics from now on.
    pub(crate) fn resubscribe(&mut self, id: &MemberId, interest: Interest, image: &TopicImage) {
        let Some(member) = self.by_id.get_mut(id) else { return };
        let topics = interest.resolve(image);
        member.interest = interest;
        if topics != member.topics {
            member.topics = topics;
            self.begin_epoch();
        }
    }

    /// The member leaves by itself. A static one is expected back until `until`.
    pub(crate) fn leave(&mut self, id: &MemberId, until: Moment) {
        let Some(member) = self.by_id.get_mut(id) else { return };
        if member.presence == Presence::Active && member.instance.is_some() {
            member.presence = Presence::Away(until);
            member.held.clear(); // kept for it by the books alone
            self.news.remove(id);
            self.free_unclaimed(); // what it was about to let go of
        } else {
            self.remove(id);
        }
    }

    /// Lets static members go that did not come back in time.
    pub(crate) fn expire(&mut self, now: Moment) {
        let is_late = |member: &Member| matches!(member.presence, Presence::Away(until) if now >= until);
        let late: Vec<MemberId> =
            self.by_id.iter().filter(|(_, member)| is_late(member)).map(|(id, _)| Arc::clone(id)).collect();
        late.iter().for_each(|id| self.remove(id));
    }

    /// When the next static member that is away is late.
    pub(crate) fn next_expiry(&self) -> Option<Moment> {
        let until = |member: &Member| if let Presence::Away(until) = member.presence { Some(until) } else { None };
        self.by_id.values().filter_map(until).min()
    }

    /// The member is gone for good: it has left, was expelled, or did not come back.
    pub(crate) fn remove(&mut self, id: &MemberId) {
        let Some(member) = self.by_id.get_mut(id) else { return };
        if member.presence == Presence::Gone {
            return;
        }
        member.presence = Presence::Gone;
        member.target.clear();
        member.held.clear();
        self.news.remove(id);
        self.targets.retain(|_, owner| owner != id);
        self.begin_epoch();
        self.let_go(id, self.owned_by(id));
        self.forget_if_done(id);
    }

    /// Topics have come, gone or grown.
    pub(crate) fn set_topics(&mut self, image: &TopicImage) {
        let mut has_changed = false;
        for member in self.by_id.values_mut().filter(|member| member.is_counted()) {
            let topics = member.interest.resolve(image);
            has_changed |= topics != member.topics;
            member.topics = topics;
        }
        if has_changed {
            self.begin_epoch();
        }
    }

    /// Has the partitions dealt anew.
    pub(crate) fn begin_epoch(&mut self) {
        self.epoch += 1;
        let topics = self.counted().flat_map(|(_, member)| &member.topics);
        self.subscribed = topics.map(|(name, facts)| (Arc::clone(name), *facts)).collect();
        if self.counted().next().is_none() {
            self.target_epoch = self.epoch; // there is nobody to assign anything to
            self.targets.clear();
        }
        self.tell_everybody();
    }

    fn tell_everybody(&mut self) {
        let active = self.by_id.iter().filter(|(_, member)| member.presence == Presence::Active);
        self.news.extend(active.map(|(id, _)| Arc::clone(id)));
    }

    /// What an assignor has to do, if that is not being done: once for each epoch, unless it failed.
    pub(crate) fn begin_assign(&mut self) -> Option<AssignJob> {
        if self.assigning == Some(self.epoch) || self.target_epoch == self.epoch {
            return None;
        }
        let assignor = self.vote()?;
        self.assigning = Some(self.epoch);
        self.freed_meanwhile.clear();
        let wants = |(id, member): (&MemberId, &Member)| {
            let wants = MemberSubscription {
                topics: member.topics.keys().map(Arc::clone).collect(),
                owned: Vec::new(),
                // What a member has not let go of is its own in the epoch of now, whichever it has come to.
                generation: Some(self.target_epoch),
                instance: member.instance.as_ref().map(Arc::clone),
            };
            (Arc::clone(id), wants)
        };
        let mut subscription = GroupSubscription {
            topics: self.subscribed.iter().map(|(name, facts)| (Arc::clone(name), facts.partitions)).collect(),
            members: self.counted().map(wants).collect(),
        };
        for (place, owner) in self.owners.iter().filter(|(place, _)| self.is_subscribed(place)) {
            let is_leaving = self.by_id.get(owner).is_some_and(|member| member.leaving.contains(place));
            if let Some(member) = subscription.members.get_mut(owner).filter(|_| !is_leaving) {
                member.owned.push(place.partition.clone());
            }
        }
        Some(AssignJob { epoch: self.epoch, assignor, subscription })
    }

    /// The assignor that most members prefer among those that all have.
    fn vote(&self) -> Option<NamedAssignor> {
        let lists = || self.counted().map(|(_, member)| &member.assignors);
        let common = common_assignors(lists());
        let is_common = |each: &&NamedAssignor| common.contains(&*each.name);
        let prefers =
            |list: &&Vec<NamedAssignor>, name: &str| list.iter().find(is_common).is_some_and(|it| &*it.name == name);
        let votes = |candidate: &&NamedAssignor| lists().filter(|list| prefers(list, &candidate.name)).count();
        // Of equals, the one that the first member names first: `max_by_key` takes the last.
        lists().next()?.iter().rev().filter(is_common).max_by_key(votes).cloned()
    }

    /// Takes what the assignor of `job` answered; of an epoch that is over, nothing.
    ///
    /// # Errors
    /// What is wrong with the answer. The target stays what it was.
    pub(crate) fn finish_assign(&mut self, job: &AssignJob, assignment: &GroupAssignment) -> Result<(), String> {
        self.abandon_assign(job);
        if job.epoch != self.epoch {
            self.tell_everybody();
            return Ok(());
        }
        let targets = self.check(assignment)?;
        self.target_epoch = self.epoch;
        self.assignor = Some(Arc::clone(&job.assignor.name));
        self.by_id.values_mut().for_each(|member| member.target.clear());
        for (place, id) in &targets {
            if let Some(member) = self.by_id.get_mut(id) {
                member.target.insert(place.clone());
            }
        }
        self.targets = targets;
        self.free_unclaimed();
        let freed = std::mem::take(&mut self.freed_meanwhile);
        if freed.iter().any(|place| self.is_subscribed(place) && !self.targets.contains_key(place)) {
            self.begin_epoch(); // which tells everybody
        } else {
            self.tell_everybody();
        }
        Ok(())
    }

    /// Frees what is kept for static members that are away, or have not taken it up again, and that is not theirs by the
    /// target any more: they will not let go of it by themselves.
    fn free_unclaimed(&mut self) {
        let is_unclaimed = |place: &Place, owner: &MemberId| {
            let is_held = |member: &Member| member.held.contains(place) || member.leaving.contains(place);
            self.targets.get(place) != Some(owner) && !self.by_id.get(owner).is_some_and(is_held)
        };
        let unclaimed = self.owners.iter().filter(|(place, owner)| is_unclaimed(place, owner));
        let unclaimed: Vec<_> = unclaimed.map(|(place, owner)| (place.clone(), Arc::clone(owner))).collect();
        unclaimed.into_iter().for_each(|(place, owner)| self.let_go(&owner, vec![place]));
    }

    /// The assignor failed; whoever comes next tries again.
    pub(crate) fn abandon_assign(&mut self, job: &AssignJob) {
        if self.assigning == Some(job.epoch) {
            self.assigning = None;
        }
    }

    /// Who is to have what, by places, if `assignment` keeps the rules.
    fn check(&self, assignment: &GroupAssignment) -> Result<BTreeMap<Place, MemberId>, String> {
        let mut targets = BTreeMap::new();
        for (id, partitions) in assignment.iter() {
            let known = self.by_id.get_key_value(id).filter(|(_, member)| member.is_counted());
            let Some((id, member)) = known else { return Err(format!("there is no member {id}")) };
            for partition in partitions {
                let facts = member.topics.get(partition.topic());
                let Some(facts) = facts.filter(|facts| partition.partition() < facts.partitions) else {
                    return Err(format!("{partition} went to {id}, which cannot have it"));
                };
                let place = Place { partition: partition.clone(), topic_id: facts.id };
                if let Some(other) = targets.insert(place, Arc::clone(id)) {
                    return Err(format!("{partition} went to {other} and to {id}"));
                }
            }
        }
        Ok(targets)
    }

    /// What `id` has to do next; `None` if it is no member any more.
    pub(crate) fn sync(&mut self, id: &MemberId) -> Option<Step> {
        let member = self.by_id.get_mut(id).filter(|member| member.presence == Presence::Active)?;
        let revoked: Vec<Place> = member.held.difference(&member.target).cloned().collect();
        if !revoked.is_empty() {
            return Some(Step::Revoke(revoked));
        }
        let mut taken = Vec::new();
        if self.standalone_commits == 0 {
            let (owners, leaving) = (&self.owners, &member.leaving);
            let is_mine_or_nobodys = |place: &Place| owners.get(place).is_none_or(|owner| owner == id);
            let is_free = |place: &&Place| is_mine_or_nobodys(place) && !leaving.contains(*place);
            taken.extend(member.target.difference(&member.held).filter(is_free).cloned());
        }
        for place in &taken {
            self.owners.insert(place.clone(), Arc::clone(id));
            member.held.insert(place.clone());
        }
        let is_new_epoch = member.epoch < self.target_epoch;
        member.epoch = self.target_epoch;
        Some(if taken.is_empty() && !is_new_epoch { Step::Nothing } else { Step::Take(taken) })
    }

    /// The member has let go of `places`, and will not commit for them any more.
    pub(crate) fn release(&mut self, id: &MemberId, places: Vec<Place>) {
        let is_owned = |place: &Place| self.owners.get(place) == Some(id);
        let places: Vec<Place> = places.into_iter().filter(is_owned).collect();
        self.let_go(id, places);
    }

    fn owned_by(&self, id: &MemberId) -> Vec<Place> {
        let owned = self.owners.iter().filter(|(_, owner)| *owner == id);
        owned.map(|(place, _)| place.clone()).collect()
    }

    /// Frees places that `id` owns, or has them wait for its commits.
    fn let_go(&mut self, id: &MemberId, places: Vec<Place>) {
        if let Some(member) = self.by_id.get_mut(id) {
            places.iter().for_each(|place| {
                member.held.remove(place);
            });
            if member.commits_under_way > 0 {
                member.leaving.extend(places);
                return;
            }
        }
        self.free(&places);
    }

    /// Nobody owns `places` from now on: tells those who wait for them.
    fn free(&mut self, places: &[Place]) {
        let mut is_nobodys = false;
        for place in places {
            self.owners.remove(place);
            match self.targets.get(place) {
                Some(next) => {
                    self.news.insert(Arc::clone(next));
                }
                None if self.is_subscribed(place) => {
                    is_nobodys = true;
                    self.freed_meanwhile.extend(self.assigning.map(|_| place.clone()));
                }
                None => {}
            }
        }
        // An assignor that gives nobody what another one still holds is asked again.
        if is_nobodys && self.target_epoch == self.epoch {
            self.begin_epoch();
        }
    }

    /// A member that is gone is remembered no longer than it has to be.
    fn forget_if_done(&mut self, id: &MemberId) {
        let is_done = |member: &Member| member.presence == Presence::Gone && member.commits_under_way == 0;
        if self.by_id.get(id).is_some_and(is_done) {
            self.by_id.remove(id);
        }
    }

    fn is_subscribed(&self, place: &Place) -> bool {
        self.subscribed.get(place.partition.topic()).is_some_and(|facts| facts.id == place.topic_id)
    }

    /// Begins a commit for `places`: of a member, or, without one, of somebody who is none. It is under way until
    /// [`end_commit`](Self::end_commit), and answers whether it holds back all places until then, since those that it is
    /// for have no owner.
    ///
    /// # Errors
    /// Why it may not be.
    pub(crate) fn begin_commit<'a>(
        &mut self,
        id: Option<&MemberId>,
        places: impl IntoIterator<Item = &'a Place>,
    ) -> Result<bool, String> {
        let Some(id) = id else {
            if self.has_members() {
                return Err("it has members, and this commit comes from none of them".to_owned());
            }
            self.standalone_commits += 1;
            return Ok(true);
        };
        let mut holds_all = false;
        if !self.by_id.get(id).is_some_and(|member| member.presence == Presence::Active) {
            return Err("this consumer is no member any more; poll joins again".to_owned());
        }
        for place in places {
            let is_owner = self.owners.get(place) == Some(id);
            if !is_owner && self.is_subscribed(place) {
                return Err(format!("{} is not assigned to this member any more", place.partition));
            }
            holds_all |= !is_owner;
        }
        if let Some(member) = self.by_id.get_mut(id) {
            member.commits_under_way += 1;
        }
        self.standalone_commits += usize::from(holds_all);
        Ok(holds_all)
    }

    /// A commit was answered; `holds_all` is what its beginning answered.
    pub(crate) fn end_commit(&mut self, id: Option<&MemberId>, holds_all: bool) {
        if holds_all {
            self.standalone_commits -= 1;
            if self.standalone_commits == 0 {
                self.tell_everybody(); // grants were held back
            }
        }
        let Some(id) = id else { return };
        let Some(member) = self.by_id.get_mut(id) else { return };
        member.commits_under_way -= 1;
        if member.commits_under_way == 0 {
            let places: Vec<Place> = std::mem::take(&mut member.leaving).into_iter().collect();
            self.free(&places);
            self.forget_if_done(id);
        }
    }

    /// Whether it has members; static ones too that are expected back.
    pub(crate) fn has_members(&self) -> bool {
        self.counted().next().is_some()
    }

    /// The ids of the topics that its members want.
    pub(crate) fn subscribed_topics(&self) -> BTreeSet<TopicId> {
        self.subscribed.values().map(|facts| facts.id).collect()
    }

    /// The members that have something to do since this was last asked.
    pub(crate) fn take_news(&mut self) -> BTreeSet<MemberId> {
        std::mem::take(&mut self.news)
    }

    /// The epoch that the member has come to.
    pub(crate) fn epoch_of(&self, id: &MemberId) -> u64 {
        self.by_id.get(id).map_or(0, |member| member.epoch)
    }

    fn counted(&self) -> impl Iterator<Item = (&MemberId, &Member)> + Clone {
        self.by_id.iter().filter(|(_, member)| member.is_counted())
    }

    pub(crate) fn describe(&self) -> GroupMembers {
        let has_arrived = |member: &Member| member.epoch == self.target_epoch && member.held == member.target;
        let state = if !self.has_members() {
            GroupState::Empty
        } else if self.target_epoch < self.epoch {
            GroupState::Assigning
        } else if self.counted().all(|(_, member)| member.presence != Presence::Active || has_arrived(member)) {
            GroupState::Stable
        } else {
            GroupState::Reconciling
        };
        let mut owned: BTreeMap<&MemberId, Vec<TopicPartition>> = BTreeMap::new();
        for (place, owner) in &self.owners {
            owned.entry(owner).or_default().push(place.partition.clone());
        }
        let member = |(id, member): (&MemberId, &Member)| GroupMember {
            member_id: id.to_string(),
            instance_id: member.instance.as_ref().map(ToString::to_string),
            is_away: member.presence != Presence::Active,
            topics: member.topics.keys().map(ToString::to_string).collect(),
            assignment: owned.get(id).cloned().unwrap_or_default(),
            target: member.target.iter().map(|place| place.partition.clone()).collect(),
        };
        GroupMembers {
            state,
            epoch: self.epoch,
            assignor: self.assignor.as_ref().map(ToString::to_string),
            members: self.counted().map(member).collect(),
        }
    }
}

/// The names of the assignors that all have.
fn common_assignors<'a>(lists: impl Iterator<Item = &'a Vec<NamedAssignor>>) -> BTreeSet<&'a str> {
    let names = |list: &'a Vec<NamedAssignor>| list.iter().map(|each| &*each.name).collect::<BTreeSet<_>>();
    lists.map(names).reduce(|one, other| &one & &other).unwrap_or_default()
}

#[cfg(test)]
mod tests;
