//! A run: lives of an engine, what somebody does with it, and what is looked at between them.

use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use ottla::sim::Faults;
use ottla::{Acks, Compression, Consumer, ConsumerConfig, Error, MemoryDisk, Result, TopicPartition};

use super::app::{App, GROUPS};
use super::chance::Chance;
use super::model::{Model, Place};
use super::phases::{Doing, Phases};
use super::rot::Rot;
use super::weather::{Weather, crash};

/// How often an engine lives in one run.
const LIVES: u64 = 8;
/// Name, partitions, and the bytes of a segment. Always as many partitions, since a creation may be in doubt when it is
/// tried again.
const TOPICS: [(&str, u32, u32); 3] = [("orders", 1, 280), ("audit", 2, 1500), ("returns", 3, 20_000)];
const ACKS: [Acks; 3] = [Acks::Zero, Acks::One, Acks::All];
const CODECS: [Compression; 5] =
    [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];

/// What happened in a run.
#[derive(Debug, Default)]
pub(crate) struct Run {
    pub(crate) crashes: u64,
    operations: u64,
    records: u64,
    /// Operations that went wrong and were told to the application.
    errors: u64,
    /// Batches in which a bit was wrong at rest: left where they were, and cut off.
    damaged: u64,
    cut: u64,
    phases: Phases,
    pub(crate) trace: u64,
}

impl Run {
    pub(crate) fn add(&mut self, other: &Self) {
        self.crashes += other.crashes;
        self.operations += other.operations;
        self.records += other.records;
        self.errors += other.errors;
        self.damaged += other.damaged;
        self.cut += other.cut;
        self.phases.add(&other.phases);
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { crashes, operations, records, errors, damaged, cut, phases, trace } = self;
        write!(f, "{phases}{crashes} crashes, {operations} operations, {records} records, {errors} errors; ")?;
        write!(f, "flipped bits: {damaged} named, {cut} cut off; trace {trace:016x}")
    }
}

/// One run; all of it follows from `seed`.
pub(crate) fn run(seed: u64) -> Run {
    let context = format!("seed {seed}");
    let mut model = Model::new(&context);
    let mut world = World {
        disk: MemoryDisk::simulated(seed),
        chance: Chance::new(seed),
        run: Run::default(),
        doing: Doing::Opening,
        is_rotten: false,
    };
    let ended = catch_unwind(AssertUnwindSafe(|| {
        world.disk.set_journaled(world.chance.one_in(4));
        for life in 0..LIVES {
            model.context = format!("{context}, life {life}");
            world.live(&mut model);
            world.goes_down(&mut model);
            world.look(&mut model);
        }
    }));
    assert!(ended.is_ok(), "{}", model.context);
    Run { operations: world.disk.operations(), trace: world.disk.trace(), records: model.count(), ..world.run }
}

struct World {
    disk: MemoryDisk,
    chance: Chance,
    run: Run,
    doing: Doing,
    /// Whether a bit has been wrong at rest.
    is_rotten: bool,
}

impl World {
    /// An engine's life in some weather: some sessions, until the power fails or somebody has had enough.
    fn live(&mut self, model: &mut Model) {
        let weather = Weather::pick(&mut self.chance);
        weather.set(&self.disk, &mut self.chance);
        eprintln!("{}: {weather:?}", model.context);
        if !self.chance.one_in(4) {
            self.disk.fail_from(self.disk.steps() + self.chance.below(120));
        }
        for _ in 0..=self.chance.below(3) {
            self.doing = Doing::Opening;
            let codec = *self.chance.pick(&CODECS);
            let context = model.context.clone();
            let opened = App::open_with(&self.disk, model, codec);
            if let Err(error) = &opened {
                self.check_error(weather, error, &context);
            }
            let Ok(app) = opened else { return };
            if !self.session(app, weather) || !self.disk.has_power() {
                return;
            }
        }
    }

    /// What somebody does with an open engine; answers whether it was closed.
    fn session(&mut self, mut app: App<'_>, weather: Weather) -> bool {
        app.findings().iter().for_each(|finding| eprintln!("{finding}"));
        let (mut left, mut follower) = (5 + self.chance.below(40), None);
        let mut is_offline = false; // then it lists what may be otherwise on the disk
        while left > 0 && self.disk.has_power() {
            left -= 1;
            self.doing = Doing::Using;
            if let Err(error) = self.act(&mut app, &mut follower, weather) {
                self.check_error(weather, &error, &app.model.context);
                follower = None;
                if matches!(error, Error::Storage { .. }) {
                    is_offline = true;
                    if self.chance.one_in(3) {
                        break; // it will not get better
                    }
                } else if !is_offline {
                    let _ = app.check_topics(); // what became of one that was being created or deleted
                }
            }
        }
        if weather == Weather::RevertingSync {
            app.model.written.clear(); // the system has dropped what the page cache had
        }
        if weather.loses_writes() {
            app.model.doubts_unanswered();
        }
        if !self.disk.has_power() || self.chance.one_in(2) {
            return false;
        }
        self.doing = Doing::Closing;
        app.close().is_ok() // then the model holds the disk to it
    }

    fn check_error(&mut self, weather: Weather, error: &Error, context: &str) {
        self.run.errors += 1;
        eprintln!("{context}: {error}"); // shown with a test that fails
        let is_expected = weather.explains(error) || !self.disk.has_power();
        assert!(is_expected, "{context}: {weather:?} does not explain {error}");
    }

    /// What somebody does with an engine.
    fn act(&mut self, app: &mut App<'_>, follower: &mut Option<Consumer<str, str>>, weather: Weather) -> Result<()> {
        let Self { disk, chance, .. } = self;
        let partitions = app.partitions();
        if partitions.is_empty() || chance.one_in(30) {
            *follower = None; // names may come to mean other topics
            let taken: Vec<&str> = app.model.topics().iter().map(|(name, _, _)| *name).collect();
            let free: Vec<_> = TOPICS.into_iter().filter(|(name, ..)| !taken.contains(name)).collect();
            return match free.get(chance.index(free.len())) {
                Some((name, partitions, segment_bytes)) => {
                    self.doing = Doing::Creating;
                    app.create_with(name, *partitions, *segment_bytes)
                }
                None => {
                    self.doing = Doing::Deleting;
                    app.delete(TOPICS[chance.index(TOPICS.len())].0)
                }
            };
        }
        let (partition, _) = &partitions[chance.index(partitions.len())];
        let (topic, _, segment_bytes) = TOPICS.into_iter().find(|(name, ..)| *name == partition.topic()).unwrap();
        let (acks, number) = (ACKS[chance.index(3)], partition.partition());
        match chance.below(15) {
            0..4 => app.send_padded(acks, topic, number, &pad(chance, segment_bytes)),
            4..7 => {
                app.send_padded(acks, topic, number, &pad(chance, segment_bytes))?;
                app.wait()
            }
            7 => app.flush(acks),
            8 | 9 => app.consume(GROUPS[chance.index(2)], &BTreeMap::new()),
            10 => app.poll_without_commit(GROUPS[chance.index(2)]),
            11 | 12 => app.follow(follower),
            13 => app.let_time_pass(),
            _ => {
                weather.change(disk, chance);
                let far = if chance.one_in(4) { 2_000_000_000_000 } else { 100_000 };
                let by = Duration::from_millis(chance.below(far));
                if chance.one_in(2) {
                    disk.set_clock_back(by)
                } else {
                    disk.set_clock_forward(by)
                }
                Ok(())
            }
        }
    }

    /// The machine goes down.
    fn goes_down(&mut self, model: &mut Model) {
        self.run.crashes += 1;
        if !self.disk.has_power() {
            self.run.phases.count(&self.disk, self.doing);
            eprintln!("the power failed: {:?} at {:?}", self.doing, self.disk.power_failed_at());
        }
        let crash = crash(&self.disk, &mut self.chance, self.is_rotten);
        model.crashed(crash);
        self.disk.set_capacity(None);
        self.disk.set_faults(Faults::none());
    }

    /// Looks at what a crash has left, in good weather, and lets the machine go down once more.
    fn look(&mut self, model: &mut Model) {
        while self.chance.one_in(3) {
            // Down again, in the middle of opening.
            self.disk.fail_from(self.disk.steps() + self.chance.below(60));
            self.doing = Doing::Opening;
            drop(App::open(&self.disk, model));
            self.goes_down(model);
        }
        if self.chance.one_in(3) {
            self.meet_rot(model);
        }
        let mut app = App::open(&self.disk, model).unwrap_or_else(|error| panic!("it does not open: {error}"));
        app.findings().iter().for_each(|finding| eprintln!("{finding}"));
        let contents = app.check_all().unwrap();
        contents.iter().for_each(|(place, contents)| app.model.is_settled(*place, contents));
        for group in GROUPS.into_iter().filter(|_| !contents.is_empty()) {
            app.consume(group, &contents).unwrap();
        }
        app.settle();
        self.goes_down(app.model);
        drop(app);
    }

    /// A bit of a batch is wrong when the engine is opened, and right again later.
    fn meet_rot(&mut self, model: &mut Model) {
        let Some(rot) = Rot::begin(&self.disk, &mut self.chance, model) else { return };
        self.is_rotten = true;
        for _ in 0..=self.chance.below(2) {
            let mut app = App::open(&self.disk, model).unwrap_or_else(|error| panic!("{rot:?}: {error}"));
            let is_there = rot.check(&mut app);
            if is_there {
                self.run.damaged += 1;
            } else {
                self.run.cut += 1;
            }
            app.settle();
            self.goes_down(app.model);
            drop(app);
            if !is_there {
                return;
            }
        }
        rot.end(&self.disk);
    }
}

/// The end of a value: up to a third of a segment, of letters that compress somewhat.
fn pad(chance: &mut Chance, segment_bytes: u32) -> String {
    let len = chance.index(segment_bytes as usize / 3) / if chance.one_in(3) { 1 } else { 8 };
    let len = if segment_bytes < 1000 { len.min(20) } else { len };
    let letters = (0..len).map(|_| char::from(b'a' + chance.byte() % 8));
    std::iter::once('-').chain(letters).collect()
}

impl App<'_> {
    /// A consumer that has polled everything that there is for a group, with `note` told of each record.
    pub(crate) fn poll_for(
        &mut self,
        group: &'static str,
        note: impl Fn(&mut Model, Place, i64, &str),
    ) -> Result<(Consumer<str, str>, BTreeMap<TopicPartition, Place>)> {
        let places: BTreeMap<_, Place> = self.partitions().into_iter().collect();
        let config = ConsumerConfig::builder().group_id(Some(group.to_owned())).enable_auto_commit(false).build()?;
        let mut consumer = Consumer::<str, str>::with_config(&self.engine, config)?;
        consumer.assign(places.keys().cloned())?;
        for record in &consumer.poll(Duration::ZERO)? {
            let value = record.value()?.expect("all have one");
            note(self.model, places[record.topic_partition()], record.offset().0, value);
        }
        Ok((consumer, places))
    }

    /// Polls everything that there is for a group, and goes away.
    fn poll_without_commit(&mut self, group: &'static str) -> Result<()> {
        self.poll_for(group, Model::saw).map(drop)
    }

    /// Somebody reads on and on, without a group: begins, or goes on.
    fn follow(&mut self, follower: &mut Option<Consumer<str, str>>) -> Result<()> {
        let places: BTreeMap<_, Place> = self.partitions().into_iter().collect();
        let consumer = match follower {
            Some(consumer) => consumer,
            None => {
                let mut consumer = Consumer::<str, str>::with_config(&self.engine, ConsumerConfig::default())?;
                consumer.assign(places.keys().cloned())?;
                follower.insert(consumer)
            }
        };
        for record in &consumer.poll(Duration::ZERO)? {
            let value = record.value()?.expect("all have one");
            self.model.saw(places[record.topic_partition()], record.offset().0, value);
        }
        Ok(())
    }
}
