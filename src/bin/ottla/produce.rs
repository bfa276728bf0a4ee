//! `ottla produce`: a record a line.
//!
//! One thread reads and sends, another waits for the deliveries in the order of the lines. With `--json` it waits for
//! each as soon as it can and prints it, so that a reader of the pipe sees every acknowledgement while the input is
//! still open. Without, nobody is told of single records, so it keeps its distance and leaves the batches to fill.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, IsTerminal};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use ottla::{Acks, Admin, Delivery, Engine, Error, NewTopic, Producer, ProducerConfig, ProducerRecord};
use serde_json::json;

use crate::Status;
use crate::arguments::{AcksArgument, Produce};
use crate::output::{Failure, Output, no_partition, say};

/// How many deliveries may wait to be looked at.
const WINDOW: usize = 100_000;

pub(crate) fn run(command: &Produce, engine: &Engine, output: &mut Output) -> Result<Status, Failure> {
    let acks = match command.acks {
        AcksArgument::Zero => Acks::Zero,
        AcksArgument::One => Acks::One,
        AcksArgument::All => Acks::All,
    };
    let config = ProducerConfig::builder().acks(acks).linger(Duration::from_millis(command.linger)).build()?;
    let input = open(command)?;
    find_or_create(command, engine)?;
    let producer = Producer::<[u8], [u8]>::with_config(engine, config)?;
    let (sent, deliveries) = sync_channel(WINDOW);
    let failed = std::thread::scope(|scope| {
        let sender = scope.spawn(|| send_lines(command, &producer, input, sent));
        let followed = if output.is_json {
            print_deliveries(&command.topic, &deliveries, output)
        } else {
            check_deliveries(&deliveries)
        };
        drop(deliveries); // a sender whose deliveries nobody looks at any more stops
        let read = sender.join().unwrap_or(Err(Failure::Usage("reading the input panicked".to_owned())));
        followed.and_then(|failed| read.map(|()| failed))
    })?;
    producer.close()?;
    if failed { Err(Failure::Said) } else { Ok(Status::Done) }
}

/// Sees to it that there is something to produce to, before the first line is waited for.
fn find_or_create(command: &Produce, engine: &Engine) -> Result<(), Failure> {
    let admin = Admin::new(engine);
    let topic = match admin.describe_topic(&command.topic) {
        Err(Error::UnknownTopicOrPartition { .. }) => admin.create_topic(NewTopic::new(&*command.topic))?,
        found => found?,
    };
    let count = u32::try_from(topic.partitions.len()).unwrap_or(u32::MAX);
    match command.partition {
        Some(number) if number >= count => Err(no_partition(&command.topic, number, count)),
        _ => Ok(()),
    }
}

/// A delivery, or why there is none.
type Sent = Result<Delivery, Error>;

fn open(command: &Produce) -> Result<Box<dyn BufRead + Send>, Failure> {
    let Some(path) = &command.file else { return Ok(Box::new(BufReader::new(io::stdin()))) };
    #[expect(clippy::disallowed_methods, reason = "the input is the user's file, not one of the engine's")]
    let file = std::fs::File::open(path);
    let failed = |error| Failure::Input { path: path.display().to_string(), error };
    Ok(Box::new(BufReader::with_capacity(256 * 1024, file.map_err(failed)?)))
}

fn send_lines(
    command: &Produce,
    producer: &Producer<[u8], [u8]>,
    mut input: Box<dyn BufRead + Send>,
    sent: SyncSender<Sent>,
) -> Result<(), Failure> {
    let progress = progress();
    let mut line = Vec::new();
    loop {
        line.clear();
        let failed = |error| Failure::Input { path: input_name(command), error };
        if input.read_until(b'\n', &mut line).map_err(failed)? == 0 {
            progress.finish_and_clear();
            return Ok(());
        }
        let text = line.strip_suffix(b"\n").unwrap_or(&line);
        let result = producer.send(record(command, text));
        if let Err(
            error @ (Error::Closed { .. } | Error::UnknownTopicOrPartition { .. } | Error::InvalidTopic { .. }),
        ) = result
        {
            return Err(error.into()); // no other line would fare better
        }
        progress.inc(1);
        if sent.send(result).is_err() {
            return Ok(()); // the other side has said why
        }
    }
}

fn input_name(command: &Produce) -> String {
    command.file.as_ref().map_or_else(|| "standard input".to_owned(), |path| path.display().to_string())
}

fn record<'a>(command: &'a Produce, line: &'a [u8]) -> ProducerRecord<'a, [u8], [u8]> {
    let (key, value) = split(line, command.key_separator.as_deref());
    let mut record = ProducerRecord::to(&command.topic).value(value);
    if let Some(key) = key {
        record = record.key(key);
    }
    if let Some(partition) = command.partition {
        record = record.partition(partition);
    }
    for (name, value) in &command.headers {
        record = record.header(name, value.as_bytes());
    }
    record
}

/// Cuts a line at the first separator.
fn split<'a>(line: &'a [u8], separator: Option<&str>) -> (Option<&'a [u8]>, &'a [u8]) {
    let separator = separator.unwrap_or_default().as_bytes();
    if separator.is_empty() {
        return (None, line);
    }
    match line.windows(separator.len()).position(|window| window == separator) {
        Some(at) => (Some(&line[..at]), &line[at + separator.len()..]),
        None => (None, line),
    }
}

/// Waits for each delivery and prints what became of it; answers whether one failed.
fn print_deliveries(topic: &str, deliveries: &Receiver<Sent>, output: &mut Output) -> Result<bool, Failure> {
    let mut has_failed = false;
    while let Ok(sent) = next_flushed(deliveries, output)? {
        let resolved = match sent {
            Ok(delivery) => {
                if delivery.try_get().is_none() {
                    output.flush()?; // nothing more is ready
                }
                let partition = delivery.partition().partition();
                delivery.wait().map_err(|error| (Some(partition), error))
            }
            Err(error) => Err((None, error)),
        };
        match resolved {
            Ok(metadata) => {
                let (partition, timestamp) = (metadata.partition(), metadata.timestamp().0);
                let offset = metadata.offset().map(|offset| offset.0);
                output.line(
                    json!({ "topic": topic, "partition": partition, "offset": offset, "timestamp": timestamp }),
                )?;
            }
            Err((partition, error)) => {
                has_failed = true;
                output.line(json!({ "topic": topic, "partition": partition, "error": error.to_string() }))?;
            }
        }
    }
    Ok(has_failed)
}

/// The next thing that was sent; before it has to be waited for, what is printed so far goes out.
fn next_flushed(deliveries: &Receiver<Sent>, output: &mut Output) -> Result<Result<Sent, ()>, Failure> {
    if let Ok(sent) = deliveries.try_recv() {
        return Ok(Ok(sent));
    }
    output.flush()?;
    Ok(deliveries.recv().map_err(drop))
}

/// Looks at each delivery when it has had time to resolve, and says which failed.
fn check_deliveries(deliveries: &Receiver<Sent>) -> Result<bool, Failure> {
    let mut has_failed = false;
    let mut line = 0u64;
    let mut check = |sent: Sent| {
        line += 1;
        if let Err(error) = sent.and_then(|delivery| delivery.wait()) {
            has_failed = true;
            say(format_args!("line {line}: {error}"));
        }
    };
    let mut waiting = VecDeque::new();
    while let Ok(sent) = deliveries.recv() {
        waiting.push_back(sent);
        if waiting.len() >= WINDOW {
            waiting.drain(..WINDOW / 2).for_each(&mut check);
        }
    }
    waiting.into_iter().for_each(check);
    Ok(has_failed)
}

/// Shown on a terminal only, and not while lines are typed on it.
fn progress() -> ProgressBar {
    if io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{human_pos} records, {per_sec}, {elapsed}");
    ProgressBar::no_length().with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()))
}
