//! A disk that says no: to a read, to a sync, to a user who has had their share.

use ottla::sim::{Fault, Faults, Operation};
use ottla::{Engine, Error, ErrorClass, MemoryDisk};

use super::{read, send, t};

/// An engine with `a` and `b` in `t`, on a disk whose faults can be chosen.
fn with_two() -> (MemoryDisk, Engine) {
    let disk = MemoryDisk::simulated(7);
    let engine = Engine::builder().open_memory(&disk).unwrap();
    send(&engine, "a").unwrap();
    send(&engine, "b").unwrap();
    (disk, engine)
}

fn with(operation: Operation, fault: Fault) -> Faults {
    Faults::none().one_in(1, operation, fault)
}

// faults: F12
#[test]
fn sector_that_cannot_be_read_is_an_error_with_its_file_and_the_next_poll_asks_again() {
    let (disk, engine) = with_two();
    disk.set_faults(with(Operation::Read, Fault::Device));
    let refused = read(&engine).unwrap_err();
    assert!(matches!(refused, Error::Io { .. }) && !refused.is_corruption(), "{refused}");
    let said = "cannot read memory:/log/t-0/00000000000000000000.log: Input/output error (os error 5)";
    assert_eq!(refused.to_string(), said);
    send(&engine, "c").unwrap(); // it concerns nobody who writes
    disk.set_faults(Faults::none());
    assert_eq!(read(&engine).unwrap(), ["a", "b", "c"]);
    engine.close().unwrap();
}

// faults: D08
#[test]
fn quota_that_is_used_up_is_a_full_disk() {
    let (disk, engine) = with_two();
    for fault in [Fault::Quota, Fault::NoSpace] {
        disk.set_faults(with(Operation::Write, fault));
        let refused = send(&engine, "no").unwrap_err();
        assert!(matches!(refused, Error::DiskFull { .. }), "{fault:?}: {refused}");
        assert_eq!(refused.class(), ErrorClass::Retry);
        assert_eq!(read(&engine).unwrap(), ["a", "b"]);
        disk.set_faults(Faults::none());
    }
    send(&engine, "c").unwrap();
    disk.power_cut();
    drop(engine);
    let engine = Engine::builder().open_memory(&disk).unwrap();
    assert_eq!(read(&engine).unwrap(), ["a", "b", "c"]);
    engine.close().unwrap();
}

// faults: D09
#[test]
fn sync_that_says_that_the_disk_is_full_is_a_failed_sync() {
    for fault in [Fault::NoSpace, Fault::Quota] {
        let (disk, engine) = with_two();
        disk.set_faults(with(Operation::Sync, fault));
        let unknown = send(&engine, "perhaps").unwrap_err();
        assert!(matches!(unknown, Error::OutcomeUnknown { .. }), "{fault:?}: {unknown}");
        disk.set_faults(Faults::none());
        let offline = send(&engine, "no").unwrap_err();
        assert!(matches!(offline, Error::Storage { .. }), "{fault:?}: {offline}");
        assert_eq!(engine.end_offset(&t()).unwrap().0, 2, "nobody sees what may vanish");
        assert!(engine.close().is_err());
        drop(engine);
        disk.power_cut();
        let engine = Engine::builder().open_memory(&disk).unwrap();
        let there = read(&engine).unwrap();
        assert!(there == ["a", "b"] || there == ["a", "b", "perhaps"], "{there:?}");
        send(&engine, "c").unwrap();
        engine.close().unwrap();
    }
}

// faults: D05 L01
#[test]
fn whatever_is_refused_while_a_directory_is_opened_it_opens_when_it_is_not() {
    for (operation, fault) in [
        (Operation::Create, Fault::NoSpace),
        (Operation::SetLen, Fault::NoSpace),
        (Operation::Write, Fault::Quota),
        (Operation::Open, Fault::TooManyFiles),
        (Operation::List, Fault::TooManyFiles),
        (Operation::Rename, Fault::Device),
        (Operation::Remove, Fault::Device),
    ] {
        let (disk, engine) = with_two();
        disk.kill();
        drop(engine);
        disk.set_faults(with(operation, fault));
        // It may open all the same, if it needs no such thing.
        if let Ok(engine) = Engine::builder().open_memory(&disk) {
            assert_eq!(read(&engine).unwrap(), ["a", "b"], "{operation:?} {fault:?}");
            let _ = engine.close();
        }
        disk.set_faults(Faults::none());
        let engine =
            Engine::builder().open_memory(&disk).unwrap_or_else(|error| panic!("{operation:?} {fault:?}: {error}"));
        assert_eq!(read(&engine).unwrap(), ["a", "b"], "{operation:?} {fault:?}");
        send(&engine, "c").unwrap();
        engine.close().unwrap();
    }
}
