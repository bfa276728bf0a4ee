//! Rough surroundings: what other processes, the operating system, clocks, and the application's own code do to an
//! engine. It answers with a clear error or goes on; what was acknowledged stays.
//!
//! A test that changes its process (limits, forks, what is open) runs as a process of its own: an ignored test of this
//! binary in a module `part`, which another test runs, and which does nothing when it is run for its own sake.

#[cfg(feature = "sim")]
mod clock;
mod code;
#[cfg(feature = "sim")]
mod disk;
mod limits;
mod names;
mod places;
mod process;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use ottla::{
    Consumer, ConsumerConfig, Engine, Error, Offset, Producer, ProducerConfig, ProducerRecord, TopicPartition,
};
use tempfile::TempDir;

/// A directory that goes away with its test; in memory where it can be, since nothing here is about the disk.
pub(crate) fn scratch() -> TempDir {
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    made.or_else(|_| tempfile::tempdir()).unwrap()
}

/// Where a part is to work.
const DIRECTORY: &str = "OTTLA_TEST_PART_DIRECTORY";

/// A command that runs a part.
fn part(name: &str, directory: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([&format!("surroundings::{name}"), "--exact", "--ignored", "--nocapture"]).env(DIRECTORY, directory);
    command
}

/// Runs a part that has to succeed.
#[track_caller]
fn run_part(name: &str, directory: &Path) {
    let ran = part(name, directory).output().unwrap();
    assert!(ran.status.success(), "{}", said(&ran));
    assert!(String::from_utf8_lossy(&ran.stdout).contains("1 passed"), "there is no {name}");
}

fn said(ran: &Output) -> String {
    [&ran.stdout, &ran.stderr].map(|said| String::from_utf8_lossy(said).into_owned()).join("\n")
}

/// The directory of this part; `None` if nobody runs it as one.
fn directory() -> Option<PathBuf> {
    std::env::var_os(DIRECTORY).map(PathBuf::from)
}

fn t() -> TopicPartition {
    ("t", 0).into()
}

/// A producer that does not try again by itself.
fn producer(engine: &Engine) -> Producer<str, str> {
    Producer::with_config(engine, ProducerConfig::builder().retries(0).build().unwrap()).unwrap()
}

/// Sends to partition 0 of `t`, and waits.
fn send(engine: &Engine, value: &str) -> Result<Offset, Error> {
    let record = ProducerRecord::to("t").partition(0).value(value);
    Ok(producer(engine).send(record)?.wait()?.offset().unwrap())
}

/// All values of partition 0 of `t`; their offsets follow one another.
fn read(engine: &Engine) -> Result<Vec<String>, Error> {
    let mut consumer = Consumer::<str, str>::with_config(engine, ConsumerConfig::default())?;
    consumer.assign([t()])?;
    let (end, mut values) = (engine.end_offset(&t())?, Vec::new());
    while consumer.position(&t())? < end {
        for record in &consumer.poll(Duration::from_secs(10))? {
            assert_eq!(record.offset().0, i64::try_from(values.len()).unwrap());
            values.push(record.value()?.unwrap().to_owned());
        }
    }
    Ok(values)
}

/// An engine with `a` and `b` in `t`.
fn open_with_two(directory: &Path) -> Engine {
    let engine = Engine::open(directory).unwrap();
    send(&engine, "a").unwrap();
    send(&engine, "b").unwrap();
    engine
}
