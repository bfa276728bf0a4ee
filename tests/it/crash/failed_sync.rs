//! Syncs that fail: whoever waits learns that the outcome is unknown, nothing is written any more, reading goes on, and
//! opening again recovers what is there, durably.

use ottla::{Acks, Error, MemoryDisk, TopicPartition};

use super::app::{App, GROUPS};
use super::model::{Crash, Model};
use super::{SEED, explained, live_on, mixed, steps_of};

#[test]
fn failed_sync_at_every_step_then_a_restart() {
    for step in 0..steps_of(mixed, SEED) {
        fails_at(step, Crash::Kill);
    }
}

#[test]
fn failed_sync_at_every_step_then_a_power_cut() {
    for step in 0..steps_of(mixed, SEED) {
        fails_at(step, Crash::Cut);
    }
}

/// Lets the first sync at or behind `step` fail.
fn fails_at(step: u64, crash: Crash) {
    explained(&format!("the sync at step {step} fails, then {crash:?}"), |model| {
        let disk = MemoryDisk::stepped(SEED);
        disk.fail_syncs_from(step, 1);
        let _ = mixed(&disk, model); // some of the errors concern nobody but the log
        crash.happens(&disk);
        model.crashed(crash);
        // What a failed sync left off the disk may be zeros in the middle of a file.
        live_on(&disk, crash, true, model);
    });
}

#[test]
fn after_a_failed_sync_nothing_is_written_and_what_is_durable_is_read() {
    let disk = MemoryDisk::stepped(SEED);
    let mut model = Model::new("failed sync");
    let mut app = App::open(&disk, &mut model).unwrap();
    app.create("orders", 1).unwrap();
    app.send_and_wait(Acks::All, "orders", 0).unwrap();
    app.consume(GROUPS[0], &Default::default()).unwrap();

    disk.fail_next_syncs(1);
    app.send(Acks::One, "orders", 0).unwrap();
    let failed = app.send_and_wait(Acks::All, "orders", 0).unwrap_err();
    assert!(matches!(failed, Error::OutcomeUnknown { .. }), "{failed}");
    for acks in [Acks::All, Acks::One] {
        let refused = app.send_and_wait(acks, "orders", 0).unwrap_err();
        assert!(matches!(refused, Error::Storage { .. }), "{refused}");
    }
    assert!(matches!(app.create("audit", 1), Err(Error::Storage { .. })));
    let commit = app.consume(GROUPS[0], &Default::default()).unwrap_err();
    assert!(matches!(commit, Error::Storage { .. }), "{commit}");

    let (name, place) = (TopicPartition::new("orders", 0), (app.model.id("orders"), 0));
    assert_eq!(app.read(&name, place).unwrap().len(), 1, "what is durable, and no more");
    assert!(matches!(app.close(), Err(Error::Storage { .. })));

    disk.kill();
    model.crashed(Crash::Kill);
    let mut app = App::open(&disk, &mut model).unwrap();
    let found = app.check_all().unwrap().remove(&place).unwrap();
    assert!(found.len() > 1, "it was written, if not synced");
    app.model.is_settled(place, &found);
    disk.power_cut();
    drop(app);
    App::open(&disk, &mut model).unwrap().check_all().unwrap(); // what was read after the restart is there
}
