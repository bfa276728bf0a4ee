use std::io;
use std::path::Path;
use std::sync::mpsc::{Sender, channel};

use okaywal::{Configuration, Entry, EntryId, LogManager, SegmentReader, WriteAheadLog};

use super::Log;
use crate::Outcome;
use crate::steps::Found;

/// Hands on what is recovered.
#[derive(Debug)]
struct Recovered(Sender<Vec<u8>>);

impl LogManager for Recovered {
    fn recover(&mut self, entry: &mut Entry<'_>) -> io::Result<()> {
        for chunk in entry.read_all_chunks()?.into_iter().flatten() {
            self.0.send(chunk).map_err(io::Error::other)?;
        }
        Ok(())
    }

    fn checkpoint_to(&mut self, _: EntryId, _: &mut SegmentReader, _: &WriteAheadLog) -> io::Result<()> {
        Ok(())
    }
}

fn wal(directory: &Path, recovered: Sender<Vec<u8>>) -> io::Result<WriteAheadLog> {
    Configuration::default_for(directory).checkpoint_after_bytes(u64::MAX).open(Recovered(recovered))
}

struct Appending(WriteAheadLog);

pub fn open(directory: &Path) -> Outcome<Box<dyn Log>> {
    Ok(Box::new(Appending(wal(directory, channel().0)?)))
}

impl Log for Appending {
    fn append(&mut self, record: &[u8]) -> Outcome<()> {
        let mut entry = self.0.begin_entry()?;
        entry.write_chunk(record)?;
        entry.commit()?;
        Ok(())
    }

    fn close(self: Box<Self>) -> Outcome<()> {
        Ok(self.0.shutdown()?)
    }
}

pub fn read(directory: &Path, found: &mut Found) -> Outcome<()> {
    let (sender, recovered) = channel();
    let opened = wal(directory, sender);
    for chunk in recovered.try_iter() {
        found.record(&chunk);
    }
    Ok(opened?.shutdown()?)
}
