use std::collections::BTreeSet;

use crate::error::Error;
use crate::io::memory::MemoryDisk;
use crate::io::memory::medium::SECTOR_BYTES;

fn content(disk: &MemoryDisk, name: &str) -> Option<Vec<u8>> {
    let file = disk.disk().root().open(name).ok()?;
    Some(file.slice(0, 100).unwrap().to_vec())
}

#[test]
fn power_cut_takes_what_was_not_synced() {
    let disk = MemoryDisk::new();
    let root = disk.disk().root();
    let file = root.create("a").unwrap();
    file.write_all_at(b"one", 0).unwrap();
    file.sync().unwrap();
    root.sync().unwrap();
    file.write_all_at(b"two", 3).unwrap();
    root.create("b").unwrap().sync().unwrap();
    assert_eq!(content(&disk, "a").unwrap(), b"onetwo");
    disk.power_cut();
    assert_eq!(content(&disk, "a").unwrap(), b"one");
    assert_eq!(content(&disk, "b"), None, "its name was never synced");
    assert!(file.write_all_at(b"x", 0).is_err(), "its process is dead");
}

#[test]
fn power_cut_keeping_takes_any_part_of_what_was_not_synced() {
    let (mut contents, mut names) = (BTreeSet::new(), BTreeSet::new());
    for seed in 0..200 {
        let disk = MemoryDisk::new();
        let root = disk.disk().root();
        let file = root.create("a").unwrap();
        file.write_all_at(&[1; SECTOR_BYTES], 0).unwrap();
        file.sync().unwrap();
        root.sync().unwrap();
        file.write_all_at(&[2; 2 * SECTOR_BYTES], SECTOR_BYTES as u64).unwrap();
        root.create("b").unwrap();
        root.rename("a", "c").unwrap();
        disk.power_cut_keeping(seed);
        let root = disk.disk().root();
        let found: Vec<String> = root.list().unwrap().into_iter().map(|entry| entry.name).collect();
        let renamed = found.iter().any(|name| name == "c");
        let content = root.open(if renamed { "c" } else { "a" }).unwrap().slice(0, 2000).unwrap();
        assert_eq!(content[..SECTOR_BYTES], [1; SECTOR_BYTES], "it was synced");
        let sector = |number: usize| content.get((number + 1) * SECTOR_BYTES - 1).copied();
        contents.insert((sector(1).map(|byte| byte.min(3)), sector(2).map(|byte| byte.min(3))));
        names.insert(found);
        disk.power_cut();
        let name = if renamed { "c" } else { "a" };
        assert_eq!(disk.disk().root().open(name).unwrap().slice(0, 2000).unwrap(), content, "it is durable now");
    }
    let possible = [["a"].as_slice(), &["a", "b"], &["b", "c"], &["c"]];
    assert!(names.iter().eq(possible.iter()), "{names:?}");
    for outcome in [(None, None), (Some(0), None), (Some(2), Some(0)), (Some(0), Some(2)), (Some(3), Some(2))] {
        assert!(contents.contains(&outcome), "{outcome:?} is not among {contents:?}");
    }
}

#[test]
fn removed_is_gone_for_good() {
    let disk = MemoryDisk::new();
    let root = disk.disk().root();
    root.create_dir("d").unwrap().create("a").unwrap();
    root.sync().unwrap();
    assert!(disk.remove("d/b").is_err());
    disk.remove("d").unwrap();
    disk.power_cut();
    assert!(disk.files().is_empty());
}

#[test]
fn kill_takes_nothing() {
    let disk = MemoryDisk::new();
    disk.disk().root().create("a").unwrap().write_all_at(b"one", 0).unwrap();
    disk.kill();
    assert_eq!(content(&disk, "a").unwrap(), b"one");
}

#[test]
fn failed_sync_leaves_pages_clean_that_the_next_cut_takes() {
    let disk = MemoryDisk::new();
    let root = disk.disk().root();
    let file = root.create("a").unwrap();
    root.sync().unwrap();
    file.write_all_at(b"one", 0).unwrap();
    disk.fail_next_syncs(1);
    assert!(file.sync().is_err());
    file.sync().unwrap(); // says yes, and writes nothing
    assert_eq!(content(&disk, "a").unwrap(), b"one");
    disk.power_cut();
    assert_eq!(content(&disk, "a").unwrap(), b"\0\0\0");
}

#[test]
fn sync_fails_at_the_step_it_was_told_to() {
    let disk = MemoryDisk::new();
    let root = disk.disk().root();
    disk.fail_syncs_from(2, 1);
    root.sync().unwrap();
    root.create("a").unwrap();
    assert!(root.sync().is_err());
    root.sync().unwrap();
}

#[test]
fn power_fails_at_the_step_it_was_told_to() {
    let disk = MemoryDisk::new();
    let root = disk.disk().root();
    root.create("a").unwrap();
    disk.fail_from(2);
    root.create("b").unwrap();
    assert!(root.create("c").is_err());
    assert!(root.list().is_err());
    disk.kill();
    let names: Vec<String> = disk.disk().root().list().unwrap().into_iter().map(|entry| entry.name).collect();
    assert_eq!(names, ["a", "b"]);
    assert_eq!(disk.steps(), 2);
}

#[test]
fn full_disk_refuses_to_grow_a_file() {
    let disk = MemoryDisk::new();
    let file = disk.disk().root().create("a").unwrap();
    disk.set_capacity(Some(4));
    file.write_all_at(b"1234", 0).unwrap();
    assert!(matches!(file.write_all_at(b"56", 3), Err(Error::DiskFull { .. })));
    assert_eq!(content(&disk, "a").unwrap(), b"1235");
    disk.set_capacity(None);
    file.write_all_at(b"56", 3).unwrap();
}

#[cfg(feature = "sim")]
mod faults {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::error::Result;
    use crate::io::{Dir, Fault, Faults, File, Operation, PowerCut, SyncTarget};
    use crate::sync::{Signal, lock, wait_for};

    /// A file of `content`, synced, its name too, and the number of the next operation.
    fn file(disk: &MemoryDisk, content: &[u8]) -> (Arc<dyn Dir>, Arc<dyn File>, u64) {
        let root = disk.disk().root();
        let file = root.create("a").unwrap();
        file.write_all_at(content, 0).unwrap();
        file.sync().unwrap();
        root.sync().unwrap();
        (root, file, disk.operations())
    }

    #[test]
    fn flipped_bit_is_read_once() {
        let disk = MemoryDisk::simulated(7);
        let (_, file, next) = file(&disk, &[0; 100]);
        disk.fail_operation(next, Fault::FlippedBit);
        let read = file.slice(0, 100).unwrap();
        assert_eq!(read.iter().map(|byte| byte.count_ones()).sum::<u32>(), 1);
        assert_eq!(file.slice(0, 100).unwrap(), [0; 100][..]);
    }

    #[test]
    fn short_and_interrupted_calls_are_gone_on_with() {
        let disk = MemoryDisk::simulated(7);
        let (_, file, _) = file(&disk, b"");
        let often = |faults: Faults, operation| {
            faults.one_in(2, operation, Fault::Short).one_in(3, operation, Fault::Interrupted)
        };
        disk.set_faults(often(often(Faults::none(), Operation::Read), Operation::Write));
        let content: Vec<u8> = (0..200).collect();
        let before = disk.operations();
        file.write_all_at(&content, 0).unwrap();
        assert_eq!(file.slice(0, 500).unwrap(), content);
        assert!(disk.operations() > before + 2, "some were cut short");
    }

    #[test]
    fn failed_write_leaves_any_part_and_says_why() {
        let mut left = BTreeSet::new();
        for seed in 0..50 {
            for fault in [Fault::Device, Fault::NoSpace, Fault::Quota] {
                let disk = MemoryDisk::simulated(seed);
                let (_, file, next) = file(&disk, b"");
                disk.fail_operation(next, fault);
                let failed = file.write_all_at(b"abc", 0).unwrap_err();
                assert_eq!(matches!(failed, Error::DiskFull { .. }), fault != Fault::Device, "{failed}");
                left.insert(file.slice(0, 9).unwrap().to_vec());
            }
        }
        assert_eq!(left.len(), 4, "{left:?}");
    }

    #[test]
    fn fault_that_an_operation_does_not_know_leaves_it_alone() {
        let disk = MemoryDisk::simulated(7);
        let (root, file, next) = file(&disk, b"abc");
        for (number, fault) in (next..).zip([Fault::FlippedBit, Fault::NoSpace, Fault::TooManyFiles]) {
            disk.fail_operation(number, fault);
        }
        file.write_all_at(b"x", 0).unwrap();
        assert_eq!(file.slice(0, 3).unwrap(), b"xbc"[..]);
        root.rename("a", "b").unwrap();
    }

    /// Begins a sync, has `meanwhile` happen, and waits for its end.
    fn sync_slowly(disk: &MemoryDisk, file: &Arc<dyn File>, meanwhile: impl FnOnce()) -> Result<()> {
        let (outcome, signal) = (Arc::new(Mutex::new(None)), Arc::new(Signal::default()));
        let (told, moved) = (Arc::clone(&outcome), Arc::clone(&signal));
        let done = move |result| {
            *lock(&told) = Some(result);
            moved.notify();
        };
        let life = disk.disk();
        life.begin_sync(vec![SyncTarget::File(Arc::clone(file))], Box::new(done));
        meanwhile();
        wait_for(&*life.scheduler(), &signal, None, || lock(&outcome).take()).unwrap()
    }

    #[test]
    fn slow_sync_covers_what_was_there_when_it_began() {
        let disk = MemoryDisk::simulated(7);
        let (_, file, _) = file(&disk, b"a");
        file.write_all_at(b"b", 1).unwrap();
        sync_slowly(&disk, &file, || file.write_all_at(b"c", 2).unwrap()).unwrap();
        disk.power_cut();
        assert_eq!(content(&disk, "a").unwrap(), b"ab");
    }

    #[test]
    fn slow_sync_that_fails_loses_what_it_covered_and_no_more() {
        let disk = MemoryDisk::simulated(7);
        let (_, file, _) = file(&disk, b"a");
        file.write_all_at(b"b", 1).unwrap();
        disk.set_faults(Faults::none().one_in(1, Operation::Sync, Fault::Device));
        sync_slowly(&disk, &file, || file.write_all_at(b"c", 2).unwrap()).unwrap_err();
        disk.set_faults(Faults::none());
        file.sync().unwrap();
        assert_eq!(content(&disk, "a").unwrap(), b"abc", "the page cache has it");
        disk.power_cut();
        assert_eq!(content(&disk, "a").unwrap(), b"a\0c", "the disk never got it");
    }

    #[test]
    fn sync_that_fails_and_leaves_pages_dirty_can_be_made_good() {
        let disk = MemoryDisk::simulated(7);
        let (_, file, next) = file(&disk, b"a");
        file.write_all_at(b"b", 1).unwrap();
        disk.fail_operation(next + 1, Fault::StaysDirty);
        file.sync().unwrap_err();
        file.sync().unwrap();
        disk.power_cut();
        assert_eq!(content(&disk, "a").unwrap(), b"ab");
    }

    #[test]
    fn sync_that_fails_and_reverts_shows_what_the_disk_has() {
        let disk = MemoryDisk::simulated(7);
        let (_, file, next) = file(&disk, b"abc");
        file.write_all_at(b"xyz", 2).unwrap();
        disk.fail_operation(next + 1, Fault::Reverts);
        file.sync().unwrap_err();
        assert_eq!(content(&disk, "a").unwrap(), b"abc\0\0");
        file.write_all_at(b"z", 4).unwrap();
        file.sync().unwrap();
        disk.power_cut();
        assert_eq!(content(&disk, "a").unwrap(), b"abc\0z");
    }

    #[test]
    fn power_cut_in_order_keeps_a_front_of_what_was_done() {
        let mut left = BTreeSet::new();
        for seed in 0..200 {
            let disk = MemoryDisk::simulated(seed);
            let (root, file, _) = file(&disk, b"");
            file.write_all_at(b"abc", 0).unwrap();
            root.create("b").unwrap();
            file.write_all_at(b"def", 3).unwrap();
            disk.power_cut_as(PowerCut::keeping(seed).in_order().sector_bytes(1));
            let (content, has_name) = (content(&disk, "a").unwrap(), disk.files().len() == 2);
            assert!(b"abcdef".starts_with(&content), "{content:?}");
            assert!(if has_name { content.len() >= 3 } else { content.len() <= 3 }, "{content:?} {has_name}");
            left.insert((content.len(), has_name));
        }
        assert_eq!(left.len(), 8, "{left:?}");
    }

    #[test]
    fn power_cut_by_large_sectors_keeps_or_loses_pages() {
        let mut left = BTreeSet::new();
        for seed in 0..200 {
            let disk = MemoryDisk::simulated(seed);
            let (_, file, _) = file(&disk, &[1; 8192]);
            file.write_all_at(&[2; 8192], 0).unwrap();
            disk.power_cut_as(PowerCut::keeping(seed).sector_bytes(4096));
            let content = disk.content("a").unwrap();
            assert!(content.chunks(4096).all(|page| page.iter().all(|byte| *byte == page[0])));
            left.insert((content[0], content[4096]));
        }
        assert!(left.iter().eq(&[(1, 1), (1, 2), (2, 1), (2, 2)]), "{left:?}");
    }

    #[test]
    fn journal_carries_names_and_lengths_of_others_with_any_sync() {
        let disk = MemoryDisk::simulated(7);
        disk.set_journaled(true);
        let (root, file, _) = file(&disk, b"a");
        let other = root.create("b").unwrap();
        other.write_all_at(b"xyz", 0).unwrap();
        file.write_all_at(b"b", 1).unwrap();
        file.sync().unwrap();
        root.create("c").unwrap();
        disk.power_cut();
        assert_eq!(content(&disk, "a").unwrap(), b"ab");
        assert_eq!(content(&disk, "b").unwrap(), b"\0\0\0", "the length, and not the content");
        assert_eq!(content(&disk, "c"), None);
    }

    #[test]
    fn power_cut_with_a_journal_keeps_names_in_order() {
        let mut left = BTreeSet::new();
        for seed in 0..50 {
            let disk = MemoryDisk::simulated(seed);
            disk.set_journaled(true);
            let root = disk.disk().root();
            ["a", "b", "c"].into_iter().for_each(|name| drop(root.create(name).unwrap()));
            disk.power_cut_keeping(seed);
            left.insert(disk.files().iter().map(|(path, _)| path.display().to_string()).collect::<String>());
        }
        assert!(left.iter().eq(&["", "a", "ab", "abc"]), "{left:?}");
    }

    #[test]
    fn unreadable_sector_is_readable_when_it_was_written_again() {
        let disk = MemoryDisk::simulated(7);
        let (_, file, _) = file(&disk, b"0123456789");
        disk.make_unreadable("a", 2..8).unwrap();
        assert!(disk.make_unreadable("b", 0..1).is_err());
        assert_eq!(file.slice(0, 2).unwrap(), b"01"[..]);
        assert!(file.slice(7, 3).is_err());
        file.write_all_at(b"xx", 4).unwrap();
        assert_eq!(file.slice(4, 2).unwrap(), b"xx"[..]);
        for part in [2, 7] {
            assert!(file.slice(part, 1).is_err());
        }
        disk.power_cut();
        assert!(disk.disk().root().open("a").unwrap().slice(2, 1).is_err(), "still");
    }

    #[test]
    fn faults_can_be_kept_to_some_files() {
        let disk = MemoryDisk::simulated(7);
        let (root, file, _) = file(&disk, b"a");
        let other = root.create("other.index").unwrap();
        disk.set_faults(Faults::none().one_in_all(1, Fault::Device).within(".index"));
        file.write_all_at(b"b", 1).unwrap();
        root.sync().unwrap();
        other.write_all_at(b"b", 1).unwrap_err();
        root.open("other.index").unwrap_err();
    }

    #[test]
    fn power_says_what_it_failed_in_the_place_of() {
        let disk = MemoryDisk::simulated(7);
        let (root, ..) = file(&disk, b"a");
        let dir = root.create_dir("d").unwrap();
        assert_eq!(disk.power_failed_at(), None);
        disk.fail_from(disk.steps());
        dir.create("x").unwrap_err();
        assert_eq!(disk.power_failed_at(), Some((Operation::Create, "d/x".into())));
        disk.kill();
        disk.fail_from(disk.steps());
        disk.disk().root().rename("a", "b").unwrap_err();
        assert_eq!(disk.power_failed_at(), Some((Operation::Rename, "a".into())));
    }

    #[test]
    fn fault_that_happens_once_happens_once() {
        let disk = MemoryDisk::simulated(7);
        let (root, file, _) = file(&disk, b"a");
        disk.set_faults(Faults::none().one_in_all(1, Fault::Device).once());
        file.write_all_at(b"b", 0).unwrap_err();
        file.write_all_at(b"b", 0).unwrap();
        root.open("a").unwrap_err(); // another kind
        root.open("a").unwrap();
    }

    #[test]
    fn lock_that_could_not_be_taken_is_not_held() {
        let disk = MemoryDisk::simulated(7);
        let root = disk.disk().root();
        disk.set_faults(Faults::none().one_in(1, Operation::Write, Fault::NoSpace).once());
        root.lock("LOCK", "me").unwrap_err();
        let held = root.lock("LOCK", "me").unwrap();
        assert!(matches!(root.lock("LOCK", "you"), Err(Error::DirectoryLocked { .. })));
        drop(held);
        root.lock("LOCK", "you").unwrap();
    }
}
