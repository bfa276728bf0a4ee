//! What unpacking takes of memory, whatever a batch says and holds: twice the limit, and 8 MiB.
//!
//! A binary of its own, since it counts what every thread of the process allocates. What the C library of zstd takes is
//! not counted: a context, and no window, since the limits here are small.

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use ottla::{Batch, BatchFault};

struct Counting;

static NOW: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

#[expect(unsafe_code, reason = "an allocator is unsafe by nature; this one hands everything on")]
// SAFETY: every call goes to the system's allocator with the same arguments.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = NOW.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK.fetch_max(now, Ordering::Relaxed);
        // SAFETY: the caller keeps the allocator's contract, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the pointer came from `alloc` above, so from the system's allocator.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const BOMB: usize = 256 << 20;
const LIMIT: usize = 8 << 20;
const SLACK: usize = 8 << 20;

/// A batch of `count` records, as the stream of a codec; its checksum holds.
fn batch(codec: u8, count: i32, stream: &[u8]) -> Bytes {
    let mut bytes = vec![0; 61];
    bytes.extend_from_slice(stream);
    let length = u32::try_from(bytes.len() - 12).expect("a bomb is small");
    bytes[8..12].copy_from_slice(&length.to_be_bytes());
    bytes[16] = 2;
    bytes[22] = codec;
    bytes[23..27].copy_from_slice(&(count - 1).to_be_bytes());
    bytes[57..61].copy_from_slice(&count.to_be_bytes());
    let crc = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, &bytes[21..]);
    bytes[17..21].copy_from_slice(&u32::try_from(crc).expect("it has 32 bits").to_be_bytes());
    bytes.into()
}

/// Streams that unpack to `front` and 256 MiB of zeros.
fn bombs(front: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut plain = front.to_vec();
    plain.resize(BOMB, 0);
    vec![(1, gzip(&plain)), (2, snappy(&plain)), (3, lz4(&plain)), (4, zstd(&plain))]
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(plain).expect("memory takes it");
    encoder.finish().expect("memory takes it")
}

/// One block without framing.
fn snappy(plain: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(plain).expect("it is less than 4 GiB")
}

/// Blocks of 4 MiB.
#[expect(clippy::little_endian_bytes, reason = "LZ4 is little-endian")]
fn lz4(plain: &[u8]) -> Vec<u8> {
    let [.., checksum, _] = twox_hash::XxHash32::oneshot(0, &[0x60, 0x70]).to_be_bytes();
    let mut frame = vec![0x04, 0x22, 0x4d, 0x18, 0x60, 0x70, checksum];
    for block in plain.chunks(4 << 20).map(lz4_flex::block::compress) {
        frame.extend_from_slice(&u32::try_from(block.len()).expect("a block is small").to_le_bytes());
        frame.extend_from_slice(&block);
    }
    frame.extend_from_slice(&[0; 4]);
    frame
}

fn zstd(plain: &[u8]) -> Vec<u8> {
    zstd::encode_all(plain, 1).expect("memory takes it")
}

/// How unpacking fails, and how much memory it took at most.
fn unpack(stored: Bytes) -> (BatchFault, usize) {
    let batch = Batch::decode(stored).expect("it is whole");
    let before = NOW.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    let fault = batch.unpack(LIMIT).expect_err("it is a bomb");
    (fault, PEAK.load(Ordering::Relaxed) - before)
}

#[test]
fn k13_bomb_of_each_codec_takes_no_more_memory_than_its_limit_allows() {
    let bound = 2 * LIMIT + SLACK;
    // Two billion records of no bytes; that many zeros are there for as many as fit.
    for (codec, stream) in bombs(&[]) {
        let (fault, peak) = unpack(batch(codec, i32::MAX, &stream));
        assert_eq!(fault, BatchFault::Oversized { limit: LIMIT }, "{codec}");
        assert!(peak <= bound, "{codec}: {peak}");
    }
    // One record, with 256 MiB behind it.
    for (codec, stream) in bombs(&[2, 0]) {
        let (fault, peak) = unpack(batch(codec, 1, &stream));
        let expected = if codec == 2 { matches!(fault, BatchFault::Oversized { .. }) } else { is_left_over(&fault) };
        assert!(expected, "{codec}: {fault}");
        assert!(peak <= SLACK, "{codec}: {peak}");
    }
    // K02: one record that says that it is 2 GiB long.
    for (codec, stream) in bombs(&[0xfe, 0xff, 0xff, 0xff, 0x0f]) {
        let (fault, peak) = unpack(batch(codec, 1, &stream));
        assert_eq!(fault, BatchFault::Oversized { limit: LIMIT }, "{codec}");
        assert!(peak <= SLACK, "{codec}: {peak}");
    }
    // A block of snappy that says that it unpacks to 4 GiB.
    let (fault, peak) = unpack(batch(2, 1, &[0xff, 0xff, 0xff, 0xff, 0x0f, 0]));
    assert!(matches!(fault, BatchFault::BadStream { .. }), "{fault}");
    assert!(peak <= SLACK, "{peak}");
}

fn is_left_over(fault: &BatchFault) -> bool {
    matches!(fault, BatchFault::LeftOver { bytes } if *bytes <= SLACK)
}
