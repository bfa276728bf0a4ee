use std::path::Path;

use protobuf::well_known_types::BytesValue;
use raft_engine::{Config, Engine, LogBatch, MessageExt};

use super::Log;
use crate::Outcome;
use crate::steps::Found;

/// Of the one group of entries.
const REGION: u64 = 1;

/// Entries that begin with their index, which the engine asks for.
struct Entries;

impl MessageExt for Entries {
    type Entry = BytesValue;

    fn index(entry: &BytesValue) -> u64 {
        entry.value.first_chunk().map_or(0, |index| u64::from_be_bytes(*index))
    }
}

struct Appending {
    engine: Engine,
    next: u64,
}

fn engine(directory: &Path) -> Outcome<Engine> {
    let dir = directory.to_str().ok_or("the path is no text")?.to_owned();
    Ok(Engine::open(Config { dir, ..Config::default() })?)
}

pub fn open(directory: &Path) -> Outcome<Box<dyn Log>> {
    let engine = engine(directory)?;
    let next = engine.last_index(REGION).map_or(1, |last| last + 1);
    Ok(Box::new(Appending { engine, next }))
}

impl Log for Appending {
    fn append(&mut self, record: &[u8]) -> Outcome<()> {
        let mut entry = BytesValue::new();
        entry.value = [&self.next.to_be_bytes()[..], record].concat();
        let mut batch = LogBatch::default();
        batch.add_entries::<Entries>(REGION, &[entry])?;
        self.engine.write(&mut batch, true)?;
        self.next += 1;
        Ok(())
    }

    fn close(self: Box<Self>) -> Outcome<()> {
        Ok(self.engine.sync()?)
    }
}

pub fn read(directory: &Path, found: &mut Found) -> Outcome<()> {
    let engine = engine(directory)?;
    let (Some(first), Some(last)) = (engine.first_index(REGION), engine.last_index(REGION)) else { return Ok(()) };
    for index in first..=last {
        match engine.get_entry::<Entries>(REGION, index) {
            Ok(Some(entry)) => found.record(entry.value.get(8..).unwrap_or_default()),
            Ok(None) => {}
            Err(error) => found.said(format_args!("entry {index}: {error}")),
        }
    }
    Ok(())
}
