//! Files that only ottla has: journals, and `positions`.

use crate::coordinator::group::{CommitEntry, Payload};
use crate::replay::directory::Bounds;
use crate::replay::dump::{Dump, DumpKind, Dumped, DumpedCommit, DumpedFrame, Outcome, Stop};
use crate::storage::{Passage, PositionsDamage, each_half, each_passage};
use crate::topics::Change;

impl Dump<'_> {
    pub(super) fn journal(&mut self, kind: DumpKind) -> Outcome {
        let file = self.file.clone();
        let shown = each_passage(&*file, |passage| match passage {
            Passage::Header { journal_id, history_id, base_sequence, snapshot_end, is_whole } => {
                self.show(Dumped::Journal { journal_id, history_id, base_sequence, snapshot_end })?;
                if is_whole { Ok(()) } else { self.found(0, "one copy of the header is damaged, the other one serves") }
            }
            Passage::Frame { position, sequence, is_appended, durable_end, payload } => {
                let len_bytes = payload.len() as u64;
                let (content, fault) = frame(kind, &payload);
                let in_snapshot = !is_appended;
                self.show(Dumped::Frame { position, len_bytes, sequence, in_snapshot, durable_end, content })?;
                fault.map_or(Ok(()), |fault| self.found(position, fault))
            }
            Passage::Missing { position } => self.found(position, "frames are missing in front of the next one"),
            Passage::Bad { position, bytes } => {
                self.found(position, format!("{bytes} bytes are no frame of this journal"))
            }
        });
        match shown {
            Err(Stop::Failed(error)) => self.found_error(error),
            other => other,
        }
    }

    pub(super) fn positions(&mut self) -> Outcome {
        let file = self.file.clone();
        each_half(&*file, |half| match half {
            Ok(half) => self.show(Dumped::Slot {
                position: half.file_position,
                topic_id: half.log.0,
                partition: half.log.1,
                sequence: half.sequence,
                bounds: Bounds::from(half.position),
                is_newer: half.is_newer,
            }),
            Err(finding) => self.found(
                finding.position,
                match finding.damage {
                    PositionsDamage::Header => "the header is damaged",
                    PositionsDamage::Half => "half of the slot is damaged",
                    PositionsDamage::Slot => "the slot is damaged",
                    PositionsDamage::Double => "another slot is of the same log",
                    PositionsDamage::TooLong => "the rest of the file is no part of it",
                },
            ),
        })
    }
}

/// What a frame says, and what is wrong with it.
fn frame(kind: DumpKind, payload: &[u8]) -> (DumpedFrame, Option<String>) {
    let unknown = |fault| (DumpedFrame::Unknown { bytes: payload.to_vec() }, Some(fault));
    if kind == DumpKind::Catalog {
        let content = match Change::decode(payload) {
            Some(Change::Epoch(epoch)) => DumpedFrame::LeaderEpoch(epoch),
            Some(Change::Created(entry)) => DumpedFrame::TopicCreated {
                name: entry.name.to_string(),
                topic_id: entry.id,
                partitions: entry.partitions,
                config: entry.overrides,
            },
            Some(Change::Deleted(topic_id)) => DumpedFrame::TopicDeleted { topic_id },
            None => return unknown("the frame is of a kind that this version does not know".to_owned()),
        };
        return (content, None);
    }
    match Payload::decode(payload) {
        Ok(Payload::Name(name)) => (DumpedFrame::Group { name }, None),
        Ok(Payload::Commit(entries)) => (DumpedFrame::Committed(entries.into_iter().map(commit).collect()), None),
        Ok(Payload::Forget(topic_id)) => (DumpedFrame::Forgotten { topic_id }, None),
        Ok(Payload::EmptySince(at)) if at.is_some() => (DumpedFrame::EmptySince(at), None),
        Ok(Payload::EmptySince(_)) => (DumpedFrame::HasMembers, None),
        Ok(Payload::Drop(entries)) => {
            (DumpedFrame::Dropped(entries.iter().map(|entry| (entry.topic_id, entry.partition)).collect()), None)
        }
        Err(fault) => unknown(fault.to_string()),
    }
}

fn commit(entry: CommitEntry) -> DumpedCommit {
    let CommitEntry { topic_id, partition, offset, leader_epoch, metadata, commit_timestamp } = entry;
    DumpedCommit { topic_id, partition, offset, leader_epoch, metadata, commit_timestamp }
}
