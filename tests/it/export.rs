//! `export`: the directory that is handed to a Kafka cluster has every record where it was, and no half of it ever has
//! the name that was asked for.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use ottla::replay::{Archive, Scanned};
use ottla::{
    Acks, Admin, Batch, BatchHeader, Compression, Consumer, Engine, Error, ExportOptions, ImportOptions, LeaderEpoch,
    NewTopic, Offset, Producer, ProducerConfig, ProducerRecord, VerifyOptions, export, verify,
};
use tempfile::TempDir;

use crate::rot::tree::{Tree, temporary_dir};

/// Topics of several segments and codecs, written over three lives, the second of which was a crash; two groups.
fn source(root: &Path) {
    let codecs = [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];
    for life in 0..3 {
        let engine = Engine::open(root).unwrap();
        if life == 0 {
            let admin = Admin::new(&engine);
            for (topic, partitions) in [("orders", 2), ("clicks", 1), ("empty", 1)] {
                let topic = NewTopic::new(topic).partitions(partitions).config("segment.bytes", "900");
                admin.create_topic(topic.config("index.interval.bytes", "100")).unwrap();
            }
        }
        for (number, codec) in codecs.into_iter().cycle().take(15).enumerate() {
            let config = ProducerConfig::builder().compression(codec).acks(Acks::All).build().unwrap();
            let producer = Producer::<str, str>::with_config(&engine, config).unwrap();
            for (topic, partition) in [("orders", 0), ("orders", 1), ("clicks", 0)] {
                let value = format!("{life} {number} ").repeat(number + 1);
                let record = ProducerRecord::to(topic).partition(partition).key("key").value(value.as_str());
                producer.send(record.header("by", "till 3")).unwrap().wait().unwrap();
            }
        }
        let mut consumer = Consumer::<str, str>::new(&engine, "billing, and \"more\"").unwrap();
        consumer.commit_sync_offsets([(("orders", 0).into(), Offset(7).into())]).unwrap();
        consumer.close().unwrap();
        let mut consumer = Consumer::<str, str>::new(&engine, "audit").unwrap();
        let offsets = [(("orders", 1).into(), Offset(3).into()), (("clicks", 0).into(), Offset(15).into())];
        consumer.commit_sync_offsets(offsets).unwrap();
        consumer.close().unwrap();
        engine.close().unwrap();
        if life < 2 {
            remove(&root.join("log/.kafka_cleanshutdown")); // as a crash leaves it: the next life has a new epoch
        }
    }
}

struct Exported {
    _home: TempDir,
    source: PathBuf,
    target: PathBuf,
}

fn exported(options: &ExportOptions) -> (Exported, ottla::ExportReport) {
    let home = temporary_dir();
    let (root, target) = (home.path().join("data"), home.path().join("out"));
    source(&root);
    let report = export(&root, &target, options).unwrap();
    (Exported { source: root, target, _home: home }, report)
}

#[expect(clippy::disallowed_methods, reason = "looks at what was written")]
fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap()
}

fn text(path: &Path) -> String {
    String::from_utf8(read(path)).unwrap()
}

/// All batches of a partition, in order.
fn batches(dir: &Path) -> Vec<Batch> {
    let mut batches = Vec::new();
    for name in names(dir).into_iter().filter(|name| name.ends_with(".log")) {
        let mut rest = bytes::Bytes::from(read(&dir.join(name)));
        while !rest.is_empty() {
            let len = BatchHeader::parse(&rest).unwrap().len_bytes;
            batches.push(Batch::decode(rest.split_to(len)).unwrap());
        }
    }
    batches
}

#[expect(clippy::disallowed_methods, reason = "looks at what was written")]
fn names(dir: &Path) -> Vec<String> {
    let name = |entry: std::io::Result<std::fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
    let mut names: Vec<_> = std::fs::read_dir(dir).unwrap().map(name).collect();
    names.sort();
    names
}

#[test]
fn every_batch_is_there_as_it_was_but_for_its_leader_epoch() {
    let (dirs, report) = exported(&ExportOptions::default());
    let all: Vec<_> = report.topics.iter().map(|topic| (topic.name.as_str(), topic.partitions.len())).collect();
    assert_eq!(all, [("clicks", 1), ("empty", 1), ("orders", 2)]);
    assert_eq!(report.records(), 3 * 45);
    let mut epochs = BTreeSet::new();
    for partition in ["clicks-0", "empty-0", "orders-0", "orders-1"] {
        let (before, after) = (dirs.source.join("log").join(partition), dirs.target.join(partition));
        let (before, after) = (batches(&before), batches(&after));
        assert_eq!(before.len(), after.len());
        for (before, after) in before.iter().zip(&after) {
            epochs.insert(before.header().leader_epoch);
            assert_eq!(after.header().leader_epoch, LeaderEpoch(0));
            assert_eq!(
                (&before.as_bytes()[..12], &before.as_bytes()[16..]),
                (&after.as_bytes()[..12], &after.as_bytes()[16..])
            );
        }
    }
    assert!(epochs.len() > 1, "{epochs:?}");
    let found = verify(&dirs.target, &VerifyOptions::default()).unwrap();
    assert!(found.is_clean() && found.records() == 135, "{:?}", found.iter().collect::<Vec<_>>());
}

#[test]
fn checkpoints_and_small_files_are_those_of_a_clean_shutdown() {
    let (dirs, report) = exported(&ExportOptions::default().topics(["orders"]));
    let ends = "0\n2\norders 0 45\norders 1 45\n";
    assert_eq!(text(&dirs.target.join("recovery-point-offset-checkpoint")), ends);
    assert_eq!(text(&dirs.target.join("replication-offset-checkpoint")), ends);
    assert_eq!(text(&dirs.target.join("log-start-offset-checkpoint")), "0\n0\n");
    assert_eq!(text(&dirs.target.join("orders-1/leader-epoch-checkpoint")), "0\n1\n0 0\n");
    let id = report.topics[0].id;
    assert_eq!(text(&dirs.target.join("orders-1/partition.metadata")), format!("version: 0\ntopic_id: {id}"));
    assert!(text(&dirs.target.join("meta.properties")).contains("version=1"));
    let left = [
        ".kafka_cleanshutdown",
        "group-offsets.csv",
        "log-start-offset-checkpoint",
        "meta.properties",
        "orders-0",
        "orders-1",
        "recovery-point-offset-checkpoint",
        "replication-offset-checkpoint",
    ];
    assert_eq!(names(&dirs.target), left);
    assert_eq!(names(dirs.target.parent().unwrap()), ["data", "out"]);
    let snapshots = names(&dirs.target.join("orders-0")).into_iter().filter(|name| name.ends_with(".snapshot"));
    assert_eq!(snapshots.collect::<Vec<_>>(), ["00000000000000000045.snapshot"]);
}

#[test]
fn offsets_of_groups_are_a_table_of_the_chosen_topics_and_groups() {
    let table = |options: ExportOptions| {
        let (dirs, report) = exported(&options);
        (report.groups, report.group_offsets.map(|path| text(&path)), dirs)
    };
    let (groups, rows, _dirs) = table(ExportOptions::default());
    assert_eq!(groups, [("audit".to_owned(), 2), ("billing, and \"more\"".to_owned(), 1)]);
    let expected = "audit,clicks,0,15\naudit,orders,1,3\n\"billing, and \"\"more\"\"\",orders,0,7\n";
    assert_eq!(rows.as_deref(), Some(expected));
    let (_, rows, _dirs) = table(ExportOptions::default().topics(["orders"]).groups(["audit"]));
    assert_eq!(rows.as_deref(), Some("audit,orders,1,3\n"));
    let (groups, rows, dirs) = table(ExportOptions::default().topics(["empty"]));
    assert_eq!((groups, rows), (Vec::new(), None));
    assert!(!dirs.target.join("group-offsets.csv").exists());
}

#[test]
fn sealed_segments_of_epoch_0_are_shared_and_the_last_never_is() {
    let home = temporary_dir();
    let (root, target) = (home.path().join("data"), home.path().join("out"));
    let engine = Engine::open(&root).unwrap();
    Admin::new(&engine).create_topic(NewTopic::new("t").config("segment.bytes", "400")).unwrap();
    let producer = Producer::<str, str>::new(&engine).unwrap();
    for number in 0..20 {
        producer.send(ProducerRecord::to("t").value(format!("{number:>100}").as_str())).unwrap().wait().unwrap();
    }
    producer.close().unwrap();
    engine.close().unwrap();
    let report = export(&root, &target, &ExportOptions::default()).unwrap();
    let logs: Vec<_> = names(&target.join("t-0")).into_iter().filter(|name| name.ends_with(".log")).collect();
    let (last, sealed) = logs.split_last().unwrap();
    assert!(sealed.len() > 3);
    let inode = |path: PathBuf| path.metadata().unwrap().ino();
    let is_link = |name: &String| inode(root.join("log/t-0").join(name)) == inode(target.join("t-0").join(name));
    assert!(!is_link(last));
    let len = |name: &String| target.join("t-0").join(name).metadata().unwrap().len();
    assert_eq!(report.shared_bytes(), sealed.iter().map(len).sum::<u64>());
    // What the source goes on to write is not in the copy.
    let before = Tree::read(&target);
    let engine = Engine::open(&root).unwrap();
    let producer = Producer::<str, str>::new(&engine).unwrap();
    for _ in 0..5 {
        producer.send(ProducerRecord::to("t").value("later")).unwrap().wait().unwrap();
    }
    engine.close().unwrap();
    assert!(Tree::read(&target).files == before.files);
}

#[test]
fn damage_is_named_and_nothing_is_exported() {
    let home = temporary_dir();
    let (root, target) = (home.path().join("data"), home.path().join("out"));
    source(&root);
    let sound = Tree::read(&root);
    let segments: Vec<String> =
        names(&root.join("log/orders-1")).into_iter().filter(|name| name.ends_with(".log")).collect();
    let (first, last) = (format!("log/orders-1/{}", segments[1]), format!("log/orders-1/{}", segments.last().unwrap()));
    let cut = |name: &str| {
        let mut bytes = read(&root.join(name));
        bytes.truncate(bytes.len() - 1);
        write(&root.join(name), &bytes);
    };
    let flip = |name: &str, position: usize| {
        let mut bytes = read(&root.join(name));
        bytes[position] ^= 1;
        write(&root.join(name), &bytes);
    };
    let blows: [(&str, &dyn Fn()); 5] = [
        ("a bit", &|| flip(&first, 70)),
        ("an offset", &|| flip(&first, 7)),
        ("the end", &|| cut(&last)),
        ("a segment", &|| remove(&root.join(&first))),
        ("a group", &|| flip("groups/audit.offsets", 60)),
    ];
    for (what, blow) in blows {
        put_back(&sound, &root);
        blow();
        let content = || {
            let mut files = Tree::read(&root).files;
            files.remove(Path::new("LOCK")); // says who had it last
            files
        };
        let damaged = content();
        let error = export(&root, &target, &ExportOptions::default()).unwrap_err();
        assert!(error.is_corruption(), "{what}: {error}");
        assert_eq!(names(home.path()), ["data"], "{what}");
        assert!(content() == damaged, "{what}");
    }
    // Of what is not asked for nothing has to be whole.
    put_back(&sound, &root);
    flip(&first, 70);
    export(&root, &target, &ExportOptions::default().topics(["clicks"])).unwrap();
}

#[expect(clippy::disallowed_methods, reason = "undoes what was damaged")]
fn put_back(tree: &Tree, root: &Path) {
    std::fs::remove_dir_all(root).unwrap();
    std::fs::rename(tree.write().keep(), root).unwrap();
}

#[expect(clippy::disallowed_methods, reason = "what a bad disk does")]
fn write(path: &Path, bytes: &[u8]) {
    std::fs::write(path, bytes).unwrap();
}

#[expect(clippy::disallowed_methods, reason = "what somebody does who tidies up")]
fn remove(path: &Path) {
    std::fs::remove_file(path).unwrap();
}

#[test]
fn target_and_names_have_to_make_sense() {
    let home = temporary_dir();
    let root = home.path().join("data");
    source(&root);
    let options = ExportOptions::default();
    let out = |name: &str| home.path().join(name);
    #[expect(clippy::disallowed_methods, reason = "lays things in the way")]
    let make = |path: &Path| std::fs::create_dir_all(path).unwrap();

    write(&out("file"), b"");
    make(&out("full/of"));
    for name in ["file", "full"] {
        assert!(matches!(export(&root, out(name), &options), Err(Error::IllegalArgument { .. })), "{name}");
    }
    assert!(matches!(export(&root, root.join("log/out"), &options), Err(Error::IllegalArgument { .. })));
    assert!(matches!(export(out("full"), out("out"), &options), Err(Error::IllegalArgument { .. })));
    make(&out("out.unfinished/of"));
    assert!(matches!(export(&root, out("out"), &options), Err(Error::IllegalArgument { .. })));
    assert!(out("out.unfinished/of").exists());
    let unknown = export(&root, out("new"), &options.clone().topics(["orders", "nothing"]));
    assert!(matches!(unknown, Err(Error::UnknownTopicOrPartition { .. })));
    let unknown = export(&root, out("new"), &options.clone().groups(["nobody"]));
    assert!(matches!(unknown, Err(Error::GroupIdNotFound { .. })));
    let engine = Engine::open(&root).unwrap();
    assert!(matches!(export(&root, out("new"), &options), Err(Error::DirectoryLocked { .. })));
    engine.close().unwrap();
    assert!(!out("new").exists() && !out("new.unfinished").exists());
    // An empty directory will do, and what an interrupted run has left goes.
    make(&out("new"));
    make(&out("new.unfinished/orders-0"));
    write(&out("new.unfinished/orders-0/00000000000000000000.log"), b"half");
    export(&root, out("new"), &options).unwrap();
    assert!(!out("new.unfinished").exists() && out("new/orders-0/partition.metadata").exists());
}

#[test]
fn open_transaction_is_refused_until_its_marker_is_there() {
    let home = temporary_dir();
    let root = home.path().join("data");
    let engine = Engine::open(&root).unwrap();
    let producer = Producer::<str, str>::new(&engine).unwrap();
    for value in ["made", "paid"] {
        producer.send(ProducerRecord::to("t").value(value)).unwrap().wait().unwrap();
    }
    producer.close().unwrap();
    engine.close().unwrap();
    // As another version, or a broker, would have written them: the flags of a batch, its producer, its checksum.
    let segment = root.join("log/t-0/00000000000000000000.log");
    let mut bytes = read(&segment);
    let len = BatchHeader::parse(&bytes).unwrap().len_bytes;
    let mark = |batch: &mut [u8], attributes: i16| {
        batch[21..23].copy_from_slice(&attributes.to_be_bytes());
        batch[43..51].copy_from_slice(&7i64.to_be_bytes());
        let crc = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, &batch[21..]);
        batch[17..21].copy_from_slice(&u32::try_from(crc).unwrap().to_be_bytes());
    };
    mark(&mut bytes[..len], 1 << 4);
    write(&segment, &bytes);
    let error = export(&root, home.path().join("out"), &ExportOptions::default()).unwrap_err();
    assert!(matches!(error, Error::IllegalState { .. }) && error.to_string().contains("offset 0"), "{error}");
    mark(&mut bytes[len..], 1 << 4 | 1 << 5);
    write(&segment, &bytes);
    export(&root, home.path().join("out"), &ExportOptions::default()).unwrap();
}

#[cfg(feature = "cli")]
#[test]
fn command_prints_what_was_written_and_what_is_left_to_do() {
    use std::collections::BTreeMap;

    use crate::command::Home;
    let home = Home::new();
    source(&home.data());
    let out = home.beside("out");
    let out = out.to_str().unwrap();
    let lines = home.run_with(&["export", out, "--topic", "orders", "--group", "audit"]).lines();
    assert!(lines[1].starts_with("orders") && lines[1].contains("45"), "{lines:#?}");
    assert!(lines.iter().any(|line| line.contains("--create --topic orders --partitions 2")), "{lines:#?}");
    assert!(lines.iter().any(|line| line.contains("--reset-offsets --group audit --from-file")), "{lines:#?}");
    assert!(home.run_with(&["export", out]).refused().contains("no empty directory"));

    let other = home.beside("other");
    let rows = home.run_with(&["export", other.to_str().unwrap(), "--json"]).json();
    let sum = rows.last().unwrap();
    let counts: BTreeMap<_, _> =
        ["topics", "partitions", "records", "groups"].map(|name| (name, sum[name].as_u64().unwrap())).into();
    assert_eq!(counts, BTreeMap::from([("topics", 3), ("partitions", 4), ("records", 135), ("groups", 2)]));
    assert_eq!(rows.len(), 4 + 2 + 1);

    crate::command::damage(&home.segment("orders-0"), 70);
    let third = home.beside("third");
    let said = home.run_with(&["export", third.to_str().unwrap()]).refused();
    assert!(said.contains("orders-0: offsets 0 to 0 are unreadable") && said.contains("repair"), "{said}");
    assert!(!third.exists());
}

/// A cluster counts from 0 again, and the first batch of a producer of its own would be taken for an old one's last.
#[test]
fn producer_ids_of_another_cluster_are_not_handed_over() {
    let home = temporary_dir();
    let (ours, target) = (home.path().join("data"), home.path().join("out"));
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/idempotent/log");
    let engine = Engine::open(&ours).unwrap();
    Admin::new(&engine).import(&source, &ImportOptions::default().config("segment.bytes", "2000")).unwrap();
    engine.close().unwrap();
    let producers = |path: &Path| -> Vec<i64> {
        let mut found = Vec::new();
        for log in Archive::open(path).unwrap().logs() {
            for step in log.scan() {
                let Scanned::Batch(stored) = step.unwrap() else { panic!("{path:?} is whole") };
                found.push(stored.batch.header().producer_id);
            }
        }
        found
    };
    assert!(producers(&ours.join("log")).iter().any(|id| *id >= 0));
    export(&ours, &target, &ExportOptions::default()).unwrap();
    let exported = producers(&target);
    assert!(exported.len() > 10 && exported.iter().all(|id| *id == -1), "{exported:?}");
    assert!(verify(&target, &VerifyOptions::default()).unwrap().is_clean());
}
