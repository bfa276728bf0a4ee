//! The table of faults, and two of them that are nobody else's matter.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use ottla::{
    Acks, Admin, Consumer, ConsumerConfig, Engine, MemoryDisk, NewTopic, Offset, OffsetAndMetadata, Producer,
    ProducerConfig, ProducerRecord, TopicPartition,
};

/// The groups of faults, and how many each has.
const FAULTS: [(char, u32); 13] = [
    ('C', 18),
    ('F', 18),
    ('D', 11),
    ('K', 15),
    ('I', 3),
    ('R', 6),
    ('T', 8),
    ('G', 4),
    ('M', 7),
    ('N', 5),
    ('P', 11),
    ('L', 4),
    ('Z', 2),
];

/// All Rust code below `directory`.
#[expect(clippy::disallowed_methods, reason = "reads the source tree, which no engine opens")]
fn code_in(directory: &Path) -> String {
    let paths = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let code = paths.map(|path| match path.extension() {
        _ if path.is_dir() => code_in(&path),
        Some(extension) if extension == "rs" => std::fs::read_to_string(path).unwrap(),
        _ => String::new(),
    });
    code.collect()
}

/// The name of the first function in `code`.
fn function_in(code: &str) -> Option<&str> {
    code.split_once("fn ")?.1.split(['(', '<']).next()
}

/// The faults that a row is about: `C01`, or `T01 to T08`.
fn faults_of(row: &str) -> Vec<String> {
    let ids: Vec<_> = row.trim_matches(['|', ' ']).split(" |").next().unwrap().split(" to ").collect();
    let number = |id: &str| id[1..].parse::<u32>().unwrap();
    let letter = &ids[0][..1];
    (number(ids[0])..=number(ids[ids.len() - 1])).map(|number| format!("{letter}{number:02}")).collect()
}

#[test]
#[expect(clippy::disallowed_methods, reason = "reads the source tree, which no engine opens")]
fn every_fault_has_a_row_and_every_row_its_test_or_a_reason() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let table = std::fs::read_to_string(root.join("tests/faults.md")).unwrap();
    let code = code_in(&root.join("src")) + &code_in(&root.join("tests"));
    let functions: BTreeSet<_> = code.split("fn ").skip(1).filter_map(|rest| rest.split(['(', '<']).next()).collect();
    let mut rows = BTreeMap::new();
    let is_row = |line: &&str| line.starts_with("| ") && line[3..5].bytes().all(|byte| byte.is_ascii_digit());
    for row in table.lines().filter(is_row) {
        let names: Vec<_> = row.split('`').skip(1).step_by(2).filter(|name| name.matches('_').count() > 1).collect();
        for name in &names {
            assert!(functions.contains(*name), "{name} is no test: {row}");
        }
        let has_reason = ["wait", "none", "by construction", "targets of"].iter().any(|word| row.contains(word));
        assert!(!names.is_empty() || has_reason, "{row}");
        rows.extend(faults_of(row).into_iter().map(|fault| (fault, row)));
    }
    let ids = |&(letter, count): &(char, u32)| (1..=count).map(move |number| format!("{letter}{number:02}"));
    let all: BTreeSet<_> = FAULTS.iter().flat_map(ids).collect();
    assert_eq!(rows.keys().cloned().collect::<BTreeSet<_>>(), all);
    for (line, behind) in code.split("// faults: ").skip(1).filter_map(|tagged| tagged.split_once('\n')) {
        let Some(name) = function_in(behind) else { continue };
        for fault in line.split(' ').filter(|fault| all.contains(*fault)) {
            assert!(rows[fault].contains(name), "{name} names {fault}, and its row does not name it");
        }
    }
}

fn opened(disk: &MemoryDisk) -> Engine {
    Engine::builder().open_memory(disk).unwrap()
}

// faults: G04
#[test]
fn thousand_groups_survive_a_crash() {
    const PARTITIONS: u32 = 100;
    let disk = MemoryDisk::new();
    let engine = opened(&disk);
    Admin::new(&engine).create_topic(NewTopic::new("orders").partitions(PARTITIONS)).unwrap();
    let producer = Producer::<str, str>::new(&engine).unwrap();
    for partition in 0..PARTITIONS {
        producer.send(ProducerRecord::to("orders").partition(partition).value("paid")).unwrap();
    }
    producer.flush().unwrap();
    let partitions: Vec<TopicPartition> = (0..PARTITIONS).map(|partition| ("orders", partition).into()).collect();
    let config = |group: usize| ConsumerConfig::builder().group_id(Some(format!("g-{group}"))).build().unwrap();
    let commit = |engine: &Engine, group: usize, upto: i64| {
        let mut consumer = Consumer::<str, str>::with_config(engine, config(group)).unwrap();
        consumer.assign(partitions.iter().cloned()).unwrap();
        let offsets = partitions.iter().map(|partition| (partition.clone(), OffsetAndMetadata::new(Offset(upto))));
        consumer.commit_sync_offsets(offsets).unwrap();
    };
    (0..1000).for_each(|group| commit(&engine, group, 1));
    disk.power_cut();
    drop((producer, engine));
    let engine = opened(&disk);
    for group in 0..1000 {
        let consumer = Consumer::<str, str>::with_config(&engine, config(group)).unwrap();
        for partition in &partitions {
            let committed = consumer.committed(partition).unwrap().map(|committed| committed.offset);
            assert_eq!(committed, Some(Offset(1)), "g-{group}: {partition}");
        }
    }
}

// faults: L04
#[test]
fn recovery_reads_no_segment_before_that_of_the_durable_end() {
    let disk = MemoryDisk::new();
    let engine = opened(&disk);
    let topic = NewTopic::new("orders").config("segment.bytes", "1048576");
    Admin::new(&engine).create_topic(topic).unwrap();
    let config = ProducerConfig::builder().acks(Acks::All).build().unwrap();
    let producer = Producer::<str, [u8]>::with_config(&engine, config).unwrap();
    let value = [7; 1000];
    (0..5000).for_each(|_| drop(producer.send(ProducerRecord::to("orders").value(&value)).unwrap()));
    producer.close().unwrap();
    disk.kill();
    drop((producer, engine));
    // It would be reported by whoever reads it.
    disk.flip_bit("log/orders-0/00000000000000000000.log", 100_000, 3).unwrap();
    let engine = opened(&disk);
    let report: Vec<_> = engine.report().iter().map(ToString::to_string).collect();
    assert!(report.iter().all(|finding| !finding.contains("orders")), "{report:?}");
    assert_eq!(engine.end_offset(&("orders", 0).into()).unwrap(), Offset(5000));
}
