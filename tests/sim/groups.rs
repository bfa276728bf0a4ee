//! A group through everything that can happen to one: eight members over 64 partitions and a topic that comes and goes,
//! with records flowing.
//!
//! Members join, leave, are dropped, panic, stall and come back, static ones in time or too late; they commit by
//! themselves, waiting or not, seek back, and subscribe to something else; their listeners fail; the machine goes down.
//! The ledger (`tests/it/groups/ledger.rs`) says what must hold at any time. Now and then nothing happens but polls: after
//! two of each member the group has to be balanced.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ottla::{
    Admin, Consumer, ConsumerConfig, Engine, EngineConfig, Error, GroupMembers, GroupState, MemoryDisk, NewTopic,
    Producer, ProducerRecord, Result, TopicPartition,
};

use super::chance::Chance;
use super::ledger::{Clock, Ledger, Place, Tally};
use super::worker::{Fate, Terms, TextConsumer, Worker, value};

const MEMBERS: usize = 8;
const TOPICS: [(&str, u32); 4] = [("t-a", 24), ("t-b", 20), ("t-c", 12), ("t-d", 8)];
const LATE: (&str, u32) = ("t-late", 6);
/// A topic in which nothing happens.
const STILL: &str = "still";
const ASSIGNORS: [&str; 4] = ["range", "roundrobin", "sticky", "cooperative-sticky"];
const MAX_POLL_INTERVAL: Duration = Duration::from_secs(60);
const SESSION_TIMEOUT: Duration = Duration::from_secs(45);
const STEPS: u64 = 250;

#[test]
fn groups_keep_every_promise_whatever_their_members_do() {
    let mut total = Tally::default();
    for seed in 0..30 {
        total.add(&run(seed).0);
    }
    println!("{total}");
    let Tally { again, lost, from_stalled, refused_commits, panics, .. } = total;
    assert!([again, lost, from_stalled, refused_commits, panics].iter().all(|count| *count > 0), "{total}");
}

#[test]
fn one_seed_is_one_run_of_a_group() {
    assert_eq!(run(3).1, run(3).1);
}

#[test]
#[ignore = "takes as long as it is told to: OTTLA_SIM_SECONDS=600 cargo test --release --all-features --test sim groups_for_a_chosen_time -- --ignored --nocapture"]
#[expect(clippy::disallowed_methods, reason = "looks at a clock, to know when to end")]
fn groups_for_a_chosen_time() {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    if let Some(seed) = number("OTTLA_SIM_SEED") {
        println!("{}", run(seed).0);
        return;
    }
    let time = Duration::from_secs(number("OTTLA_SIM_SECONDS").unwrap_or(60));
    let now = || u64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos()).unwrap_or(0) >> 10;
    let first = number("OTTLA_SIM_FROM").unwrap_or_else(now);
    let (begun, mut total, mut seeds, mut failed) = (Instant::now(), Tally::default(), 0, Vec::new());
    while begun.elapsed() < time {
        match catch_unwind(|| run(first + seeds)) {
            Ok((tally, _)) => total.add(&tally),
            Err(_) => failed.push(first + seeds),
        }
        seeds += 1;
    }
    println!("{total}");
    println!("{seeds} seeds from {first} in {:.1} s; violations in {failed:?}", begun.elapsed().as_secs_f64());
    assert_eq!(failed, [0; 0]);
}

/// One run, and its trace; all of it follows from `seed`.
fn run(seed: u64) -> (Tally, u64) {
    let disk = MemoryDisk::simulated(seed);
    let ended = catch_unwind(AssertUnwindSafe(|| {
        let mut group = Group::begin(&disk, Chance::new(seed ^ 0x6705));
        for _ in 0..STEPS {
            group.act();
        }
        group.end()
    }));
    let tally = ended.unwrap_or_else(|_| panic!("seed {seed}"));
    (tally, disk.trace())
}

/// A place for a member, and when it is looked at again.
#[derive(Default)]
struct Slot {
    worker: Option<Worker>,
    stalls_until: Duration,
}

/// An open engine, and what is at work there.
struct App {
    engine: Engine,
    admin: Admin,
    producer: Producer<str, str>,
    /// Lets time pass: reads what nobody writes.
    idle: TextConsumer,
}

impl App {
    fn open(disk: &MemoryDisk) -> Self {
        let config = EngineConfig::builder().auto_create_topics(false).build().unwrap();
        let engine = Engine::builder().config(config).open_memory(disk).unwrap();
        let admin = Admin::new(&engine);
        if admin.describe_topic(STILL).is_err() {
            admin.create_topic(NewTopic::new(STILL)).unwrap();
        }
        let producer = Producer::new(&engine).unwrap();
        let mut idle = Consumer::with_config(&engine, ConsumerConfig::default()).unwrap();
        idle.assign([(STILL, 0).into()]).unwrap();
        Self { engine, admin, producer, idle }
    }

    /// Knows the time since now: it polls now, and never again.
    fn watch(&self) -> TextConsumer {
        let mut watch = TextConsumer::with_config(&self.engine, ConsumerConfig::default()).unwrap();
        watch.assign([(STILL, 0).into()]).unwrap();
        watch.poll(Duration::ZERO).unwrap();
        watch
    }
}

/// The time of an engine's clock since `watch` has polled.
fn time_of(watch: &Mutex<TextConsumer>) -> Duration {
    let metrics = watch.lock().unwrap().metrics();
    let ago = metrics.iter().find(|metric| metric.name == "last-poll-seconds-ago").unwrap();
    Duration::from_secs_f64(ago.value)
}

struct Group {
    disk: MemoryDisk,
    chance: Chance,
    app: App,
    watch: Arc<Mutex<TextConsumer>>,
    ledger: Arc<Ledger>,
    fate: Fate,
    slots: [Slot; MEMBERS],
    last_number: u64,
    /// How many records each partition has, by name.
    sent: BTreeMap<TopicPartition, (Place, i64)>,
}

impl Group {
    fn begin(disk: &MemoryDisk, chance: Chance) -> Self {
        let app = App::open(disk);
        let watch = Arc::new(Mutex::new(app.watch()));
        let clock: Clock = Arc::new({
            let watch = Arc::clone(&watch);
            move || time_of(&watch)
        });
        let mut group = Self {
            disk: disk.clone(),
            chance,
            ledger: Arc::new(Ledger::new(clock, MAX_POLL_INTERVAL)),
            app,
            watch,
            fate: Fate::default(),
            slots: Default::default(),
            last_number: 0,
            sent: BTreeMap::new(),
        };
        TOPICS.iter().for_each(|topic| group.create(*topic));
        group
    }

    fn create(&mut self, (name, partitions): (&str, u32)) {
        let topic = self.app.admin.create_topic(NewTopic::new(name).partitions(partitions)).unwrap();
        let places = (0..partitions).map(|number| ((name, number).into(), ((topic.id, number), 0)));
        self.sent.extend(places);
    }

    fn delete(&mut self, name: &str) {
        self.app.admin.delete_topic(name).unwrap();
        self.sent.retain(|partition, _| partition.topic() != name);
    }

    fn act(&mut self) {
        let at = self.chance.index(MEMBERS);
        match self.chance.below(64) {
            0..24 => self.poll(at),
            24..34 => self.produce(),
            34..40 => self.join(at),
            40..42 => self.let_time_pass(),
            42 | 43 => self.leave(at),
            44 => self.panic(at),
            45 | 46 => self.stall(at),
            47..52 => self.commit(at),
            52 => self.seek_back(at),
            53 | 54 => self.subscribe(at),
            55 => self.listener_fails(at),
            56 => self.enforce(at),
            57 | 58 => self.topic_comes_or_goes(),
            59 if self.chance.one_in(3) => self.goes_down(),
            60 => self.quiet(),
            _ => self.look_at_commits(),
        }
    }

    /// The worker at `at`, if there is one that does not stall.
    fn worker(&mut self, at: usize) -> Option<&mut Worker> {
        let now = time_of(&self.watch);
        let slot = &mut self.slots[at];
        slot.worker.as_mut().filter(|_| now >= slot.stalls_until)
    }

    fn poll(&mut self, at: usize) {
        let timeout = Duration::from_millis(self.chance.below(3) * 10);
        if let Some(worker) = self.worker(at) {
            let polled = worker.poll(timeout, 0);
            assert!(polled.is_ok() || is_listeners(&polled), "{polled:?}");
        }
    }

    fn produce(&mut self) {
        let partitions: Vec<TopicPartition> = self.sent.keys().cloned().collect();
        for _ in 0..1 + self.chance.below(40) {
            let partition = self.chance.pick(&partitions).clone();
            let count = &mut self.sent.get_mut(&partition).unwrap().1;
            let record = ProducerRecord::to(partition.topic()).partition(partition.partition());
            drop(self.app.producer.send(record.value(value(&partition, *count).as_str())).unwrap());
            *count += 1;
        }
        self.app.producer.flush().unwrap();
    }

    fn join(&mut self, at: usize) {
        if self.slots[at].worker.is_some() {
            return;
        }
        self.last_number += 1;
        let instance = self.chance.one_in(3).then(|| format!("static-{at}"));
        let mut assignors = ASSIGNORS;
        assignors.rotate_left(self.chance.index(4));
        let terms = Terms {
            number: self.last_number,
            instance,
            assignors: assignors.join(","),
            is_manual: self.chance.one_in(2),
            max_poll_interval: MAX_POLL_INTERVAL,
            session_timeout: SESSION_TIMEOUT,
        };
        let worker = Worker::new(&self.app.engine, &self.ledger, &self.fate, terms);
        self.slots[at] = Slot { worker: Some(worker), stalls_until: Duration::ZERO };
        self.subscribe(at);
        self.poll(at);
    }

    fn subscribe(&mut self, at: usize) {
        let choice = self.chance.below(6);
        let engine = self.app.engine.clone();
        let Some(worker) = self.worker(at) else { return };
        let subscribed = match choice {
            0 => worker.subscribe(&engine, &["t-a", "t-d"]),
            1 => worker.subscribe(&engine, &["t-a", "t-b", "t-c", "t-d"]),
            2 => worker.subscribe_pattern(&engine, "t-[bc]"),
            _ => worker.subscribe_pattern(&engine, "t-.*"),
        };
        subscribed.unwrap();
    }

    fn leave(&mut self, at: usize) {
        let is_dropped = self.chance.one_in(3);
        if self.worker(at).is_some() {
            let worker = self.slots[at].worker.take().unwrap();
            worker.leave(is_dropped);
        }
    }

    fn panic(&mut self, at: usize) {
        if let Some(worker) = self.worker(at) {
            let polled = worker.poll(Duration::ZERO, 10);
            assert!(polled.is_ok() || is_listeners(&polled), "{polled:?}");
            self.slots[at].worker.take().unwrap().panic();
        }
    }

    /// It works on what it has polled for so long that it is expelled, or nearly.
    fn stall(&mut self, at: usize) {
        let until = time_of(&self.watch) + Duration::from_secs(30 + self.chance.below(120));
        if let Some(worker) = self.worker(at) {
            let polled = worker.poll(Duration::ZERO, 10);
            assert!(polled.is_ok() || is_listeners(&polled), "{polled:?}");
            self.slots[at].stalls_until = until;
        }
    }

    fn let_time_pass(&mut self) {
        let time = Duration::from_secs(1 + self.chance.below(30));
        assert!(self.app.idle.poll(time).unwrap().is_empty());
    }

    fn commit(&mut self, at: usize) {
        let waits = self.chance.one_in(2);
        if let Some(worker) = self.worker(at) {
            worker.commit(waits);
        }
    }

    fn seek_back(&mut self, at: usize) {
        if let Some(worker) = self.worker(at) {
            worker.seek_back().unwrap();
        }
    }

    fn listener_fails(&mut self, at: usize) {
        self.fate.listener_fails.store(true, Ordering::SeqCst);
        self.poll(at);
        self.fate.listener_fails.store(false, Ordering::SeqCst);
    }

    fn enforce(&mut self, at: usize) {
        if let Some(worker) = self.worker(at) {
            worker.consumer.enforce_rebalance().unwrap();
        }
    }

    fn topic_comes_or_goes(&mut self) {
        if self.sent.contains_key(&(LATE.0, 0).into()) {
            self.delete(LATE.0);
        } else {
            self.create(LATE);
        }
    }

    /// The machine goes down, and comes back with what was on its disk.
    fn goes_down(&mut self) {
        self.fate.is_down.store(true, Ordering::SeqCst);
        if self.chance.one_in(2) {
            self.disk.kill();
        } else {
            self.disk.power_cut_keeping(self.chance.next());
        }
        for slot in &mut self.slots {
            if let Some(worker) = slot.worker.take() {
                let number = worker.terms.number;
                drop(worker);
                self.ledger.dies(number);
            }
            slot.stalls_until = Duration::ZERO;
        }
        self.app = App::open(&self.disk);
        *self.watch.lock().unwrap() = self.app.watch();
        self.fate.is_down.store(false, Ordering::SeqCst);
        self.look_at_commits();
    }

    fn look_at_commits(&mut self) {
        let group = match self.app.admin.describe_group("workers") {
            Err(Error::GroupIdNotFound { .. }) => return,
            described => described.unwrap(),
        };
        for row in group.partitions {
            let Some((place, _)) = self.sent.get(&row.partition) else { continue };
            self.ledger.observe(*place, || row.committed.map_or(0, |offset| offset.0));
        }
    }

    /// Nothing happens but polls. The first one of each member tells it what has happened before, and it the others.
    fn quiet(&mut self) {
        self.app.idle.poll(Duration::from_millis(1)).unwrap(); // commits are answered
        (0..3).for_each(|_| self.poll_all());
        self.is_balanced();
    }

    fn poll_all(&mut self) {
        for slot in &mut self.slots {
            slot.stalls_until = Duration::ZERO;
            if let Some(worker) = &mut slot.worker {
                let polled = worker.poll(Duration::ZERO, 0);
                assert!(polled.is_ok(), "{polled:?}");
            }
        }
    }

    fn is_balanced(&self) {
        let group = self.app.admin.group_members("workers");
        let Ok(group) = group else { return }; // nobody has been there
        if self.slots.iter().all(|slot| slot.worker.is_none()) {
            return;
        }
        assert_eq!(group.state, GroupState::Stable, "{group:?}");
        let mut dealt: Vec<&TopicPartition> = group.members.iter().flat_map(|member| &member.target).collect();
        dealt.sort();
        let is_wanted = |partition: &&TopicPartition| {
            group.members.iter().any(|member| member.topics.iter().any(|topic| topic == partition.topic()))
        };
        assert_eq!(dealt, self.sent.keys().filter(is_wanted).collect::<Vec<_>>());
        for slot in &self.slots {
            let Some(worker) = &slot.worker else { continue };
            let id = worker.consumer.group_metadata().unwrap().member_id.unwrap();
            let member = group.members.iter().find(|member| member.member_id == id).unwrap();
            assert_eq!(member.assignment, member.target, "{id}");
            assert_eq!(worker.consumer.assignment(), member.target, "{id}");
            assert_eq!(self.ledger.owned_by(worker.terms.number), member.target.len(), "{id}");
        }
        if want_the_same(&group) && group.assignor.as_deref() != Some("range") {
            let counts = || group.members.iter().map(|member| member.target.len());
            assert!(counts().max() <= counts().min().map(|least| least + 1), "{group:?}");
        }
        self.ledger.count(|tally| tally.quiet += 1);
    }

    /// Everybody goes on until all is read.
    fn end(mut self) -> Tally {
        self.quiet();
        for at in 0..MEMBERS {
            self.join(at);
            if let Some(worker) = &mut self.slots[at].worker {
                worker.subscribe_pattern(&self.app.engine, "t-.*").unwrap();
            }
        }
        self.quiet();
        let mut rounds = 0;
        while !self.sent.values().all(|(place, sent)| self.ledger.is_done(*place, *sent)) {
            (0..MEMBERS).for_each(|at| self.poll(at));
            self.app.idle.poll(Duration::from_secs(1)).unwrap();
            rounds += 1;
            assert!(rounds < 500, "some records are handed to nobody");
        }
        self.look_at_commits();
        for slot in &mut self.slots {
            slot.worker.take().unwrap().leave(false);
        }
        self.look_at_commits();
        self.ledger.tally()
    }
}

fn want_the_same(group: &GroupMembers) -> bool {
    group.members.windows(2).all(|pair| pair[0].topics == pair[1].topics)
}

fn is_listeners<T>(outcome: &Result<T>) -> bool {
    matches!(outcome, Err(Error::RebalanceListener { .. }))
}
