//! Directories of brokers that are brought in, and gone on with.

#![expect(clippy::disallowed_methods, reason = "writes and copies files behind the engine's back")]

use std::fs;

use ottla::{Engine, Producer, ProducerRecord};
use serde_json::{Value, json};

use super::files::{R052, R073, from_hex};
use super::replayed::{R009, R024, R024_18, planted};
use crate::command::{Home, copy};

const R033: &str = "\
    00000000000000000000005800000000022bb883c30000000000000000018bcfe568000000018bcfe56800ffffffffffffff\
    ffffffffffffff000000014c0000001800010001670001740000000028000000000000000000050000000003bb2cc3d80000\
    0000000000000001000000610000000002eff7edc10000000000000000018bcfe568010000018bcfe56801ffffffffffffff\
    ffffffffffffff000000015e000000180001000167000174000000013a0001000000000000000600016d000003bb2cc3d800\
    ffffffffffffffff0000000000000000020000005c0000000002f7f538ae0000000000000000018bcfe568020000018bcfe5\
    6802ffffffffffffffffffffffffffff0000000154000000180001000167000174000000023000030000000000000007\
    000000000000000003bb2cc3d80000000000000000000300000060000000000287d5ecf50000000000000000018bcfe56803\
    0000018bcfe56803ffffffffffffffffffffffffffff000000015c0000001800010001670001740000000038000400000000\
    000000080000000001000003bb2cc3d800016302abcd0000000000000000040000005d0000000002645f7f8b000000000000\
    0000018bcfe568040000018bcfe56804ffffffffffffffffffffffffffff00000001560000000a0002000167400003000863\
    6f6e73756d657200000001ffffffff000003bb2cc3d80000000000000000000000000005000000420000000002a62c741700\
    00000000000000018bcfe568050000018bcfe56805ffffffffffffffffffffffffffff00000001200000000c002a00027a7a\
    080000010200000000000000000600000044000000000202f969c60000000000000000018bcfe568060000018bcfe56806ff\
    ffffffffffffffffffffffffff00000001240000001800010001670001740000000101000000000000000007000000\
    5c0000000002acd4bea50010000000000000018bcfe568070000018bcfe56807000000000000000700000000000000000001\
    54000000180001000167000174000000023000030000000000000009000000000000000003bb2cc3d80000\
";

/// Brings what lies in `k` in.
#[track_caller]
fn import(home: &Home, arguments: &str) {
    let ran = home.run(format!("import {} {arguments}", home.beside("k").display()).trim_end());
    assert_eq!(ran.status, 0, "{}", ran.err);
}

fn values(home: &Home, arguments: &str) -> Vec<String> {
    home.run(&format!("consume t {arguments} --format {{offset}}={{value}}")).lines()
}

/// Relative offsets above 2^31 overflow, and the log cannot be loaded.
#[test]
fn r009_offsets_far_apart_are_imported_and_gone_on_with() {
    let home = planted(&[(0, R009)]);
    import(&home, "");
    let all = ["0=a", "2147483647=b", "2147483648=c", "3000000000=d"];
    assert_eq!(values(&home, "--from beginning"), all);
    assert_eq!(values(&home, "--from 3000000000"), all[3..]);
    let stored = home.feed("e\n", "produce t --json").json();
    assert_eq!(stored[0]["offset"], json!(3_000_000_001_i64));
    assert!(home.run("verify").done().starts_with("no findings"));
    assert_eq!(values(&home, "--from 2147483648"), ["2147483648=c", "3000000000=d", "3000000001=e"]);
}

/// Readers that compute the next offset from the last record stay for ever where the cleaner was.
#[test]
fn r024_offsets_without_records_hold_no_group_up() {
    let home = planted(&[(0, R024), (18, R024_18)]);
    import(&home, "");
    assert_eq!(values(&home, "--group g --max-records 3"), ["0=0", "1=1", "2=2"]);
    assert_eq!(values(&home, "--group g"), ["15=f", "18=act"]);
    assert_eq!(super::committed(&home, "g"), 19);
    assert_eq!(home.run_with(&["group", "describe", "g", "--json"]).json()[0]["lag"], json!(0));
    assert_eq!(values(&home, "--from 17"), ["18=act"]);
    assert_eq!(home.feed("new\n", "produce t --json").json()[0]["offset"], json!(19));
    assert_eq!(values(&home, "--from 17"), ["18=act", "19=new"]);
}

/// Reading stored offsets stops at the first version that is not known, or ignores deletions.
#[test]
fn r033_stored_offsets_are_read_past_what_is_not_known() {
    let home = Home::new();
    home.run("topic create t --partitions 3").done();
    let engine = Engine::open(home.data()).unwrap();
    let producer = Producer::<str, str>::new(&engine).unwrap();
    for number in 0..30 {
        producer.send(ProducerRecord::to("t").partition(number % 3).value("x")).unwrap().wait().unwrap();
    }
    producer.close().unwrap();
    engine.close().unwrap();
    let offsets = home.beside("k/__consumer_offsets-3");
    fs::create_dir_all(&offsets).unwrap();
    fs::write(offsets.join("00000000000000000000.log"), from_hex(R033)).unwrap();
    for partition in 0..3 {
        let name = format!("t-{partition}");
        copy(&home.partition(&name), &home.beside("k").join(&name));
    }
    let other = Home::new();
    let ran = other.run(&format!("import {} --group g", home.beside("k").display()));
    assert!(!ran.err.contains("damage"), "{}", ran.err);
    let rows = other.run_with(&["group", "describe", "g", "--json"]).json();
    let row = |row: &Value| (row["partition"].clone(), row["committed"].clone(), row["lag"].clone());
    let expected = [(0, json!(8), json!(2)), (1, json!(null), json!(10)), (2, json!(7), json!(3))];
    let rows: Vec<_> = rows.iter().map(row).collect();
    assert_eq!(rows[0], (json!(0), expected[0].1.clone(), expected[0].2.clone()));
    assert_eq!((&rows[1].0, &rows[1].1), (&json!(1), &json!(null)), "deleted");
    assert_eq!(rows[2], (json!(2), expected[2].1.clone(), expected[2].2.clone()));
    assert_eq!(other.run_with(&["group", "list", "--json"]).json().len(), 1);
}

/// Control records of an unknown kind stop the reader, or are shown.
#[test]
fn r052_control_records_of_any_kind_are_not_imported() {
    let home = planted(&[(0, R052)]);
    import(&home, "");
    assert_eq!(values(&home, "--from beginning"), ["0=a", "2=b", "5=c"]);
    assert_eq!(home.feed("d\n", "produce t --json").json()[0]["offset"], json!(6));
}

/// The sequence number behind 2147483647 is taken for a gap, or for a negative one.
#[test]
fn r073_producer_is_known_behind_its_greatest_sequence_number() {
    let home = planted(&[(0, R073)]);
    let source = home.beside("k").display().to_string();
    let segment = home.beside("k/t-0/00000000000000000000.log").display().to_string();
    let batches = home.run_with(&["dump", "--json", &segment]).json();
    let sequences: Vec<_> = batches
        .iter()
        .filter(|line| line["kind"] == "batch")
        .map(|batch| (batch["base_sequence"].clone(), batch["last_sequence"].clone()))
        .collect();
    let greatest = i32::MAX;
    let expected = [(greatest - 2, greatest - 1), (greatest, greatest), (0, 0)];
    assert_eq!(sequences, expected.map(|(base, last)| (json!(base), json!(last))));
    assert!(home.run_with(&["verify", &source]).done().starts_with("no findings"));
    import(&home, "");
    assert_eq!(values(&home, "--from beginning"), ["0=a", "1=b", "2=c", "3=d"]);
    let snapshot = home.partition("t-0").join("00000000000000000004.snapshot");
    let dumped = home.run_with(&["dump", "--json", snapshot.to_str().unwrap()]).json();
    let producers: Vec<_> = dumped.iter().filter(|line| line["kind"] == "producer").collect();
    let [producer] = producers[..] else { panic!("{dumped:?}") };
    assert_eq!((&producer["producer_id"], &producer["epoch"]), (&json!(4000), &json!(0)));
    assert_eq!((&producer["last_sequence"], &producer["last_offset"]), (&json!(0), &json!(3)));
    assert_eq!((&producer["offset_delta"], &producer["current_txn_first_offset"]), (&json!(0), &json!(null)));
    assert!(home.run("verify").done().starts_with("no findings"));
    // One of other batches: producer 4000 with its last record at offset 123.
    let other = "0001b47d0dad000000010000000000000fa0000200000009000000000000007b000000040000018bcfe5680000\
                 0000070000000000000064";
    fs::write(&snapshot, from_hex(other)).unwrap();
    let ran = home.run("verify");
    assert_eq!(ran.status, 1);
    let said = String::from_utf8(ran.out).unwrap();
    assert!(said.contains("cache: what it says of producer 4000 does not go with the batches"), "{said}");
}
