//! A work queue that survives its worker: jobs are stored, a worker dies between two of them, and the next worker goes
//! on exactly there.
//!
//! The worker that dies is a process of its own, so that nothing is closed, dropped or flushed on the way out. It is
//! this program again, with the directory as its argument.
//!
//! ```text
//! cargo run --example durable_queue
//! ```

#![expect(clippy::print_stdout, reason = "an example talks to its reader")]

use std::env;
use std::error::Error;
use std::path::Path;
use std::process::{self, Command};
use std::time::Duration;

use ottla::{Consumer, ConsumerConfig, Engine, Offset, Producer, ProducerRecord, Result, TopicPartition};

const JOBS: i64 = 10;
const DONE_BEFORE_THE_CRASH: i64 = 4;

fn main() -> Result<(), Box<dyn Error>> {
    if let Some(directory) = env::args_os().nth(1) {
        return Ok(work_and_die(Path::new(&directory))?);
    }
    let directory = tempfile::tempdir()?;
    store_jobs(directory.path())?;

    let status = Command::new(env::current_exe()?).arg(directory.path()).status()?;
    assert!(!status.success(), "the first worker was meant to die");
    println!("first worker: dead ({status})");

    let done = work_off_the_rest(directory.path())?;
    let expected = (DONE_BEFORE_THE_CRASH + 1..=JOBS).map(job_name).collect::<Vec<_>>();
    assert_eq!(done, expected, "the second worker starts where the first one had committed");
    println!("all {JOBS} jobs are done");
    Ok(())
}

/// Stores the jobs; with the default `acks = all` they are on the disk when this returns.
fn store_jobs(directory: &Path) -> Result<()> {
    let engine = Engine::open(directory)?;
    let producer = Producer::<str, str>::new(&engine)?;
    let mut deliveries = Vec::new();
    for number in 1..=JOBS {
        deliveries.push(producer.send(ProducerRecord::to("jobs").value(&job_name(number)))?);
    }
    for delivery in deliveries {
        delivery.wait()?;
    }
    println!("{JOBS} jobs are stored");
    engine.close()
}

/// Does some jobs, begins another one, and is gone.
fn work_and_die(directory: &Path) -> Result<()> {
    let engine = Engine::open(directory)?;
    let mut worker = worker(&engine)?;
    for number in 1..=JOBS {
        let job = next_job(&mut worker)?;
        if number > DONE_BEFORE_THE_CRASH {
            println!("first worker: begins {job}, and crashes");
            process::abort(); // no destructor runs, nothing is closed
        }
        println!("first worker: has done {job}");
        // The job is done once this is on the disk. A crash in between repeats one job and loses none.
        worker.commit_sync()?;
    }
    Ok(())
}

/// Does what is left, and says what that was.
fn work_off_the_rest(directory: &Path) -> Result<Vec<String>> {
    let engine = Engine::open(directory)?;
    for finding in engine.report().iter() {
        println!("found at opening: {finding}");
    }
    let mut worker = worker(&engine)?;
    let jobs = TopicPartition::new("jobs", 0);
    let end = engine.end_offset(&jobs)?;
    assert_eq!(end, Offset(JOBS), "every stored job survived");
    let mut done = Vec::new();
    while done.is_empty() || worker.position(&jobs)? < end {
        let job = next_job(&mut worker)?;
        println!("second worker: has done {job}");
        worker.commit_sync()?;
        done.push(job);
    }
    worker.close()?;
    engine.close()?;
    Ok(done)
}

/// A member of the group of workers, which takes one job at a time and commits when it says so.
fn worker(engine: &Engine) -> Result<Consumer<str, str>> {
    let config = ConsumerConfig::builder()
        .group_id(Some("workers".into()))
        .max_poll_records(1)
        .enable_auto_commit(false)
        .build()?;
    let mut worker = Consumer::with_config(engine, config)?;
    worker.subscribe(["jobs"])?;
    Ok(worker)
}

/// Waits for a job.
fn next_job(worker: &mut Consumer<str, str>) -> Result<String> {
    loop {
        let records = worker.poll(Duration::from_secs(5))?;
        if let Some(job) = records.iter().next() {
            return Ok(job.value()?.unwrap_or_default().to_owned());
        }
    }
}

fn job_name(number: i64) -> String {
    format!("job-{number:02}")
}
