//! `ottla dump` over all files that Apache Kafka wrote, against what Kafka's own classes read from them; over files of our
//! own; and over damaged ones.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ottla::replay::DumpKind;
use serde_json::{Map, Value, json};

use crate::command::{Home, Ran};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

/// All files below a directory but those that have no content.
#[expect(clippy::disallowed_methods, reason = "looks at what Kafka wrote")]
fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> =
        entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect();
    files.sort();
    files
}

fn dump(options: &[&str], files: &[PathBuf]) -> Ran {
    let files = files.iter().map(|file| file.to_str().unwrap());
    Home::new().run_with(&["dump"].into_iter().chain(options.iter().copied()).chain(files).collect::<Vec<_>>())
}

fn objects(ran: &Ran) -> Vec<Map<String, Value>> {
    ran.out
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect()
}

fn findings(ran: &Ran) -> Vec<String> {
    let objects = objects(ran);
    let findings = objects.iter().filter(|object| object["kind"] == "finding");
    findings.map(|finding| format!("{}: {}", finding["position"], finding["detail"].as_str().unwrap())).collect()
}

/// Bytes as the manifests have them: of long ones only how many there are, here without their digest.
fn encoded(value: &Value) -> Value {
    let bytes = match value {
        Value::String(text) => text.as_bytes().to_vec(),
        Value::Object(object) => STANDARD.decode(object["base64"].as_str().unwrap()).unwrap(),
        other => return other.clone(),
    };
    if bytes.len() > 512 { json!({ "len": bytes.len() }) } else { STANDARD.encode(bytes).into() }
}

/// The lines of a manifest that tell what a dump told.
fn as_manifest(objects: Vec<Map<String, Value>>) -> Vec<String> {
    let mut lines = Vec::new();
    let mut gathered: BTreeMap<String, Value> = BTreeMap::new();
    for mut object in objects {
        let path = PathBuf::from(object["file"].as_str().unwrap());
        let file = path.file_name().unwrap().to_str().unwrap().to_owned();
        let dir = path.parent().unwrap().file_name().unwrap().to_str().unwrap().to_owned();
        let place = path.to_str().unwrap().to_owned();
        let push = |gathered: &mut BTreeMap<String, Value>, list: &str, entry: Value| {
            gathered.get_mut(&place).unwrap()[list].as_array_mut().unwrap().push(entry);
        };
        let kind = object["kind"].as_str().unwrap().to_owned();
        match kind.as_str() {
            "file" => {
                let line = match object["what"].as_str().unwrap() {
                    what @ ("offset_index" | "time_index") => {
                        json!({ "kind": what, "dir": dir, "file": file, "entries": [] })
                    }
                    "producer_snapshot" => json!({ "kind": "snapshot", "dir": dir, "file": file, "producers": [] }),
                    "leader_epochs" => json!({ "kind": "epochs", "dir": dir, "entries": [] }),
                    "offset_checkpoint" => json!({ "kind": "checkpoint", "file": file, "entries": [] }),
                    "meta_properties" => json!({ "kind": "properties", "file": file, "entries": {} }),
                    _ => continue,
                };
                gathered.insert(place, line);
            }
            "offset_index" => push(&mut gathered, "entries", json!([object["offset"], object["batch_position"]])),
            "time_index" => push(&mut gathered, "entries", json!([object["timestamp"], object["offset"]])),
            "zero_tail" => gathered.get_mut(&place).unwrap()["zero_tail"] = object["entries"].clone(),
            "epoch" => push(&mut gathered, "entries", json!([object["epoch"], object["start_offset"]])),
            "checkpoint" => {
                push(&mut gathered, "entries", json!([object["topic"], object["partition"], object["offset"]]));
            }
            "producer" => {
                object.retain(|name, _| !matches!(name.as_str(), "kind" | "file" | "position"));
                push(&mut gathered, "producers", object.into());
            }
            "property" if file == "meta.properties" => {
                let name = object["name"].as_str().unwrap();
                gathered.get_mut(&place).unwrap()["entries"][name] = object["value"].clone();
            }
            "batch" if object["valid"] == false => {}
            "batch" | "aborted" => {
                if kind == "aborted" {
                    object.remove("position");
                }
                object.insert("dir".to_owned(), dir.into());
                object.insert("file".to_owned(), file.into());
                lines.push(canonical(object.into()));
            }
            "record" | "control" => {
                object.insert("dir".to_owned(), dir.into());
                object.remove("file");
                object.remove("type_id");
                if kind == "record" {
                    object["key"] = encoded(&object["key"]);
                    object["value"] = encoded(&object["value"]);
                    for header in object["headers"].as_array_mut().unwrap() {
                        header[1] = encoded(&header[1]);
                    }
                }
                lines.push(canonical(object.into()));
            }
            "clean_shutdown" => {
                lines.push(canonical(json!({ "kind": kind, "present": true, "content": object["content"] })));
            }
            _ => {}
        }
    }
    lines.extend(gathered.into_values().map(canonical));
    lines.sort();
    lines
}

/// A line that does not depend on the order of names, or on that of what has none; without what only one side says of
/// messages in the old formats.
fn canonical(mut line: Value) -> String {
    let object = line.as_object_mut().unwrap();
    if object.get("magic").is_some_and(|magic| magic != 2) {
        object.remove("count");
        object.remove("base_timestamp");
    }
    for list in ["producers", "entries"] {
        if matches!(object["kind"].as_str(), Some("snapshot" | "checkpoint"))
            && let Some(list) = object.get_mut(list).and_then(Value::as_array_mut)
        {
            list.sort_by_key(Value::to_string);
        }
    }
    let headers = object.get_mut("headers").and_then(Value::as_array_mut);
    for header in headers.into_iter().flatten() {
        header[1].as_object_mut().map(|long| long.remove("sha256"));
    }
    for bytes in ["key", "value"] {
        object.get_mut(bytes).and_then(Value::as_object_mut).map(|long| long.remove("sha256"));
    }
    object.sort_keys();
    for value in object.values_mut() {
        if let Some(inner) = value.as_object_mut() {
            inner.sort_keys();
        }
    }
    line.to_string()
}

#[expect(clippy::disallowed_methods, reason = "reads what Kafka's classes said")]
fn manifest(name: &str) -> Vec<String> {
    let text = fs::read_to_string(golden(name).join("manifest.jsonl")).unwrap();
    let mut lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    lines.retain(|line| match line["kind"].as_str().unwrap() {
        "clean_shutdown" => line["present"] == true,
        "properties" | "checkpoint" | "epochs" | "snapshot" | "offset_index" | "time_index" | "aborted" => true,
        "batch" => line["valid"] == true,
        "record" | "control" => true,
        _ => false,
    });
    let mut lines: Vec<String> = lines.into_iter().map(canonical).collect();
    lines.sort();
    lines
}

#[test]
fn everything_that_kafka_reads_is_shown_field_by_field() {
    let mut seen = 0;
    for dir in directories() {
        let name = dir.file_name().unwrap().to_str().unwrap();
        let mut files = files(&dir.join("log"));
        // Kafka passes over what it has deleted; beside the clean partitions of two there are damaged ones.
        files.retain(|file| DumpKind::of(file.file_name().unwrap().to_str().unwrap()).is_some());
        files.retain(|file| file.extension().is_none_or(|end| end != "deleted"));
        if name.starts_with("legacy_damaged_") {
            let text = manifest(name).join("\n");
            let of = |file: &PathBuf| file.parent().unwrap().file_name().unwrap().to_str().unwrap().to_owned();
            files.retain(|file| of(file) == "log" || text.contains(&format!("\"dir\":\"{}\"", of(file))));
        }
        let ran = dump(&["--records", "--index-check", "--json"], &files);
        let is_whole = !name.starts_with("crashed") && !name.starts_with("legacy_killed_") && name != "live_copy";
        assert_eq!((is_whole && ran.status != 0, &*ran.err), (false, ""), "{name}: {:?}", findings(&ran));
        let (shown, expected) = (as_manifest(objects(&ran)), manifest(name));
        for (shown, expected) in shown.iter().zip(&expected) {
            assert_eq!(shown, expected, "{name}");
        }
        assert_eq!(shown.len(), expected.len(), "{name}");
        seen += shown.len();
    }
    assert!(seen > 10_000, "{seen}");
}

/// Those of the collection that have a manifest.
#[expect(clippy::disallowed_methods, reason = "looks at what Kafka wrote")]
fn directories() -> Vec<PathBuf> {
    let entries = fs::read_dir(golden("")).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.join("manifest.jsonl").is_file()).collect()
}

/// A directory that holds copies of files.
fn copied(name: &str, dir: &str) -> tempfile::TempDir {
    let scratch = tempfile::tempdir().unwrap();
    for file in files(&golden(name).join("log").join(dir)) {
        fs::copy(&file, scratch.path().join(file.file_name().unwrap())).unwrap();
    }
    scratch
}

#[expect(clippy::disallowed_methods, reason = "damages a copy")]
fn change(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
}

const SEGMENT: &str = "00000000000000000000.log";

#[test]
fn damaged_batch_is_shown_at_its_place_and_those_behind_it_follow() {
    let scratch = copied("epochs", "cut-epochs-0");
    let path = files(scratch.path()).into_iter().find(|path| path.extension().is_some_and(|end| end == "log")).unwrap();
    let batches = |ran: &Ran| objects(ran).iter().filter(|object| object["kind"] == "batch").count();
    let before = dump(&["--json"], std::slice::from_ref(&path));
    assert_eq!(before.status, 0);
    let second = objects(&before)[2]["position"].as_u64().unwrap();
    let at = usize::try_from(second).unwrap();
    change(&path, |bytes| bytes[at + 30] ^= 4);
    let ran = dump(&["--json", "--records"], std::slice::from_ref(&path));
    assert_eq!((ran.status, batches(&ran)), (1, batches(&before)));
    let damaged = objects(&ran).into_iter().find(|object| object.get("position") == Some(&json!(second))).unwrap();
    assert_eq!((&damaged["kind"], &damaged["valid"]), (&json!("batch"), &json!(false)));
    let said = findings(&ran);
    assert!(said.len() == 1 && said[0].starts_with(&format!("{second}: the checksum is ")), "{said:?}");

    change(&path, |bytes| bytes[at + 8] ^= 0x40); // a length that leads nowhere
    let ran = dump(&["--json"], std::slice::from_ref(&path));
    assert_eq!((ran.status, batches(&ran)), (1, batches(&before) - 1));

    let text = String::from_utf8(dump(&[], std::slice::from_ref(&path)).out).unwrap();
    assert!(text.contains(&format!("{second:>9} FINDING offsets ")), "{text}");
}

#[test]
fn index_check_holds_entries_against_the_segment_beside_them() {
    let scratch = copied("transactions_v2", "audit-0");
    let all = files(scratch.path());
    let of = |end: &str| all.iter().find(|path| path.extension().is_some_and(|other| other == end)).unwrap().clone();
    let check = |path: PathBuf, strike: &dyn Fn(&mut Vec<u8>), expected: &str| {
        change(&path, strike);
        assert_eq!(findings(&dump(&["--json"], std::slice::from_ref(&path))), [""; 0], "it does not show by itself");
        let ran = dump(&["--json", "--index-check"], std::slice::from_ref(&path));
        assert_eq!((ran.status, findings(&ran)), (1, vec![expected.to_owned()]));
        change(&path, strike);
    };
    check(of("index"), &|bytes| bytes[7] ^= 1, "0: no batch begins at position 502");
    check(of("timeindex"), &|bytes| bytes[7] ^= 1, "0: the largest time up to offset 5 is 1795639991261");
    check(of("txnindex"), &|bytes| bytes[9] ^= 1, "0: no abort of producer 3 stands at offset 3");
    let log = of("log");
    fs_rename(&log, &log.with_extension("moved"));
    let ran = dump(&["--json", "--index-check"], &[of("index")]);
    assert_eq!(findings(&ran), [format!("null: there is no {SEGMENT} beside it")]);
}

#[expect(clippy::disallowed_methods, reason = "moves a copy away")]
fn fs_rename(from: &Path, to: &Path) {
    fs::rename(from, to).unwrap();
}

#[test]
fn damage_in_small_files_is_shown_with_what_can_still_be_read() {
    let scratch = tempfile::tempdir().unwrap();
    let put = |name: &str, content: &[u8]| {
        let path = scratch.path().join(name);
        #[expect(clippy::disallowed_methods, reason = "writes a damaged file")]
        fs::write(&path, content).unwrap();
        path
    };
    for (name, content, shown, said) in [
        ("leader-epoch-checkpoint", &b"0\n3\n0 0\n1 x\n2 9\n"[..], 2, "8: \"x\" is not a number that fits"),
        (
            "leader-epoch-checkpoint",
            b"0\n2\n1 5\n0 9\n",
            2,
            "8: epoch and offset are not above those of the line before",
        ),
        ("recovery-point-offset-checkpoint", b"0\n2\na 0 1\n\xff", 1, "10: not a text of a version, a count and lines"),
        ("cleaner-offset-checkpoint", b"1\n0\n", 0, "0: the version is \"1\" instead of 0"),
        ("partition.metadata", b"version: 0\ntopic_id: short", 2, "0: the second line is not a topic id"),
        ("meta.properties", b"version=x\nnode.id=1", 2, "0: version is \"x\", which is not a number"),
        ("00000000000000000005.snapshot", b"\0\x02\0\0\0\0\0\0\0\0", 0, "0: its version is 2 instead of 1"),
        ("00000000000000000005.txnindex", &[0, 1].repeat(20), 0, "0: the version of the entry is not 0"),
        ("00000000000000000005.timeindex", &[0, 1].repeat(20), 3, "12: the entry is not behind the one before"),
    ] {
        let ran = dump(&["--json"], &[put(name, content)]);
        assert_eq!((ran.status, &*ran.err), (1, ""), "{name}");
        assert_eq!(findings(&ran)[0], said, "{name}");
        let is_entry = |object: &&Map<String, Value>| object["kind"] != "finding" && object["kind"] != "file";
        assert_eq!(objects(&ran).iter().filter(is_entry).count(), shown, "{name}");
    }
}

#[test]
fn files_of_our_own_are_shown_with_what_they_say() {
    let home = Home::new();
    home.feed("paid\n", "topic create orders --partitions 2 --config segment.bytes=4096").done();
    home.feed("paid\n", "produce orders --partition 1").done();
    home.run("consume orders --group billing").done();
    home.run("topic create gone").done();
    home.run("topic delete gone").done();
    let shown = |name: &str| {
        let path = home.data().join(name);
        (
            home.run_with(&["dump", "--json", path.to_str().unwrap()]).json(),
            home.run_with(&["dump", path.to_str().unwrap()]).done(),
        )
    };
    let (catalog, text) = shown("catalog");
    let frames = catalog.iter().filter(|line| line["kind"] == "frame");
    let orders = frames.clone().find(|frame| frame["says"] == "topic_created" && frame["topic"] == "orders").unwrap();
    assert_eq!((&orders["partitions"], &orders["config"]), (&json!(2), &json!({ "segment.bytes": "4096" })));
    assert!(frames.clone().any(|frame| frame["says"] == "leader_epoch"));
    assert!(text.contains("topic orders is created: "), "{text}");

    let (group, text) = shown("groups/billing.offsets");
    let committed = group.iter().filter(|line| line["says"] == "committed");
    let committed: Vec<&Value> = committed.flat_map(|frame| frame["commits"].as_array().unwrap()).collect();
    let of_1 = committed.iter().rfind(|commit| commit["partition"] == 1).unwrap();
    assert_eq!((&of_1["offset"], &of_1["topic_id"]), (&json!(1), &orders["topic_id"]));
    assert!(text.contains("these are the offsets of group \"billing\""), "{text}");

    let (positions, text) = shown("positions");
    let slot =
        positions.iter().find(|line| line["kind"] == "slot" && line["partition"] == 1 && line["is_newer"] == true);
    assert_eq!(slot.unwrap()["durable_end"], 1);
    assert!(text.contains("counts"), "{text}");
}

#[test]
fn damaged_files_of_our_own_are_shown_as_far_as_they_hold() {
    let home = Home::new();
    for topic in ["one", "two", "three"] {
        home.run(&format!("topic create {topic}")).done();
    }
    let catalog = home.data().join("catalog");
    let frames = |ran: &Ran| objects(ran).iter().filter(|object| object["kind"] == "frame").count();
    let before = dump(&["--json"], std::slice::from_ref(&catalog));
    assert_eq!(before.status, 0, "{:?}", findings(&before));
    let first = objects(&before).iter().find(|object| object["kind"] == "frame").unwrap()["position"].as_u64().unwrap();
    change(&catalog, |bytes| bytes[usize::try_from(first).unwrap() + 26] ^= 1);
    let ran = dump(&["--json"], std::slice::from_ref(&catalog));
    assert_eq!((ran.status, frames(&ran)), (1, frames(&before) - 1));
    assert!(findings(&ran)[0].starts_with(&format!("{first}: ")), "{:?}", findings(&ran));

    let positions = home.data().join("positions");
    change(&positions, |bytes| bytes[130] ^= 1);
    let ran = dump(&["--json"], &[positions]);
    assert_eq!((ran.status, findings(&ran).len()), (1, 1));
}

#[test] // R052
fn control_records_of_every_kind_are_named_with_their_numbers() {
    const BYTES: &str = "0000000000000000000000390000000002965a94b10000000000000000018bcfe568000000018bcfe56800ffffffffffffffffff \
        ffffffffff000000010e0000000102610000000000000000010000003f0000000002092ff44b0020000000000000018bcfe56800 \
        0000018bcfe56800ffffffffffffffffffffffffffff000000011a00000008000000030600000000000000000000000200000039 \
        00000000025d4d352e0000000000000000018bcfe568020000018bcfe56802ffffffffffffffffffffffffffff000000010e0000 \
        000102620000000000000000030000003f000000000282dfb92d0020000000000000018bcfe568000000018bcfe56800ffffffff \
        ffffffffffffffffffff000000011a0000000800000063060000000000000000000000040000003f00000000028f6608e6002000 \
        0000000000018bcfe568000000018bcfe56800ffffffffffffffffffffffffffff000000011a0000000800000004060000000000 \
        0000000000000500000039000000000234ebc4210000000000000000018bcfe568050000018bcfe56805ffffffffffffffffffff \
        ffffffff000000010e00000001026300";
    let digits: Vec<u32> = BYTES.chars().filter_map(|letter| letter.to_digit(16)).collect();
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join(SEGMENT);
    #[expect(clippy::disallowed_methods, reason = "writes what somebody reported")]
    fs::write(&path, digits.chunks(2).map(|pair| u8::try_from((pair[0] << 4) | pair[1]).unwrap()).collect::<Vec<_>>())
        .unwrap();
    let ran = dump(&["--json", "--records"], std::slice::from_ref(&path));
    assert_eq!((ran.status, &*ran.err), (0, ""));
    let objects = objects(&ran);
    let controls = objects.iter().filter(|object| object["kind"] == "control");
    let controls: Vec<_> =
        controls.map(|control| (control["type"].as_str().unwrap(), control["type_id"].as_i64())).collect();
    assert_eq!(controls, [("SNAPSHOT_HEADER", Some(3)), ("UNKNOWN", Some(99)), ("SNAPSHOT_FOOTER", Some(4))]);
    let text = String::from_utf8(dump(&["--records"], &[path]).out).unwrap();
    assert!(text.contains("UNKNOWN (type 99)"), "{text}");
}

#[test]
fn what_cannot_be_dumped_is_refused_and_the_others_are_shown() {
    let scratch = copied("epochs", "cut-epochs-0");
    let epochs = scratch.path().join("leader-epoch-checkpoint");
    let (notes, positions) = (scratch.path().join("notes.txt"), scratch.path().join("positions"));
    #[expect(clippy::disallowed_methods, reason = "makes a file that is none of ours")]
    fs::write(&notes, "x").unwrap();
    let ran = dump(&[], &[notes, epochs, positions]);
    assert_eq!(ran.status, 2);
    assert!(String::from_utf8(ran.out).unwrap().contains("leader epochs of a log"));
    let said: Vec<&str> = ran.err.lines().collect();
    assert!(said[0].contains("notes.txt is none of the files that can be dumped: a segment "), "{said:?}");
    assert!(said[1].starts_with("ottla: there is no ") && said[1].ends_with("positions"), "{said:?}");
}

/// No other file tells how far it went.
#[test]
fn damaged_last_batch_has_the_offsets_that_its_header_says() {
    let dir = golden("damaged").join("crc-last/log/wounds-0");
    let ran = dump(&["--json"], &[dir.join("00000000000000000126.log")]);
    let objects = objects(&ran);
    let finding = objects.iter().find(|object| object["kind"] == "finding").expect("there is one");
    assert_eq!((&finding["first_offset"], &finding["last_offset"]), (&json!(140), &json!(143)));
}
