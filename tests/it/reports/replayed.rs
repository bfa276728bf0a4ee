//! Directories as a broker leaves them, or somebody else, played back where they lie.

#![expect(clippy::disallowed_methods, reason = "writes and removes files behind the engine's back")]

use std::fs;
use std::path::Path;

use ottla::{Acks, Admin, Engine, NewTopic, Producer, ProducerConfig, ProducerRecord};
use serde_json::{Value, json};

use super::T;
use super::files::{R039, R043, R045, R047, R049, R052, from_hex, one_two_three};
use crate::command::{Home, Ran, bare, copy, names, run};

pub(super) const R009: &str = "\
    0000000000000000000000390000000002965a94b10000000000000000018bcfe568000000018bcfe56800ffffffffffffff\
    ffffffffffffff000000010e00000001026100000000007fffffff000000390000000002dd4538ab0000000000000000018b\
    cfe568010000018bcfe56801ffffffffffffffffffffffffffff000000010e00000001026200000000008000000000000039\
    00000000024eefad590000000000000000018bcfe568020000018bcfe56802ffffffffffffffffffffffffffff000000010e\
    0000000102630000000000b2d05e000000003900000000024b7a609f0000000000000000018bcfe568030000018bcfe56803\
    ffffffffffffffffffffffffffff000000010e00000001026400\
";

pub(super) const R024: &str = "\
    0000000000000000000000490000000002fbc8b4f00000000000090000018bcfe568000000018bcfe56802ffffffffffffff\
    ffffffffffffff000000030e000000010230000e000202010231000e00040401023200000000000000000a00000031000000\
    000291070a90000000000004ffffffffffffffff0000018bcfe5680cffffffffffffffffffffffffffff0000000000000000\
    0000000f000000390000000002469daa540000000000020000018bcfe5680f0000018bcfe5680fffffffffffffffffffffff\
    ffffff000000010e00000001026600\
";

pub(super) const R024_18: &str = "\
    00000000000000120000003b0000000002a371df330000000000000000018bcfe568120000018bcfe56812ffffffffffffff\
    ffffffffffffff0000000112000000010661637400\
";

const R027: &str = "\
    0000000000000000000000390000000002ff7963d10010000000000000018bcfe568000000018bcfe5680000000000000000\
    04000000000000000000010e00000001027a000000000000000001000000390000000002e9a290320000000000000000018b\
    cfe568010000018bcfe56801ffffffffffffffffffffffffffff000000010e00000001026100\
";

const R027_2: &str = "\
    00000000000000020000003900000000025d4d352e0000000000000000018bcfe568020000018bcfe56802ffffffffffffff\
    ffffffffffffff000000010e00000001026200\
";

const R027_3: &str = "\
    00000000000000030000003900000000023117a9da0000000000000000018bcfe568030000018bcfe56803ffffffffffffff\
    ffffffffffffff000000010e000000010263000000000000000004000000420000000002fa3abe420030000000000000018b\
    cfe568000000018bcfe5680000000000000000040000ffffffff000000012000000008000000000c00000000000000000000\
    00000000050000003900000000024e860d640000000000000000018bcfe568050000018bcfe56805ffffffffffffffffffff\
    ffffffff000000010e00000001026400\
";

const R035: &str = "\
    000000000000000000000059000000000241ebde210002000000020000018bcfe568000000018bcfe56802ffffffffffffff\
    ffffffffffffff00000003269416000000046b31066f6e650016000202046b320674776f001a000404046b330a7468726565\
    00\
";

const R050: &str = "\
    000000000000000f0000006483dadeed01010000018bcfe56805ffffffff0000004e1f8b0800000000000203636080038902\
    d6ea34462083b1fbfcd30c90086322883084ca3381d4987f79b819ae0624c29804228ca06a58416a164d116786ab01893026\
    830863000e5c3e006c000000\
";

/// A directory `k` with a partition `t-0` in it that has these segments, and no other file.
pub(super) fn planted(segments: &[(u64, &str)]) -> Home {
    let home = Home::new();
    let dir = home.beside("k/t-0");
    fs::create_dir_all(&dir).unwrap();
    for (base, bytes) in segments {
        fs::write(dir.join(format!("{base:020}.log")), from_hex(bytes)).unwrap();
    }
    home
}

fn replay(path: &Path, arguments: &str) -> Ran {
    run(bare().arg("replay").arg(path).args(arguments.split(' ').filter(|argument| !argument.is_empty())), b"")
}

/// What a replay without findings prints.
#[track_caller]
fn lines(path: &Path, arguments: &str) -> Vec<String> {
    let ran = replay(path, arguments);
    assert_eq!(ran.status, 0, "{}", ran.err);
    assert!(ran.err.ends_with("no findings\n"), "{}", ran.err);
    String::from_utf8(ran.out).unwrap().lines().map(str::to_owned).collect()
}

/// Offsets and values, in the order in which they come.
#[track_caller]
fn records(home: &Home, arguments: &str) -> Vec<String> {
    lines(&home.beside("k/t-0"), &format!("{arguments} --format {{offset}}={{value}}"))
}

/// Offset, timestamp, key and value of all records.
#[track_caller]
fn stored(home: &Home) -> Vec<(i64, i64, Value, Value)> {
    let ran = replay(&home.beside("k/t-0"), "--json");
    assert_eq!((ran.status, ran.err.lines().count()), (0, 1), "{}", ran.err);
    let parts = |line: &str| {
        let record: Value = serde_json::from_str(line).unwrap();
        let number = |name: &str| record[name].as_i64().unwrap();
        (number("offset"), number("timestamp"), record["key"].clone(), record["value"].clone())
    };
    String::from_utf8(ran.out).unwrap().lines().map(parts).collect()
}

/// Relative offsets above 2^31 overflow, and the log cannot be loaded.
#[test]
fn r009_offsets_far_above_their_segments_base_are_played_back() {
    let home = planted(&[(0, R009)]);
    let all = ["0=a", "2147483647=b", "2147483648=c", "3000000000=d"];
    assert_eq!(records(&home, ""), all);
    assert_eq!(records(&home, "--from 2147483648"), all[2..]);
    let mut back = all;
    back.reverse();
    assert_eq!(records(&home, "--backwards"), back);
}

/// `lost+found` is taken for a topic.
#[test]
fn r011_lost_and_found_is_not_played_back() {
    let home = Home::new();
    home.feed("1\n", "produce t").done();
    for place in ["lost+found", "log/lost+found"] {
        fs::create_dir(home.data().join(place)).unwrap();
    }
    assert_eq!(lines(&home.data(), ""), ["1"]);
    assert_eq!(lines(&home.data().join("log"), ""), ["1"]);
}

/// A regular expression that stops at bytes that are not UTF-8.
#[test]
fn r013_grep_looks_at_bytes() {
    let home = Home::new();
    home.feed(b"\xff\xfe\n\0x\n\xc3\n", "produce t").done();
    let found = |pattern: &str| {
        let partition = home.partition("t-0");
        lines(&partition, &format!("--format {{offset}} --grep {pattern}"))
    };
    assert_eq!(found(r"(?-u)\xff"), ["0"]);
    assert_eq!(found(r"\x00x"), ["1"]);
    assert_eq!(found(r"(?-u)^\xc3$"), ["2"]);
}

/// Readers that compute the next offset from the last record stay for ever where the cleaner was.
#[test]
fn r024_offsets_without_records_are_passed_when_played_back() {
    let home = planted(&[(0, R024), (18, R024_18)]);
    assert_eq!(records(&home, ""), ["0=0", "1=1", "2=2", "15=f", "18=act"]);
    assert_eq!(records(&home, "--from 3"), ["15=f", "18=act"]);
    assert_eq!(records(&home, "--from 10"), ["15=f", "18=act"]);
    assert_eq!(records(&home, "--from 16"), ["18=act"]);
}

/// The list of aborted transactions of a read stops too early at a border between segments.
#[test]
fn r027_aborted_records_are_not_played_back_whatever_is_asked_for() {
    let home = planted(&[(0, R027), (2, R027_2), (3, R027_3)]);
    let committed = [(1, "1=a"), (2, "2=b"), (3, "3=c"), (5, "5=d")];
    for from in 0..=5 {
        let expected: Vec<_> = committed.iter().filter(|(at, _)| *at >= from).map(|(_, record)| *record).collect();
        assert_eq!(records(&home, &format!("--committed --from {from}")), expected, "{from}");
    }
    assert_eq!(records(&home, "--committed --to 3"), ["1=a", "2=b"]);
    assert_eq!(records(&home, "--committed --backwards"), ["5=d", "3=c", "2=b", "1=a"]);
    assert_eq!(records(&home, ""), ["0=z", "1=a", "2=b", "3=c", "5=d"]);
}

/// A time after the last record falls back to the beginning.
#[test]
fn r034_playing_back_from_a_time_begins_with_the_first_that_is_not_older() {
    let home = Home::new();
    let record = |at: i64| format!("{{\"value\":\"some words to fill it\",\"timestamp\":{at}}}\n");
    let input = record(T).repeat(3000) + &record(T + 5).repeat(10);
    home.run("topic create t --config segment.bytes=16384").done();
    home.feed(input, "produce t --input json --config batch.size=2000").done();
    let check = || {
        for (from, first) in [(T.to_string(), Some("0")), ((T + 1).to_string(), Some("3000"))] {
            let found = lines(&home.data(), &format!("--from @{from} --max-records 1 --format {{offset}}"));
            assert_eq!(found.first().map(String::as_str), first, "{from}");
        }
        for from in [(T + 6).to_string(), "2100-01-01T00:00:00Z".to_owned()] {
            assert_eq!(lines(&home.data(), &format!("--from @{from}")), [""; 0], "{from}");
        }
    };
    check();
    for name in names(&home.partition("t-0")).iter().filter(|name| name.ends_with("index")) {
        fs::remove_file(home.partition("t-0").join(name)).unwrap();
    }
    check();
}

/// Seconds are taken for milliseconds, distances from UTC dropped, nonsense taken for now.
#[test]
fn r035_times_of_a_replay_mean_what_they_say() {
    let home = planted(&[(0, R035)]);
    let first = |from: &str| records(&home, &format!("--from {from} --max-records 1")).remove(0);
    for (from, expected) in [
        ("@2023-11-14T22:13:20Z", "0=one"),
        ("@2023-11-14T23:13:20+01:00", "0=one"),
        ("@2023-11-14T22:13:20.001Z", "1=two"),
        ("@2023-11-14T22:13:20.0005Z", "1=two"),
        ("@1700000000000", "0=one"),
        ("@1700000000", "0=one"),
    ] {
        assert_eq!(first(from), expected, "{from}");
    }
    for nonsense in ["@yesterday", "@", "@-1"] {
        let refused = replay(&home.beside("k/t-0"), &format!("--from {nonsense}")).refused();
        assert!(refused.contains(&format!("'{nonsense}'")), "{refused}");
    }
    assert_eq!(records(&home, "--to @1700000000001"), ["0=one"]);
}

/// Timestamp deltas are read as 32 bits.
#[test]
fn r039_timestamps_far_apart_are_played_back() {
    let rows = [(0, T, "a", "1"), (1, 1_697_408_000_000, "b", "2"), (2, 1_731_536_000_000, "c", "3")];
    let rows = rows.map(|(offset, timestamp, key, value)| (offset, timestamp, json!(key), json!(value)));
    assert_eq!(stored(&planted(&[(0, R039)])), rows);
}

/// Snappy without xerial's header is refused.
#[test]
fn r043_snappy_without_framing_is_played_back() {
    assert_eq!(stored(&planted(&[(0, R043)])), one_two_three());
}

/// Records are parsed chunk by chunk although one straddles the border.
#[test]
fn r045_chunks_of_snappy_are_played_back_as_one() {
    assert_eq!(stored(&planted(&[(0, R045)])), one_two_three());
}

/// Reading ends with the first frame of zstd.
#[test]
fn r047_all_frames_of_zstd_are_played_back() {
    assert_eq!(stored(&planted(&[(0, R047)])), one_two_three());
}

/// A large window of zstd is refused.
#[test]
fn r049_large_window_of_zstd_is_played_back() {
    assert_eq!(stored(&planted(&[(0, R049)])), one_two_three());
}

/// Inner offsets of a wrapper are counted from 0 in place of from its last one.
#[test]
fn r050_inner_offsets_of_a_wrapper_end_at_its_own() {
    let home = planted(&[(10, R050)]);
    let rows = [(10, T, "a", "1"), (12, T + 2, "b", "2"), (15, T + 5, "c", "3")];
    let rows = rows.map(|(offset, timestamp, key, value)| (offset, timestamp, json!(key), json!(value)));
    assert_eq!(stored(&home), rows);
    assert_eq!(stored(&planted(&[(0, R050)])), rows);
    assert_eq!(records(&home, "--from 11"), ["12=2", "15=3"]);
    assert_eq!(records(&home, "--from 13"), ["15=3"]);
}

/// Control records of an unknown kind are shown as data.
#[test]
fn r052_control_records_of_unknown_kinds_are_not_played_back() {
    let home = planted(&[(0, R052)]);
    for arguments in ["", "--committed"] {
        assert_eq!(records(&home, arguments), ["0=a", "2=b", "5=c"], "{arguments}");
    }
}

/// Reading backwards stops at an empty last file, or at a border between files.
#[test]
fn r055_playing_backwards_crosses_the_borders_between_files() {
    let home = Home::new();
    let engine = Engine::open(home.data()).unwrap();
    Admin::new(&engine).create_topic(NewTopic::new("t").config("segment.bytes", "500")).unwrap();
    let config = ProducerConfig::builder().acks(Acks::One).build().unwrap();
    let producer = Producer::<str, str>::with_config(&engine, config).unwrap();
    for number in 0..30 {
        producer.send(ProducerRecord::to("t").value(&number.to_string())).unwrap().wait().unwrap();
    }
    drop(producer);
    engine.close().unwrap();
    let k = home.beside("k");
    copy(&home.partition("t-0"), &k.join("t-0"));
    fs::write(k.join("t-0/00000000000000000030.log"), b"").unwrap(); // rolled, and nothing came
    assert!(names(&k.join("t-0")).iter().filter(|name| name.ends_with(".log")).count() > 5);
    let check = || {
        let numbers = |range: std::ops::Range<i64>| range.rev().map(|number| number.to_string()).collect::<Vec<_>>();
        let back = |bounds: &str| lines(&k.join("t-0"), &format!("--backwards --format {{offset}} {bounds}"));
        assert_eq!(back(""), numbers(0..30));
        assert_eq!(back("--from 12"), numbers(12..30));
        assert_eq!(back("--to 5"), numbers(0..5));
        assert_eq!(back("--from 4 --to 21"), numbers(4..21));
    };
    check();
    for name in names(&k.join("t-0")).iter().filter(|name| name.ends_with("index")) {
        fs::remove_file(k.join("t-0").join(name)).unwrap();
    }
    check();
    let gaps = planted(&[(0, R024), (18, R024_18)]);
    assert_eq!(records(&gaps, "--backwards"), ["18=act", "15=f", "2=2", "1=1", "0=0"]);
}
