//! Messages of the formats v0 and v1, made here to be damaged under checksums that are right.

use super::source::{Message, Stored};
use crate::chance::Chance;

/// Where the checksum of a message stands, and where what it covers begins.
pub(super) const CRC: usize = 12;
const COVERED: usize = 16;

/// CRC-32 of gzip and of the old formats.
pub(super) fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 0 { crc >> 1 } else { (crc >> 1) ^ 0xedb8_8320 })
    })
}

/// Makes the checksum of a message right.
pub(super) fn seal(message: &mut [u8]) {
    let sum = crc(&message[COVERED..]).to_be_bytes();
    message[CRC..COVERED].copy_from_slice(&sum);
}

fn field(of: Option<&[u8]>, to: &mut Vec<u8>) {
    let len = of.map_or(-1, |bytes| i32::try_from(bytes.len()).unwrap());
    to.extend(len.to_be_bytes());
    to.extend(of.unwrap_or_default());
}

/// A message with its offset.
pub(super) fn message(
    offset: i64,
    (magic, attributes): (i8, u8),
    time: i64,
    key: Option<&[u8]>,
    value: Option<&[u8]>,
) -> Vec<u8> {
    let mut bytes = offset.to_be_bytes().to_vec();
    bytes.extend([0; 8]);
    bytes.extend([magic.to_be_bytes()[0], attributes]);
    if magic > 0 {
        bytes.extend(time.to_be_bytes());
    }
    field(key, &mut bytes);
    field(value, &mut bytes);
    let len = i32::try_from(bytes.len() - 12).unwrap().to_be_bytes();
    bytes[8..12].copy_from_slice(&len);
    seal(&mut bytes);
    bytes
}

/// gzip that packs nothing.
#[expect(clippy::little_endian_bytes, reason = "gzip is little-endian")]
fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
    let len = u16::try_from(bytes.len()).unwrap();
    packed.push(1);
    packed.extend(len.to_le_bytes());
    packed.extend((!len).to_le_bytes());
    packed.extend(bytes);
    packed.extend(crc(bytes).to_le_bytes());
    packed.extend(u32::from(len).to_le_bytes());
    packed
}

/// The set of `stored` packed anew, with one of its messages damaged as `kind` says.
pub(super) fn damaged_set(stored: &Stored, whole: &[u8], kind: Inner, chance: &mut Chance) -> Option<Vec<u8>> {
    let (magic, attributes) = (stored.magic, whole[17]);
    let base = stored.messages.first()?.offset;
    let number = chance.index(stored.messages.len());
    let mut inner = Vec::new();
    for (index, Message { offset, time, key, value }) in stored.messages.iter().enumerate() {
        let stored_offset = if magic == 0 { *offset } else { offset - base };
        let time = if attributes & 8 == 0 { *time } else { -1 };
        let mut message = message(stored_offset, (magic, 0), time, key.as_deref(), value.as_deref());
        if index == number {
            match kind {
                Inner::Value => {
                    let at = COVERED + chance.index(message.len() - COVERED);
                    message[at] ^= 1 << chance.index(8);
                }
                Inner::Crc => message[CRC + chance.index(4)] ^= 1 << chance.index(8),
                Inner::SizeLonger => message[10] ^= 1 << chance.index(8),
                Inner::Size => message[8 + chance.index(4)] ^= 1 << chance.index(8),
                Inner::Cut => drop(message.drain(message.len() - 1 - chance.index(message.len() - 1)..)),
            }
        }
        inner.extend(message);
    }
    if inner.len() > 60_000 {
        return None;
    }
    let time = whole.get(18..26).and_then(|time| Some(i64::from_be_bytes(*time.first_chunk()?)));
    let offset = i64::from_be_bytes(*whole.first_chunk()?);
    Some(message(offset, (magic, attributes & !7 | 1), time.unwrap_or(0), None, Some(&gzip(&inner))))
}

/// What is damaged inside of a set.
#[derive(Clone, Copy, Debug)]
pub(super) enum Inner {
    Value,
    Crc,
    SizeLonger,
    Size,
    Cut,
}
