//! Seeded simulation: an application that does whatever its users do, on a disk that fails however disks do, through
//! one crash after the other; after each of them what is there is held against what had been promised.
//!
//! One seed is one run, to the last operation of the disk. A test runs a fixed few; for more, for a chosen time:
//!
//! ```sh
//! OTTLA_SIM_SECONDS=600 cargo test --release --all-features --test sim -- --ignored --nocapture
//! OTTLA_SIM_SEED=1234 cargo test --all-features --test sim -- --ignored --nocapture   # that one run again
//! ```
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails, helpers included")]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a long run is told about, and a run that failed")]

#[expect(dead_code, reason = "the crash tests use more of it")]
#[path = "../it/crash/app.rs"]
mod app;
#[expect(dead_code, reason = "the tests of rot use more of it")]
#[path = "../it/chance.rs"]
mod chance;
#[expect(dead_code, reason = "the crash tests use more of it")]
#[path = "../it/crash/model.rs"]
mod model;
mod plan;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use ottla::sim::Faults;
use ottla::{Acks, Error, MemoryDisk, Result};

use app::{App, GROUPS};
use chance::Chance;
use model::{Crash, Model};
use plan::Weather;

/// How often the machine goes down in one run.
const LIVES: u64 = 8;
/// With how many partitions each has: always as many, since a creation may be in doubt when it is tried again.
const TOPICS: [(&str, u32); 3] = [("orders", 1), ("audit", 2), ("returns", 3)];
const ACKS: [Acks; 3] = [Acks::Zero, Acks::One, Acks::All];

#[test]
fn fixed_seeds_keep_every_promise() {
    for seed in 0..60 {
        run(seed);
    }
}

#[test]
fn one_seed_is_one_run() {
    for seed in [3, 4] {
        assert_eq!(run(seed).trace, run(seed).trace);
    }
    assert_ne!(run(3).trace, run(4).trace);
}

#[test]
#[ignore = "runs for as long as it is told to: cargo test --release --all-features --test sim -- --ignored --nocapture"]
#[expect(clippy::disallowed_methods, reason = "looks at a clock, to know when to end")]
fn for_a_chosen_time() {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    if let Some(seed) = number("OTTLA_SIM_SEED") {
        println!("{:?}", run(seed));
        return;
    }
    let time = Duration::from_secs(number("OTTLA_SIM_SECONDS").unwrap_or(60));
    let (begun, mut total, mut seeds, mut failed) = (Instant::now(), Run::default(), 0_u64, Vec::new());
    let first = u64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos()).unwrap_or(0) >> 10;
    while begun.elapsed() < time {
        let seed = first + seeds;
        seeds += 1;
        match catch_unwind(|| run(seed)) {
            Ok(run) => total.add(&run),
            Err(_) => failed.push(seed),
        }
    }
    println!("{seeds} seeds from {first}: {total:?}; violations in {failed:?}");
    assert_eq!(failed, [0; 0]);
}

/// What happened in a run.
#[derive(Debug, Default)]
struct Run {
    crashes: u64,
    operations: u64,
    records: u64,
    /// Operations that went wrong and were told to the application.
    errors: u64,
    trace: u64,
}

impl Run {
    fn add(&mut self, other: &Self) {
        self.crashes += other.crashes;
        self.operations += other.operations;
        self.records += other.records;
        self.errors += other.errors;
    }
}

fn run(seed: u64) -> Run {
    let context = format!("seed {seed}");
    let mut model = Model::new(&context);
    let mut counted = Run::default();
    let ended = catch_unwind(AssertUnwindSafe(|| {
        let disk = MemoryDisk::simulated(seed);
        let mut chance = Chance::new(seed);
        for life in 0..LIVES {
            model.context = format!("{context}, life {life}");
            let crash = live(&disk, &mut chance, &mut model, &mut counted);
            crash.happens(&disk);
            model.crashed(crash);
            disk.set_capacity(None);
            counted.crashes += 1;
            look(&disk, &mut chance, &mut model);
            counted.crashes += 1;
        }
        counted.operations = disk.operations();
        counted.trace = disk.trace();
    }));
    counted.records = model.count();
    assert!(ended.is_ok(), "{}", model.context);
    counted
}

/// An engine's life in some weather, and how it ends.
fn live(disk: &MemoryDisk, chance: &mut Chance, model: &mut Model, counted: &mut Run) -> Crash {
    let weather = Weather::pick(chance);
    weather.set(disk, chance);
    let ends_by_itself = chance.one_in(4);
    if !ends_by_itself {
        disk.fail_from(disk.steps() + chance.below(120));
    }
    if let Ok(mut app) = App::open(disk, model) {
        let mut left = 5 + chance.below(40);
        while left > 0 {
            left -= 1;
            if let Err(error) = act(&mut app, disk, chance) {
                counted.errors += 1;
                eprintln!("{}: {error}", app.model.context); // shown with a test that fails
                let is_expected = weather.explains(&error) || !disk.has_power();
                assert!(is_expected, "{}: {weather:?} does not explain {error}", app.model.context);
                if !matches!(error, Error::Storage { .. }) {
                    let _ = app.check_topics(); // what became of one that was being created or deleted
                } else if chance.one_in(3) {
                    break; // it will not get better
                }
            }
            if !disk.has_power() {
                break;
            }
        }
        if weather.loses_writes() {
            app.model.doubts_unanswered();
        }
        if chance.one_in(2) {
            let _ = app.close(); // if it returns well, the model holds the disk to it
        }
    }
    Crash::pick(chance)
}

/// What somebody does with an engine.
fn act(app: &mut App<'_>, disk: &MemoryDisk, chance: &mut Chance) -> Result<()> {
    let partitions = app.partitions();
    if partitions.is_empty() || chance.one_in(30) {
        let taken: Vec<&str> = app.model.topics().iter().map(|(name, _, _)| *name).collect();
        let free: Vec<_> = TOPICS.into_iter().filter(|(name, _)| !taken.contains(name)).collect();
        return match free.get(chance.index(free.len().max(1))) {
            Some((name, partitions)) => app.create(name, *partitions),
            None => app.delete(TOPICS[chance.index(TOPICS.len())].0),
        };
    }
    let (partition, _) = &partitions[chance.index(partitions.len())];
    let (topic, _) = TOPICS.into_iter().find(|(name, _)| *name == partition.topic()).unwrap();
    let (acks, number) = (ACKS[chance.index(3)], partition.partition());
    match chance.below(12) {
        0..4 => app.send(acks, topic, number),
        4..7 => app.send_and_wait(acks, topic, number),
        7 => app.flush(acks),
        8 | 9 => app.consume(GROUPS[chance.index(2)], &BTreeMap::new()),
        10 => app.let_time_pass(),
        _ => {
            let by = Duration::from_millis(chance.below(100_000));
            if chance.one_in(2) {
                disk.set_clock_back(by)
            } else {
                disk.set_clock_forward(by)
            }
            Ok(())
        }
    }
}

/// Looks at what a crash has left, in good weather, and lets the machine go down once more.
fn look(disk: &MemoryDisk, chance: &mut Chance, model: &mut Model) {
    disk.set_faults(Faults::none());
    while chance.one_in(3) {
        // Down again, in the middle of opening.
        disk.fail_from(disk.steps() + chance.below(20));
        drop(App::open(disk, model));
        let crash = Crash::pick(chance);
        crash.happens(disk);
        model.crashed(crash);
    }
    let mut app = App::open(disk, model).unwrap_or_else(|error| panic!("it does not open: {error}"));
    let contents = app.check_all().unwrap();
    contents.iter().for_each(|(place, contents)| app.model.is_settled(*place, contents));
    for group in GROUPS.into_iter().filter(|_| !contents.is_empty()) {
        app.consume(group, &contents).unwrap();
    }
    let crash = Crash::pick(chance);
    app.settle();
    crash.happens(disk);
    app.model.crashed(crash);
}
