//! Where a codec puts what it unpacks, and what makes it stop.

use crate::record::batch::BatchFault;
use crate::record::compression::Stop;
use crate::record::varint;

/// The most bytes that the length of a record takes.
const LENGTH_BYTES: usize = 5;

/// A buffer that grows with what is put in, and looks at the records in it as they come.
#[derive(Debug)]
pub(super) struct Output {
    /// All of it is initialized; beyond `len` with something or other.
    bytes: Vec<u8>,
    len: usize,
    limit: usize,
    /// `None` if what is put in are messages of an old format, which nobody has counted.
    count: Option<i32>,
    /// The records that begin below `next`.
    index: i32,
    /// Where the record behind them begins.
    next: usize,
}

impl Output {
    /// For `count` records, which take no more than `limit` bytes; writes over what is in `buffer`.
    pub(super) fn new(buffer: Vec<u8>, count: Option<i32>, limit: usize) -> Self {
        Self { bytes: buffer, len: 0, limit, count, index: 0, next: 0 }
    }

    /// How many more bytes it may take.
    pub(super) fn left(&self) -> usize {
        self.limit - self.len
    }

    /// Room for `want` bytes at least, behind what is there. More than [`left`](Self::left) may be written, for a codec
    /// to find out how much that is; [`wrote`](Self::wrote) refuses it then.
    pub(super) fn room(&mut self, want: usize) -> &mut [u8] {
        let needed = self.len + want;
        if self.bytes.len() < needed {
            let grown = (self.bytes.len() * 2).min(self.limit.saturating_add(want)).max(needed);
            self.bytes.reserve_exact(grown - self.bytes.len());
            self.bytes.resize(grown, 0);
        }
        self.bytes.get_mut(self.len..).unwrap_or_default()
    }

    /// Takes the first `len` bytes of the room.
    pub(super) fn wrote(&mut self, len: usize) -> Result<(), Stop> {
        if len > self.left() {
            return Err(self.oversized());
        }
        self.len += len;
        self.follow()
    }

    /// The batch is larger than its reader takes.
    pub(super) fn oversized(&self) -> Stop {
        BatchFault::Oversized { limit: self.limit }.into()
    }

    pub(super) fn into_parts(self) -> (Vec<u8>, usize) {
        (self.bytes, self.len)
    }

    /// Goes from record to record as far as their lengths are there.
    fn follow(&mut self) -> Result<(), Stop> {
        let Some(count) = self.count else { return Ok(()) };
        while self.next < self.len {
            if self.index == count {
                return Err(BatchFault::LeftOver { bytes: self.len - self.next }.into());
            }
            let ahead = self.bytes.get(self.next..self.len).unwrap_or_default();
            let mut rest = ahead;
            let Some(length) = varint::take_i32(&mut rest) else {
                if ahead.len() < LENGTH_BYTES {
                    return Ok(()); // the rest of it is still to come
                }
                return Err(self.bad_record("its length is not whole"));
            };
            let Ok(length) = usize::try_from(length) else {
                return Err(self.bad_record("its length is negative"));
            };
            self.next += ahead.len() - rest.len() + length;
            self.index += 1;
            if self.next > self.limit {
                return Err(self.oversized());
            }
        }
        Ok(())
    }

    fn bad_record(&self, reason: &'static str) -> Stop {
        BatchFault::BadRecord { index: self.index, reason }.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(output: &mut Output, bytes: &[u8]) -> Result<(), Stop> {
        output.room(bytes.len())[..bytes.len()].copy_from_slice(bytes);
        output.wrote(bytes.len())
    }

    #[test]
    fn records_are_followed_across_pieces() {
        let mut output = Output::new(Vec::new(), Some(2), 1000);
        let mut stream = Vec::new();
        for length in [300, 1] {
            varint::push(&mut stream, length);
            stream.resize(stream.len() + usize::try_from(length).unwrap(), 7);
        }
        for byte in &stream {
            put(&mut output, &[*byte]).unwrap(); // the first length is cut in two
        }
        assert_eq!(put(&mut output, &[0]), Err(BatchFault::LeftOver { bytes: 1 }.into()));
        let (bytes, len) = output.into_parts();
        assert_eq!(&bytes[..len - 1], stream);
    }

    #[test]
    fn record_that_cannot_fit_is_refused_by_its_length() {
        let mut output = Output::new(Vec::new(), Some(1), 100);
        assert_eq!(put(&mut output, &[0xfe, 0xff, 0xff, 0xff, 0x0f]), Err(BatchFault::Oversized { limit: 100 }.into()));
        let mut output = Output::new(Vec::new(), Some(1), 100);
        let negative = BatchFault::BadRecord { index: 0, reason: "its length is negative" };
        assert_eq!(put(&mut output, &[0x01]), Err(negative.into()));
        let mut output = Output::new(Vec::new(), Some(1), 100);
        let endless = BatchFault::BadRecord { index: 0, reason: "its length is not whole" };
        assert_eq!(put(&mut output, &[0x80; 5]), Err(endless.into()));
    }

    #[test]
    fn room_grows_with_what_is_there_and_not_beyond_the_limit() {
        let mut output = Output::new(Vec::new(), Some(i32::MAX), 1000);
        while output.left() > 0 {
            let piece = vec![0; output.left().min(90)]; // records of no bytes
            put(&mut output, &piece).unwrap();
        }
        assert_eq!(put(&mut output, &[0]), Err(BatchFault::Oversized { limit: 1000 }.into()));
        let (bytes, len) = output.into_parts();
        assert_eq!(len, 1000);
        assert!(bytes.capacity() <= 1000 + 90, "{}", bytes.capacity());
    }
}
