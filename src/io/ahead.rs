//! Reads files on a second thread, ahead of the one that goes through them.
//!
//! Copying out of the page cache is most of what going through a log costs, and two threads copy nearly twice as fast as
//! one. So both read: the one that goes through the file takes the next piece if it is there, and reads it itself if it
//! is not. It never waits, so a helper that the system does not run costs nothing but what it had begun.
//!
//! Where the system gives both one processor, since the others have enough to do, they would only take turns: then it is
//! mostly left alone.
//!
//! Pieces begin at fixed places, and what is in them does not. Each lies behind as much free room as the rest of the
//! piece before it may need: that is copied in front of it, and what straddles the two is whole.
//!
//! What the helper could not read, or not in full, it forgets: whoever comes there reads it, and is told what is wrong.

use std::sync::{Arc, Mutex};

use bytes::Bytes;

use crate::io::File;
use crate::io::pool::{Pool, Pooled};
use crate::sync::{Scheduler, Signal, Threads, beside, lock, processor};

/// How much is read at a time.
const PIECE_BYTES: usize = 256 * 1024;
/// How much room there is in front of it: nothing longer is read ahead.
const ROOM_BYTES: usize = 256 * 1024;
/// How many pieces the helper is ahead at most.
const MOST_AHEAD: u64 = 4;
/// With the two that the other one has in hand: 3 MiB.
const MOST_BUFFERS: usize = 6;
/// How many pieces are read without the helper where it has no processor of its own, before it is tried again.
const PIECES_ALONE: u32 = 64;

/// What is read ahead of one thread by another; made by [`help_with`](Self::help_with).
#[derive(Debug)]
pub(crate) struct ReadAhead {
    plan: Mutex<Plan>,
    /// That there may be something to read, or nothing any more.
    moved: Signal,
    buffers: Arc<Pool>,
}

/// Which file is read, from where to where.
#[derive(Debug, Default)]
struct Plan {
    file: Option<Arc<dyn File>>,
    /// Counts the plans: what was begun for one before is of no use.
    number: u64,
    /// The piece that is taken next begins there.
    next: u64,
    end: u64,
    /// Where each piece begins that the helper reads, or, with its buffer, has read.
    pieces: Vec<(u64, Option<Pooled>)>,
    /// Where the helper was when it last had read a piece.
    processor: Option<usize>,
    /// How many pieces are still read without it.
    alone: u32,
    is_over: bool,
}

impl ReadAhead {
    /// One that nobody helps yet.
    fn new() -> Self {
        let buffers = Arc::new(Pool::new(ROOM_BYTES + PIECE_BYTES, MOST_BUFFERS));
        Self { plan: Mutex::default(), moved: Signal::default(), buffers }
    }

    /// Whether things of that length can be read ahead.
    pub(crate) const fn takes(len: usize) -> bool {
        len <= ROOM_BYTES
    }

    /// Reads from `position` on, ahead of one who comes there next, and no further than to `end`.
    pub(crate) fn follow(&self, file: &Arc<dyn File>, position: u64, end: u64) {
        {
            let mut plan = lock(&self.plan);
            if let Some(left) = plan.alone.checked_sub(1) {
                plan.alone = left;
                return;
            }
        }
        self.replace(Plan { file: Some(Arc::clone(file)), next: position, end, ..Plan::default() });
        self.moved.notify();
    }

    /// Forgets what was read.
    pub(crate) fn forget(&self) {
        self.replace(Plan::default());
    }

    fn replace(&self, mut by: Plan) {
        let mut plan = lock(&self.plan);
        (by.number, by.is_over) = (plan.number + 1, plan.is_over);
        let gone = std::mem::replace(&mut *plan, by);
        drop(plan);
        drop(gone); // without the lock: it may be what holds a file open
    }

    /// The piece at `position` of `file`, with `rest`, what stands before it, in front. `None` if that is not where this
    /// has got to, or if it cannot be read: read it otherwise.
    pub(crate) fn take(&self, file: &Arc<dyn File>, position: u64, rest: &[u8]) -> Option<Bytes> {
        let from = ROOM_BYTES.checked_sub(rest.len())?;
        let mut plan = lock(&self.plan);
        let is_planned = plan.file.as_ref().is_some_and(|planned| Arc::ptr_eq(planned, file));
        if !is_planned || position != plan.next || position >= plan.end {
            return None;
        }
        let len = plan.len_at(position);
        plan.next += len as u64;
        let begun = plan.pieces.iter().position(|(at, _)| *at == position);
        let ready = begun.and_then(|index| plan.pieces.swap_remove(index).1);
        let is_empty = plan.pieces.is_empty();
        let takes_turns = is_empty && plan.processor.is_some() && plan.processor == processor();
        if takes_turns {
            (plan.file, plan.alone) = (None, PIECES_ALONE);
        }
        drop(plan);
        if is_empty && !takes_turns {
            self.moved.notify(); // not for each piece
        }
        let mut piece = match ready {
            Some(piece) => piece,
            None => self.read(file, position, len)?,
        };
        piece.bytes_mut()[from..ROOM_BYTES].copy_from_slice(rest);
        Some(Bytes::from_owner(piece).slice(from..ROOM_BYTES + len))
    }

    /// Does `work` with somebody who reads ahead, on a thread that has ended when this returns.
    pub(crate) fn help_with<R>(work: impl FnOnce(&Arc<Self>) -> R) -> R {
        struct Ends<'a>(&'a ReadAhead);
        impl Drop for Ends<'_> {
            fn drop(&mut self) {
                self.0.end(); // also where `work` panics
            }
        }
        let ahead = Arc::new(Self::new());
        let with_help = || {
            let _ends = Ends(&ahead);
            work(&ahead)
        };
        beside("ottla-read-ahead", || ahead.help(), with_help)
    }

    /// Reads for the other thread until it has [`end`](Self::end)ed.
    fn help(&self) {
        let clock = Threads::new();
        loop {
            let seen = self.moved.seen();
            let mut plan = lock(&self.plan);
            if plan.is_over {
                return;
            }
            let Some((file, position)) = plan.begin() else {
                drop(plan);
                clock.park(&self.moved, seen, None);
                continue;
            };
            let (number, len) = (plan.number, plan.len_at(position));
            drop(plan);
            let read = self.read(&file, position, len);
            let mut plan = lock(&self.plan);
            if plan.number == number {
                plan.processor = processor();
                // It is there no more if the other one has come to it, and has read it itself.
                if let Some(begun) = plan.pieces.iter_mut().find(|(at, _)| *at == position) {
                    begun.1 = read; // what could not be read stays begun, and is not tried again
                }
            }
        }
    }

    /// Has the helper return.
    fn end(&self) {
        lock(&self.plan).is_over = true;
        self.moved.notify();
    }

    fn read(&self, file: &Arc<dyn File>, position: u64, len: usize) -> Option<Pooled> {
        let mut piece = Pool::take(&self.buffers, ROOM_BYTES + PIECE_BYTES);
        let into = piece.bytes_mut().get_mut(ROOM_BYTES..ROOM_BYTES + len)?;
        file.read_at(into, position).is_ok_and(|read| read == len).then_some(piece)
    }
}

impl Plan {
    /// The next piece to read, if there is one. Not the one that the other comes to next: it may be there before that
    /// could be read.
    fn begin(&mut self) -> Option<(Arc<dyn File>, u64)> {
        let file = Arc::clone(self.file.as_ref()?);
        let ahead = (1..=MOST_AHEAD).map(|pieces| self.next + pieces * PIECE_BYTES as u64);
        let is_begun = |at: &u64| self.pieces.iter().any(|(begun, _)| begun == at);
        let position = ahead.take_while(|at| *at < self.end).find(|at| !is_begun(at))?;
        self.pieces.push((position, None));
        Some((file, position))
    }

    /// How long the piece at `position` is.
    fn len_at(&self, position: u64) -> usize {
        usize::try_from(self.end.saturating_sub(position)).unwrap_or(usize::MAX).min(PIECE_BYTES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::MemoryDisk;

    const PIECE: u64 = PIECE_BYTES as u64;

    /// A file of five pieces and a half, each byte by the number of its KiB.
    fn file() -> (Arc<dyn File>, Vec<u8>) {
        let content: Vec<u8> = (0..PIECE_BYTES * 11 / 2).map(|at| u8::try_from((at >> 10) % 251).unwrap()).collect();
        let file = MemoryDisk::new().disk().root().create("0.log").unwrap();
        file.write_all_at(&content, 0).unwrap();
        (file, content)
    }

    /// Takes the pieces from the second on, each with as much of what stands before it as the test wants, and says how
    /// many were there: all of them, unless both threads were given one processor.
    fn take_all(ahead: &ReadAhead, file: &Arc<dyn File>, content: &[u8]) -> usize {
        ahead.follow(file, PIECE, content.len() as u64);
        for (index, rest) in [0, 1, 100_000, PIECE_BYTES, 7].into_iter().enumerate() {
            let position = PIECE_BYTES * (index + 1);
            let end = content.len().min(position + PIECE_BYTES);
            let taken = ahead.take(file, position as u64, &content[position - rest..position]);
            let Some(taken) = taken else { return index };
            assert!(taken == content[position - rest..end], "piece {index}");
        }
        assert!(ahead.take(file, content.len() as u64, &[]).is_none(), "there is no more");
        5
    }

    #[test]
    fn pieces_are_the_files_with_and_without_help() {
        let (file, content) = file();
        assert_eq!(take_all(&ReadAhead::new(), &file, &content), 5);
        ReadAhead::help_with(|ahead| {
            for _ in 0..50 {
                take_all(ahead, &file, &content);
            }
        });
    }

    #[test]
    fn what_was_not_read_ahead_is_not_given() {
        let (file, content) = file();
        let ahead = ReadAhead::new();
        let end = content.len() as u64;
        assert!(ahead.take(&file, 0, &[]).is_none(), "nobody has followed");
        ahead.follow(&file, PIECE, end);
        assert!(ahead.take(&file, 2 * PIECE, &[]).is_none(), "it has not got to there");
        assert!(ahead.take(&self::file().0, PIECE, &[]).is_none(), "it is another file");
        assert!(ahead.take(&file, PIECE, &vec![0; ROOM_BYTES + 1]).is_none(), "there is no room in front");
        assert!(ahead.take(&file, PIECE, &[]).is_some());
        ahead.forget();
        assert!(ahead.take(&file, 2 * PIECE, &[]).is_none(), "it was forgotten");
        ahead.follow(&file, end - 10, end + 10);
        assert!(ahead.take(&file, end - 10, &[]).is_none(), "the file is shorter than was said");
    }
}
