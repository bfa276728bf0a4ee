//! Producer snapshots, and Kafka's small text files.

use crate::io::read_small;
use crate::replay::dump::{Dump, Dumped, Outcome, Stop};
use crate::storage::{
    ProducerState, each_epoch, each_offset, parse_properties, read_meta_properties, read_partition_metadata,
    read_snapshot,
};
use crate::types::{LeaderEpoch, Offset};

/// More than any of these files has; the bytes that are there are what is read.
const LIMIT: u64 = 300 << 20;

impl Dump<'_> {
    pub(super) fn snapshot(&mut self) -> Outcome {
        let Some(content) = self.content()? else { return Ok(()) };
        let (producers, fault) = read_snapshot(&content);
        if let Some(fault) = fault {
            self.found(fault.position(content.len()), fault.to_string())?;
        }
        for (number, state) in producers.into_iter().enumerate() {
            let position = ProducerState::file_position(number);
            self.show(Dumped::Producer { position, state })?;
        }
        Ok(())
    }

    pub(super) fn leader_epochs(&mut self) -> Outcome {
        let Some(content) = self.content()? else { return Ok(()) };
        let path = self.file.path().to_owned();
        let mut before: Option<(LeaderEpoch, Offset)> = None;
        let shown = each_epoch(&path, &content, |line| {
            let (position, epoch, start_offset) = match line {
                Ok(line) => line,
                Err(error) => return self.found_error(error),
            };
            self.show(Dumped::LeaderEpoch { position, epoch, start_offset })?;
            let rises = before.is_none_or(|(last, start)| last < epoch && start < start_offset);
            before = Some((epoch, start_offset));
            if rises && epoch.0 >= 0 && start_offset.0 >= 0 {
                return Ok(());
            }
            self.found(position, "epoch and offset are not above those of the line before")
        });
        self.through(shown)
    }

    pub(super) fn offset_checkpoint(&mut self) -> Outcome {
        let Some(content) = self.content()? else { return Ok(()) };
        let path = self.file.path().to_owned();
        let shown = each_offset(&path, &content, |line| match line {
            Ok((position, partition, offset)) => self.show(Dumped::Checkpoint { position, partition, offset }),
            Err(error) => self.found_error(error),
        });
        self.through(shown)
    }

    pub(super) fn partition_metadata(&mut self) -> Outcome {
        let Some(content) = self.content()? else { return Ok(()) };
        for line in String::from_utf8_lossy(&content).lines() {
            if let Some((name, value)) = line.split_once(':') {
                self.show(Dumped::Property { name: name.trim(), value: value.trim() })?;
            }
        }
        match read_partition_metadata(&**self.dir) {
            Ok(_) => Ok(()),
            Err(error) => self.found_error(error),
        }
    }

    pub(super) fn meta_properties(&mut self) -> Outcome {
        let Some(content) = self.content()? else { return Ok(()) };
        for (name, value) in parse_properties(&String::from_utf8_lossy(&content)) {
            self.show(Dumped::Property { name: &name, value: &value })?;
        }
        match read_meta_properties(&**self.dir) {
            Ok(_) => Ok(()),
            Err(error) => self.found_error(error),
        }
    }

    pub(super) fn clean_shutdown(&mut self) -> Outcome {
        let Some(content) = self.content()? else { return Ok(()) };
        self.show(Dumped::CleanShutdown { content: &String::from_utf8_lossy(&content) })
    }

    /// The whole file; `None` if it is none of these, which is a finding.
    fn content(&mut self) -> Outcome<Option<Vec<u8>>> {
        match read_small(&*self.file, LIMIT) {
            Ok(content) => Ok(Some(content)),
            Err(error) => self.found_error(error).map(|()| None),
        }
    }

    /// What ends a file early is a finding, if it is damage.
    fn through(&mut self, shown: Outcome) -> Outcome {
        match shown {
            Err(Stop::Failed(error)) => self.found_error(error),
            other => other,
        }
    }
}
