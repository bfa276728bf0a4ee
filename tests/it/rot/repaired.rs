//! What has to be true of a damaged directory that is repaired: nothing is changed unless it is told to; then what can be
//! read stays, what cannot is said, the directory is whole, and reading it gives no error any more.

use std::collections::BTreeMap;
use std::time::Duration;

use ottla::{
    Acks, Consumer, ConsumerConfig, DefectKind, Engine, Error, RepairAction, RepairOptions, RepairReport, RepairStep,
    Result, TopicPartition, VerifyOptions, repair, verify,
};

use super::content::{append_batch, read, value_of};
use super::sample::{Sample, open, t};
use super::tree::Tree;

pub(super) fn execute() -> RepairOptions {
    RepairOptions::default().execute(true)
}

pub(super) fn lines(report: &RepairReport) -> Vec<String> {
    report.iter().map(ToString::to_string).collect()
}

/// Reads a partition from the front to the end, where no error is expected; every record is held against what it has to
/// be.
pub(super) fn read_on(engine: &Engine, partition: &TopicPartition) -> Result<BTreeMap<i64, String>> {
    let mut consumer = Consumer::<str, str>::with_config(engine, ConsumerConfig::default())?;
    consumer.assign([partition.clone()])?;
    let end = engine.end_offset(partition)?;
    let mut records = BTreeMap::new();
    let mut polls = 0;
    while consumer.position(partition)? < end {
        for record in &consumer.poll(Duration::ZERO)? {
            let value = record.value()?.expect("all have one");
            assert_eq!(value, value_of(partition, record.offset().0), "{partition} at {}", record.offset());
            let before = records.insert(record.offset().0, value.to_owned());
            assert!(before.is_none(), "{partition} at {} twice", record.offset());
        }
        polls += 1;
        assert!(polls < 10_000, "{partition}: reading gets nowhere at {}", consumer.position(partition)?);
    }
    Ok(records)
}

/// What of the sample can be read of a damaged directory as it is.
fn readable(sample: &Sample, tree: &Tree) -> BTreeMap<TopicPartition, Vec<i64>> {
    let root = tree.write();
    let Ok(engine) = open(root.path()) else { return BTreeMap::new() };
    let mut found = BTreeMap::new();
    for partition in sample.ends.keys() {
        if let Ok(records) = read(&engine, partition) {
            found.insert(partition.clone(), records.records.into_keys().collect());
        }
    }
    found
}

/// Repairs a damaged directory; says what it reported.
pub(super) fn check(sample: &Sample, tree: &Tree) -> RepairReport {
    let root = tree.write();
    let before = readable(sample, tree);
    let untouched = Tree::read(root.path());
    let plan = repair(root.path(), &RepairOptions::default()).unwrap_or_else(|error| panic!("the plan: {error}"));
    assert_eq!(Tree::read(root.path()).files, untouched.files, "a plan changes nothing");
    let done = repair(root.path(), &execute()).unwrap_or_else(|error| panic!("{error}: {:#?}", lines(&plan)));
    for step in plan.iter() {
        let is_done = done.iter().any(|other| other.path == step.path && other.action == step.action);
        assert!(is_done, "{step} was planned: {:#?}", lines(&done));
    }
    let context = lines(&done);
    for defect in done.remaining() {
        let is_left = defect.kind == DefectKind::Name;
        assert!(is_left, "{defect} remains: {context:#?}");
    }
    let again = repair(root.path(), &execute()).unwrap();
    assert!(again.iter().all(|step| step.action == RepairAction::Leave), "{:#?} after {context:#?}", lines(&again));

    let engine = open(root.path()).unwrap();
    assert!(engine.report().is_empty(), "{:?}", engine.report());
    let mut after = BTreeMap::new();
    for (partition, end) in &sample.ends {
        let records = match read_on(&engine, partition) {
            Ok(records) => records,
            Err(Error::UnknownTopicOrPartition { .. }) => {
                // The catalog and what could have stood in for it are damaged: its records are put aside, and named.
                let aside = format!("{partition}.");
                let is_aside = |step: &RepairStep| {
                    step.path.iter().any(|part| part.to_string_lossy().starts_with(&aside) && step.path.ends_with(part))
                };
                assert!(done.iter().any(is_aside), "{partition} is gone: {context:#?}");
                continue;
            }
            Err(error) => panic!("{partition}: {error}: {context:#?}"),
        };
        for offset in before.get(partition).into_iter().flatten() {
            assert!(records.contains_key(offset), "{partition} at {offset} could be read before: {context:#?}");
        }
        let durable_end = if *partition == t() { sample.durable_end } else { *end };
        for offset in (0..durable_end).filter(|offset| !records.contains_key(offset)) {
            assert!(is_said(&done, partition, offset), "{partition} at {offset} went in silence: {context:#?}");
        }
        let appended = append_batch(&engine, partition, 2, Acks::All).unwrap();
        after.insert(partition.clone(), (records, appended));
    }
    engine.close().unwrap();
    drop(engine);
    let engine = open(root.path()).unwrap();
    for (partition, (records, appended)) in after {
        let again = read_on(&engine, &partition).unwrap();
        for offset in records.keys().chain(&appended) {
            assert!(again.contains_key(offset), "{partition} at {offset} is gone after: {context:#?}");
        }
    }
    engine.close().unwrap();
    let report = verify(root.path(), &VerifyOptions::default()).unwrap();
    assert!(report.iter().all(|defect| defect.kind == DefectKind::Name), "{:#?}", report.iter().collect::<Vec<_>>());
    done
}

/// Whether the report says that the records at an offset are lost, or that the end of the log was cut off.
fn is_said(report: &RepairReport, partition: &TopicPartition, offset: i64) -> bool {
    let dir = partition.to_string();
    report.iter().any(|step| {
        let is_of = step.path.iter().any(|part| *part == *dir);
        let is_lost = step.lost.is_some_and(|(first, last)| first.0 <= offset && offset <= last.0);
        // How far the logs were synced is not known then.
        let is_state = step.path.ends_with("positions") || step.path.ends_with("catalog");
        is_of && (is_lost || step.action == RepairAction::Cut) || is_state
    })
}
