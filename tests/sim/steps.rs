//! Short workloads, with the machine going down at each of their steps, in each way.
//!
//! A workload has a part that comes before, which always goes well, and a part in which the power fails: at its first
//! step, then at its second, and so on until it is through. What is left is opened and held against the model; then
//! something new is written, the machine goes down again, and it is opened and looked at once more.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use ottla::sim::{Fault, Faults, Operation, PowerCut};
use ottla::{Acks, MemoryDisk, OffsetAndMetadata, Result};

use super::app::{App, GROUPS};
use super::chance::Chance;
use super::model::{Crash, Model};
use super::phases::{self, Doing, Phases};
use super::weather::crash;

struct Workload {
    name: &'static str,
    before: fn(&mut Scene<'_>) -> Result<()>,
    /// In this the power fails.
    struck: fn(&mut Scene<'_>) -> Result<()>,
}

/// A disk, and what was promised of it.
struct Scene<'m> {
    disk: MemoryDisk,
    model: &'m mut Model,
    doing: Doing,
    seed: u64,
}

const WORKLOADS: [Workload; 6] = [
    Workload { name: "first opening", before: |_| Ok(()), struck: open_and_close },
    Workload { name: "records", before: one_topic, struck: records },
    Workload { name: "topics", before: one_topic, struck: topics },
    Workload { name: "commits", before: many_commits, struck: one_more_commit },
    Workload { name: "recovery", before: torn, struck: open_and_close },
    Workload { name: "recovery after a failed sync", before: failed_sync, struck: open_and_close },
];

#[test]
fn crash_at_every_step_keeps_every_promise() {
    let struck = at_every_step(0..1);
    for phase in [
        phases::ROLL,
        phases::INDEX,
        phases::CHECKPOINT,
        phases::COMPACTION,
        phases::COMPACTION_IN_RECOVERY,
        phases::DELETION,
        phases::RECOVERY,
    ] {
        assert!(struck.of(phase) > 0, "no crash struck a {phase}:\n{struck}");
    }
}

#[test]
#[ignore = "takes minutes: cargo test --release --all-features --test sim at_every_step_of -- --ignored --nocapture"]
fn crash_at_every_step_of_many_seeds_keeps_every_promise() {
    let seeds = std::env::var("OTTLA_SIM_SEEDS").ok().and_then(|text| text.parse().ok());
    println!("{}", at_every_step(0..seeds.unwrap_or(40)));
}

/// How many crashes struck what.
fn at_every_step(seeds: std::ops::Range<u64>) -> Phases {
    let mut struck = Phases::default();
    for workload in WORKLOADS {
        for seed in seeds.clone() {
            for step in 0.. {
                let context = format!("{}, seed {seed}, step {step}", workload.name);
                let mut model = Model::new(&context);
                let run = AssertUnwindSafe(|| at_step(&workload, seed, step, &mut model, &mut struck));
                let ended = catch_unwind(run);
                assert!(ended.is_ok(), "{context}");
                if ended.is_ok_and(|is_through| is_through) {
                    break;
                }
            }
        }
    }
    struck
}

/// Answers whether the workload came to its end before that step.
fn at_step(workload: &Workload, seed: u64, step: u64, model: &mut Model, struck: &mut Phases) -> bool {
    let disk = MemoryDisk::simulated(seed);
    let mut chance = Chance::new(seed ^ step << 32);
    disk.set_journaled(chance.below(4) == 0);
    let mut scene = Scene { disk, model, doing: Doing::Opening, seed };
    (workload.before)(&mut scene).unwrap();
    scene.disk.fail_from(scene.disk.steps() + step);
    let ended = (workload.struck)(&mut scene);
    let is_through = scene.disk.has_power();
    assert_eq!(ended.is_ok(), is_through, "{}: {ended:?}", scene.model.context);
    if !is_through {
        struck.count(&scene.disk, scene.doing);
    }
    let Scene { disk, model, .. } = scene;
    model.crashed(crash(&disk, &mut chance, false));
    for _ in 0..2 {
        let mut app = App::open(&disk, model).unwrap();
        let contents = app.check_all().unwrap();
        contents.iter().for_each(|(place, contents)| app.model.is_settled(*place, contents));
        for group in GROUPS.into_iter().filter(|_| !contents.is_empty()) {
            app.consume(group, &contents).unwrap();
        }
        if let Some((topic, _, _)) = app.model.topics().first().copied() {
            app.send_and_wait(Acks::All, topic, 0).unwrap();
            app.send_and_wait(Acks::One, topic, 0).unwrap();
        }
        app.settle();
        app.model.crashed(crash(&disk, &mut chance, false));
        drop(app);
    }
    is_through
}

impl<'m> Scene<'m> {
    /// Opens an engine, has `work` done, and closes it.
    fn session(&mut self, work: impl FnOnce(&mut App<'_>, &mut Doing) -> Result<()>) -> Result<()> {
        self.doing = Doing::Opening;
        let mut app = App::open(&self.disk, self.model)?;
        self.doing = Doing::Using;
        work(&mut app, &mut self.doing)?;
        self.doing = Doing::Closing;
        app.close()
    }

    /// Opens an engine, has `work` done, and lets the machine go down.
    fn life(&mut self, crash: Crash, work: impl FnOnce(&mut App<'_>) -> Result<()>) -> Result<()> {
        let mut app = App::open(&self.disk, self.model)?;
        let ended = work(&mut app);
        app.settle();
        match crash {
            Crash::CutKeeping(seed) => self.disk.power_cut_as(PowerCut::keeping(seed)),
            crash => crash.happens(&self.disk),
        }
        app.model.crashed(crash);
        ended
    }
}

fn open_and_close(scene: &mut Scene<'_>) -> Result<()> {
    scene.session(|_, _| Ok(()))
}

fn one_topic(scene: &mut Scene<'_>) -> Result<()> {
    scene.session(|app, _| {
        app.create("orders", 1)?;
        (0..4).try_for_each(|_| app.send_and_wait(Acks::All, "orders", 0))
    })
}

/// Rolls, among other things, and a clean shutdown.
fn records(scene: &mut Scene<'_>) -> Result<()> {
    scene.session(|app, _| {
        for round in 0..3 {
            app.send_and_wait(Acks::One, "orders", 0)?;
            app.send(Acks::Zero, "orders", 0)?;
            app.send(Acks::All, "orders", 0)?;
            app.send_and_wait(Acks::All, "orders", 0)?;
            app.flush(Acks::All)?;
            app.consume(GROUPS[round % 2], &BTreeMap::new())?;
        }
        app.let_time_pass()?;
        app.send_and_wait(Acks::All, "orders", 0)
    })
}

fn topics(scene: &mut Scene<'_>) -> Result<()> {
    scene.session(|app, doing| {
        for partitions in [2, 3] {
            *doing = Doing::Creating;
            app.create("audit", partitions)?;
            *doing = Doing::Using;
            for partition in 0..partitions {
                app.send_and_wait(Acks::All, "audit", partition)?;
                app.send_and_wait(Acks::One, "audit", partition)?;
            }
            app.consume(GROUPS[0], &BTreeMap::new())?;
            *doing = Doing::Deleting;
            app.delete("audit")?;
        }
        *doing = Doing::Using;
        app.send_and_wait(Acks::All, "orders", 0)
    })
}

/// So many that a group's journal is about to be compacted.
fn many_commits(scene: &mut Scene<'_>) -> Result<()> {
    scene.session(|app, _| {
        app.create("orders", 8)?;
        (0..8).try_for_each(|partition| app.send_and_wait(Acks::All, "orders", partition))?;
        (0..32).try_for_each(|_| app.commit_with_note(GROUPS[0]))
    })
}

fn one_more_commit(scene: &mut Scene<'_>) -> Result<()> {
    scene.session(|app, _| {
        for _ in 0..3 {
            app.send_and_wait(Acks::All, "orders", 0)?;
            app.commit_with_note(GROUPS[0])?;
        }
        Ok(())
    })
}

/// A log that a power cut tore, with records in several segments that no sync covered.
fn torn(scene: &mut Scene<'_>) -> Result<()> {
    one_topic(scene)?;
    scene.life(Crash::CutKeeping(scene.seed), |app| {
        app.consume(GROUPS[0], &BTreeMap::new())?;
        (0..8).try_for_each(|_| app.send_and_wait(Acks::One, "orders", 0))?;
        app.consume(GROUPS[1], &BTreeMap::new())
    })
}

/// A sync failed, and the page cache shows what is not on the disk; or no more what was written.
fn failed_sync(scene: &mut Scene<'_>) -> Result<()> {
    one_topic(scene)?;
    let faults = [Fault::Device, Fault::StaysDirty, Fault::Reverts];
    let fault = *Chance::new(scene.seed).pick(&faults);
    let disk = scene.disk.clone();
    let _ = scene.life(Crash::Kill, |app| {
        disk.set_faults(Faults::none().one_in(1, Operation::Sync, fault));
        app.send(Acks::One, "orders", 0)?;
        app.send_and_wait(Acks::All, "orders", 0)
    });
    if fault == Fault::Reverts {
        scene.model.written.clear(); // the system has dropped what the page cache had
    }
    Ok(())
}

impl App<'_> {
    /// Commits where a group is in all partitions, with a long note beside each.
    fn commit_with_note(&mut self, group: &'static str) -> Result<()> {
        let (mut consumer, places) =
            self.poll_for(group, |model, place, offset, value| model.polled(group, place, offset, value))?;
        let mut offsets = Vec::new();
        for (name, place) in &places {
            let position = consumer.position(name)?;
            self.model.commits(group, *place, position.0);
            offsets.push((name.clone(), OffsetAndMetadata::new(position).with_metadata("n".repeat(4096))));
        }
        consumer.commit_sync_offsets(offsets)?;
        self.model.committed(group);
        Ok(())
    }
}
