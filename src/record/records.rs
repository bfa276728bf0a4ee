//! The records of a batch, borrowed from its bytes.
//!
//! ```text
//!   varint   length            of all that follows
//!   i8       attributes        unused
//!   varlong  timestamp delta   from the batch's base timestamp
//!   varint   offset delta      from the batch's base offset
//!   varint   key length        -1: null       then the key
//!   varint   value length      -1: null       then the value
//!   varint   headers count
//!   for each header: varint name length, the name in UTF-8, varint value length (-1: null), the value
//! ```
//!
//! Kafka: `DefaultRecord`.

use crate::record::batch::{BatchFault, BatchHeader, MAGIC};
use crate::record::{legacy, varint};
use crate::types::{LeaderEpoch, Offset, Timestamp, TimestampType};

/// Goes through the records of a batch, in the order of their offsets; ends with the first error.
///
/// ```
/// # use ottla::{Batch, Engine, Producer, ProducerRecord};
/// # let dir = tempfile::tempdir().expect("a temporary directory");
/// # let engine = Engine::open(dir.path())?;
/// # let producer = Producer::<str, str>::new(&engine)?;
/// # producer.send(ProducerRecord::to("orders").key("o-17").value("paid").header("by", "till 3"))?.wait()?;
/// # let segment = dir.path().join("log/orders-0/00000000000000000000.log");
/// let batch = Batch::decode(std::fs::read(segment)?.into())?;
/// let records = batch.records()?.collect::<Result<Vec<_>, _>>()?;
/// assert_eq!(records.len(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Records<'a> {
    header: &'a BatchHeader,
    rest: &'a [u8],
    index: i32,
    /// How much the offsets of a set in the old formats lie above those that its messages are stored with.
    shift: i64,
    has_ended: bool,
}

impl<'a> Records<'a> {
    /// The records that stand in `bytes` from `position` on.
    pub(super) fn new(header: &'a BatchHeader, bytes: &'a [u8], position: usize) -> Self {
        let shift = if header.magic == MAGIC { 0 } else { header.base_offset.0 - legacy::first_offset(bytes) };
        let rest = bytes.get(position..).unwrap_or_default();
        Self { header, rest, index: 0, shift, has_ended: false }
    }

    /// The same, where the first one is number `index` of its batch.
    pub(super) fn beginning_with(mut self, index: i32) -> Self {
        self.index = index;
        self
    }

    /// How many bytes are still to come; [`Batch::last_records`] goes on there.
    ///
    /// [`Batch::last_records`]: crate::record::Batch::last_records
    #[inline]
    pub(crate) const fn bytes_left(&self) -> usize {
        self.rest.len()
    }

    /// Gives every record that is left to `with`, which is faster than going through them one by one: no record is
    /// moved, and what is left stays in a register.
    #[inline]
    pub(crate) fn visit(self, mut with: impl FnMut(Record<'a>)) -> Result<(), BatchFault> {
        let Self { header, mut rest, index: first, shift, .. } = self;
        for index in first..header.count {
            match take_record(&mut rest, header, shift) {
                Ok(record) => with(record),
                Err(reason) => return Err(BatchFault::BadRecord { index, reason }),
            }
        }
        left_over(rest).map_or(Ok(()), Err)
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, BatchFault>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.has_ended {
            return None;
        }
        if self.index >= self.header.count {
            self.has_ended = true;
            return left_over(self.rest).map(Err);
        }
        let index = self.index;
        self.index += 1;
        match take_record(&mut self.rest, self.header, self.shift) {
            Ok(record) => Some(Ok(record)),
            Err(reason) => {
                self.has_ended = true;
                Some(Err(BatchFault::BadRecord { index, reason }))
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = usize::try_from(self.header.count - self.index).unwrap_or(0);
        (0, Some(if self.has_ended { 0 } else { left + 1 }))
    }
}

impl std::iter::FusedIterator for Records<'_> {}

/// What must not stand behind the last record.
fn left_over(rest: &[u8]) -> Option<BatchFault> {
    (!rest.is_empty()).then_some(BatchFault::LeftOver { bytes: rest.len() })
}

/// Takes a record of the batch with that header off the front of `rest`.
#[inline(always)]
fn take_record<'a>(rest: &mut &'a [u8], header: &BatchHeader, shift: i64) -> Result<Record<'a>, &'static str> {
    if header.magic != MAGIC {
        let message = legacy::Message::take(rest)?;
        return Ok(from_message(&message, header, shift));
    }
    let length = varint::take_i32(rest).ok_or("its length is not whole")?;
    let length = usize::try_from(length).map_err(|_negative| "its length is negative")?;
    let (record, behind) = rest.split_at_checked(length).ok_or("it is longer than what is left")?;
    *rest = behind;
    parse(record, header)
}

#[inline(always)]
fn parse<'a>(bytes: &'a [u8], header: &BatchHeader) -> Result<Record<'a>, &'static str> {
    let (_attributes, mut rest) = bytes.split_first().ok_or("it is empty")?;
    let timestamp_delta = varint::take_i64(&mut rest).ok_or("its timestamp is not whole")?;
    let offset_delta = varint::take_i32(&mut rest).ok_or("its offset is not whole")?;
    let key = take_bytes(&mut rest).ok_or("its key is longer than what is left")?;
    let value = take_bytes(&mut rest).ok_or("its value is longer than what is left")?;
    let headers = Headers::take(&mut rest)?;
    if !rest.is_empty() {
        return Err("its length does not fit what is in it");
    }
    // Brokers take from clients what does not rise, and number it like that.
    if offset_delta < 0 || offset_delta > header.last_offset_delta {
        return Err("its offset is not in the batch");
    }
    let timestamp_type = header.timestamp_type();
    let timestamp = match timestamp_type {
        TimestampType::CreateTime => Timestamp(header.base_timestamp.0.wrapping_add(timestamp_delta)),
        TimestampType::LogAppendTime => header.max_timestamp,
    };
    let offset = Offset(header.base_offset.0 + i64::from(offset_delta));
    Ok(Record { offset, timestamp, timestamp_type, leader_epoch: header.leader_epoch, key, value, headers })
}

/// A message in one of the old formats as a record.
#[inline(always)]
fn from_message<'a>(message: &legacy::Message<'a>, header: &BatchHeader, shift: i64) -> Record<'a> {
    Record {
        offset: Offset(message.offset.wrapping_add(shift)), // within the set: that was checked with it
        timestamp: message.timestamp_in(header),
        timestamp_type: header.timestamp_type(),
        leader_epoch: header.leader_epoch,
        key: message.key,
        value: message.value,
        headers: Headers::default(),
    }
}

/// Takes a length and so many bytes; a negative length is null.
#[inline]
fn take_bytes<'a>(rest: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
    let length = varint::take_i32(rest)?;
    let Ok(length) = usize::try_from(length) else { return Some(None) };
    let (bytes, behind) = rest.split_at_checked(length)?;
    *rest = behind;
    Some(Some(bytes))
}

/// One record as it is stored; key, value and headers borrow from its batch. Kafka: `DefaultRecord`.
///
/// ```
/// # use ottla::{Batch, Offset, Record, Engine, Producer, ProducerRecord};
/// # let dir = tempfile::tempdir().expect("a temporary directory");
/// # let engine = Engine::open(dir.path())?;
/// # let producer = Producer::<str, str>::new(&engine)?;
/// # producer.send(ProducerRecord::to("orders").key("o-17").value("paid").header("by", "till 3"))?.wait()?;
/// # let segment = dir.path().join("log/orders-0/00000000000000000000.log");
/// let batch = Batch::decode(std::fs::read(segment)?.into())?;
/// let record: Record<'_> = batch.records()?.next().expect("it has one")?;
/// assert_eq!(record.offset(), Offset(0));
/// assert_eq!((record.key(), record.value()), (Some(&b"o-17"[..]), Some(&b"paid"[..])));
/// assert!(record.timestamp().is_some());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    offset: Offset,
    timestamp: Timestamp,
    timestamp_type: TimestampType,
    leader_epoch: LeaderEpoch,
    key: Option<&'a [u8]>,
    value: Option<&'a [u8]>,
    headers: Headers<'a>,
}

impl<'a> Record<'a> {
    /// Its number in the partition.
    #[must_use]
    pub const fn offset(&self) -> Offset {
        self.offset
    }

    /// When it was made, or appended; [`timestamp_type`](Self::timestamp_type) tells.
    #[must_use]
    pub const fn timestamp(&self) -> Timestamp {
        self.timestamp
    }

    /// Whose clock the timestamp is from.
    #[must_use]
    pub const fn timestamp_type(&self) -> TimestampType {
        self.timestamp_type
    }

    /// Under which leadership it was appended.
    #[must_use]
    pub const fn leader_epoch(&self) -> LeaderEpoch {
        self.leader_epoch
    }

    /// Its key; `None` is null, which is not the empty key.
    #[must_use]
    pub const fn key(&self) -> Option<&'a [u8]> {
        self.key
    }

    /// Its value; `None` is null, a tombstone in a compacted topic.
    #[must_use]
    pub const fn value(&self) -> Option<&'a [u8]> {
        self.value
    }

    /// Its headers, in the order in which they were added.
    #[must_use]
    pub const fn headers(&self) -> Headers<'a> {
        self.headers
    }
}

/// The headers of a record: names with values, in the order in which they were added. A name may come twice.
///
/// ```
/// # use ottla::{Consumer, Engine, Producer, ProducerRecord};
/// # use std::time::Duration;
/// # let engine = Engine::in_memory()?;
/// # let producer = Producer::<str, str>::new(&engine)?;
/// let paid = ProducerRecord::to("orders").value("paid").header("by", "till 3").header("by", "till 4");
/// let paid = paid.null_header("test");
/// producer.send(paid)?.wait()?;
/// # let mut consumer = Consumer::<str, str>::new(&engine, "billing")?;
/// # consumer.subscribe(["orders"])?;
/// for record in &consumer.poll(Duration::from_secs(1))? {
///     let headers = record.headers();
///     assert_eq!(headers.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["by", "by", "test"]);
///     assert_eq!(headers.last("by"), Some(Some(&b"till 4"[..])));
///     assert_eq!((headers.last("test"), headers.last("to")), (Some(None), None));
/// }
/// # Ok::<(), ottla::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Headers<'a> {
    count: usize,
    /// Checked when the record was read: so many whole headers, and nothing else.
    bytes: &'a [u8],
}

impl<'a> Headers<'a> {
    /// Takes the count and all headers, and checks them.
    #[inline]
    fn take(rest: &mut &'a [u8]) -> Result<Self, &'static str> {
        let count = varint::take_i32(rest).ok_or("its count of headers is not whole")?;
        let count = usize::try_from(count).map_err(|_negative| "its count of headers is negative")?;
        if count == 0 {
            return Ok(Self::default()); // most have none
        }
        let (bytes, behind) = take_headers(rest, count)?;
        *rest = behind;
        Ok(Self { count, bytes })
    }

    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Names and values; a value may be null.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, Option<&'a [u8]>)> + use<'a> {
        let (mut left, mut rest) = (self.count, self.bytes);
        std::iter::from_fn(move || {
            left = left.checked_sub(1)?;
            take_header(&mut rest)
        })
    }

    /// The value of the last header called `name`. Kafka: `Headers.lastHeader`.
    #[must_use]
    pub fn last(&self, name: &str) -> Option<Option<&'a [u8]>> {
        self.iter().filter(|(each, _)| *each == name).last().map(|(_, value)| value)
    }
}

/// Checks `count` headers; gives their bytes, and what is behind them.
#[inline(never)]
fn take_headers(bytes: &[u8], count: usize) -> Result<(&[u8], &[u8]), &'static str> {
    if count > bytes.len() {
        return Err("it has fewer bytes than headers");
    }
    let mut rest = bytes;
    for _ in 0..count {
        take_header(&mut rest).ok_or("a header is not whole, or its name is not UTF-8")?;
    }
    bytes.split_at_checked(bytes.len() - rest.len()).ok_or("a header is not whole, or its name is not UTF-8")
}

fn take_header<'a>(rest: &mut &'a [u8]) -> Option<(&'a str, Option<&'a [u8]>)> {
    let name = std::str::from_utf8(take_bytes(rest)??).ok()?;
    Some((name, take_bytes(rest)?))
}
