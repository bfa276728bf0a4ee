//! `ottla produce`: a record a line, be it the value or JSON.
//!
//! One thread reads and sends, another waits for the deliveries in the order of the lines. With `--json` it waits for
//! each as soon as it can and prints it, so that a reader of the pipe sees every acknowledgement while the input is
//! still open. Without, nobody is told of single records, so it keeps its distance and leaves the batches to fill.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, IsTerminal};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use ottla::{Acks, Admin, Delivery, Engine, Error, NewTopic, Producer, ProducerConfig, ProducerRecord, Timestamp};
use serde_json::json;

use crate::Status;
use crate::arguments::{AcksArgument, Input, Produce};
use crate::json::JsonRecord;
use crate::output::{Failure, Output, no_partition, say, say_stats};

/// How many deliveries may wait to be looked at.
const WINDOW: usize = 100_000;

pub(crate) fn run(command: &Produce, engine: &Engine, output: &mut Output) -> Result<Status, Failure> {
    match command.input {
        Input::Json if command.key_separator.is_some() => {
            return Err(Failure::Usage("--key-separator cuts lines, and goes with no --input json".to_owned()));
        }
        Input::Lines if command.keep_partition => {
            return Err(Failure::Usage("--keep-partition goes with --input json only".to_owned()));
        }
        _ => {}
    }
    let config = config(command)?;
    for file in command.files.iter().filter(|file| !is_standard_input(file)) {
        open(file)?; // now, rather than behind what was read of the others
    }
    find_or_create(command, engine)?;
    let producer = Producer::<[u8], [u8]>::with_config(engine, config)?;
    let (sent, deliveries) = sync_channel(WINDOW);
    let failed = std::thread::scope(|scope| {
        let sender = scope.spawn(|| send_files(command, &producer, sent));
        let followed = if output.is_json {
            print_deliveries(&command.topic, &deliveries, output)
        } else {
            check_deliveries(command, &deliveries)
        };
        drop(deliveries); // a sender whose deliveries nobody looks at any more stops
        let read = sender.join().unwrap_or(Err(Failure::Usage("reading the input panicked".to_owned())));
        followed.and_then(|failed| read.map(|()| failed))
    })?;
    producer.close()?;
    if command.stats {
        say_stats(&producer.metrics());
    }
    if failed { Err(Failure::Said) } else { Ok(Status::Done) }
}

/// What was asked for; an option of its own wins over the setting that it stands for.
fn config(command: &Produce) -> Result<ProducerConfig, Failure> {
    let mut builder = ProducerConfig::builder().set_all(command.settings.iter().map(|(name, value)| (name, value)))?;
    if let Some(acks) = command.acks {
        builder = builder.acks(match acks {
            AcksArgument::Zero => Acks::Zero,
            AcksArgument::One => Acks::One,
            AcksArgument::All => Acks::All,
        });
    }
    if let Some(millis) = command.linger {
        builder = builder.linger(Duration::from_millis(millis));
    }
    if let Some((codec, level)) = &command.compression {
        builder = builder.compression(*codec);
        if let Some(level) = level {
            builder = builder.set(&format!("compression.{codec}.level"), level)?;
        }
    }
    Ok(builder.build()?)
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

/// What became of a line.
struct Sent {
    /// The number of its file.
    file: usize,
    /// Counted from 1 in each file.
    line: u64,
    /// A delivery, or why there is none.
    sent: Result<Delivery, String>,
}

fn is_standard_input(file: &Path) -> bool {
    file.as_os_str() == "-"
}

fn open(file: &Path) -> Result<Box<dyn BufRead + Send>, Failure> {
    if is_standard_input(file) {
        return Ok(Box::new(BufReader::new(io::stdin())));
    }
    #[expect(clippy::disallowed_methods, reason = "the input is the user's file, not one of the engine's")]
    let opened = std::fs::File::open(file);
    Ok(Box::new(BufReader::with_capacity(256 * 1024, opened.map_err(unreadable(file))?)))
}

fn unreadable(file: &Path) -> impl Fn(io::Error) -> Failure {
    let path = if is_standard_input(file) { "standard input".to_owned() } else { file.display().to_string() };
    move |error| Failure::Input { path: path.clone(), error }
}

fn send_files(command: &Produce, producer: &Producer<[u8], [u8]>, sent: SyncSender<Sent>) -> Result<(), Failure> {
    let progress = progress();
    let standard_input = [PathBuf::from("-")];
    let files = if command.files.is_empty() { &standard_input[..] } else { &command.files };
    for (number, file) in files.iter().enumerate() {
        let mut input = open(file)?;
        let mut text = Vec::new();
        for line in 1.. {
            text.clear();
            if input.read_until(b'\n', &mut text).map_err(unreadable(file))? == 0 {
                break;
            }
            let delivery = send(command, producer, text.strip_suffix(b"\n").unwrap_or(&text))?;
            progress.inc(1);
            if sent.send(Sent { file: number, line, sent: delivery }).is_err() {
                return Ok(()); // the other side has said why
            }
        }
    }
    progress.finish_and_clear();
    Ok(())
}

/// Sends what a line says. The outer error is one that no other line would escape.
fn send(command: &Produce, producer: &Producer<[u8], [u8]>, line: &[u8]) -> Result<Result<Delivery, String>, Failure> {
    let sent = match command.input {
        Input::Lines => producer.send(record_of_line(command, line)),
        Input::Json => match JsonRecord::parse(line) {
            Ok(record) => producer.send(record_of_json(command, &record)),
            Err(reason) => return Ok(Err(reason)),
        },
    };
    match sent {
        Err(error @ (Error::Closed { .. } | Error::InvalidTopic { .. })) => Err(error.into()),
        Err(error @ Error::UnknownTopicOrPartition { .. }) if !command.keep_partition => Err(error.into()),
        sent => Ok(sent.map_err(|error| error.to_string())),
    }
}

fn record_of_json<'a>(command: &'a Produce, json: &'a JsonRecord) -> ProducerRecord<'a, [u8], [u8]> {
    let mut record: ProducerRecord<'_, [u8], [u8]> =
        ProducerRecord::to(&command.topic).timestamp(Timestamp(json.timestamp.unwrap_or(-1)));
    if let Some(key) = &json.key {
        record = record.key(key);
    }
    if let Some(value) = &json.value {
        record = record.value(value);
    }
    if let Some(partition) = command.partition.or(json.partition.filter(|_| command.keep_partition)) {
        record = record.partition(partition);
    }
    for (name, value) in &json.headers {
        record = match value {
            Some(value) => record.header(name, value),
            None => record.null_header(name),
        };
    }
    with_headers(record, command)
}

/// With the headers that every record gets.
fn with_headers<'a>(record: ProducerRecord<'a, [u8], [u8]>, command: &'a Produce) -> ProducerRecord<'a, [u8], [u8]> {
    command.headers.iter().fold(record, |record, (name, value)| record.header(name, value.as_bytes()))
}

fn record_of_line<'a>(command: &'a Produce, line: &'a [u8]) -> ProducerRecord<'a, [u8], [u8]> {
    let (key, value) = split(line, command.key_separator.as_deref());
    let mut record = ProducerRecord::to(&command.topic).value(value);
    if let Some(key) = key {
        record = record.key(key);
    }
    if let Some(partition) = command.partition {
        record = record.partition(partition);
    }
    with_headers(record, command)
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
        let resolved = match sent.sent {
            Ok(delivery) => {
                if delivery.try_get().is_none() {
                    output.flush()?; // nothing more is ready
                }
                let partition = delivery.partition().partition();
                delivery.wait().map_err(|error| (Some(partition), error.to_string()))
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
                output.line(json!({ "topic": topic, "partition": partition, "error": error }))?;
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
///
/// A full disk fails everything behind it for the same reason: that is said once, and how many it were in the end.
fn check_deliveries(command: &Produce, deliveries: &Receiver<Sent>) -> Result<bool, Failure> {
    let mut has_failed = false;
    let mut without_room: Option<WithoutRoom> = None;
    let mut check = |Sent { file, line, sent }| {
        let error = match sent.map(|delivery: Delivery| delivery.wait()) {
            Ok(Ok(_)) => return,
            Ok(Err(error @ Error::DiskFull { .. })) => match &mut without_room {
                Some(more) => return more.add(file, line),
                first => {
                    *first = Some(WithoutRoom { more: 0, last: (file, line) });
                    error.to_string()
                }
            },
            Ok(Err(error)) => error.to_string(),
            Err(reason) => reason,
        };
        has_failed = true;
        say(format_args!("{}: {error}", place(command, file, line)));
    };
    let mut waiting = VecDeque::new();
    while let Ok(sent) = deliveries.recv() {
        waiting.push_back(sent);
        if waiting.len() >= WINDOW {
            waiting.drain(..WINDOW / 2).for_each(&mut check);
        }
    }
    waiting.into_iter().for_each(check);
    if let Some(WithoutRoom { more: more @ 1.., last: (file, line) }) = without_room {
        let last = place(command, file, line);
        say(format_args!("{more} more were not stored for want of room, the last of them {last}"));
    }
    Ok(has_failed)
}

/// What a full disk has refused behind the first line that met it.
struct WithoutRoom {
    more: u64,
    last: (usize, u64),
}

impl WithoutRoom {
    fn add(&mut self, file: usize, line: u64) {
        self.more += 1;
        self.last = (file, line);
    }
}

/// Where a line is; the file has a name only if there are several.
fn place(command: &Produce, file: usize, line: u64) -> String {
    match command.files.get(file).filter(|_| command.files.len() > 1) {
        Some(file) => format!("{}: line {line}", file.display()),
        None => format!("line {line}"),
    }
}

/// Shown on a terminal only, and not while lines are typed on it.
fn progress() -> ProgressBar {
    if io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{human_pos} records, {per_sec}, {elapsed}");
    ProgressBar::no_length().with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()))
}
