//! What Kafka's classes read of a directory, a JSON object a line.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ottla::{BatchHeader, ControlType, Record, TimestampType};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// Values that are longer are told by their length and a digest.
const LONG: usize = 512;

pub(super) struct Manifest {
    rows: Vec<Value>,
}

pub(super) fn read_lines(path: &Path) -> Vec<Value> {
    fs::read_to_string(path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

impl Manifest {
    pub(super) fn read(path: &Path) -> Self {
        Self { rows: read_lines(path) }
    }

    fn of_kind(&self, kind: &str, dir: &str) -> impl Iterator<Item = &Value> {
        self.rows.iter().filter(move |row| row["kind"] == kind && row["dir"] == dir)
    }

    pub(super) fn dirs(&self) -> Vec<String> {
        let partitions = self.rows.iter().filter(|row| row["kind"] == "partition");
        partitions.map(|row| row["dir"].as_str().unwrap().to_owned()).collect()
    }

    /// Where Kafka says that a log starts.
    pub(super) fn log_start(&self, dir: &str) -> i64 {
        let mut row = self.of_kind("partition", dir);
        row.next().and_then(|row| row["log_start_offset"].as_i64()).unwrap_or_default()
    }

    /// Whether a transaction is open at the end of a log.
    pub(super) fn has_open_transaction(&self, dir: &str) -> bool {
        self.of_kind("partition", dir).any(|row| row["last_stable_offset"] != row["log_end_offset"])
    }

    /// Batches whose checksum holds, with their records and markers, in the order of the files.
    pub(super) fn readable(&self, dir: &str) -> Vec<Value> {
        let rows = self.rows.iter().filter(|row| row["dir"] == dir);
        let kinds = rows.filter(|row| ["batch", "record", "control"].iter().any(|kind| row["kind"] == *kind));
        kinds.filter(|row| row["valid"] != json!(false)).cloned().collect()
    }

    /// The records of one partition by their offsets.
    pub(super) fn records(&self, dir: &str) -> BTreeMap<i64, Value> {
        self.of_kind("record", dir).map(|row| (row["offset"].as_i64().unwrap(), row.clone())).collect()
    }

    /// The offsets that a consumer received.
    pub(super) fn visible(&self, dir: &str, isolation: &str) -> Option<Vec<i64>> {
        let row = self.of_kind("visible", dir).find(|row| row["isolation"] == isolation)?;
        let ranges = row["ranges"].as_array().unwrap().iter();
        Some(ranges.flat_map(|range| range[0].as_i64().unwrap()..=range[1].as_i64().unwrap()).collect())
    }

    /// The offsets in each compressed set of an old format, by directory, file and position.
    pub(super) fn wrappers(&self) -> BTreeMap<(String, String, u64), Vec<i64>> {
        let rows = self.rows.iter().filter(|row| row["kind"] == "wrapper");
        rows.map(|row| {
            let text = |name: &str| row[name].as_str().unwrap().to_owned();
            let inner = row["inner"].as_array().unwrap().iter().map(|message| message[1].as_i64().unwrap());
            ((text("dir"), text("file"), row["position"].as_u64().unwrap()), inner.collect())
        })
        .collect()
    }
}

fn bytes(bytes: Option<&[u8]>) -> Value {
    match bytes {
        None => Value::Null,
        Some(long) if long.len() > LONG => {
            let digest: String = Sha256::digest(long).iter().map(|byte| format!("{byte:02x}")).collect();
            json!({"len": long.len(), "sha256": digest})
        }
        Some(bytes) => STANDARD.encode(bytes).into(),
    }
}

pub(super) fn batch_row(dir: &str, file: &str, position: u64, header: &BatchHeader) -> Value {
    let is_legacy = header.magic < 2;
    let count = if is_legacy { Value::Null } else { header.count.into() };
    let base_timestamp = if is_legacy { Value::Null } else { header.base_timestamp.0.into() };
    json!({
        "kind": "batch", "dir": dir, "file": file, "position": position, "size": header.len_bytes,
        "magic": header.magic, "base_offset": header.base_offset.0, "last_offset": header.last_offset().0,
        "leader_epoch": header.leader_epoch.0, "crc": header.crc, "valid": true,
        "codec": header.compression().unwrap().to_string(), "timestamp_type": timestamp_type(header),
        "transactional": header.is_transactional(), "control": header.is_control(),
        "delete_horizon": header.delete_horizon().map(|horizon| horizon.0), "producer_id": header.producer_id,
        "producer_epoch": header.producer_epoch, "base_sequence": header.base_sequence,
        "last_sequence": sequence(header, header.last_offset_delta), "count": count,
        "base_timestamp": base_timestamp, "max_timestamp": header.max_timestamp.0,
    })
}

/// `NO_TIMESTAMP_TYPE` is v0's.
fn timestamp_type(header: &BatchHeader) -> &'static str {
    match (header.magic, header.timestamp_type()) {
        (0, _) => "NoTimestampType",
        (_, TimestampType::CreateTime) => "CreateTime",
        (_, TimestampType::LogAppendTime) => "LogAppendTime",
    }
}

/// Sequences begin again at 0 behind the largest number.
fn sequence(header: &BatchHeader, delta: i32) -> i64 {
    match header.base_sequence {
        -1 => -1,
        base => (i64::from(base) + i64::from(delta)) % (i64::from(i32::MAX) + 1),
    }
}

pub(super) fn record_row(dir: &str, header: &BatchHeader, record: &Record<'_>) -> Value {
    let headers: Vec<_> = record.headers().iter().map(|(name, value)| json!([name, bytes(value)])).collect();
    let delta = i32::try_from(record.offset().0 - header.base_offset.0).unwrap();
    json!({
        "kind": "record", "dir": dir, "offset": record.offset().0, "timestamp": record.timestamp().0,
        "sequence": sequence(header, delta), "key": bytes(record.key()), "value": bytes(record.value()),
        "headers": headers,
    })
}

pub(super) fn control_row(dir: &str, record: &Record<'_>) -> Value {
    let kind = match ControlType::from_key(record.key().unwrap()) {
        Some(ControlType::Abort) => "ABORT",
        Some(ControlType::Commit) => "COMMIT",
        Some(ControlType::LeaderChange) => "LEADER_CHANGE",
        _ => "UNKNOWN",
    };
    let epoch = record.value().and_then(|value| value.get(2..6)).map(|epoch| {
        let epoch: [u8; 4] = epoch.try_into().unwrap();
        i32::from_be_bytes(epoch)
    });
    json!({
        "kind": "control", "dir": dir, "offset": record.offset().0, "timestamp": record.timestamp().0, "type": kind,
        "coordinator_epoch": epoch,
    })
}
