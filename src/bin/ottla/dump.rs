//! `ottla dump`.

use std::fmt::Write as _;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use clap::Args;
use ottla::replay::{DumpKind, DumpOptions, Dumped, DumpedCommit, DumpedFrame, dump};
use ottla::{BatchHeader, Compression, Offset, Record, Timestamp, TimestampType};
use serde_json::{Value, json};

use crate::Status;
use crate::json::json_bytes;
use crate::output::{Failure, Output, say};

#[derive(Debug, Args)]
pub(crate) struct Dump {
    /// The files: segments, indexes, snapshots, checkpoints, journals; recognised by their names
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Show the records in each batch, too
    #[arg(long)]
    records: bool,
    /// Hold the entries of an index against the batches of the segment beside it
    #[arg(long)]
    index_check: bool,
}

pub(crate) fn run(command: &Dump, output: &mut Output) -> Result<Status, Failure> {
    let options = DumpOptions::default().records(command.records).index_check(command.index_check);
    let (mut findings, mut has_refused) = (0, false);
    for (number, path) in command.files.iter().enumerate() {
        if number > 0 && !output.is_json {
            output.line("")?;
        }
        if matches!(path.try_exists(), Ok(false)) {
            output.flush()?; // so that it is said behind what was printed
            say(format_args!("ottla: there is no {}", path.display()));
            has_refused = true;
            continue;
        }
        match show(path, &options, output) {
            Ok(found) => findings += found,
            Err(Failure::Error(error)) => {
                output.flush()?; // so that it is said behind what was printed
                say(format_args!("ottla: {error}"));
                has_refused = true;
            }
            Err(failure) => return Err(failure),
        }
    }
    output.flush()?;
    match (has_refused, findings) {
        (true, _) => Err(Failure::Said),
        (false, 0) => Ok(Status::Done),
        (false, _) => Ok(Status::Findings),
    }
}

fn show(path: &Path, options: &DumpOptions, output: &mut Output) -> Result<u64, Failure> {
    let mut failure = None;
    let findings = dump(path, options, |entry| {
        let shown = if output.is_json {
            output.line(as_json(path, &entry))
        } else {
            as_text(path, &entry).iter().try_for_each(|line| output.line(line.trim_end()))
        };
        match shown {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                failure = Some(error);
                ControlFlow::Break(())
            }
        }
    });
    failure.map_or(Ok(findings?), Err)
}

fn as_json(path: &Path, entry: &Dumped<'_>) -> Value {
    let mut value = match entry {
        Dumped::File { kind, len_bytes } => json!({ "kind": "file", "what": name_of(*kind), "size": len_bytes }),
        Dumped::Batch { position, header, is_valid, last_sequence } => {
            batch_as_json(*position, header, *is_valid, *last_sequence)
        }
        Dumped::Record { record, sequence } => {
            let headers: Vec<Value> =
                record.headers().iter().map(|(name, value)| json!([name, json_bytes(value)])).collect();
            json!({
                "kind": "record",
                "offset": record.offset().0,
                "timestamp": record.timestamp().0,
                "sequence": sequence,
                "key": json_bytes(record.key()),
                "value": json_bytes(record.value()),
                "headers": headers,
            })
        }
        Dumped::Control { record, control, coordinator_epoch } => json!({
            "kind": "control",
            "offset": record.offset().0,
            "timestamp": record.timestamp().0,
            "type": control.to_string(),
            "type_id": control.id(),
            "coordinator_epoch": coordinator_epoch,
        }),
        Dumped::IndexEntry { position, offset, batch_position } => {
            json!({ "kind": "offset_index", "position": position, "offset": offset.0, "batch_position": batch_position })
        }
        Dumped::TimeEntry { position, timestamp, offset } => {
            json!({ "kind": "time_index", "position": position, "timestamp": timestamp.0, "offset": offset.0 })
        }
        Dumped::Untrimmed { position, entries } => {
            json!({ "kind": "zero_tail", "position": position, "entries": entries })
        }
        Dumped::Aborted { position, transaction } => json!({
            "kind": "aborted",
            "position": position,
            "producer_id": transaction.producer_id,
            "first_offset": transaction.first_offset.0,
            "last_offset": transaction.last_offset.0,
            "last_stable_offset": transaction.last_stable_offset.0,
        }),
        Dumped::Producer { position, state } => json!({
            "kind": "producer",
            "position": position,
            "producer_id": state.producer_id,
            "epoch": state.producer_epoch,
            "last_sequence": state.last_sequence,
            "last_offset": state.last_offset.0,
            "offset_delta": state.offset_delta,
            "timestamp": state.last_timestamp.0,
            "coordinator_epoch": state.coordinator_epoch,
            "current_txn_first_offset": Some(state.current_txn_first_offset.0).filter(|first| *first >= 0),
        }),
        Dumped::LeaderEpoch { position, epoch, start_offset } => {
            json!({ "kind": "epoch", "position": position, "epoch": epoch.0, "start_offset": start_offset.0 })
        }
        Dumped::Checkpoint { position, partition, offset } => json!({
            "kind": "checkpoint",
            "position": position,
            "topic": partition.topic(),
            "partition": partition.partition(),
            "offset": offset.0,
        }),
        Dumped::Property { name, value } => json!({ "kind": "property", "name": name, "value": value }),
        Dumped::CleanShutdown { content } => json!({ "kind": "clean_shutdown", "content": content }),
        Dumped::Journal { journal_id, history_id, base_sequence, snapshot_end } => json!({
            "kind": "journal",
            "journal_id": hex(journal_id),
            "history_id": hex(history_id),
            "base_sequence": base_sequence,
            "snapshot_end": snapshot_end,
        }),
        Dumped::Frame { position, len_bytes, sequence, in_snapshot, durable_end, content } => {
            let mut frame = json!({
                "kind": "frame",
                "position": position,
                "size": len_bytes,
                "sequence": sequence,
                "in_snapshot": in_snapshot,
                "durable_end": durable_end,
            });
            merge(&mut frame, frame_as_json(content));
            frame
        }
        Dumped::Slot { position, topic_id, partition, sequence, bounds, is_newer } => json!({
            "kind": "slot",
            "position": position,
            "topic_id": topic_id.to_string(),
            "partition": partition,
            "sequence": sequence,
            "leader_epoch": bounds.leader_epoch.0,
            "durable_end": bounds.durable_end.0,
            "log_start_offset": bounds.log_start_offset.0,
            "high_watermark": bounds.high_watermark.0,
            "last_stable_offset": bounds.last_stable_offset.0,
            "is_newer": is_newer,
        }),
        Dumped::Finding { position, offsets, detail } => json!({
            "kind": "finding",
            "position": position,
            "first_offset": offsets.map(|(first, _)| first.0),
            "last_offset": offsets.map(|(_, last)| last.0),
            "detail": detail,
        }),
        other => json!({ "kind": "other", "what": format!("{other:?}") }),
    };
    merge(&mut value, json!({ "file": path.to_string_lossy() }));
    value
}

fn merge(object: &mut Value, more: Value) {
    if let (Value::Object(object), Value::Object(more)) = (object, more) {
        object.extend(more);
    }
}

fn batch_as_json(position: u64, header: &BatchHeader, is_valid: bool, last_sequence: i32) -> Value {
    json!({
        "kind": "batch",
        "position": position,
        "size": header.len_bytes,
        "magic": header.magic,
        "base_offset": header.base_offset.0,
        "last_offset": header.last_offset().0,
        "leader_epoch": header.leader_epoch.0,
        "crc": header.crc,
        "valid": is_valid,
        "codec": codec(header),
        "timestamp_type": timestamp_type(header),
        "transactional": header.is_transactional(),
        "control": header.is_control(),
        "delete_horizon": header.delete_horizon().map(|horizon| horizon.0),
        "producer_id": header.producer_id,
        "producer_epoch": header.producer_epoch,
        "base_sequence": header.base_sequence,
        "last_sequence": last_sequence,
        "count": header.count,
        "base_timestamp": header.base_timestamp.0,
        "max_timestamp": header.max_timestamp.0,
    })
}

fn timestamp_type(header: &BatchHeader) -> &'static str {
    match header.timestamp_type() {
        _ if header.magic == 0 => "NoTimestampType",
        TimestampType::LogAppendTime => "LogAppendTime",
        _ => "CreateTime",
    }
}

fn codec(header: &BatchHeader) -> String {
    header.compression().as_ref().map_or_else(|_| format!("codec {}", header.attributes & 7), Compression::to_string)
}

fn frame_as_json(content: &DumpedFrame) -> Value {
    match content {
        DumpedFrame::LeaderEpoch(epoch) => json!({ "says": "leader_epoch", "leader_epoch": epoch.0 }),
        DumpedFrame::TopicCreated { name, topic_id, partitions, config } => json!({
            "says": "topic_created",
            "topic": name,
            "topic_id": topic_id.to_string(),
            "partitions": partitions,
            "config": config,
        }),
        DumpedFrame::TopicDeleted { topic_id } => json!({ "says": "topic_deleted", "topic_id": topic_id.to_string() }),
        DumpedFrame::Group { name } => json!({ "says": "group", "group": name }),
        DumpedFrame::Committed(commits) => {
            let commits: Vec<Value> = commits
                .iter()
                .map(|commit| {
                    json!({
                        "topic_id": commit.topic_id.to_string(),
                        "partition": commit.partition,
                        "offset": commit.offset.0,
                        "leader_epoch": commit.leader_epoch.0,
                        "metadata": commit.metadata,
                        "commit_timestamp": commit.commit_timestamp.0,
                    })
                })
                .collect();
            json!({ "says": "committed", "commits": commits })
        }
        DumpedFrame::Forgotten { topic_id } => json!({ "says": "forgotten", "topic_id": topic_id.to_string() }),
        DumpedFrame::Dropped(partitions) => {
            let partitions = partitions.iter().map(|(topic_id, partition)| json!([topic_id.to_string(), partition]));
            json!({ "says": "dropped", "partitions": partitions.collect::<Vec<_>>() })
        }
        DumpedFrame::HasMembers => json!({ "says": "has_members" }),
        DumpedFrame::EmptySince(at) => json!({ "says": "empty_since", "timestamp": at.0 }),
        DumpedFrame::Unknown { bytes } => json!({ "says": "unknown", "bytes": json_bytes(Some(bytes)) }),
        other => json!({ "says": format!("{other:?}") }),
    }
}

fn name_of(kind: DumpKind) -> &'static str {
    match kind {
        DumpKind::Segment { .. } => "segment",
        DumpKind::OffsetIndex { .. } => "offset_index",
        DumpKind::TimeIndex { .. } => "time_index",
        DumpKind::TransactionIndex { .. } => "transaction_index",
        DumpKind::ProducerSnapshot { .. } => "producer_snapshot",
        DumpKind::LeaderEpochs => "leader_epochs",
        DumpKind::OffsetCheckpoint => "offset_checkpoint",
        DumpKind::PartitionMetadata => "partition_metadata",
        DumpKind::MetaProperties => "meta_properties",
        DumpKind::CleanShutdown => "clean_shutdown",
        DumpKind::Catalog => "catalog",
        DumpKind::GroupJournal => "group_journal",
        DumpKind::Positions => "positions",
        _ => "other",
    }
}

/// The lines that a person reads of an entry.
fn as_text(path: &Path, entry: &Dumped<'_>) -> Vec<String> {
    let line = match entry {
        Dumped::File { kind, len_bytes } => return file_as_text(path, *kind, *len_bytes),
        Dumped::Batch { position, header, is_valid, last_sequence } => {
            return batch_as_text(*position, header, *is_valid, *last_sequence);
        }
        Dumped::Record { record, sequence } => record_as_text(record, *sequence),
        Dumped::Control { record, control, coordinator_epoch } => {
            let epoch = coordinator_epoch.map_or(String::new(), |epoch| format!("  coordinator epoch {epoch}"));
            format!("{:>12}  {}  {control} (type {}){epoch}", record.offset(), time(record.timestamp()), control.id())
        }
        Dumped::IndexEntry { position, offset, batch_position } => {
            format!("{position:>9} {offset:>19} {batch_position:>15}")
        }
        Dumped::TimeEntry { position, timestamp, offset } => {
            format!("{position:>9} {} {offset:>19}", time(*timestamp))
        }
        Dumped::Untrimmed { position, entries } => {
            format!("{position:>9} {entries} entries of zeros up to the end: it was never trimmed")
        }
        Dumped::Aborted { position, transaction } => format!(
            "{position:>9} {:>19} {:>13} {:>13} {:>13}",
            transaction.producer_id, transaction.first_offset, transaction.last_offset, transaction.last_stable_offset
        ),
        Dumped::Producer { position, state } => {
            let open = or_none(state.current_txn_first_offset.0);
            format!(
                "{position:>9} {:>19} {:>6} {:>10} {:>11} {} {:>11}",
                state.producer_id,
                state.producer_epoch,
                or_none(state.last_sequence.into()),
                span(state.last_offset, state.offset_delta),
                time(state.last_timestamp),
                format!("{}/{open}", or_none(state.coordinator_epoch.into())),
            )
        }
        Dumped::LeaderEpoch { position, epoch, start_offset } => format!("{position:>9} {epoch:>9} {start_offset:>19}"),
        Dumped::Checkpoint { position, partition, offset } => format!("{position:>9} {offset:>19}  {partition}"),
        Dumped::Property { name, value } => format!("{name:>14}  {value}"),
        Dumped::CleanShutdown { content: "" } => "  it is empty".to_owned(),
        Dumped::CleanShutdown { content } => format!("  {content}"),
        Dumped::Journal { journal_id, history_id, base_sequence, snapshot_end } => {
            return vec![
                format!("  journal id {}, history id {}", hex(journal_id), hex(history_id)),
                format!("  snapshot up to position {snapshot_end}, in place of all up to frame {base_sequence}"),
                format!("{:>9} {:>7} {:>9}  SAYS", "POSITION", "SIZE", "FRAME"),
            ];
        }
        Dumped::Frame { position, len_bytes, sequence, in_snapshot, content, .. } => {
            let number = if *in_snapshot { format!("s{sequence}") } else { sequence.to_string() };
            let front = format!("{position:>9} {len_bytes:>7} {number:>9}  ");
            return frame_as_text(content)
                .into_iter()
                .zip(std::iter::once(front).chain(std::iter::repeat(INDENT.to_owned())))
                .map(|(line, front)| front + &line)
                .collect();
        }
        Dumped::Slot { position, topic_id, partition, sequence, bounds, is_newer } => format!(
            "{position:>9} {topic_id} {partition:>5} {sequence:>7} {:>5} {:>11} {:>9} {:>9}{}",
            bounds.leader_epoch,
            bounds.durable_end,
            bounds.log_start_offset,
            bounds.high_watermark,
            if *is_newer { "  counts" } else { "" },
        ),
        Dumped::Finding { position, offsets, detail } => finding_as_text(*position, *offsets, detail),
        other => format!("  {other:?}"),
    };
    vec![line]
}

/// What stands in front of the further lines of an entry.
const INDENT: &str = "                             ";

fn file_as_text(path: &Path, kind: DumpKind, len_bytes: u64) -> Vec<String> {
    let headings = match kind {
        DumpKind::Segment { .. } => format!(
            "{:>9} {:>7}  {:<19} {:>6} {:>5} V {:<6} {:<12} MAX TIME",
            "POSITION", "SIZE", "OFFSETS", "COUNT", "EPOCH", "CODEC", "CRC"
        ),
        DumpKind::OffsetIndex { .. } => format!("{:>9} {:>19} {:>15}", "POSITION", "OFFSET", "BATCH BEGINS AT"),
        DumpKind::TimeIndex { .. } => format!("{:>9} {:<24} {:>19}", "POSITION", "TIME", "OFFSET"),
        DumpKind::TransactionIndex { .. } => {
            format!("{:>9} {:>19} {:>13} {:>13} {:>13}", "POSITION", "PRODUCER", "FIRST", "ABORT MARKER", "LAST STABLE")
        }
        DumpKind::ProducerSnapshot { .. } => format!(
            "{:>9} {:>19} {:>6} {:>10} {:>11} {:<24} {:>11}",
            "POSITION", "PRODUCER", "EPOCH", "SEQUENCE", "OFFSETS", "TIME", "COORD/TXN"
        ),
        DumpKind::LeaderEpochs => format!("{:>9} {:>9} {:>19}", "POSITION", "EPOCH", "BEGINS AT"),
        DumpKind::OffsetCheckpoint => format!("{:>9} {:>19}  PARTITION", "POSITION", "OFFSET"),
        DumpKind::Positions => format!(
            "{:>9} {:<22} {:>5} {:>7} {:>5} {:>11} {:>9} {:>9}",
            "POSITION", "TOPIC", "PART.", "WRITTEN", "EPOCH", "DURABLE END", "LOG START", "HIGH WM"
        ),
        _ => String::new(),
    };
    let title = format!("{}: {kind}, {len_bytes} bytes", path.display());
    if headings.is_empty() { vec![title] } else { vec![title, headings] }
}

fn batch_as_text(position: u64, header: &BatchHeader, is_valid: bool, last_sequence: i32) -> Vec<String> {
    let (first, last) = (header.base_offset, header.last_offset());
    let offsets = if first == last { first.to_string() } else { format!("{first}-{last}") };
    let crc = format!("{:08x} {}", header.crc, if is_valid { "ok" } else { "BAD" });
    let line = format!(
        "{position:>9} {:>7}  {offsets:<19} {:>6} {:>5} {} {:<6} {crc:<12} {}",
        header.len_bytes,
        header.count,
        header.leader_epoch,
        header.magic,
        codec(header),
        time(header.max_timestamp),
    );
    let mut more = Vec::new();
    if header.timestamp_type() == TimestampType::LogAppendTime {
        more.push("append time".to_owned());
    }
    match header.delete_horizon() {
        Some(horizon) => more.push(format!("delete horizon {}", time(horizon))),
        None if header.base_timestamp.is_some()
            && header.base_timestamp != header.max_timestamp
            && header.magic == 2 =>
        {
            more.push(format!("times from {}", time(header.base_timestamp).trim_end()));
        }
        None => {}
    }
    if header.producer_id >= 0 {
        more.push(format!("producer {}, epoch {}", header.producer_id, header.producer_epoch));
    }
    if header.base_sequence >= 0 {
        let first = header.base_sequence;
        let end = if first == last_sequence { String::new() } else { format!("-{last_sequence}") };
        more.push(format!("sequence {first}{end}"));
    }
    if header.is_transactional() {
        more.push("transactional".to_owned());
    }
    if header.is_control() {
        more.push("control".to_owned());
    }
    if header.attributes & !0x7f != 0 {
        more.push(format!("attributes {:#06x}", header.attributes));
    }
    if more.is_empty() { vec![line] } else { vec![line, format!("{:>12}  {}", "", more.join("; "))] }
}

fn record_as_text(record: &Record<'_>, sequence: i32) -> String {
    let mut line = format!("{:>12}  {}", record.offset(), time(record.timestamp()));
    if sequence >= 0 {
        let _ = write!(line, "  sequence {sequence}");
    }
    let _ = write!(line, "  {}: {}", bytes(record.key()), bytes(record.value()));
    for (name, value) in record.headers().iter() {
        let _ = write!(line, "  {}={}", name.escape_debug(), bytes(value));
    }
    line
}

fn frame_as_text(content: &DumpedFrame) -> Vec<String> {
    let line = match content {
        DumpedFrame::LeaderEpoch(epoch) => format!("leader epoch {epoch} begins"),
        DumpedFrame::TopicCreated { name, topic_id, partitions, config } => {
            let config: String =
                config.iter().fold(String::new(), |all, (name, value)| format!("{all}, {name}={value}"));
            format!("topic {name} is created: {topic_id}, partitions {partitions}{config}")
        }
        DumpedFrame::TopicDeleted { topic_id } => format!("topic {topic_id} is deleted"),
        DumpedFrame::Group { name } => format!("these are the offsets of group {}", quoted(name)),
        DumpedFrame::Committed(commits) => return commits.iter().map(commit_as_text).collect(),
        DumpedFrame::Forgotten { topic_id } => format!("the offsets of topic {topic_id} are forgotten"),
        DumpedFrame::Dropped(partitions) => {
            return partitions.iter().map(|(id, number)| format!("the offset of {id}-{number} is gone")).collect();
        }
        DumpedFrame::HasMembers => "the group has members from here on".to_owned(),
        DumpedFrame::EmptySince(at) => format!("the group has no members since {}", time(*at)),
        DumpedFrame::Unknown { bytes: unknown } => bytes(Some(unknown)),
        other => format!("{other:?}"),
    };
    vec![line]
}

fn commit_as_text(commit: &DumpedCommit) -> String {
    let metadata = if commit.metadata.is_empty() { String::new() } else { format!("  {}", quoted(&commit.metadata)) };
    let DumpedCommit { topic_id, partition, offset, .. } = commit;
    format!("{topic_id}-{partition} is at {offset}  {}{metadata}", time(commit.commit_timestamp))
}

fn finding_as_text(position: Option<u64>, offsets: Option<(Offset, Offset)>, detail: &str) -> String {
    let position = position.map_or("-".to_owned(), |position| position.to_string());
    let offsets = offsets.map_or(String::new(), |(first, last)| format!("offsets {first} to {last}: "));
    format!("{position:>9} FINDING {offsets}{detail}")
}

/// RFC 3339, always as wide; or the number, where there is no such time.
fn time(timestamp: Timestamp) -> String {
    let text = match jiff::Timestamp::from_millisecond(timestamp.0) {
        _ if !timestamp.is_some() => "-".to_owned(),
        Ok(time) => format!("{time:.3}"),
        Err(_) => timestamp.0.to_string(),
    };
    format!("{text:<24}")
}

fn or_none(number: i64) -> String {
    if number < 0 { "-".to_owned() } else { number.to_string() }
}

/// The offsets of a batch of which the last one is known.
fn span(last: Offset, delta: i32) -> String {
    match last.0.checked_sub(i64::from(delta)) {
        _ if last.0 < 0 => "-".to_owned(),
        Some(first) if delta != 0 => format!("{first}-{last}"),
        _ => last.to_string(),
    }
}

/// How much of a key or a value a person is shown.
const SHOWN_BYTES: usize = 32;

/// A text in quotes, or hexadecimal digits; no more than the front of what is long.
fn bytes(bytes: Option<&[u8]>) -> String {
    let Some(bytes) = bytes else { return "null".to_owned() };
    let shown = &bytes[..bytes.len().min(SHOWN_BYTES)];
    let text = match std::str::from_utf8(shown) {
        Ok(text) => Some(text),
        // Cut in the middle of a letter.
        Err(error) if error.error_len().is_none() && bytes.len() > shown.len() => {
            std::str::from_utf8(&shown[..error.valid_up_to()]).ok()
        }
        Err(_) => None,
    };
    let shown = text.map_or_else(|| format!("0x{}", hex(shown)), quoted);
    if bytes.len() > SHOWN_BYTES { format!("{shown}... ({} bytes)", bytes.len()) } else { shown }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.escape_debug())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |all, byte| format!("{all}{byte:02x}"))
}
