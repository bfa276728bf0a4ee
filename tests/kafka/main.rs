//! ottla and Apache Kafka on the same directories, in both directions: `tests/kafka/run` is the one command.
//!
//! ```text
//! directories_are_written...   ottla writes a directory of every kind, and what is in them as lines of text; exports them
//! DirectoryCheck.java         Kafka's classes read every file of them: the records are those of the lines, nothing is amiss
//! Adoption.java               a broker takes the partitions over; clients of Kafka's read the same, and append more
//! what_a_broker_left_is_read  ottla reads the broker's directory: the records are those that its consumer was given
//! ```
//!
//! None of this is in the default test run: it needs a JDK.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails, helpers included")]
#![expect(clippy::disallowed_methods, reason = "hands files to another program")]

#[path = "../it/chance.rs"]
mod chance;
mod lines;
mod write;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use ottla::replay::{Archive, Directory, ReplayOptions};
use ottla::{ExportOptions, VerifyOptions, export, verify};

use crate::lines::{Lines, line_of};
use crate::write::{KILLED, KINDS, RECOVERED};

/// The directory that all of it takes place in.
fn work() -> PathBuf {
    env::var_os("OTTLA_KAFKA").expect("it is called by tests/kafka/run").into()
}

/// Every record of an ottla directory.
fn read(path: &Path) -> Lines {
    let mut lines = Lines::new();
    let directory = Directory::open(path).unwrap();
    for topic in directory.topics().unwrap() {
        for partition in 0..topic.partitions {
            let mut reader = directory.reader(&(topic.name.as_str(), partition).into()).unwrap();
            loop {
                let records = reader.read(1 << 20).unwrap();
                if records.is_empty() {
                    break;
                }
                for record in &records {
                    lines.insert((topic.name.clone(), partition, record.offset().0), line_of(&record));
                }
            }
        }
    }
    lines
}

/// Every record of a `log.dir`, whoever wrote it.
fn read_log_dir(path: &Path) -> Lines {
    let mut lines = Lines::new();
    let replay = Archive::open(path).unwrap().replay(&ReplayOptions::default());
    let report = replay.for_each(|each| {
        let place = (each.partition.topic().to_owned(), each.partition.partition(), each.record.offset().0);
        lines.insert(place, line_of(&each.record));
    });
    assert_eq!(report.unwrap().findings, []);
    lines
}

fn assert_clean(path: &Path) {
    let report = verify(path, &VerifyOptions::default()).unwrap();
    assert!(report.is_clean(), "{}: {:?}", path.display(), report.iter().collect::<Vec<_>>());
}

/// Copies folders with all that is in them.
fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

#[test]
#[ignore = "needs a JDK and Maven: run tests/kafka/run, which runs it"]
fn directories_are_written_and_exported() {
    for (name, write) in KINDS {
        let path = work().join(name);
        let (mut acknowledged, data, exported) = (Lines::new(), path.join("data"), path.join("exported"));
        fs::create_dir_all(&data).unwrap();
        write(&data, &mut acknowledged);
        let lines = read(&data);
        // What was not acknowledged when it was killed may be there or not.
        let was_killed = name == KILLED || name == RECOVERED;
        let of_acknowledged = lines.iter().filter(|(place, _)| !was_killed || acknowledged.contains_key(*place));
        assert!(of_acknowledged.eq(&acknowledged), "{name}: what is read is not what was acknowledged");
        let lines = if name == KILLED {
            // To export it is to open it, and Kafka is to see it as it was left.
            let opened = path.join("opened");
            copy(&data, &opened);
            export(&opened, &exported, &ExportOptions::default()).unwrap();
            let recovered = read_log_dir(&exported);
            assert!(lines.iter().all(|(place, line)| recovered.get(place) == Some(line)));
            recovered
        } else {
            assert_clean(&data);
            export(&data, &exported, &ExportOptions::default()).unwrap();
            assert!(read_log_dir(&exported) == lines, "{name}: the export has other records");
            lines
        };
        assert_clean(&exported);
        fs::write(path.join("records"), lines::to_text(&lines)).unwrap();
    }
}

#[test]
#[ignore = "needs a JDK and Maven: run tests/kafka/run, which runs it"]
fn what_a_broker_left_is_read() {
    let served = lines::from_text(&fs::read_to_string(work().join("served")).unwrap());
    let log = work().join("broker/log");
    assert_clean(&log);
    let mut read = read_log_dir(&log);
    read.retain(|(topic, ..), _| !topic.starts_with("__"));
    assert!(!served.is_empty());
    for (place, line) in &served {
        assert_eq!(read.get(place), Some(line), "{place:?}");
    }
    assert_eq!(read.len(), served.len(), "there are records that the broker did not serve");
}

#[test]
#[ignore = "a part of the one above, which runs it: tests/kafka/run; alone it does nothing"]
fn child_writes_until_it_is_killed() {
    write::write_until_killed();
}
