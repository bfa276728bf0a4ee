//! What some of the syncs are for that no sweep misses, because only damage, or somebody who meddles, shows it.

use std::path::Path;
use std::time::Duration;

use ottla::{
    Acks, Admin, Consumer, ConsumerConfig, Engine, Error, Finding, MemoryDisk, Offset, Producer, ProducerRecord,
    Result, Timestamp,
};

use super::SEED;
use super::app::{App, GROUPS};
use super::model::{Crash, Model};

const LOG: &str = "log/orders-0/00000000000000000000.log";

/// An engine on a disk, with a topic of one partition whose segments are as large as they are by default.
struct Scene {
    disk: MemoryDisk,
    model: Model,
}

impl Scene {
    fn new(what: &str) -> Self {
        let mut scene = Self { disk: MemoryDisk::stepped(SEED), model: Model::new(what) };
        scene.open(|app| app.create_large("orders"));
        scene
    }

    /// Opens an engine, and closes it.
    fn open(&mut self, work: impl FnOnce(&mut App<'_>) -> Result<()>) -> Vec<Finding> {
        let mut app = App::open(&self.disk, &mut self.model).unwrap();
        let findings = app.findings();
        work(&mut app).unwrap();
        app.close().unwrap();
        findings
    }

    /// Opens an engine, and cuts the power.
    fn open_and_cut(&mut self, work: impl FnOnce(&mut App<'_>) -> Result<()>) -> Vec<Finding> {
        let mut app = App::open(&self.disk, &mut self.model).unwrap();
        let findings = app.findings();
        work(&mut app).unwrap();
        app.settle();
        self.disk.power_cut();
        app.model.crashed(Crash::Cut);
        findings
    }

    fn end(&self) -> Offset {
        let engine = Engine::builder().open_memory(&self.disk).unwrap();
        engine.end_offset(&("orders", 0).into()).unwrap()
    }

    fn len(&self, path: &str) -> u64 {
        len_of(&self.disk, path)
    }

    /// Flips a bit within the last record of the log.
    fn damage_last_record(&self) {
        self.disk.flip_bit(LOG, self.len(LOG) - 2, 0).unwrap();
    }
}

fn len_of(disk: &MemoryDisk, path: &str) -> u64 {
    disk.files().iter().find(|(there, _)| there == Path::new(path)).map_or(0, |(_, len)| *len)
}

fn send(app: &mut App<'_>, count: usize) -> Result<()> {
    (0..count).try_for_each(|_| app.send_and_wait(Acks::All, "orders", 0))
}

/// Damage that is known to lie below the durable end stays where it is.
fn assert_is_rot(findings: &[Finding]) {
    assert!(matches!(findings, [Finding::Damaged { .. }]), "{findings:?}");
}

#[test]
fn durable_end_is_on_the_disk_a_while_after_the_records() {
    let mut scene = Scene::new("upkeep");
    scene.open_and_cut(|app| {
        send(app, 3)?;
        app.let_time_pass()
    });
    scene.damage_last_record();
    assert_is_rot(&scene.open(|_| Ok(())));
    assert_eq!(scene.end(), Offset(3));
}

#[test]
fn durable_end_is_on_the_disk_after_a_recovery() {
    let mut scene = Scene::new("recovery");
    scene.open_and_cut(|app| send(app, 3));
    scene.open_and_cut(|_| Ok(()));
    scene.damage_last_record();
    assert_is_rot(&scene.open(|_| Ok(())));
    assert_eq!(scene.end(), Offset(3));
}

#[test]
fn durable_end_is_on_the_disk_after_a_clean_shutdown() {
    let mut scene = Scene::new("close");
    scene.open_and_cut(|app| send(app, 3));
    scene.open(|app| send(app, 3));
    scene.disk.power_cut();
    scene.damage_last_record();
    assert_is_rot(&scene.open(|_| Ok(())));
    assert_eq!(scene.end(), Offset(6));
}

#[test]
fn durable_end_is_on_the_disk_though_its_file_was_removed() {
    let mut scene = Scene::new("positions removed");
    scene.disk.remove("positions").unwrap();
    scene.open_and_cut(|app| {
        send(app, 3)?;
        app.let_time_pass()
    });
    scene.damage_last_record();
    assert_is_rot(&scene.open(|_| Ok(())));
}

#[test]
fn clean_shutdown_is_one_after_a_power_cut() {
    let mut scene = Scene::new("clean");
    scene.open(|app| send(app, 3));
    let epoch = |disk: &MemoryDisk| {
        let engine = Engine::builder().open_memory(disk).unwrap();
        let epoch = Admin::new(&engine).describe_topic("orders").unwrap().partitions[0].leader_epoch;
        engine.close().unwrap();
        epoch
    };
    let before = epoch(&scene.disk);
    scene.disk.power_cut();
    assert_eq!(epoch(&scene.disk), before);
}

#[test]
fn segment_begun_behind_damage_keeps_what_is_appended() {
    let mut scene = Scene::new("damaged end");
    scene.open(|app| send(app, 3));
    scene.damage_last_record();
    let findings = scene.open_and_cut(|app| send(app, 1));
    assert_is_rot(&findings);
    assert_eq!(scene.end(), Offset(4));
}

#[test]
fn what_recovery_cuts_off_is_in_the_quarantine_whenever_the_power_goes() {
    for step in 0.. {
        let mut scene = Scene::new("quarantine");
        scene.open_and_cut(|app| send(app, 2));
        let kept = scene.len(LOG);
        scene.disk.kill(); // positions may not be there: the log is checked from its front
        scene.disk.remove("positions").unwrap();
        App::open(&scene.disk, &mut scene.model).unwrap(); // and closes
        scene.disk.remove("positions").unwrap();
        scene.disk.remove("log/.kafka_cleanshutdown").unwrap();
        scene.disk.flip_bit(LOG, kept / 2 + 70, 0).unwrap();
        scene.disk.fail_from(scene.disk.steps() + step);
        let is_through = App::open(&scene.disk, &mut scene.model).is_ok();
        scene.disk.power_cut();
        App::open(&scene.disk, &mut scene.model).unwrap();
        scene.disk.power_cut();
        let files = scene.disk.files();
        let saved = files.iter().filter(|(path, _)| path.starts_with("quarantine")).any(|(_, len)| *len == kept / 2);
        assert!(saved, "cut at step {step}: {files:?}");
        assert_eq!(scene.end(), Offset(1));
        if is_through {
            break;
        }
    }
}

#[test]
fn power_cut_brings_back_no_segment_that_recovery_removed() {
    let mut scene = Scene::new("removed segments");
    scene.open(|app| {
        app.create("stock", 1)?;
        (0..9).try_for_each(|_| app.send_and_wait(Acks::All, "stock", 0))
    });
    // Nobody knows how far the log was synced, so that the damage counts as a tear.
    scene.disk.remove("positions").unwrap();
    scene.disk.remove("log/recovery-point-offset-checkpoint").unwrap();
    let first = "log/stock-0/00000000000000000000.log";
    scene.disk.flip_bit(first, scene.len(first) / 3 + 70, 0).unwrap();

    let engine = Engine::builder().open_memory(&scene.disk).unwrap();
    let stock = ("stock", 0).into();
    assert_eq!(engine.end_offset(&stock).unwrap(), Offset(1));
    let producer = Producer::<str, str>::new(&engine).unwrap();
    for _ in 1..3 {
        // Not so new that the log is rolled, which would sync its directory.
        let record = ProducerRecord::to("stock").value("new").timestamp(Timestamp(1_600_000_000_000));
        producer.send(record).unwrap().wait().unwrap();
    }
    scene.disk.power_cut();
    drop((producer, engine));
    let engine = Engine::builder().open_memory(&scene.disk).unwrap();
    assert_eq!(engine.end_offset(&stock).unwrap(), Offset(3), "where the removed segment began");
}

#[test]
fn power_cut_brings_back_no_record_that_a_full_disk_refused() {
    for seed in 0..40 {
        let mut scene = Scene::new(&format!("full disk, seed {seed}"));
        let mut app = App::open(&scene.disk, &mut scene.model).unwrap();
        send(&mut app, 1).unwrap();
        let used: u64 = scene.disk.files().iter().map(|(_, len)| len).sum();
        scene.disk.set_capacity(Some(used + 180)); // room for some of them, not all
        for _ in 0..3 {
            app.send(Acks::One, "orders", 0).unwrap();
        }
        app.flush(Acks::One).unwrap();
        scene.disk.set_capacity(None);
        scene.disk.power_cut_keeping(seed);
        drop(app);
        scene.model.crashed(Crash::CutKeeping(seed));
        App::open(&scene.disk, &mut scene.model).unwrap().check_all().unwrap();
        assert_eq!(scene.model.refused(), 3, "seed {seed}");
    }
}

#[test]
fn folders_that_were_missing_are_durable_before_what_they_hold() {
    let mut scene = Scene::new("groups removed");
    scene.disk.remove("groups").unwrap();
    scene.open_and_cut(|app| {
        send(app, 3)?;
        app.consume(GROUPS[0], &Default::default())
    });
    let mut app = App::open(&scene.disk, &mut scene.model).unwrap();
    let all = app.check_all().unwrap();
    app.consume(GROUPS[0], &all).unwrap(); // from the commit on
}

#[test]
fn partition_folder_that_was_missing_is_durable_before_what_it_holds() {
    let mut scene = Scene::new("partition removed");
    scene.disk.remove("log/orders-0").unwrap();
    scene.open_and_cut(|app| send(app, 3));
    assert_eq!(scene.end(), Offset(3));
}

#[test]
fn damaged_catalog_opens_to_be_read_and_nothing_read_vanishes() {
    let mut scene = Scene::new("catalog");
    let frame = scene.len("catalog");
    scene.open(|app| {
        app.create("audit", 1)?;
        app.send_and_wait(Acks::All, "audit", 0)?;
        app.create("stock", 1)
    });
    let place = (scene.model.id("audit"), 0);
    let mut app = App::open(&scene.disk, &mut scene.model).unwrap();
    for _ in 0..10 {
        app.send_and_wait(Acks::One, "stock", 0).unwrap(); // over several segments, none of them synced
    }
    scene.disk.kill();
    drop(app);
    scene.disk.flip_bit("catalog", frame + 40, 0).unwrap();

    let engine = Engine::builder().open_memory(&scene.disk).unwrap();
    assert_eq!(engine.end_offset(&("stock", 0).into()).unwrap(), Offset(10));
    assert!(matches!(engine.end_offset(&("audit", 0).into()), Err(Error::UnknownTopicOrPartition { .. })));
    scene.disk.power_cut();
    drop(engine);

    scene.disk.flip_bit("catalog", frame + 40, 0).unwrap(); // somebody had a copy
    scene.model.crashed(Crash::Cut);
    let mut app = App::open(&scene.disk, &mut scene.model).unwrap();
    let all = app.check_all().unwrap();
    assert_eq!(all[&place].len(), 1, "its folder was left alone");
    assert_eq!(all[&(app.model.id("stock"), 0)].len(), 10, "they were read");
}

/// Of three records that are known to be on the disk and two behind them that are there, too, flips a bit of the third.
fn damaged_below_the_durable_end(byte_of_batch: u64) -> (Scene, Vec<Finding>) {
    let mut scene = Scene::new("damage below the durable end");
    let mut third = 0;
    let disk = scene.disk.clone();
    scene.open_and_cut(|app| {
        send(app, 2)?;
        third = len_of(&disk, LOG);
        send(app, 1)?;
        app.let_time_pass()?; // from now on `positions` on the disk says 3
        send(app, 2)
    });
    scene.disk.flip_bit(LOG, third + byte_of_batch, 0).unwrap();
    let findings = scene.open(|_| Ok(()));
    (scene, findings)
}

#[test]
fn damage_just_below_the_durable_end_hides_nothing_behind_it() {
    // Of the checksum, the length in offsets, the time, the value.
    for byte_of_batch in [17, 26, 30, 65] {
        let (scene, findings) = damaged_below_the_durable_end(byte_of_batch);
        let [Finding::Damaged { first: Offset(2), last: Offset(2), .. }] = findings[..] else {
            panic!("byte {byte_of_batch}: {findings:?}");
        };
        let engine = Engine::builder().open_memory(&scene.disk).unwrap();
        assert_eq!(engine.end_offset(&("orders", 0).into()).unwrap(), Offset(5), "byte {byte_of_batch}");
        let mut consumer = Consumer::<str, str>::with_config(&engine, ConsumerConfig::default()).unwrap();
        consumer.assign([("orders", 0).into()]).unwrap();
        consumer.seek(&("orders", 0).into(), Offset(3)).unwrap();
        let offsets: Vec<_> = consumer.poll(Duration::ZERO).unwrap().iter().map(|record| record.offset().0).collect();
        assert_eq!(offsets, [3, 4], "byte {byte_of_batch}");
    }
}
