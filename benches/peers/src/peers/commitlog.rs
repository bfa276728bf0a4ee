use std::path::Path;

use commitlog::message::MessageSet;
use commitlog::{CommitLog, LogOptions, ReadLimit};

use super::Log;
use crate::Outcome;
use crate::steps::Found;

struct Appending(CommitLog);

pub fn open(directory: &Path) -> Outcome<Box<dyn Log>> {
    Ok(Box::new(Appending(CommitLog::new(LogOptions::new(directory))?)))
}

impl Log for Appending {
    fn append(&mut self, record: &[u8]) -> Outcome<()> {
        self.0.append_msg(record).map_err(|error| format!("{error:?}"))?;
        Ok(self.0.flush()?)
    }

    fn close(mut self: Box<Self>) -> Outcome<()> {
        Ok(self.0.flush()?)
    }
}

/// Many at once; where that fails, one by one.
pub fn read(directory: &Path, found: &mut Found) -> Outcome<()> {
    let log = CommitLog::new(LogOptions::new(directory))?;
    let (mut next, mut unreadable) = (0, None);
    while next < log.next_offset() {
        let many = log.read(next, ReadLimit::max_bytes(1 << 20));
        let read = many.or_else(|_too_many| log.read(next, ReadLimit::max_bytes(2048)));
        match read {
            Ok(messages) if messages.len() > 0 => {
                for message in messages.iter() {
                    found.record(message.payload());
                    next = message.offset() + 1;
                }
            }
            Ok(_) => next += 1,
            Err(error) => {
                let _ = unreadable.get_or_insert(format!("offset {next} and perhaps others: {error:?}"));
                next += 1;
            }
        }
    }
    unreadable.into_iter().for_each(|what| found.said(what));
    Ok(())
}
