//! Eight threads whose members join, leave, are dropped, panic and stall, over 64 partitions and topics that come and go,
//! with records flowing. `ledger` says what must hold; afterwards the group has to be balanced within two polls of each
//! member, and all records have to be processed.
//!
//! ```sh
//! OTTLA_CHAOS_SECONDS=180 cargo test --all-features --test it chaos_for_a_chosen_time -- --ignored --nocapture
//! ```

#![expect(clippy::disallowed_methods, reason = "looks at a clock, and stalls")]
#![expect(clippy::print_stdout, reason = "a long run is told about")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ottla::{Admin, Engine, EngineConfig, Error, GroupState, NewTopic, Producer, ProducerRecord, TopicPartition};

use super::ledger::{Ledger, Place, Tally};
use super::worker::{Fate, Terms, Worker, value};
use crate::chance::Chance;

const MEMBERS: u64 = 8;
const TOPICS: [(&str, u32); 4] = [("t-a", 24), ("t-b", 20), ("t-c", 12), ("t-d", 8)];
const LATE_PARTITIONS: u32 = 6;
const ASSIGNORS: [&str; 4] = ["range", "roundrobin", "sticky", "cooperative-sticky"];
const MAX_POLL_INTERVAL: Duration = Duration::from_millis(150);
const SESSION_TIMEOUT: Duration = Duration::from_millis(100);

#[test]
fn threads_that_come_and_go_skip_nothing_and_share_nothing() {
    let mut total = Tally::default();
    for seed in 0..2 {
        total.add(&episode(seed, Duration::from_millis(600)));
    }
    println!("{total}");
}

#[test]
#[ignore = "takes as long as it is told to: OTTLA_CHAOS_SECONDS=180 cargo test --all-features --test it chaos_for_a_chosen_time -- --ignored --nocapture"]
fn chaos_for_a_chosen_time() {
    let seconds = std::env::var("OTTLA_CHAOS_SECONDS").ok().and_then(|text| text.parse().ok());
    let (begun, mut total, mut episodes) = (Instant::now(), Tally::default(), 0);
    while begun.elapsed() < Duration::from_secs(seconds.unwrap_or(60)) {
        total.add(&episode(1000 + episodes, Duration::from_secs(5)));
        episodes += 1;
    }
    println!("{total}\n{episodes} episodes in {:.1} s", begun.elapsed().as_secs_f64());
}

/// What the threads of an episode share.
struct Episode {
    engine: Engine,
    ledger: Arc<Ledger>,
    fate: Fate,
    is_over: AtomicBool,
    last_number: AtomicU64,
}

/// So much time with an engine of its own.
fn episode(seed: u64, time: Duration) -> Tally {
    let config = EngineConfig::builder().auto_create_topics(false).build().unwrap();
    let home = tempfile::tempdir().unwrap();
    let engine = Engine::builder().config(config).open(home.path()).unwrap();
    let begun = Instant::now();
    let episode = Episode {
        ledger: Arc::new(Ledger::new(Arc::new(move || begun.elapsed()), MAX_POLL_INTERVAL)),
        engine,
        fate: Fate::default(),
        is_over: AtomicBool::new(false),
        last_number: AtomicU64::new(0),
    };
    let mut sent = BTreeMap::new();
    for (name, partitions) in TOPICS {
        let topic = Admin::new(&episode.engine).create_topic(NewTopic::new(name).partitions(partitions)).unwrap();
        sent.extend((0..partitions).map(|number| (TopicPartition::new(name, number), ((topic.id, number), 0))));
    }
    let mut workers: Vec<Worker> = thread::scope(|scope| {
        let episode = &episode;
        let members: Vec<_> = (0..MEMBERS)
            .map(|place| scope.spawn(move || episode.live(place, Chance::new(seed << 8 | place))))
            .collect();
        scope.spawn(move || episode.create_and_delete());
        scope.spawn(|| episode.produce(&mut sent, Chance::new(seed << 8 | 0xff)));
        while begun.elapsed() < time {
            thread::sleep(Duration::from_millis(20));
            episode.look_at_commits();
        }
        episode.is_over.store(true, Ordering::SeqCst);
        members.into_iter().map(|member| member.join().unwrap()).collect()
    });
    episode.settle(&mut workers);
    episode.read_the_rest(&mut workers, &sent);
    workers.into_iter().for_each(|worker| worker.leave(false));
    episode.ledger.tally()
}

impl Episode {
    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::SeqCst)
    }

    /// A life as one member after the other; the last one stays.
    fn live(&self, place: u64, mut chance: Chance) -> Worker {
        while !self.is_over() {
            let instance = (chance.below(3) == 0).then(|| format!("static-{place}"));
            let mut worker = self.worker(&mut chance, instance, MAX_POLL_INTERVAL);
            let topics: &[&str] = if chance.below(4) == 0 { &["t-a", "t-d"] } else { &["t-a", "t-b", "t-c", "t-d"] };
            if chance.below(2) == 0 {
                worker.subscribe(&self.engine, topics).unwrap();
            } else {
                worker.subscribe_pattern(&self.engine, "t-.*").unwrap();
            }
            self.work(&mut worker, &mut chance);
            match chance.below(6) {
                0 => worker.panic(),
                1 => worker.leave(true),
                _ => worker.leave(false),
            }
        }
        let mut last = self.worker(&mut chance, None, Duration::from_secs(300));
        last.subscribe_pattern(&self.engine, "t-.*").unwrap();
        last
    }

    fn worker(&self, chance: &mut Chance, instance: Option<String>, max_poll_interval: Duration) -> Worker {
        let mut assignors = ASSIGNORS;
        assignors.rotate_left(chance.index(4));
        let terms = Terms {
            number: self.last_number.fetch_add(1, Ordering::SeqCst),
            instance,
            assignors: assignors.join(","),
            is_manual: chance.below(2) == 0,
            max_poll_interval,
            session_timeout: SESSION_TIMEOUT,
        };
        Worker::new(&self.engine, &self.ledger, &self.fate, terms)
    }

    /// Some polls, and what is done between them.
    fn work(&self, worker: &mut Worker, chance: &mut Chance) {
        for _ in 0..chance.below(60) {
            let left = chance.index(4);
            match worker.poll(Duration::from_millis(chance.below(8)), left) {
                Ok(_) => {}
                Err(Error::RebalanceListener { .. }) => continue,
                Err(error) => panic!("{error}"),
            }
            match chance.below(60) {
                0 => thread::sleep(MAX_POLL_INTERVAL * 3 / 2),
                1 => thread::sleep(MAX_POLL_INTERVAL - Duration::from_millis(10)),
                2 => self.fate.listener_fails.store(true, Ordering::SeqCst),
                3 => worker.consumer.enforce_rebalance().unwrap(),
                4 if worker.terms.is_manual => drop(worker.seek_back()),
                5 => worker.subscribe_pattern(&self.engine, "t-[bc]").unwrap(),
                6..20 if worker.terms.is_manual => worker.commit(true),
                20..40 if worker.terms.is_manual => worker.commit(false),
                _ => {}
            }
        }
    }

    fn create_and_delete(&self) {
        let admin = Admin::new(&self.engine);
        for number in 0.. {
            let name = format!("t-late-{number}");
            admin.create_topic(NewTopic::new(name.as_str()).partitions(LATE_PARTITIONS)).unwrap();
            let producer = Producer::<str, str>::new(&self.engine).unwrap();
            for partition in 0..LATE_PARTITIONS {
                let partition = TopicPartition::new(name.as_str(), partition);
                let record = ProducerRecord::to(partition.topic()).partition(partition.partition());
                drop(producer.send(record.value(value(&partition, 0).as_str())).unwrap());
            }
            producer.close().unwrap();
            thread::sleep(Duration::from_millis(60));
            admin.delete_topic(&name).unwrap();
            if self.is_over() {
                return;
            }
        }
    }

    fn produce(&self, sent: &mut BTreeMap<TopicPartition, (Place, i64)>, mut chance: Chance) {
        let producer = Producer::<str, str>::new(&self.engine).unwrap();
        let partitions: Vec<TopicPartition> = sent.keys().cloned().collect();
        while !self.is_over() {
            for _ in 0..30 {
                let partition = chance.pick(&partitions);
                let count = &mut sent.get_mut(partition).unwrap().1;
                let record = ProducerRecord::to(partition.topic()).partition(partition.partition());
                drop(producer.send(record.value(value(partition, *count).as_str())).unwrap());
                *count += 1;
            }
            thread::sleep(Duration::from_millis(3));
        }
        producer.close().unwrap();
    }

    fn look_at_commits(&self) {
        let admin = Admin::new(&self.engine);
        let watch = super::TextConsumer::new(&self.engine, "workers").unwrap();
        for (name, partitions) in TOPICS {
            let id = admin.describe_topic(name).unwrap().id;
            for number in 0..partitions {
                let committed = || {
                    let committed = watch.committed(&(name, number).into()).unwrap();
                    committed.map_or(0, |committed| committed.offset.0)
                };
                self.ledger.observe((id, number), committed);
            }
        }
    }

    /// Two polls of each member, once all have joined and static members that are away are not waited for any more.
    fn settle(&self, workers: &mut [Worker]) {
        let admin = Admin::new(&self.engine);
        let poll_all = |workers: &mut [Worker]| {
            for worker in workers {
                worker.poll(Duration::ZERO, 0).unwrap();
            }
        };
        self.fate.listener_fails.store(false, Ordering::SeqCst);
        poll_all(workers);
        while admin.group_members("workers").unwrap().members.len() > workers.len() {
            thread::sleep(Duration::from_millis(5));
        }
        poll_all(workers);
        poll_all(workers);
        let group = admin.group_members("workers").unwrap();
        assert_eq!(group.state, GroupState::Stable, "{group:?}");
        let owned: Vec<usize> = group.members.iter().map(|member| member.assignment.len()).collect();
        assert_eq!(owned.iter().sum::<usize>(), 64, "{group:?}");
        for worker in workers {
            let held = worker.consumer.assignment().len();
            assert_eq!(held, self.ledger.owned_by(worker.terms.number));
            let spread = if group.assignor.as_deref() == Some("range") { TOPICS.len() } else { 1 };
            assert!((8 - spread..=8 + spread).contains(&held), "{group:?}");
        }
        self.ledger.count(|tally| tally.quiet += 1);
    }

    fn read_the_rest(&self, workers: &mut [Worker], sent: &BTreeMap<TopicPartition, (Place, i64)>) {
        let is_done = || sent.values().all(|(place, sent)| self.ledger.is_done(*place, *sent));
        for _ in 0..10_000 {
            if is_done() {
                break;
            }
            for worker in &mut *workers {
                worker.poll(Duration::ZERO, 0).unwrap();
            }
        }
        assert!(is_done(), "some records are handed to nobody");
        self.look_at_commits();
    }
}
