use std::path::Path;

use walrus_rust::{FsyncSchedule, ReadConsistency, Walrus};

use super::Log;
use crate::Outcome;
use crate::steps::Found;

const TOPIC: &str = "t";

struct Appending(Walrus);

/// Where it is comes from the environment.
fn walrus(directory: &Path) -> Outcome<Walrus> {
    std::fs::create_dir_all(directory)?;
    Ok(Walrus::with_consistency_and_schedule(ReadConsistency::StrictlyAtOnce, FsyncSchedule::SyncEach)?)
}

pub fn open(directory: &Path) -> Outcome<Box<dyn Log>> {
    Ok(Box::new(Appending(walrus(directory)?)))
}

impl Log for Appending {
    fn append(&mut self, record: &[u8]) -> Outcome<()> {
        Ok(self.0.append_for_topic(TOPIC, record)?)
    }

    /// It has no call for that.
    fn close(self: Box<Self>) -> Outcome<()> {
        Ok(())
    }
}

pub fn read(directory: &Path, found: &mut Found) -> Outcome<()> {
    let walrus = walrus(directory)?;
    while let Some(entry) = walrus.read_next(TOPIC, true)? {
        found.record(&entry.data);
    }
    Ok(())
}
