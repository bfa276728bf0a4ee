//! A second thread that reads ahead changes nothing but how long it takes.

#![expect(clippy::disallowed_methods, reason = "tests damage files by hand")]

use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use ottla::replay::{Archive, OnDamage, ReplayOptions, ReplayReport};
use ottla::{Acks, Admin, Engine, NewTopic, Producer, ProducerConfig, ProducerRecord};
use tempfile::TempDir;

/// 12 MiB in segments of 5: batches of 16 KiB, and some that are longer than what is read ahead.
fn orders() -> TempDir {
    let data = tempfile::tempdir().unwrap();
    let engine = Engine::open(data.path()).unwrap();
    let topic = NewTopic::new("orders").config("segment.bytes", (5 << 20).to_string());
    Admin::new(&engine).create_topic(topic).unwrap();
    let config = ProducerConfig::builder().acks(Acks::One).batch_size(16 * 1024).build().unwrap();
    let producer = Producer::<str, [u8]>::with_config(&engine, config).unwrap();
    let (mut bytes, mut number) = (0, 0_usize);
    while bytes < 12 << 20 {
        let len = if number % 2000 == 1999 { 700_000 } else { 1 + number * 7919 % 3000 };
        let value: Vec<u8> = (0..len).map(|at| u8::try_from((at + number) % 251).unwrap()).collect();
        producer.send(ProducerRecord::to("orders").value(&value)).unwrap();
        (bytes, number) = (bytes + len, number + 1);
    }
    producer.close().unwrap();
    engine.close().unwrap();
    data
}

fn segments(data: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(data.join("log/orders-0")).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> = entries.filter(|path| path.extension().is_some_and(|end| end == "log")).collect();
    paths.sort();
    paths
}

/// Offsets and values, as far as they were given, and how it ended.
fn played(path: &Path, options: &ReplayOptions) -> (Vec<(i64, u32)>, Result<ReplayReport, String>) {
    let mut given = Vec::new();
    let replay = Archive::open(path).unwrap().replay(options);
    let ended = replay.for_each(|found| {
        let value = found.record.value().unwrap();
        given.push((found.record.offset().0, crc32fast::hash(value)));
    });
    (given, ended.map_err(|error| error.to_string()))
}

/// What both ways give, which is the same.
fn played_both_ways(path: &Path, on_damage: OnDamage) -> (Vec<(i64, u32)>, Result<ReplayReport, String>) {
    let options = ReplayOptions::default().on_damage(on_damage);
    let alone = played(path, &options.clone().read_ahead(false));
    for committed in [false, true] {
        let helped = played(path, &options.clone().read_ahead(true).read_committed(committed));
        assert!(alone.0 == helped.0, "{} and {} records", alone.0.len(), helped.0.len());
        assert_eq!(alone.1, helped.1);
    }
    alone
}

#[test]
fn whole_log_is_read_ahead_as_it_is() {
    let data = orders();
    let (given, report) = played_both_ways(data.path(), OnDamage::Stop);
    assert!(report.unwrap().findings.is_empty());
    assert!(given.iter().map(|(offset, _)| *offset).eq(0..i64::try_from(given.len()).unwrap()));
    let partition = data.path().join("log/orders-0");
    assert_eq!(played_both_ways(&partition, OnDamage::Skip).0, given, "as a log of others");
}

#[test]
fn damage_that_is_read_ahead_is_found_where_it_is() {
    let data = orders();
    let whole = played(data.path(), &ReplayOptions::default()).0;
    let paths = segments(data.path());
    for (index, path) in paths.iter().enumerate() {
        let file = std::fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
        for position in [300_000, 262_144 * 3, 262_144 * 3 + 1, 2_000_017] {
            let (position, mut byte) = (position + 7 * index as u64, [0]);
            file.read_exact_at(&mut byte, position).unwrap();
            file.write_all_at(&[byte[0] ^ 0x55], position).unwrap();
        }
    }
    let (given, report) = played_both_ways(data.path(), OnDamage::Skip);
    assert!(report.unwrap().findings.len() >= paths.len() * 2);
    assert!(given.len() < whole.len() && given.iter().all(|found| whole.contains(found)));
    assert!(played_both_ways(data.path(), OnDamage::Stop).1.is_err());
    std::fs::OpenOptions::new().write(true).open(&paths[1]).unwrap().set_len(1_500_000).unwrap();
    let shorter = played_both_ways(data.path(), OnDamage::Skip).0;
    assert!(shorter.len() < given.len() && shorter.last() == given.last());
}

#[test]
fn panic_of_the_callback_ends_the_thread_that_reads_ahead() {
    let data = orders();
    for most in [0, 1, 500, 5000] {
        let mut count = 0;
        let replay = Archive::open(data.path()).unwrap().replay(&ReplayOptions::default());
        let ended = catch_unwind(AssertUnwindSafe(|| {
            replay.for_each(|_| {
                count += 1;
                assert!(count <= most, "enough");
            })
        }));
        assert!(ended.is_err());
        assert_eq!(count, most + 1);
    }
}
