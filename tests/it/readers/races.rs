//! Readers that never rest, while what they read is cut, written anew, deleted and made again under the same names.

use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
#[cfg(feature = "cli")]
use crate::chance::Chance;

fn value_of(record: &ottla::Record<'_>) -> u32 {
    std::str::from_utf8(record.value().unwrap()).unwrap().parse().unwrap()
}

/// Reads on and on, until `is_over` and there is nothing more; `seen` are the values by offset, less what was cut off.
#[cfg(feature = "cli")]
fn follow(reader: &mut PartitionReader, is_over: &AtomicBool) -> (Vec<u32>, usize) {
    let (mut seen, mut cuts) = (Vec::new(), 0);
    loop {
        let was_over = is_over.load(Ordering::Acquire);
        match reader.read(500) {
            Ok(records) if records.is_empty() && was_over => return (seen, cuts),
            Ok(records) => {
                for record in &records {
                    assert_eq!(record.offset().0, i64::try_from(seen.len()).unwrap());
                    seen.push(value_of(&record));
                }
            }
            Err(Error::LogTruncated { requested, resumed_at, .. }) => {
                assert_eq!(requested.0, i64::try_from(seen.len()).unwrap());
                seen.truncate(usize::try_from(resumed_at.0).unwrap());
                cuts += 1;
            }
            Err(error) => panic!("{error}"),
        }
    }
}

/// Each round an owner is killed, what it has not synced is lost in part, and the next one puts batches of the same
/// lengths in the same places.
#[cfg(feature = "cli")]
fn cut_under_readers(rounds: u32, seed: u64) {
    let home = crate::command::Home::new();
    home.run("topic create t").done();
    let mut chance = Chance::new(seed);
    let is_over = AtomicBool::new(false);
    let directory = Directory::open(home.data()).unwrap();
    let (seen, truth) = std::thread::scope(|scope| {
        let readers: Vec<_> = (0..2)
            .map(|_| {
                let (mut reader, is_over) = (directory.reader(&t()).unwrap(), &is_over);
                scope.spawn(move || follow(&mut reader, is_over))
            })
            .collect();
        let file = home.segment("t-0");
        let mut number = 100_000; // of one length for ever
        for _ in 0..rounds {
            let durable = fs::metadata(&file).unwrap().len();
            let mut writer = home.start("produce t --json --acks 1");
            for _ in 0..1 + chance.below(8) {
                writer.send(&format!("{number}\n"));
                writer.line();
                number += 1;
            }
            writer.kill();
            let written = fs::metadata(&file).unwrap().len();
            let kept = durable + chance.below(written - durable + 1);
            fs::OpenOptions::new().write(true).open(&file).unwrap().set_len(kept).unwrap();
            let engine = Engine::open(home.data()).unwrap();
            let count = u32::try_from(1 + chance.below(4)).unwrap();
            send(&engine, Acks::All, number..number + count);
            number += count;
            engine.close().unwrap();
        }
        let truth: Vec<u32> = rest(&mut directory.reader(&t()).unwrap()).into_iter().map(|(_, value)| value).collect();
        is_over.store(true, Ordering::Release);
        (readers.into_iter().map(|reader| reader.join().unwrap()).collect::<Vec<_>>(), truth)
    });
    for (seen, cuts) in seen {
        assert_eq!(seen, truth);
        assert!(cuts > 0, "it was worth it");
    }
}

#[test]
#[cfg(feature = "cli")]
fn reader_that_never_rests_ends_with_the_truth_whatever_was_cut() {
    cut_under_readers(12, 1);
}

#[test]
#[cfg(feature = "cli")]
#[ignore = "takes half a minute: cargo test --all-features --test it readers::races -- --ignored"]
fn reader_that_never_rests_ends_with_the_truth_after_many_cuts() {
    (0..4).for_each(|seed| cut_under_readers(30, seed));
}

/// Each topic of the name has values of its own: a reader sees those of one.
fn remade_under_readers(generations: u32) {
    let home = home();
    let engine = Engine::open(home.path()).unwrap();
    let (admin, directory) = (Admin::new(&engine), Directory::open(home.path()).unwrap());
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !is_over.load(Ordering::Acquire) {
                    let Ok(mut reader) = directory.reader(&t()) else { continue };
                    let (mut generation, mut next) = (None, 0);
                    loop {
                        match reader.read(200) {
                            Ok(records) => {
                                for record in &records {
                                    let value = value_of(&record);
                                    assert_eq!(*generation.get_or_insert(value / 1000), value / 1000);
                                    assert_eq!((record.offset().0, value % 1000), (i64::from(next), next));
                                    next += 1;
                                }
                            }
                            Err(Error::UnknownTopicId { .. }) => break,
                            Err(error) => panic!("{error}"),
                        }
                        if is_over.load(Ordering::Acquire) {
                            break;
                        }
                    }
                }
            });
        }
        for generation in 0..generations {
            admin.create_topic(NewTopic::new("t").config("segment.bytes", "500")).unwrap();
            send(&engine, Acks::One, (0..20 + generation % 7).map(|number| generation * 1000 + number));
            admin.delete_topic("t").unwrap();
        }
        is_over.store(true, Ordering::Release);
    });
}

#[test]
fn reader_that_never_rests_never_sees_two_topics_of_one_name() {
    remade_under_readers(60);
}

#[test]
#[ignore = "takes half a minute: cargo test --all-features --test it readers::races -- --ignored"]
fn reader_that_never_rests_never_sees_two_of_many_topics_of_one_name() {
    remade_under_readers(1000);
}
