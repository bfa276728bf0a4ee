use std::path::Path;

use yaque::{Receiver, Sender, TryRecvError};

use super::Log;
use crate::Outcome;
use crate::steps::Found;

struct Appending(Sender);

pub fn open(directory: &Path) -> Outcome<Box<dyn Log>> {
    Ok(Box::new(Appending(Sender::open(directory)?)))
}

impl Log for Appending {
    fn append(&mut self, record: &[u8]) -> Outcome<()> {
        Ok(self.0.try_send(record).map_err(|error| error.to_string())?)
    }

    /// It has no call for that.
    fn close(self: Box<Self>) -> Outcome<()> {
        Ok(())
    }
}

pub fn read(directory: &Path, found: &mut Found) -> Outcome<()> {
    let _ = yaque::recovery::unlock_queue(directory); // after a crash its locks stay
    let mut receiver = Receiver::open(directory)?;
    loop {
        match receiver.try_recv() {
            Ok(record) => {
                found.record(&record);
                record.commit()?;
            }
            Err(TryRecvError::QueueEmpty) => return Ok(()),
            Err(TryRecvError::Io(error)) => return Err(error.into()),
        }
    }
}
