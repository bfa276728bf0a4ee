//! ottla and Apache Kafka on the same directories, in both directions: `tests/kafka/run` is the one command.
//!
//! ```text
//! directories_are_written     ottla writes a directory of every kind, and what is in them as lines of text
//! Files.java                  Kafka's classes read every file of them: the records are those of the lines, nothing is amiss
//! Broker.java                 a broker takes the partitions over; clients of Kafka's read the same, and append more
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

use ottla::replay::Directory;

use crate::lines::{Lines, line_of};
use crate::write::{KILLED, KINDS};

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

#[test]
#[ignore = "tests/kafka/run calls it"]
fn directories_are_written() {
    for (name, write) in KINDS {
        let path = work().join(name);
        let (mut acknowledged, data) = (Lines::new(), path.join("data"));
        fs::create_dir_all(&data).unwrap();
        write(&data, &mut acknowledged);
        let lines = read(&data);
        for (place, line) in &acknowledged {
            assert_eq!(lines.get(place), Some(line), "{name}: {place:?}");
        }
        if name == KILLED || name == "recovered" {
            assert!(lines.len() >= acknowledged.len());
        } else {
            assert_eq!(lines.len(), acknowledged.len(), "{name}");
        }
        fs::write(path.join("records"), lines::to_text(&lines)).unwrap();
    }
}

#[test]
#[ignore = "the one above calls it"]
fn child_writes_until_it_is_killed() {
    write::write_until_killed();
}
