//! Crashes: at every step that changes the disk, and in the recovery from another crash.
//!
//! One run of a workload counts its steps. Then it runs again, once for each step, with the power failing there; what
//! the disk has left is opened, and a [`Model`] of what had been promised is held against it. Then new records are
//! written at the offsets that the crash has freed, groups go on, and the power is cut again: what was seen after the
//! first restart has to be there after the second.
//!
//! [`Model`]: model::Model

mod app;
mod failed_sync;
mod model;
mod single_syncs;
mod threads;

use std::panic::{AssertUnwindSafe, catch_unwind};

use app::{App, GROUPS};
use model::{Crash, Model};
use ottla::{Acks, Finding, MemoryDisk, Result};

/// What the engine does before the crash.
type Workload = fn(&MemoryDisk, &mut Model) -> Result<()>;

const SEED: u64 = 7;

#[test]
fn power_cut_at_every_step() {
    at_every_step(mixed, Crash::Cut, SEED);
}

#[test]
fn kill_at_every_step() {
    at_every_step(mixed, Crash::Kill, SEED);
}

#[test]
fn power_cut_at_every_step_that_keeps_some_of_what_was_not_synced() {
    for seed in 0..3 {
        at_every_step(mixed, Crash::CutKeeping(seed), SEED + seed);
    }
}

#[test]
fn second_power_cut_at_every_step_of_the_recovery() {
    for (first, second) in [(Crash::Kill, Crash::Cut), (Crash::CutKeeping(5), Crash::CutKeeping(6))] {
        in_every_recovery(mixed, first, second, 29);
    }
}

#[test]
#[ignore = "takes minutes: cargo test --release --all-features --test it many_more_power_cuts -- --ignored"]
fn many_more_power_cuts() {
    for seed in 100..140 {
        at_every_step(mixed, Crash::CutKeeping(seed), seed);
    }
    for seed in 200..204 {
        in_every_recovery(mixed, Crash::Kill, Crash::CutKeeping(seed), 7);
        in_every_recovery(mixed, Crash::CutKeeping(seed), Crash::CutKeeping(seed + 1), 7);
        in_every_recovery(mixed, Crash::CutKeeping(seed), Crash::Cut, 7);
    }
}

/// Everything an application does, in two lives of the engine with a clean shutdown in between.
fn mixed(disk: &MemoryDisk, model: &mut Model) -> Result<()> {
    let nothing = Default::default();
    let mut app = App::open(disk, model)?;
    app.create("orders", 2)?;
    app.create("audit", 1)?;
    for round in 0..3 {
        app.send_and_wait(Acks::One, "orders", 0)?;
        app.send(Acks::Zero, "orders", 1)?;
        app.send(Acks::All, "audit", 0)?;
        app.send_and_wait(Acks::All, "orders", 1)?;
        app.flush(Acks::All)?;
        app.send_and_wait(Acks::One, "orders", 0)?;
        app.consume(GROUPS[round % 2], &nothing)?;
    }
    app.delete("audit")?;
    app.create("audit", 2)?;
    app.send_and_wait(Acks::All, "audit", 0)?;
    app.send(Acks::Zero, "audit", 1)?;
    app.close()?;

    let mut app = App::open(disk, model)?;
    app.send_and_wait(Acks::One, "orders", 0)?;
    app.consume(GROUPS[0], &nothing)?; // offsets that a cut may take back
    app.send(Acks::All, "orders", 0)?;
    app.send(Acks::One, "orders", 0)?;
    app.flush(Acks::One)?;
    app.flush(Acks::All)?;
    app.delete("audit")?;
    app.create("audit", 1)?; // shorter than the one of that name was
    app.send_and_wait(Acks::One, "audit", 0)?;
    app.consume(GROUPS[1], &nothing)?;
    app.send_and_wait(Acks::All, "audit", 0)?;
    app.close()
}

/// Lets the machine go down at each step of `workload`.
fn at_every_step(workload: Workload, crash: Crash, seed: u64) {
    for step in 0..steps_of(workload, seed) {
        explained(&format!("seed {seed}, {crash:?} at step {step}"), |model| {
            let disk = after(workload, crash, step, seed, model);
            live_on(&disk, crash, false, model);
        });
    }
}

/// Lets the machine go down at a sample of the steps, and again at each step of the recovery from that.
fn in_every_recovery(workload: Workload, first: Crash, second: Crash, sample: usize) {
    for step in (0..steps_of(workload, SEED)).step_by(sample) {
        for again in 0.. {
            let mut is_through = false;
            explained(&format!("{first:?} at step {step}, {second:?} {again} steps later"), |model| {
                let disk = after(workload, first, step, SEED, model);
                disk.fail_from(disk.steps() + again);
                is_through = App::open(&disk, model).is_ok();
                second.happens(&disk);
                model.crashed(second);
                live_on(&disk, second, first != Crash::Cut, model);
            });
            if is_through {
                break;
            }
        }
    }
}

fn steps_of(workload: Workload, seed: u64) -> u64 {
    let disk = MemoryDisk::stepped(seed);
    workload(&disk, &mut Model::new("")).unwrap();
    disk.steps()
}

/// A disk on which `workload` ran until `step`.
fn after(workload: Workload, crash: Crash, step: u64, seed: u64, model: &mut Model) -> MemoryDisk {
    let disk = MemoryDisk::stepped(seed);
    disk.fail_from(step);
    let ended = workload(&disk, model);
    assert!(ended.is_err() || disk.steps() == step, "{}: {ended:?}", model.context);
    crash.happens(&disk);
    model.crashed(crash);
    disk
}

/// Opens what a crash has left, `is_torn` or whole, and goes on with it, through more crashes.
fn live_on(disk: &MemoryDisk, crash: Crash, is_torn: bool, model: &mut Model) {
    let mut app = App::open(disk, model).unwrap();
    check_report(&app, is_torn || crash != Crash::Cut);
    go_on(&mut app).unwrap();
    drop_in(Crash::Cut, app, disk);

    let mut app = App::open(disk, model).unwrap();
    check_report(&app, is_torn || crash != Crash::Cut);
    go_on(&mut app).unwrap();
    app.close().unwrap();
    disk.power_cut();

    let mut app = App::open(disk, model).unwrap();
    assert_eq!(app.findings(), [], "{}: after a clean shutdown", app.model.context);
    app.check_all().unwrap();
}

/// Checks what is there; then takes the offsets that are free with records that the next cut takes back, has them seen
/// and committed, and names of topics that are gone with new ones.
fn go_on(app: &mut App<'_>) -> Result<()> {
    let before = app.check_all()?;
    before.iter().for_each(|(place, contents)| app.model.is_settled(*place, contents));
    for name in ["orders", "audit"] {
        if app.partitions().iter().all(|(partition, _)| partition.topic() != name) {
            app.create(name, 1)?;
        }
        app.send_and_wait(Acks::All, name, 0)?;
        app.send_and_wait(Acks::One, name, 0)?;
    }
    let after = app.check_all()?;
    for group in GROUPS {
        app.consume(group, &after)?;
    }
    app.send_and_wait(Acks::One, "orders", 0)?;
    app.consume(GROUPS[0], &Default::default())?;
    Ok(())
}

fn drop_in(crash: Crash, mut app: App<'_>, disk: &MemoryDisk) {
    app.settle();
    crash.happens(disk);
    app.model.crashed(crash);
    drop(app);
}

/// Only a disk that loses parts of what was not synced leaves files that are not whole.
fn check_report(app: &App<'_>, is_torn: bool) {
    let is_deleting = app.model.is_deleting();
    for finding in app.findings() {
        let is_expected = match &finding {
            Finding::Clamped { .. } => true,
            Finding::Leftover { .. } => is_deleting,
            Finding::Cut { .. } | Finding::State { .. } => is_torn,
            _ => false,
        };
        assert!(is_expected, "{}: {finding}", app.model.context);
    }
}

/// Runs `test` with a model, and says `context` if it panics.
fn explained(context: &str, test: impl FnOnce(&mut Model)) {
    let mut model = Model::new(context);
    let ended = catch_unwind(AssertUnwindSafe(|| test(&mut model)));
    assert!(ended.is_ok(), "{context}");
}
