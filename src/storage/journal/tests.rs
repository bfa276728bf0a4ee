use proptest::prelude::*;

use super::*;
use crate::io::MemoryDisk;
use crate::storage::journal::format::{FRAME_OVERHEAD, HEADER_BYTES, MAX_PAYLOAD};

const NAME: &str = "offsets";

fn ids(number: u8) -> JournalIds {
    JournalIds { journal: [number; 16], history: [77; 16] }
}

fn root(disk: &MemoryDisk) -> Arc<dyn Dir> {
    disk.disk().root()
}

fn payload(number: u32) -> Vec<u8> {
    number.to_be_bytes().repeat(1 + usize::try_from(number % 7).unwrap())
}

fn payloads(numbers: std::ops::Range<u32>) -> Vec<Vec<u8>> {
    numbers.map(payload).collect()
}

fn sync(journal: &mut Journal) -> Result<()> {
    let (file, end) = (journal.file(), journal.end());
    file.sync()?;
    journal.mark_durable(&file, end);
    Ok(())
}

fn append_all(journal: &mut Journal, numbers: std::ops::Range<u32>) {
    for number in numbers {
        journal.append(&payload(number)).unwrap();
    }
    assert!(journal.write_round(&mut || false).unwrap());
}

/// A journal with a snapshot of `snapshot` frames, `synced` appended and synced, and `written` written after that.
fn journal_with(disk: &MemoryDisk, snapshot: u32, synced: u32, written: u32) -> Journal {
    let mut journal = Journal::create(root(disk), NAME, ids(1), &payloads(0..snapshot)).unwrap();
    if synced > 0 {
        append_all(&mut journal, snapshot..snapshot + synced);
        sync(&mut journal).unwrap();
    }
    if written > 0 {
        append_all(&mut journal, snapshot + synced..snapshot + synced + written);
    }
    journal
}

fn open(disk: &MemoryDisk, was_clean: bool) -> JournalOpening {
    Journal::open(root(disk), NAME, was_clean, BehindHole::Keep).unwrap()
}

fn content(disk: &MemoryDisk) -> Vec<u8> {
    let file = root(disk).open(NAME).unwrap();
    crate::io::read_small(&*file, 1 << 24).unwrap()
}

/// Puts other bytes in the place of the journal.
fn overwrite(disk: &MemoryDisk, bytes: &[u8]) {
    let file = root(disk).create(NAME).unwrap();
    file.write_all_at(bytes, 0).unwrap();
    file.sync().unwrap();
    root(disk).sync().unwrap();
}

fn damages(opening: &JournalOpening) -> Vec<JournalDamage> {
    opening.findings.iter().map(|finding| finding.damage).collect()
}

#[test]
fn frames_come_back_in_order_after_a_clean_close() {
    let disk = MemoryDisk::new();
    let mut journal = journal_with(&disk, 3, 4, 5);
    sync(&mut journal).unwrap();
    assert_eq!(journal.durable_end, journal.end);
    let opening = open(&disk, true);
    assert_eq!(opening.payloads, payloads(0..12));
    assert_eq!(opening.findings, []);
    assert_eq!(opening.journal.last_sequence, 9);
    assert_eq!(opening.journal.header.history_id, [77; 16]);
    assert!(!opening.journal.must_be_compacted());
}

#[test]
fn append_goes_on_behind_the_last_frame_after_a_clean_close() {
    let disk = MemoryDisk::new();
    drop(journal_with(&disk, 0, 2, 0));
    append_all(&mut open(&disk, true).journal, 2..4);
    let opening = open(&disk, true);
    assert_eq!((opening.payloads, opening.findings), (payloads(0..4), vec![]));
}

#[test]
fn unclean_journal_takes_no_frame_before_it_is_compacted() {
    let disk = MemoryDisk::new();
    drop(journal_with(&disk, 1, 1, 1));
    let JournalOpening { mut journal, payloads: found, .. } = open(&disk, false);
    assert!(matches!(journal.append(b"x"), Err(Error::IllegalState { .. })));
    journal.compact([2; 16], found).unwrap();
    append_all(&mut journal, 3..4);
    assert_eq!(journal.last_sequence, 3);
    let opening = open(&disk, true);
    assert_eq!((opening.payloads, opening.findings), (payloads(0..4), vec![]));
}

#[test]
fn payload_of_no_bytes_or_too_many_is_refused() {
    let disk = MemoryDisk::new();
    let mut journal = journal_with(&disk, 0, 0, 0);
    assert!(matches!(journal.append(b""), Err(Error::IllegalArgument { .. })));
    assert!(matches!(journal.append(&vec![0; MAX_PAYLOAD + 1]), Err(Error::IllegalArgument { .. })));
    assert!(!journal.write_round(&mut || false).unwrap());
    journal.append(&vec![7; MAX_PAYLOAD]).unwrap();
    assert!(journal.write_round(&mut || false).unwrap());
    assert_eq!(open(&disk, true).payloads, [vec![7; MAX_PAYLOAD]]);
}

#[test]
fn create_refuses_a_name_that_is_taken_and_open_one_that_is_not() {
    let disk = MemoryDisk::new();
    let missing = Journal::open(root(&disk), NAME, true, BehindHole::Keep).unwrap_err();
    assert!(missing.is_not_found());
    assert!(!Journal::exists(&*root(&disk), NAME).unwrap());
    drop(journal_with(&disk, 0, 0, 0));
    assert!(Journal::exists(&*root(&disk), NAME).unwrap());
    let taken = Journal::create(root(&disk), NAME, ids(2), &[]).unwrap_err();
    assert!(matches!(taken, Error::IllegalState { .. }));
}

#[test]
fn newer_version_unknown_feature_and_foreign_file_are_refused_untouched() {
    let disk = MemoryDisk::new();
    drop(journal_with(&disk, 1, 0, 0));
    let whole = content(&disk);
    let with = |at: usize, value: u8| {
        let mut bytes = whole.clone();
        for copy in [0, 64] {
            bytes[copy + at] = value;
            let checksum = crc32fast::hash(&bytes[copy..copy + 60]).to_be_bytes();
            bytes[copy + 60..copy + 64].copy_from_slice(&checksum);
        }
        bytes
    };
    for bytes in [with(7, 9), with(11, 1), with(0, b'X')] {
        overwrite(&disk, &bytes);
        let refused = Journal::open(root(&disk), NAME, false, BehindHole::Keep).unwrap_err();
        assert!(matches!(refused, Error::UnsupportedVersion { .. }), "{refused}");
        assert!(refused.to_string().contains(NAME));
        assert_eq!(content(&disk), bytes);
    }
    for bytes in [&whole[..0], &whole[..127]] {
        overwrite(&disk, bytes);
        let refused = Journal::open(root(&disk), NAME, false, BehindHole::Keep).unwrap_err();
        assert!(matches!(refused, Error::CorruptFile { .. }), "{refused}");
    }
}

/// Found by fuzzing: behind the last number of all came the first one again, and what was appended was lost.
#[test]
fn header_that_leaves_no_numbers_for_frames_is_damaged() {
    for base_sequence in [1 << 62, APPENDED - 1, APPENDED, u64::MAX] {
        let disk = MemoryDisk::new();
        let JournalIds { journal: journal_id, history: history_id } = ids(1);
        let header = Header { journal_id, history_id, base_sequence, snapshot_end: HEADER_BYTES };
        root(&disk).create(NAME).unwrap().write_all_at(&header.encode(), 0).unwrap();
        let refused = Journal::open(root(&disk), NAME, true, BehindHole::Keep).unwrap_err();
        assert!(matches!(refused, Error::CorruptFile { .. }), "{refused}");
    }
}

#[test]
fn flipped_bit_anywhere_is_found_and_costs_one_frame_at_most() {
    let disk = MemoryDisk::new();
    drop(journal_with(&disk, 2, 3, 0));
    let written = payloads(0..5);
    for position in 0..content(&disk).len() as u64 {
        for bit in [0, 6] {
            disk.flip_bit(NAME, position, bit).unwrap();
            let opening = open(&disk, true);
            assert_eq!(opening.findings.len(), 1, "{position}: {:?}", opening.findings);
            let lost = usize::from(position >= HEADER_BYTES);
            assert_eq!(opening.findings[0].is_rot(), lost == 1);
            assert_eq!(opening.payloads.len(), written.len() - lost, "position {position}");
            assert!(is_subsequence(&opening.payloads, &written));
            assert!(opening.journal.must_be_compacted());
            disk.flip_bit(NAME, position, bit).unwrap();
        }
    }
}

#[test]
fn cut_at_any_byte_costs_the_frames_behind_it() {
    let disk = MemoryDisk::new();
    let snapshot_end = journal_with(&disk, 2, 0, 3).header.snapshot_end;
    let whole = content(&disk);
    let frames = payloads(0..5);
    let mut ends = vec![usize::try_from(HEADER_BYTES).unwrap()];
    for frame in &frames {
        ends.push(ends.last().unwrap() + FRAME_OVERHEAD + frame.len());
    }
    for len in ends[0]..whole.len() {
        overwrite(&disk, &whole[..len]);
        let opening = open(&disk, false);
        let complete = ends.iter().filter(|end| **end <= len).count() - 1;
        assert_eq!(opening.payloads, frames[..complete], "cut at {len}");
        let is_at_a_frame = ends.contains(&len);
        let rot = (len as u64) < snapshot_end;
        let expected = match (is_at_a_frame, rot) {
            (true, false) => vec![],
            (true, true) => vec![JournalDamage::MissingFrames],
            (false, true) => vec![JournalDamage::BadFrame],
            (false, false) => vec![JournalDamage::TornTail],
        };
        assert_eq!(damages(&opening), expected, "cut at {len}");
    }
}

#[test]
fn bad_place_below_a_durable_end_is_rot_and_above_it_a_hole() {
    let disk = MemoryDisk::new();
    let journal = journal_with(&disk, 0, 2, 3);
    let unsynced = journal.durable_end;
    // The first appended frame: the frames of the second round say that it was synced.
    disk.flip_bit(NAME, HEADER_BYTES + 24, 0).unwrap();
    let opening = open(&disk, false);
    assert_eq!(damages(&opening), [JournalDamage::BadFrame]);
    assert_eq!(opening.payloads, payloads(1..5));
    disk.flip_bit(NAME, HEADER_BYTES + 24, 0).unwrap();

    disk.flip_bit(NAME, unsynced + 24, 0).unwrap();
    let kept = open(&disk, false);
    assert_eq!(damages(&kept), [JournalDamage::Hole { behind: 2, kept: true }]);
    assert_eq!(kept.payloads, [payloads(0..2), payloads(3..5)].concat());
    assert_eq!(kept.journal.last_sequence, 5);
    let dropped = Journal::open(root(&disk), NAME, false, BehindHole::Drop).unwrap();
    assert_eq!(damages(&dropped), [JournalDamage::Hole { behind: 2, kept: false }]);
    assert_eq!(dropped.payloads, payloads(0..2));
    assert_eq!(dropped.journal.last_sequence, 2);
    assert_eq!(damages(&open(&disk, true)), [JournalDamage::BadFrame]);
}

#[test]
fn zeros_behind_the_last_frame_are_a_torn_tail_of_any_length() {
    let disk = MemoryDisk::new();
    let journal = journal_with(&disk, 0, 1, 1);
    journal.file().set_len(3_000_000).unwrap();
    let opening = open(&disk, false);
    assert_eq!(opening.payloads, payloads(0..2));
    assert_eq!(damages(&opening), [JournalDamage::TornTail]);
    assert_eq!((opening.findings[0].position, opening.findings[0].bytes), (journal.end, 3_000_000 - journal.end));
}

#[test]
fn frame_behind_megabytes_of_zeros_is_found() {
    let disk = MemoryDisk::new();
    let mut journal = journal_with(&disk, 0, 1, 0);
    for distance in [1, 2, 3, 4, 5, 700_000] {
        let hole = journal.end;
        journal.end += distance;
        append_all(&mut journal, 1..2);
        let opening = open(&disk, false);
        assert_eq!(damages(&opening), [JournalDamage::Hole { behind: 1, kept: true }]);
        assert_eq!((opening.findings[0].position, opening.findings[0].bytes), (hole, distance));
        journal.end = hole;
        journal.last_sequence -= 1;
        journal.file().set_len(hole).unwrap();
    }
}

#[test]
fn frames_of_an_older_generation_are_never_taken_for_new_ones() {
    let disk = MemoryDisk::new();
    let mut journal = journal_with(&disk, 0, 5, 0);
    let old = content(&disk);
    journal.compact([2; 16], payloads(0..1)).unwrap();
    let end = usize::try_from(journal.end()).unwrap();
    let mut bytes = content(&disk);
    bytes.extend_from_slice(&old[end..]); // blocks that the file system hands out again
    overwrite(&disk, &bytes);
    let opening = open(&disk, false);
    assert_eq!(opening.payloads, payloads(0..1));
    assert_eq!(damages(&opening), [JournalDamage::TornTail]);
}

#[test]
fn removed_journal_is_gone_with_all_generations_and_for_good() {
    let disk = MemoryDisk::new();
    let mut journal = journal_with(&disk, 2, 3, 0);
    journal.compact([2; 16], payloads(0..5)).unwrap();
    drop(Journal::create(root(&disk), "other", ids(3), &payloads(0..1)).unwrap());
    let (gone, removed) = Journal::remove(&*root(&disk), &[NAME.to_owned(), "never there".to_owned()]);
    removed.unwrap();
    assert_eq!(gone, 2);
    for _ in 0..2 {
        assert!(!Journal::exists(&*root(&disk), NAME).unwrap());
        assert_eq!(root(&disk).names().unwrap(), ["other"]);
        disk.power_cut();
    }
}

#[test]
fn removal_that_ends_early_says_how_far_it_came() {
    let disk = MemoryDisk::new();
    for name in ["a", "c"] {
        drop(Journal::create(root(&disk), name, ids(1), &payloads(0..1)).unwrap());
    }
    root(&disk).create_dir("b").unwrap(); // which is no file to be removed
    let (gone, removed) = Journal::remove(&*root(&disk), &["a", "b", "c"].map(str::to_owned));
    assert_eq!(gone, 1, "{removed:?}");
    assert!(removed.is_err());
    disk.power_cut();
    assert_eq!(root(&disk).names().unwrap(), ["b", "c"]);
}

#[test]
fn removed_doubled_and_exchanged_frames_are_reported() {
    let disk = MemoryDisk::new();
    drop(journal_with(&disk, 0, 5, 0));
    let whole = content(&disk);
    let mut ends = vec![usize::try_from(HEADER_BYTES).unwrap()];
    for frame in payloads(0..5) {
        ends.push(ends.last().unwrap() + FRAME_OVERHEAD + frame.len());
    }
    let frame = |number: usize| &whole[ends[number]..ends[number + 1]];
    let build = |order: &[usize]| {
        let frames: Vec<u8> = order.iter().flat_map(|number| frame(*number).to_vec()).collect();
        [&whole[..ends[0]], &frames].concat()
    };
    for (order, expected) in [
        (&[0, 1, 3, 4][..], vec![0, 1, 3, 4]),
        (&[1, 2, 3, 4], vec![1, 2, 3, 4]),
        (&[0, 1, 1, 2, 3, 4], vec![0, 1, 2, 3, 4]),
        (&[0, 2, 1, 3, 4], vec![0, 2, 3, 4]),
    ] {
        overwrite(&disk, &build(order));
        let opening = open(&disk, true);
        let expected: Vec<Vec<u8>> = expected.into_iter().map(payload).collect();
        assert_eq!(opening.payloads, expected);
        assert!(opening.findings.iter().any(JournalFinding::is_rot), "{order:?}");
    }
}

#[test]
fn compaction_goes_on_counting_and_keeps_the_generation_before() {
    let disk = MemoryDisk::new();
    let mut journal = journal_with(&disk, 2, 6, 0);
    let before = content(&disk);
    let file = journal.file();
    journal.compact([2; 16], payloads(7..8)).unwrap();
    assert_eq!(journal.last_sequence, 6);
    let end = journal.end();
    journal.mark_durable(&file, 9999); // a sync of the old file that returns late
    assert_eq!(journal.durable_end, end);
    append_all(&mut journal, 8..9);
    sync(&mut journal).unwrap();
    disk.power_cut();
    let opening = open(&disk, false);
    assert_eq!((opening.payloads, opening.findings), (payloads(7..9), vec![]));
    assert_eq!(opening.journal.last_sequence, 7);
    let previous = root(&disk).open("offsets.previous").unwrap();
    assert_eq!(crate::io::read_small(&*previous, 1 << 20).unwrap(), before);
}

#[test]
fn compaction_that_a_power_cut_ends_loses_no_frame_whatever_names_it_leaves() {
    let steps = |disk: &MemoryDisk| {
        let mut journal = journal_with(disk, 2, 6, 0);
        let begun_at = disk.steps();
        journal.compact([2; 16], payloads(0..8)).unwrap();
        begun_at..=disk.steps()
    };
    for step in steps(&MemoryDisk::new()) {
        for seed in 0..64 {
            let disk = MemoryDisk::new();
            let mut journal = journal_with(&disk, 2, 6, 0);
            disk.fail_from(step);
            let _ = journal.compact([2; 16], payloads(0..8));
            disk.power_cut_keeping(seed);
            let opening = open(&disk, false);
            assert_eq!(opening.payloads, payloads(0..8), "step {step}, seed {seed}");
            let is_rot = opening.findings.iter().any(JournalFinding::is_rot);
            assert!(!is_rot, "step {step}, seed {seed}: {:?}", opening.findings);
        }
    }
}

#[cfg(feature = "sim")]
#[test]
fn creation_that_fails_at_any_operation_can_be_tried_again() {
    let disk = MemoryDisk::simulated(7);
    let create = |disk: &MemoryDisk| Journal::create(root(disk), NAME, ids(1), &payloads(0..2));
    create(&disk).unwrap();
    for operation in 0..disk.operations() {
        for fault in [crate::io::Fault::TooManyFiles, crate::io::Fault::NoSpace] {
            let disk = MemoryDisk::simulated(7);
            disk.fail_operation(operation, fault);
            if create(&disk).is_err() {
                create(&disk).unwrap();
            }
            assert_eq!(open(&disk, false).payloads, payloads(0..2));
        }
    }
}

#[test]
fn compaction_to_nothing_remembers_the_last_sequence() {
    let disk = MemoryDisk::new();
    let mut journal = journal_with(&disk, 0, 6, 0);
    journal.compact([2; 16], []).unwrap();
    let mut opening = open(&disk, true);
    assert_eq!((opening.payloads.len(), opening.journal.last_sequence), (0, 6));
    append_all(&mut opening.journal, 0..1);
    assert_eq!(open(&disk, true).journal.last_sequence, 7);
}

#[test]
fn compaction_is_due_when_the_file_has_outgrown_its_snapshot() {
    let disk = MemoryDisk::new();
    let mut journal = Journal::create(root(&disk), NAME, ids(1), &[vec![1; 400_000]]).unwrap();
    for _ in 0..2 {
        journal.append(&[2; 500_000]).unwrap();
        journal.write_round(&mut || false).unwrap();
        assert!(!journal.needs_compaction());
    }
    journal.append(&[2; 500_000]).unwrap();
    journal.write_round(&mut || false).unwrap();
    assert!(journal.needs_compaction());
    journal.compact([2; 16], [vec![1; 400_000]]).unwrap();
    assert!(!journal.needs_compaction());
}

#[test]
fn power_cut_brings_back_nothing_of_a_round_that_failed() {
    for seed in 0..40 {
        let disk = MemoryDisk::new();
        let mut journal = journal_with(&disk, 0, 3, 0);
        journal.append(&payload(100)).unwrap();
        let frame = journal.queued.len() as u64;
        journal.append(&payload(101)).unwrap();
        disk.set_capacity(Some(content(&disk).len() as u64 + frame + 1)); // room for the first of them
        assert!(matches!(journal.write_round(&mut || false), Err(Error::DiskFull { .. })));
        disk.power_cut_keeping(seed);
        assert_eq!(open(&disk, false).payloads, payloads(0..3), "seed {seed}");
    }
}

#[test]
fn full_disk_takes_nothing_of_the_round_and_the_next_one_succeeds() {
    let disk = MemoryDisk::new();
    let mut journal = journal_with(&disk, 0, 3, 0);
    let len = content(&disk).len() as u64;
    for room in 0..60 {
        disk.set_capacity(Some(len + room));
        journal.append(&payload(100)).unwrap();
        journal.append(&[9; 64]).unwrap();
        assert!(matches!(journal.write_round(&mut || false), Err(Error::DiskFull { .. })));
        assert_eq!(content(&disk).len() as u64, len);
        assert!(matches!(journal.compact([3; 16], payloads(0..3)), Err(Error::DiskFull { .. })));
        assert_eq!(disk.files().len(), 1, "what was begun is removed again");
    }
    disk.set_capacity(None);
    append_all(&mut journal, 3..5);
    sync(&mut journal).unwrap();
    disk.power_cut();
    let opening = open(&disk, false);
    assert_eq!((opening.payloads, opening.findings), (payloads(0..5), vec![]));
}

#[test]
fn write_that_cannot_be_cut_back_stops_the_journal() {
    let disk = MemoryDisk::new();
    let mut journal = journal_with(&disk, 0, 3, 0);
    journal.append(b"lost").unwrap();
    disk.fail_from(disk.steps());
    assert!(matches!(journal.write_round(&mut || false), Err(Error::Storage { .. })));
    assert!(matches!(journal.append(b"x"), Err(Error::Storage { .. })));
    assert!(matches!(journal.compact([2; 16], []), Err(Error::Storage { .. })));
    disk.kill();
    assert_eq!(open(&disk, false).payloads, payloads(0..3));
}

#[test]
fn frames_that_a_failed_sync_left_in_the_page_cache_are_durable_after_the_compaction() {
    let disk = MemoryDisk::new();
    let mut journal = journal_with(&disk, 1, 1, 2);
    disk.fail_next_syncs(1);
    assert!(sync(&mut journal).is_err());
    disk.kill();
    let mut opening = open(&disk, false);
    assert_eq!(opening.payloads, payloads(0..4));
    opening.journal.compact([2; 16], opening.payloads).unwrap();
    disk.power_cut();
    assert_eq!(open(&disk, false).payloads, payloads(0..4));
}

/// What a run that is stopped at some step has been promised.
#[derive(Default)]
struct Promised {
    is_created: bool,
    /// The frames appended before a sync that returned.
    synced: u32,
    /// The frames whose writing began.
    begun: u32,
}

/// Creates a journal, appends, syncs and compacts, until the disk fails.
fn run(disk: &MemoryDisk, promised: &mut Promised) -> Result<()> {
    promised.begun = 2;
    let mut journal = Journal::create(root(disk), NAME, ids(1), &payloads(0..2))?;
    *promised = Promised { is_created: true, synced: 2, begun: 2 };
    for round in 0..6u8 {
        for _ in 0..2 {
            for _ in 0..3 {
                journal.append(&payload(promised.begun))?;
                promised.begun += 1;
            }
            journal.write_round(&mut || false)?;
        }
        sync(&mut journal)?;
        promised.synced = promised.begun;
        if round % 2 == 1 {
            journal.compact([2 + round; 16], payloads(0..promised.begun))?;
        }
    }
    Ok(())
}

fn check(disk: &MemoryDisk, promised: &Promised, what: &str) -> Option<JournalOpening> {
    let opening = match Journal::open(root(disk), NAME, false, BehindHole::Drop) {
        Ok(opening) => opening,
        Err(error) => {
            assert!(error.is_not_found() && !promised.is_created, "{what}: {error}");
            return None;
        }
    };
    let count = u32::try_from(opening.payloads.len()).unwrap();
    assert!((promised.synced..=promised.begun).contains(&count), "{what}: {count} frames");
    assert_eq!(opening.payloads, payloads(0..count), "{what}");
    assert!(!opening.findings.iter().any(JournalFinding::is_rot), "{what}: {:?}", opening.findings);
    Some(opening)
}

#[test]
fn crash_at_every_step_keeps_what_was_synced_and_nothing_half() {
    let total = {
        let disk = MemoryDisk::new();
        run(&disk, &mut Promised::default()).unwrap();
        disk.steps()
    };
    for step in 0..total {
        for is_cut in [true, false] {
            let crashed = || {
                let disk = MemoryDisk::new();
                disk.fail_from(step);
                let mut promised = Promised::default();
                assert!(run(&disk, &mut promised).is_err());
                if is_cut {
                    disk.power_cut()
                } else {
                    disk.kill()
                }
                (disk, promised)
            };
            let (disk, promised) = crashed();
            let what = format!("step {step}, cut {is_cut}");
            let Some(opening) = check(&disk, &promised, &what) else { continue };
            // The recovery may crash at any of its steps as well, and is finished by the next one.
            let found = opening.payloads.len();
            let mut recovery_step = 0;
            loop {
                let (disk, promised) = crashed();
                let mut opening = check(&disk, &promised, &what).unwrap();
                disk.fail_from(disk.steps() + recovery_step);
                let recovered = opening.journal.compact([50; 16], opening.payloads);
                disk.power_cut();
                let again = check(&disk, &promised, &format!("{what}, recovery step {recovery_step}"));
                if recovered.is_ok() {
                    assert_eq!(again.unwrap().payloads.len(), found, "{what}: what was found is durable now");
                    break;
                }
                recovery_step += 1;
            }
        }
    }
}

fn is_subsequence(part: &[Vec<u8>], whole: &[Vec<u8>]) -> bool {
    let mut rest = whole.iter();
    part.iter().all(|frame| rest.any(|other| other == frame))
}

/// What damages a file.
#[derive(Clone, Debug)]
enum Blow {
    Byte(usize, u8),
    Cut(usize),
    Zeros(usize, usize),
    Remove(usize, usize),
    Double(usize, usize),
    Garbage(usize, Vec<u8>),
}

fn blow() -> impl Strategy<Value = Blow> {
    prop_oneof![
        (any::<usize>(), any::<u8>()).prop_map(|(at, byte)| Blow::Byte(at, byte)),
        any::<usize>().prop_map(Blow::Cut),
        (any::<usize>(), 1..200usize).prop_map(|(at, len)| Blow::Zeros(at, len)),
        (any::<usize>(), 1..200usize).prop_map(|(at, len)| Blow::Remove(at, len)),
        (any::<usize>(), 1..200usize).prop_map(|(at, len)| Blow::Double(at, len)),
        (any::<usize>(), prop::collection::vec(any::<u8>(), 1..60)).prop_map(|(at, bytes)| Blow::Garbage(at, bytes)),
    ]
}

fn strike(bytes: &mut Vec<u8>, blow: &Blow) {
    if bytes.is_empty() {
        return;
    }
    let len = bytes.len();
    let range = |at: usize, count: usize| at % len..(at % len + count).min(len);
    match blow {
        Blow::Byte(at, byte) => bytes[at % len] = *byte,
        Blow::Cut(at) => bytes.truncate(at % len),
        Blow::Zeros(at, count) => bytes[range(*at, *count)].fill(0),
        Blow::Remove(at, count) => drop(bytes.drain(range(*at, *count))),
        Blow::Double(at, count) => {
            let copy = bytes[range(*at, *count)].to_vec();
            drop(bytes.splice(at % len..at % len, copy));
        }
        Blow::Garbage(at, garbage) => drop(bytes.splice(at % len..at % len, garbage.iter().copied())),
    }
}

fn frames() -> impl Strategy<Value = Vec<Vec<u8>>> {
    prop::collection::vec(prop::collection::vec(any::<u8>(), 1..80), 0..20)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn frames_round_trip(snapshot in frames(), rounds in prop::collection::vec(frames(), 0..5), is_cut in any::<bool>()) {
        let disk = MemoryDisk::new();
        let mut journal = Journal::create(root(&disk), NAME, ids(1), &snapshot).unwrap();
        for round in &rounds {
            for frame in round {
                journal.append(frame).unwrap();
            }
            prop_assert_eq!(journal.write_round(&mut || false).unwrap(), !round.is_empty());
            sync(&mut journal).unwrap();
        }
        if is_cut { disk.power_cut() } else { disk.kill() }
        let opening = open(&disk, !is_cut);
        prop_assert_eq!(opening.findings, vec![]);
        prop_assert_eq!(opening.payloads, [snapshot, rounds.concat()].concat());
    }

    #[test]
    fn damage_never_panics_and_never_makes_a_frame(
        snapshot in frames(),
        appended in frames(),
        blows in prop::collection::vec(blow(), 1..6),
        was_clean in any::<bool>(),
    ) {
        // Each frame carries its number, so that a doubled one would be noticed.
        let number = |(number, mut frame): (u32, Vec<u8>)| { frame.extend(number.to_be_bytes()); frame };
        let snapshot: Vec<Vec<u8>> = (0..).zip(snapshot).map(number).collect();
        let appended: Vec<Vec<u8>> = (1000..).zip(appended).map(number).collect();
        let disk = MemoryDisk::new();
        let mut journal = Journal::create(root(&disk), NAME, ids(1), &snapshot).unwrap();
        for frame in &appended {
            journal.append(frame).unwrap();
            journal.write_round(&mut || false).unwrap();
            sync(&mut journal).unwrap();
        }
        let whole = content(&disk);
        let mut bytes = whole.clone();
        for blow in &blows {
            strike(&mut bytes, blow);
        }
        overwrite(&disk, &bytes);
        let written = [snapshot, appended].concat();
        for behind in [BehindHole::Keep, BehindHole::Drop] {
            let Ok(opening) = Journal::open(root(&disk), NAME, was_clean, behind) else { continue };
            prop_assert!(is_subsequence(&opening.payloads, &written));
            let is_cut_between_frames = whole.starts_with(&bytes);
            prop_assert!(opening.payloads == written || !opening.findings.is_empty() || is_cut_between_frames);
            prop_assert!(opening.findings.iter().all(|finding| !finding.to_string().is_empty()));
        }
    }

    #[test]
    fn power_cut_that_leaves_any_sectors_is_never_taken_for_rot(
        synced in frames(),
        written in prop::collection::vec(frames(), 1..4),
        sector in prop_oneof![Just(8usize), Just(64), Just(512)],
        is_lost in prop::collection::vec(any::<bool>(), 64),
    ) {
        let disk = MemoryDisk::new();
        let mut journal = Journal::create(root(&disk), NAME, ids(1), &synced).unwrap();
        for frame in &synced {
            journal.append(frame).unwrap();
        }
        journal.write_round(&mut || false).unwrap();
        sync(&mut journal).unwrap();
        let durable = usize::try_from(journal.durable_end).unwrap();
        for frame in written.iter().flatten() {
            journal.append(frame).unwrap();
        }
        journal.write_round(&mut || false).unwrap();
        let mut bytes = content(&disk);
        let len = bytes.len();
        for (number, from) in (0..len).step_by(sector).enumerate() {
            if is_lost[number % is_lost.len()] {
                bytes[from.max(durable).min(len)..(from + sector).max(durable).min(len)].fill(0);
            }
        }
        overwrite(&disk, &bytes);
        let all = [synced.clone(), synced.clone(), written.concat()].concat();
        for behind in [BehindHole::Keep, BehindHole::Drop] {
            let opening = Journal::open(root(&disk), NAME, false, behind).unwrap();
            prop_assert!(!opening.findings.iter().any(JournalFinding::is_rot));
            prop_assert!(opening.payloads.starts_with(&all[..2 * synced.len()]));
            prop_assert!(is_subsequence(&opening.payloads, &all));
            prop_assert!(behind == BehindHole::Keep || all.starts_with(&opening.payloads));
        }
    }
}
