//! `verify`: what is fine is called fine, also beside a writer; and whatever breaks is told of the file that it is in.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ottla::{
    Acks, Admin, Compression, Consumer, Defect, DefectKind, Engine, NewTopic, Offset, Producer, ProducerConfig,
    ProducerRecord, VerifyOptions, VerifyReport, verify,
};
use tempfile::TempDir;

use crate::rot::tree::{Tree, temporary_dir};

fn check(path: &Path) -> VerifyReport {
    verify(path, &VerifyOptions::default()).unwrap()
}

fn lines(report: &VerifyReport) -> Vec<String> {
    report.iter().map(ToString::to_string).collect()
}

/// Two topics of several segments, with all codecs, and a group.
fn write(root: &Path) -> Engine {
    let engine = Engine::open(root).unwrap();
    let admin = Admin::new(&engine);
    for (topic, partitions) in [("t", 1), ("u", 2)] {
        let topic = NewTopic::new(topic).partitions(partitions).config("segment.bytes", "700");
        admin.create_topic(topic.config("index.interval.bytes", "0")).unwrap();
    }
    let codecs = [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];
    for (number, codec) in codecs.into_iter().cycle().take(20).enumerate() {
        let config = ProducerConfig::builder().compression(codec).build().unwrap();
        let producer = Producer::<str, str>::with_config(&engine, config).unwrap();
        for partition in [("t", 0), ("u", 0), ("u", 1)] {
            let value = "value ".repeat(number + 1);
            let record = ProducerRecord::to(partition.0).partition(partition.1).key("key").value(value.as_str());
            producer.send(record).unwrap().wait().unwrap();
        }
    }
    let consumer = Consumer::<str, str>::new(&engine, "g").unwrap();
    let mut consumer = consumer;
    consumer.commit_sync_offsets([(("t", 0).into(), Offset(9).into())]).unwrap();
    consumer.close().unwrap();
    engine
}

fn closed() -> Tree {
    let root = temporary_dir();
    write(root.path()).close().unwrap();
    Tree::read(root.path())
}

/// Files whose content means nothing, or is only history.
fn is_without_content(path: &Path) -> bool {
    let name = path.file_name().unwrap().to_str().unwrap();
    matches!(name, "LOCK" | ".lock" | "reserve") || name.ends_with(".previous")
}

#[test]
fn directory_that_was_closed_has_no_findings_and_is_not_changed() {
    let tree = closed();
    let root = tree.write();
    let report = check(root.path());
    assert!(report.is_clean(), "{:#?}", lines(&report));
    assert_eq!((report.partitions(), report.batches(), report.records()), (3, 60, 60));
    assert!(report.segments() > 6);
    assert_eq!(Tree::read(root.path()).files, tree.files);
    // Its parts, each by itself.
    for part in ["log", "log/t-0", "log/u-1", "log/t-0/00000000000000000000.log"] {
        let report = check(&root.path().join(part));
        assert!(report.is_clean() && report.records() > 0, "{part}: {:#?}", lines(&report));
    }
    for part in ["groups", "catalog", "nothing"] {
        assert!(verify(root.path().join(part), &VerifyOptions::default()).is_err(), "{part}");
    }
}

#[test]
fn empty_directory_has_no_findings() {
    let root = temporary_dir();
    Engine::open(root.path()).unwrap().close().unwrap();
    assert_eq!(lines(&check(root.path())), [""; 0]);
}

/// Which files a report names.
fn named(report: &VerifyReport, root: &Path) -> BTreeSet<PathBuf> {
    report.iter().map(|defect| defect.path.strip_prefix(root).unwrap().to_owned()).collect()
}

fn is_within_a_value(content: &[u8], position: usize) -> bool {
    let line = content[..position].rsplit(|byte| *byte == b'\n').next().unwrap();
    line.contains(&b'=')
}

#[test]
fn one_broken_byte_is_one_finding_that_names_the_file() {
    let tree = closed();
    let root = tree.write();
    for (path, content) in tree.files.iter().filter(|(path, _)| !is_without_content(path)) {
        let step = (content.len() / 23).max(1);
        for position in (0..content.len()).step_by(step) {
            let mut broken = content.clone();
            broken[position] ^= 0x10;
            put(&root, path, &broken);
            let report = check(root.path());
            let is_id = path.ends_with("meta.properties") && is_within_a_value(content, position);
            if is_id && report.is_clean() {
                continue; // another id is as good as any: nothing else says what it was
            }
            let expected = BTreeSet::from([path.clone()]);
            let context = format!("{} byte {position}: {:#?}", path.display(), lines(&report));
            assert_eq!(named(&report, root.path()), expected, "{context}");
            assert_eq!(report.iter().count(), 1, "{context}");
        }
        put(&root, path, content);
    }
    assert!(check(root.path()).is_clean());
}

#[test]
fn file_that_is_gone_is_missed() {
    let tree = closed();
    for path in tree.files.keys().filter(|path| !is_without_content(path) && !path.ends_with(".kafka_cleanshutdown")) {
        let mut without = tree.clone();
        without.remove(path);
        let root = without.write();
        let report = check(root.path());
        assert!(!report.is_clean(), "{}", path.display());
        // Nothing else knows of a group's file, and an empty directory is left out here.
        let expected = if path.starts_with("groups") { Path::new("groups") } else { path };
        let is_segment = path.extension().is_some_and(|extension| extension == "log");
        if !is_segment {
            assert_eq!(named(&report, root.path()), BTreeSet::from([expected.to_owned()]), "{:#?}", lines(&report));
        }
    }
}

#[test]
fn names_that_do_not_belong_there_are_told() {
    for name in [
        "log/strange/file",
        "log/t-9/00000000000000000000.log",
        "log/t-0/-1.log",
        "log/t-0/00000000000000000000.log.swap",
        "log/t-0/00000000000000000099.index",
        "log/t-0.0123456789abcdef0123456789abcdef-stray/x",
        "log/meta.properties.tmp",
        "groups/UPPER.offsets",
    ] {
        let mut tree = closed();
        tree.files.insert(name.into(), Vec::new());
        let root = tree.write();
        let report = check(root.path());
        let found: Vec<&Defect> = report.iter().collect();
        assert!(matches!(&found[..], [one] if one.kind == DefectKind::Name), "{name}: {:#?}", lines(&report));
        assert!(root.path().join(name).starts_with(&found[0].path));
    }
}

#[test]
fn torn_tail_after_a_kill_is_not_called_rot() {
    let root = temporary_dir();
    let engine = write(root.path());
    let config = ProducerConfig::builder().acks(Acks::One).build().unwrap();
    let producer = Producer::<str, str>::with_config(&engine, config).unwrap();
    producer.send(ProducerRecord::to("t").value("not synced")).unwrap().wait().unwrap();
    let tree = Tree::read(root.path()); // as a kill would leave it
    engine.close().unwrap();
    assert_eq!(lines(&check(tree.write().path())), [""; 0]);

    let last = tree.of("log/t-0", "log").pop().unwrap();
    for (change, what) in [
        (&(|bytes: &mut Vec<u8>| bytes.truncate(bytes.len() - 3)) as &dyn Fn(&mut Vec<u8>), "cut short"),
        (&|bytes: &mut Vec<u8>| bytes.extend([0; 1000]), "zeros behind it"),
        (&|bytes: &mut Vec<u8>| *bytes.last_mut().unwrap() ^= 1, "a bit"),
    ] {
        let mut torn = tree.clone();
        change(torn.bytes(&last));
        let root = torn.write();
        let report = check(root.path());
        let found: Vec<_> = report.iter().map(|defect| (defect.kind, defect.path.clone())).collect();
        assert_eq!(found, [(DefectKind::Torn, root.path().join(&last))], "{what}: {:#?}", lines(&report));
    }
    // What was synced is rot, all the same.
    let mut rotten = tree;
    let first = rotten.of("log/t-0", "log").remove(0);
    rotten.bytes(&first)[70] ^= 1;
    let root = rotten.write();
    let report = check(root.path());
    assert_eq!(
        report.iter().map(|defect| defect.kind).collect::<Vec<_>>(),
        [DefectKind::Damage],
        "{:#?}",
        lines(&report)
    );
}

/// What is found is what the next opening does: it cuts off what somebody put there, and nothing is left to find.
#[test]
fn bytes_behind_a_log_that_was_closed_are_torn_and_the_next_opening_cuts_them_off() {
    let mut tree = closed();
    let last = tree.of("log/t-0", "log").pop().unwrap();
    tree.bytes(&last).extend(b"garbage");
    let root = tree.write();
    let kinds = |report: &VerifyReport| report.iter().map(|defect| defect.kind).collect::<Vec<_>>();
    assert_eq!(kinds(&check(root.path())), [DefectKind::Torn]);
    let engine = Engine::open(root.path()).unwrap();
    assert_eq!(engine.report().iter().count(), 1, "{:?}", engine.report());
    engine.close().unwrap();
    assert_eq!(kinds(&check(root.path())), [DefectKind::Torn; 0]);
}

#[test]
fn writer_at_work_is_no_finding() {
    let root = temporary_dir();
    let engine = write(root.path());
    let (is_over, rounds) = (AtomicBool::new(false), 10);
    std::thread::scope(|scope| {
        let (engine, is_over) = (&engine, &is_over);
        let over = || is_over.load(Ordering::Acquire);
        scope.spawn(move || {
            let config = ProducerConfig::builder().acks(Acks::One).linger(Duration::ZERO).build().unwrap();
            let quick = Producer::<str, str>::with_config(engine, config).unwrap();
            let safe = Producer::<str, str>::new(engine).unwrap();
            let value = "v".repeat(300);
            while !over() {
                for producer in [&quick, &safe] {
                    producer.send(ProducerRecord::to("t").value(value.as_str())).unwrap().wait().unwrap();
                }
            }
        });
        scope.spawn(move || {
            let mut consumer = Consumer::<str, str>::new(engine, "busy").unwrap();
            for offset in (0..20).cycle() {
                consumer.commit_sync_offsets([(("u", 0).into(), Offset(offset).into())]).unwrap();
                if over() {
                    break;
                }
            }
        });
        scope.spawn(move || {
            let admin = Admin::new(engine);
            while !over() {
                admin.create_topic(NewTopic::new("fleeting").partitions(2)).unwrap();
                admin.delete_topic("fleeting").unwrap();
            }
        });
        for _ in 0..rounds {
            let report = check(root.path());
            if !report.is_clean() {
                is_over.store(true, Ordering::Release);
                panic!("{:#?}", lines(&report));
            }
        }
        is_over.store(true, Ordering::Release);
    });
    engine.close().unwrap();
    assert_eq!(lines(&check(root.path())), [""; 0]);
}

#[expect(clippy::disallowed_methods, reason = "breaks files behind the library's back")]
fn put(root: &TempDir, path: &Path, content: &[u8]) {
    std::fs::write(root.path().join(path), content).unwrap();
}

#[cfg(feature = "cli")]
#[test]
fn the_command_prints_a_line_for_each_finding_and_a_summary() {
    use crate::command::{Home, bare, damage, run};

    let home = Home::new();
    home.feed("paid\n", "produce orders").done();
    let fine = home.run("verify").done();
    assert!(fine.starts_with("no findings; partitions: 1, segments: 1, batches: 1, records: 1, bytes: "), "{fine}");

    let segment = home.segment("orders-0");
    damage(&segment, 65);
    let found = home.run("verify");
    let text = String::from_utf8(found.out).unwrap();
    assert_eq!((found.status, found.err.as_str(), text.lines().count()), (1, "", 2), "{text}");
    assert!(text.starts_with(&format!("{}: 0: 0 to 0: damage: the checksum is ", segment.display())), "{text}");

    let found = home.run("verify --json");
    let json: Vec<serde_json::Value> =
        found.out.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect();
    assert_eq!((found.status, json.len()), (1, 2));
    assert_eq!(json[0]["file"], segment.to_str().unwrap());
    assert_eq!(
        (&json[0]["position"], &json[0]["first_offset"], &json[0]["kind"]),
        (&0.into(), &0.into(), &"damage".into())
    );
    assert_eq!((&json[1]["findings"], &json[1]["records"]), (&1.into(), &0.into()));

    assert_eq!(run(bare().arg("verify").arg(&segment), b"").status, 1);
    let nothing = run(bare().args(["verify", "/no/such/place"]), b"").refused();
    assert!(nothing.contains("/no/such/place"), "{nothing}");
    assert!(run(bare().arg("verify"), b"").refused().contains("-d"));
}

#[cfg(feature = "cli")]
#[test]
fn the_command_plans_a_repair_and_does_it_when_told_to() {
    use crate::command::{Home, damage};

    let home = Home::new();
    home.feed("paid\nsent\n", "produce orders").done();
    assert_eq!(home.run("repair").done(), "nothing to repair; offsets lost: 0, left as it is: 0\n");
    let segment = home.segment("orders-0");
    damage(&segment, 65);
    let plan = home.run("repair");
    let text = String::from_utf8(plan.out).unwrap();
    assert_eq!((plan.status, plan.err.as_str()), (1, ""), "{text}");
    assert!(text.starts_with(&format!("{}: 0: 0 to 1: replace: the checksum is ", segment.display())), "{text}");
    assert!(
        text.ends_with("1 step, none of them done: --execute does them; offsets lost: 2, left as it is: 0\n"),
        "{text}"
    );
    assert_eq!(home.run("consume orders").status, 2);

    let done = home.run("repair --execute --json").done();
    let json: Vec<serde_json::Value> = done.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((json[0]["action"].as_str(), json[0]["last_offset"].as_i64()), (Some("replace"), Some(1)));
    assert!(json[0]["kept"].as_str().unwrap().contains("quarantine"), "{done}");
    assert_eq!((&json[1]["executed"], &json[1]["remaining"]), (&true.into(), &0.into()));
    assert!(home.run("verify").done().starts_with("no findings"));
    assert_eq!(home.run("consume orders").done(), "");
    home.feed("paid again\n", "produce orders").done();
    assert_eq!(home.run_with(&["consume", "orders", "--format", "{offset} {value}"]).done(), "2 paid again\n");
    assert!(crate::command::run(crate::command::bare().arg("repair"), b"").refused().contains("-d"));
}

#[test]
fn tree_that_holds_no_log_is_refused() {
    let mut tree =
        Tree { files: Default::default(), dirs: vec!["X11-1".into(), "python-3/lib".into()], links: Vec::new() };
    tree.files.insert("hosts-0/allow".into(), b"ALL".to_vec());
    let root = tree.write();
    let refused = verify(root.path(), &VerifyOptions::default()).unwrap_err();
    assert!(refused.to_string().contains("it holds no log"), "{refused}");
}

/// Issue 5: a segment that ends in damage before one that is a directory was looked at again and again.
#[test]
fn issue_5_bad_place_that_a_second_look_takes_for_a_batch_is_looked_at_once() {
    let root = temporary_dir();
    let engine = write(root.path());
    let mut tree = Tree::read(root.path()); // as a kill leaves it
    engine.close().unwrap();
    let segments = tree.of("log/t-0", "log");
    tree.remove("positions");
    tree.replace_by_dir(&segments[segments.len() - 2]);
    let root = tree.write();
    assert!(!check(root.path()).is_clean());
}

/// Issue 5: what a crash took of a log was told of its group as damage, at each check from then on.
#[test]
fn issue_5_offset_beyond_a_log_that_a_crash_has_cut_is_no_damage() {
    let root = temporary_dir();
    let engine = write(root.path());
    let config = ProducerConfig::builder().acks(Acks::One).build().unwrap();
    let producer = Producer::<str, str>::with_config(&engine, config).unwrap();
    let before = Tree::read(root.path());
    producer.send(ProducerRecord::to("t").value("not synced")).unwrap().wait().unwrap();
    let mut consumer = Consumer::<str, str>::new(&engine, "h").unwrap();
    consumer.commit_sync_offsets([(("t", 0).into(), Offset(21).into())]).unwrap();
    let mut tree = Tree::read(root.path());
    drop((consumer, producer));
    engine.close().unwrap();
    for path in before.of("log/t-0", "log") {
        tree.files.insert(path.clone(), before.files[&path].clone()); // a power cut takes what was not synced
    }
    let root = tree.write();
    let engine = Engine::open(root.path()).unwrap();
    assert!(engine.report().iter().any(|finding| matches!(finding, ottla::Finding::Clamped { .. })));
    engine.close().unwrap();
    assert_eq!(lines(&check(root.path())), [""; 0]);
}

#[test]
fn bytes_before_a_torn_tail_count() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/damaged");
    let [whole, torn] = ["clean", "garbage-after-tail"].map(|name| check(&golden.join(name).join("log")));
    assert!(whole.is_clean() && !torn.is_clean());
    assert_eq!((torn.batches(), torn.bytes()), (whole.batches(), whole.bytes()));
}
