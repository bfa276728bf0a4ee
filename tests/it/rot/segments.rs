//! More than a bit: stretches of segments, and whole segments.

use ottla::Finding;

use super::sample::{Opened, Place, Sample, check, check_ending_at, t};
use super::tree::{Tree, lengthen, memory_used};

/// Damages both, a directory that was closed and one that was killed.
fn each(damage: impl Fn(&Sample, &mut Tree) -> Vec<i64>) -> Vec<Opened> {
    [Sample::closed(), Sample::killed()]
        .into_iter()
        .map(|sample| {
            let mut tree = sample.tree.clone();
            let lost = damage(&sample, &mut tree);
            check(&sample, &tree, lost)
        })
        .collect()
}

fn offsets(places: &[Place]) -> Vec<i64> {
    places.iter().flat_map(|place| place.offsets.clone()).collect()
}

/// Segment 1 is sealed; the last one is active.
fn sealed_and_active(sample: &Sample) -> [usize; 2] {
    [1, sample.segments().len() - 1]
}

#[test]
fn nothing_is_lost_of_what_is_whole() {
    for opened in each(|_, _| Vec::new()) {
        assert!(opened.findings.is_empty(), "{:?}", opened.findings);
    }
}

#[test]
fn zeros_cost_the_batches_that_they_hit() {
    for which in 0..2 {
        each(|sample, tree| {
            let batches = sample.batches_in(sealed_and_active(sample)[which]);
            let [_, one, other, ..] = batches.as_slice() else { panic!("{batches:?}") };
            tree.bytes(&one.path)[one.bytes.start + 30..other.bytes.start + 16].fill(0);
            offsets(&batches[1..3])
        });
    }
}

#[test]
fn zeros_in_place_of_a_segment_cost_it() {
    each(|sample, tree| {
        let path = &sample.segments()[1];
        tree.bytes(path).fill(0);
        sample.offsets_in(path).collect()
    });
}

#[test]
fn batch_that_is_cut_out_is_missed() {
    for which in 0..2 {
        each(|sample, tree| {
            let batches = sample.batches_in(sealed_and_active(sample)[which]);
            tree.bytes(&batches[1].path).drain(batches[1].bytes.clone());
            offsets(&batches[1..2])
        });
    }
}

#[test]
fn last_batch_of_a_segment_that_is_cut_out_is_missed() {
    for which in 0..2 {
        each(|sample, tree| {
            let batches = sample.batches_in(sealed_and_active(sample)[which]);
            let last = batches.last().unwrap();
            tree.bytes(&last.path).truncate(last.bytes.start);
            last.offsets.clone().collect()
        });
    }
}

#[test]
fn batch_that_is_there_twice_is_read_once() {
    for which in 0..2 {
        each(|sample, tree| {
            let batch = &sample.batches_in(sealed_and_active(sample)[which])[1];
            let content = tree.bytes(&batch.path);
            let copy = content[batch.bytes.clone()].to_vec();
            content.splice(batch.bytes.end..batch.bytes.end, copy);
            Vec::new()
        });
    }
}

#[test]
fn batches_that_changed_places_are_not_read_in_the_wrong_order() {
    each(|sample, tree| {
        let batches = sample.batches_in(1);
        let content = tree.bytes(&batches[1].path);
        let one = content[batches[1].bytes.clone()].to_vec();
        let other = content[batches[2].bytes.clone()].to_vec();
        let both = batches[1].bytes.start..batches[2].bytes.end;
        content.splice(both, other.into_iter().chain(one));
        // Each of the two is contradicted by its neighbours: zeros over the begin of a log look the same.
        offsets(&batches[1..3])
    });
}

#[test]
fn batch_of_another_place_is_passed_by() {
    each(|sample, tree| {
        let foreign = sample.batches_in(0)[1].clone();
        let foreign = tree.bytes(&foreign.path)[foreign.bytes].to_vec();
        let batch = &sample.batches_in(1)[1];
        tree.bytes(&batch.path).splice(batch.bytes.start..batch.bytes.start, foreign);
        Vec::new()
    });
}

#[test]
fn garbage_between_batches_costs_what_no_length_and_no_index_leads_to() {
    each(|sample, tree| {
        let batches = sample.batches_in(1);
        tree.bytes(&batches[1].path).splice(batches[1].bytes.start..batches[1].bytes.start, [0x5a; 50]);
        offsets(&batches[1..])
    });
}

#[test]
fn sealed_segment_that_is_cut_short_lacks_its_end() {
    let sample = Sample::closed();
    let batches = sample.batches_in(1);
    let last = batches.last().unwrap().clone();
    for len in last.bytes.clone().step_by(7) {
        each(|_, tree| {
            tree.bytes(&last.path).truncate(len);
            last.offsets.clone().collect()
        });
    }
}

#[test] // A segment's age was reckoned from the first timestamp in it, damaged or not, and overflowed.
fn damaged_first_timestamp_does_not_stop_appends() {
    for timestamp in [i64::MIN, i64::MAX, -2, 0] {
        each(|sample, tree| {
            let first = &sample.batches_in(sample.segments().len() - 1)[0];
            let at = first.bytes.start + 35;
            tree.bytes(&first.path)[at..at + 8].copy_from_slice(&timestamp.to_be_bytes());
            first.offsets.clone().collect()
        });
    }
}

#[test]
fn sparse_file_of_64_gib_costs_neither_memory_nor_time() {
    let sample = Sample::closed();
    for index in [1, sample.segments().len() - 1] {
        for is_removed in [false, true] {
            let mut tree = sample.tree.clone();
            let path = &sample.segments()[index];
            tree.bytes(path).clear();
            for extension in ["index", "timeindex"].iter().filter(|_| is_removed) {
                tree.remove(path.with_extension(extension));
            }
            let root = tree.write();
            lengthen(root.path(), path, 64 << 30);
            let engine = super::sample::open(root.path()).unwrap();
            let found = super::content::read(&engine, &t()).unwrap();
            assert_eq!(found.lost_offsets(), sample.offsets_in(path).collect::<Vec<_>>());
            assert!(memory_used() < 1 << 30, "{} bytes", memory_used());
        }
    }
}

#[test]
fn segment_that_was_lengthened_by_4_gib_of_zeros_is_cut_back() {
    let sample = Sample::killed();
    let path = sample.segments().pop().unwrap();
    let root = sample.tree.write();
    lengthen(root.path(), &path, 4 << 30);
    let engine = super::sample::open(root.path()).unwrap();
    assert!(super::content::read(&engine, &t()).unwrap().lost.is_empty());
    let findings: Vec<&Finding> = engine.report().iter().collect();
    let cut = (4 << 30) - sample.tree.files[&path].len() as u64;
    assert!(matches!(*findings, [Finding::Cut { bytes, quarantine: None, .. }] if *bytes == cut), "{findings:?}");
    assert!(memory_used() < 1 << 30, "{} bytes", memory_used());
}

#[test]
fn segment_that_is_gone_is_missed() {
    let count = Sample::closed().segments().len();
    for index in 0..count {
        each(|sample, tree| {
            let path = &sample.segments()[index];
            tree.remove(path);
            sample.offsets_in(path).collect()
        });
        each(|sample, tree| {
            let path = &sample.segments()[index];
            tree.bytes(path).clear();
            sample.offsets_in(path).collect()
        });
        each(|sample, tree| {
            let path = &sample.segments()[index];
            tree.replace_by_dir(path);
            sample.offsets_in(path).collect()
        });
    }
}

/// Then nothing but the epochs remembers that the log began before the second segment.
#[test]
fn first_segment_that_is_gone_is_missed_without_positions_too() {
    each(|sample, tree| {
        tree.remove("positions");
        let path = &sample.segments()[0];
        tree.remove(path);
        sample.offsets_in(path).collect()
    });
}

#[test]
fn all_segments_gone_are_missed() {
    let opened = each(|sample, tree| {
        sample.segments().iter().for_each(|path| drop(tree.remove(path)));
        (0..sample.durable_end).collect()
    });
    for opened in opened {
        assert!(opened.findings.iter().any(|finding| matches!(finding, Finding::Damaged { .. })));
    }
}

#[test]
fn segments_that_changed_places_are_found_out() {
    for sample in [Sample::closed(), Sample::killed()] {
        let mut tree = sample.tree.clone();
        let paths = sample.segments();
        tree.swap(&paths[1], &paths[2]);
        let root = tree.write();
        let engine = super::sample::open(root.path()).unwrap();
        let found = super::content::read(&engine, &t()).unwrap();
        assert!(!found.lost.is_empty());
        let lost = found.lost_offsets();
        let hit: Vec<i64> = sample.offsets_in(&paths[1]).chain(sample.offsets_in(&paths[2])).collect();
        assert!(lost.iter().all(|offset| hit.contains(offset)), "{lost:?}");
        assert_eq!(found.end, sample.ends[&t()]);
    }
}

#[test]
fn copy_of_a_segment_under_another_name_gives_no_wrong_record() {
    for sample in [Sample::closed(), Sample::killed()] {
        let path = &sample.segments()[1];
        let inside = sample.offsets_in(path);
        for base in [inside.start + 1, inside.end - 1, sample.durable_end + 1, i64::MAX] {
            let mut tree = sample.tree.clone();
            let copy = tree.bytes(path).clone();
            tree.files.insert(path.with_file_name(format!("{base:020}.log")), copy.clone());
            let root = tree.write();
            let engine = super::sample::open(root.path()).unwrap();
            let found = super::content::read(&engine, &t()).unwrap();
            assert_eq!(found.end, sample.ends[&t()]);
            assert!(found.lost.is_empty(), "read in order, the segment itself has them: {:?}", found.lost);
            if base > sample.durable_end {
                let kept = Tree::read(root.path());
                assert!(kept.quarantine().values().any(|bytes| *bytes == copy.as_slice()), "at {base}");
            }
        }
    }
}

#[test]
fn foreign_files_are_left_alone() {
    let foreign = [
        "log/t-0/-1.log",
        "log/t-0/99999999999999999999.log",
        "log/t-0/00000000000000000003.log.tmp",
        "log/t-0/3.log",
        "log/t-0/notes.txt",
        "log/t-0/lost+found/a",
        "log/lost+found/a",
        "log/notes.txt",
        "log/.tmp/00000000000000000000.log",
        "groups/notes.txt",
        "groups/%zz.offsets",
        "notes.txt",
        "quarantine/notes.txt",
    ];
    let opened = each(|_, tree| {
        for path in foreign {
            tree.files.insert(path.into(), b"not ours".to_vec());
        }
        Vec::new()
    });
    for opened in opened {
        for path in foreign {
            assert!(opened.tree.files.contains_key(std::path::Path::new(path)), "{path} is gone");
        }
        assert!(opened.findings.is_empty(), "{:?}", opened.findings);
    }
}

/// What has to be in the report, and in the quarantine.
fn check_cut(sample: &Sample, opened: &Opened, end: i64, cut: &[u8]) {
    let cuts: Vec<_> = opened.findings.iter().filter(|finding| matches!(finding, Finding::Cut { .. })).collect();
    let mut bytes = 0;
    for finding in &cuts {
        let Finding::Cut { partition, log_end, path, bytes: some, quarantine } = finding else { unreachable!() };
        assert_eq!((partition, log_end.0), (&t(), end));
        assert!(sample.tree.files.keys().any(|known| path.ends_with(known)), "{}", path.display());
        assert_eq!(quarantine.is_some(), cut.iter().any(|byte| *byte != 0));
        bytes += usize::try_from(*some).unwrap();
    }
    assert_eq!(bytes, cut.len(), "{:?}", opened.findings);
    let kept = opened.tree.quarantine();
    if cut.iter().all(|byte| *byte == 0) {
        assert!(kept.is_empty(), "{kept:?}");
    } else {
        let kept: Vec<u8> = kept.into_values().flatten().copied().collect();
        assert_eq!(kept, cut);
    }
}

#[test]
fn torn_last_batch_is_cut_off_wherever_it_was_torn() {
    let sample = Sample::killed_with_tail();
    let last = sample.places.last().unwrap();
    for len in last.bytes.clone() {
        let mut tree = sample.tree.clone();
        tree.bytes(&last.path).truncate(len);
        let opened = check_ending_at(&sample, &tree, [], last.offsets.start);
        let torn = sample.tree.files[&last.path][last.bytes.start..len].to_vec();
        check_cut(&sample, &opened, last.offsets.start, &torn);
    }
}

#[test]
fn one_flipped_bit_above_the_durable_end_is_a_tear() {
    let sample = Sample::killed_with_tail();
    let last = sample.places.last().unwrap();
    for bit in 8 * last.bytes.start..8 * last.bytes.end {
        let mut tree = sample.tree.clone();
        tree.bytes(&last.path)[bit / 8] ^= 1 << (bit % 8);
        let root = tree.write();
        let engine = super::sample::open(root.path()).unwrap();
        let findings = engine.report().iter().cloned().collect();
        let found = super::content::read(&engine, &t()).unwrap();
        assert!(found.lost.is_empty() && found.end == last.offsets.start, "bit {bit}: {found:?}");
        let opened = Opened { findings, found, tree: Tree::read(root.path()) };
        check_cut(&sample, &opened, last.offsets.start, &tree.files[&last.path][last.bytes.clone()]);
    }
}

#[test]
fn everything_behind_the_first_tear_is_cut_off() {
    let sample = Sample::killed_with_tail();
    let tail: Vec<&Place> = sample.places.iter().filter(|place| place.offsets.start >= sample.durable_end).collect();
    assert!(tail.first().unwrap().path != tail.last().unwrap().path, "it goes over a roll");
    for torn in &tail {
        let mut tree = sample.tree.clone();
        tree.bytes(&torn.path)[torn.bytes.start + 64] ^= 1;
        let opened = check_ending_at(&sample, &tree, [], torn.offsets.start);
        let behind: Vec<u8> = tree
            .of("log/t-0", "log")
            .iter()
            .filter(|path| **path >= torn.path)
            .flat_map(|path| {
                let from = if *path == torn.path { torn.bytes.start } else { 0 };
                tree.files[path][from..].to_vec()
            })
            .collect();
        check_cut(&sample, &opened, torn.offsets.start, &behind);
    }
}

#[test]
fn zeros_and_garbage_behind_the_end_are_cut_off() {
    for sample in [Sample::closed(), Sample::killed(), Sample::killed_with_tail()] {
        let end = sample.ends[&t()];
        let first = sample.batches_in(0)[0].clone();
        let copy = sample.tree.files[&first.path][first.bytes].to_vec();
        let garbage: Vec<u8> = (0..=255).collect();
        for tail in [vec![0; 1], vec![0; 60], vec![0; 5000], garbage, copy, b"x".to_vec()] {
            let mut tree = sample.tree.clone();
            let path = sample.segments().pop().unwrap();
            tree.bytes(path).extend_from_slice(&tail);
            let opened = check_ending_at(&sample, &tree, [], end);
            check_cut(&sample, &opened, end, &tail);
        }
    }
}
