//! The codecs, over records that are none but for their lengths; and as batches that Kafka and others wrote.

use bytes::Bytes;
use proptest::prelude::{ProptestConfig, any, prop, proptest};

use super::*;
use crate::record::batch::Batch;
use crate::record::builder::{BatchBuilder, ProducerStamp};
use crate::record::varint;
use crate::types::Timestamp;

const ALL: [Compression; 4] = [Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];
const LIMIT: usize = 64 << 20;

fn codecs() -> impl Iterator<Item = Codec> {
    let level = |compression| if compression == Compression::Gzip { -1 } else { 3 };
    ALL.into_iter()
        .filter(|&compression| is_compiled(compression))
        .map(move |compression| Codec { compression, level: level(compression) })
}

/// Records of `len` bytes together, as long as possible, made of `filling`; and how many they are.
fn records(len: usize, mut filling: impl FnMut() -> u8) -> (Vec<u8>, i32) {
    let (mut bytes, mut count) = (Vec::new(), 0);
    while bytes.len() < len {
        let left = len - bytes.len();
        let fits = |&length: &usize| varint::size(i64::try_from(length).unwrap()) + length <= left;
        let length = (left.saturating_sub(5)..left).rev().find(fits).unwrap();
        varint::push(&mut bytes, i64::try_from(length).unwrap());
        bytes.extend(std::iter::repeat_with(&mut filling).take(length));
        count += 1;
    }
    (bytes, count)
}

/// What looks random, and is the same each time.
fn noise() -> impl FnMut() -> u8 {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_be_bytes()[3]
    }
}

/// What compresses as JSON does.
fn text() -> impl FnMut() -> u8 {
    let mut letters = br#"{"user":"u-1729","action":"click","page":"/orders/17","ms":1234}"#.iter().cycle().copied();
    let mut noise = noise();
    move || {
        let letter = letters.next().unwrap_or_default();
        if letter.is_ascii_digit() { b'0' + noise() % 10 } else { letter }
    }
}

fn packed(codec: Codec, input: &[u8]) -> Vec<u8> {
    Compressor::default().pack(codec, input).expect("there is room for it").to_vec()
}

fn unpacked(codec: Codec, input: &[u8], count: i32) -> Result<Bytes, BatchFault> {
    Decompressor::default().decompress(codec.compression, input, count, LIMIT)
}

#[test]
fn what_is_packed_is_unpacked_at_all_sizes() {
    let near = |size: usize| [size - 1, size, size + 1];
    let sizes = [1 << 10, 32 << 10, 64 << 10, 128 << 10, 256 << 10, 1 << 20, 3 << 20].map(near).concat();
    for codec in codecs() {
        let (mut compressor, mut decompressor) = (Compressor::default(), Decompressor::default());
        for size in (0..40).chain(sizes.iter().copied()) {
            for (input, count) in [records(size, noise()), records(size, text()), records(size, || 0)] {
                let stream = compressor.pack(codec, &input).unwrap();
                let output = decompressor.decompress(codec.compression, stream, count, input.len()).unwrap();
                assert!(output == input, "{codec:?}, {size} bytes");
                if let Some(compressed) = compressor.compress(codec, &input) {
                    assert!(compressed.len() < input.len());
                }
            }
        }
    }
}

#[test]
fn every_level_packs() {
    let (input, count) = records(20_000, text());
    let mut compressor = Compressor::default();
    for compression in ALL.into_iter().filter(|&codec| is_compiled(codec)) {
        let range = levels(compression).unwrap_or(0..=0);
        for level in
            [-1, -131_072, -7, 0, 1, 3, 6, 9, 17, 22].into_iter().filter(|level| *level == -1 || range.contains(level))
        {
            let codec = Codec { compression, level };
            let stream = compressor.pack(codec, &input).unwrap().to_vec();
            assert_eq!(unpacked(codec, &stream, count).unwrap(), input, "{codec:?}");
        }
    }
}

#[test]
fn records_like_json_get_a_fraction() {
    let (input, _) = records(64 << 10, text());
    for codec in codecs() {
        let stream = packed(codec, &input);
        let most = if matches!(codec.compression, Compression::Gzip | Compression::Zstd) { 4 } else { 2 };
        assert!(stream.len() * most < input.len(), "{codec:?}: {} bytes", stream.len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_bytes_survive(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 1..60), repeat in 1..20usize) {
        let (mut input, mut count) = (Vec::new(), 0);
        for piece in std::iter::repeat_n(&pieces, repeat).flatten() {
            varint::push(&mut input, i64::try_from(piece.len()).unwrap());
            input.extend_from_slice(piece);
            count += 1;
        }
        for codec in codecs() {
            assert_eq!(unpacked(codec, &packed(codec, &input), count).unwrap(), input);
        }
    }

    #[test]
    fn garbage_is_an_error_or_short(garbage in prop::collection::vec(any::<u8>(), 0..500)) {
        for codec in codecs() {
            let _ = Decompressor::default().decompress(codec.compression, &garbage, 3, 1000).map(|bytes| assert!(bytes.len() <= 1000));
        }
    }
}

#[test]
fn truncated_streams_never_pass_for_whole_ones() {
    let (input, count) = records(70_000, text());
    for codec in codecs() {
        let stream = packed(codec, &input);
        let mut decompressor = Decompressor::default();
        for len in (0..stream.len()).filter(|len| len % 37 == 0 || *len < 40 || len + 40 > stream.len()) {
            match decompressor.decompress(codec.compression, &stream[..len], count, LIMIT) {
                // Snappy has no end mark: what it lacks, the records tell.
                Ok(output) => assert!(output.len() < input.len() && input.starts_with(&output), "{codec:?} at {len}"),
                Err(fault) => assert!(matches!(fault, BatchFault::BadStream { .. }), "{codec:?} at {len}: {fault}"),
            }
        }
        assert_eq!(decompressor.decompress(codec.compression, &stream, count, LIMIT).unwrap(), input, "{codec:?}");
    }
}

#[test]
fn damaged_streams_unpack_to_no_more_than_the_limit() {
    let (input, count) = records(5000, text());
    for codec in codecs() {
        let stream = packed(codec, &input);
        let mut decompressor = Decompressor::default();
        for at in 0..stream.len() {
            for bit in 0..8 {
                let mut damaged = stream.clone();
                damaged[at] ^= 1 << bit;
                let output = decompressor.decompress(codec.compression, &damaged, count, 6000);
                assert!(output.is_err() || output.is_ok_and(|output| output.len() <= 6000), "{codec:?}");
            }
        }
    }
}

#[test]
fn bomb_ends_with_its_records_or_at_the_limit() {
    // Records of no bytes each.
    let zeros = vec![0; 32 << 20];
    for codec in codecs() {
        let bomb = packed(codec, &zeros);
        let mut decompressor = Decompressor::default();
        let mut outcome = |count, limit| decompressor.decompress(codec.compression, &bomb, count, limit).unwrap_err();
        assert_eq!(outcome(i32::MAX, 1 << 20), BatchFault::Oversized { limit: 1 << 20 }, "{codec:?}");
        assert!(matches!(outcome(3, LIMIT), BatchFault::LeftOver { bytes } if bytes <= 4 << 20), "{codec:?}");
        assert!(decompressor.unpacked.capacity() <= KEPT_BYTES);
    }
    // One record that says it has a gigabyte, of which 32 MiB are there.
    let mut declared = vec![0x80, 0x80, 0x80, 0x80, 0x08];
    declared.extend_from_slice(&zeros);
    for codec in codecs() {
        let bomb = packed(codec, &declared);
        assert_eq!(unpacked(codec, &bomb, 1), Err(BatchFault::Oversized { limit: LIMIT }), "{codec:?}");
    }
}

#[test]
fn incompressible_batch_stays_as_it_is() {
    let mut noise = noise();
    let value: Vec<u8> = std::iter::repeat_with(&mut noise).take(3000).collect();
    for codec in codecs() {
        let build = || {
            let mut builder = BatchBuilder::new(Vec::new());
            builder.append(Timestamp(7), None, Some(&value), &[]);
            builder
        };
        let sealed = build().seal_compressed(ProducerStamp::NONE, codec, &mut Compressor::default());
        assert_eq!(sealed.as_bytes(), build().seal(ProducerStamp::NONE).as_bytes());
    }
}

// --- batches that others wrote --------------------------------------------------------------------------------------

fn from_hex(text: &str) -> Bytes {
    let digits: Vec<u32> = text.chars().map(|digit| digit.to_digit(16).unwrap()).collect();
    digits.chunks(2).map(|pair| u8::try_from(pair[0] * 16 + pair[1]).unwrap()).collect()
}

const T: i64 = 1_700_000_000_000;

/// Offset, timestamp from `T`, key and value of each record.
fn contents(stored: Bytes) -> Vec<(i64, i64, String, String)> {
    let batch = Batch::decode(stored).unwrap();
    let codec = batch.header().compression().unwrap();
    assert_eq!(batch.records().unwrap_err(), BatchFault::Packed { codec });
    let batch = batch.unpack(1000).unwrap();
    let text = |part: Option<&[u8]>| String::from_utf8(part.unwrap().to_vec()).unwrap();
    let records = batch.records().unwrap().map(Result::unwrap);
    records
        .map(|record| (record.offset().0, record.timestamp().0 - T, text(record.key()), text(record.value())))
        .collect()
}

fn expected<const N: usize>(all: [(i64, i64, &str, &str); N]) -> Vec<(i64, i64, String, String)> {
    all.map(|(offset, time, key, value)| (offset, time, key.to_owned(), value.to_owned())).to_vec()
}

fn one_two_three() -> Vec<(i64, i64, String, String)> {
    expected([(0, 0, "k1", "one"), (1, 1, "k2", "two"), (2, 2, "k3", "three")])
}

#[test]
#[cfg(feature = "gzip")]
fn batch_of_kafka_with_gzip_is_unpacked() {
    let stored = from_hex(concat!(
        "000000000000000a0000005bffffffff022e2a9f430001000000010000018bcfe568000000018bcfe56805ffffffffffffffffffffff",
        "ffffff000000021f8b08000000000000ff1361606060c936642933641061e06262c936622933620000f95c213b16000000",
    ));
    assert_eq!(contents(stored), expected([(10, 0, "k1", "v1"), (11, 5, "k2", "v2")]));
}

#[test]
#[cfg(feature = "snappy")]
fn r043_snappy_without_framing_is_read() {
    let stored = from_hex(concat!(
        "000000000000000000000059000000000241ebde210002000000020000018bcfe568000000018bcfe56802ffffffffffffffffffffff",
        "ffffff00000003269416000000046b31066f6e650016000202046b320674776f001a000404046b330a746872656500",
    ));
    assert_eq!(contents(stored), one_two_three());
}

#[test]
#[cfg(feature = "snappy")]
fn r045_records_run_across_chunks_of_snappy() {
    let stored = from_hex(concat!(
        "000000000000000000000085000000000203d635b70002000000020000018bcfe568000000018bcfe56802ffffffffffffffffffffff",
        "ffffff0000000382534e415050590000000001000000010000000b092016000000046b31066f0000000b09206e650016000202046b00",
        "00000b0920320674776f001a00040000000b092004046b330a746872650000000402046500",
    ));
    assert_eq!(contents(stored), one_two_three());
}

#[test]
#[cfg(feature = "zstd")]
fn r047_zstd_frames_follow_each_other_without_sizes() {
    let stored = from_hex(concat!(
        "0000000000000000000000750000000002534622660004000000020000018bcfe568000000018bcfe56802ffffffffffffffffffffff",
        "ffffff0000000328b52ffd0058a1000016000000046b31066f6e650016000202046b3206502a4d1804000000736b697028b52ffd0058",
        "91000074776f001a000404046b330a746872656500",
    ));
    assert_eq!(contents(stored), one_two_three());
}

#[test]
#[cfg(feature = "zstd")]
fn r049_large_window_of_zstd_is_read_and_not_reserved() {
    let stored = from_hex(concat!(
        "0000000000000000000000600000000002df5b29fc0004000000020000018bcfe568000000018bcfe56802ffffffffffffffffffffff",
        "ffffff0000000328b52ffd008831010016000000046b31066f6e650016000202046b320674776f001a000404046b330a746872656500",
    ));
    assert_eq!(contents(stored.clone()), one_two_three());
    let mut decompressor = Decompressor::default();
    Batch::decode(stored).unwrap().unpack_with(&mut decompressor, 1000).unwrap();
    assert!(decompressor.zstd.unwrap().context_bytes() < 1 << 20);
}

#[test]
#[cfg(feature = "zstd")]
fn zstd_is_unpacked_in_pieces_where_it_is_large() {
    let (input, count) = records(2 << 20, text());
    let codec = Codec { compression: Compression::Zstd, level: 1 };
    let (front, behind) = input.split_at(1 << 20);
    let mut stream = packed(codec, front);
    stream.extend_from_slice(b"\x50\x2a\x4d\x18\x04\0\0\0skip");
    stream.extend_from_slice(&packed(codec, behind));
    assert_eq!(unpacked(codec, &stream, count).unwrap(), input);
    stream.truncate(stream.len() - 1);
    assert!(matches!(unpacked(codec, &stream, count), Err(BatchFault::BadStream { .. })));
    // A frame of a window of 128 MiB with three blocks of 128 KiB zeros, which are records of no bytes.
    let block = [0x02, 0, 0x10, 0];
    let frame = [b"\x28\xb5\x2f\xfd\0\x88".as_slice(), &block, &block, &[0x03, 0, 0x10, 0]].concat();
    let unpack = |limit| Decompressor::default().decompress(Compression::Zstd, &frame, 3 << 17, limit);
    assert_eq!(unpack(128 << 20).unwrap().len(), 3 << 17);
    let fault = unpack(1 << 20).unwrap_err().to_string();
    assert!(fault.ends_with("Frame requires too much memory for decoding"), "{fault}");
}

#[test]
#[cfg(feature = "gzip")]
fn gzip_takes_members_headers_and_what_is_behind_as_java_does() {
    let (input, count) = records(3000, text());
    let codec = Codec { compression: Compression::Gzip, level: 1 };
    let (front, behind) = input.split_at(1700);
    let mut member = packed(codec, behind);
    // All that a header may have: extra bytes, a name, a comment, a checksum.
    member[3] = 0b1_1110;
    member.splice(10..10, *b"\x03\0abcname\0comment\0##");
    let mut stream = packed(codec, front);
    stream.extend_from_slice(&member);
    assert_eq!(unpacked(codec, &stream, count).unwrap(), input);
    for behind in [b"\0\0\0\0".as_slice(), b"\x1f\x8b\x08", b"more"] {
        assert_eq!(unpacked(codec, &[stream.as_slice(), behind].concat(), count).unwrap(), input);
    }
    let last = stream.len() - 1;
    stream[last] ^= 1;
    let fault = BatchFault::BadStream { codec: Compression::Gzip, reason: "its checksum does not hold" };
    assert_eq!(unpacked(codec, &stream, count), Err(fault));
}

#[test]
#[cfg(feature = "snappy")]
fn snappy_streams_follow_each_other_and_a_stub_ends_them() {
    let (input, count) = records(100_000, text());
    let codec = Codec { compression: Compression::Snappy, level: 0 };
    let (front, behind) = input.split_at(40_000);
    let mut stream = [packed(codec, front), packed(codec, behind)].concat();
    stream.extend_from_slice(&[0, 0, 0]);
    assert_eq!(unpacked(codec, &stream, count).unwrap(), input);
    assert!(unpacked(codec, &[], 1).is_err());
    let declares_much = [0xff, 0xff, 0xff, 0xff, 0x0f, 0];
    let fault = BatchFault::BadStream {
        codec: Compression::Snappy,
        reason: "a block says that it unpacks to more than it can",
    };
    assert_eq!(unpacked(codec, &declares_much, 1), Err(fault));
}

#[test]
#[cfg(feature = "lz4")]
fn lz4_frame_is_the_one_that_kafka_writes() {
    let codec = Codec { compression: Compression::Lz4, level: 9 };
    let (input, _) = records(10, noise());
    let stored = packed(codec, &input);
    assert_eq!(stored, [b"\x04\x22\x4d\x18\x60\x40\x82\x0a\0\0\x80".as_slice(), &input, &[0; 4]].concat());
}

/// A frame with the flags of `flg` and `bd` whose one block is `records` as they are.
#[cfg(feature = "lz4")]
fn lz4_frame(flg: u8, bd: u8, records: &[u8]) -> Vec<u8> {
    let mut descriptor = vec![flg, bd];
    if flg & 8 != 0 {
        descriptor.extend_from_slice(&[9; 8]); // nobody looks at the content size
    }
    let [.., checksum, _] = twox_hash::XxHash32::oneshot(0, &descriptor).to_be_bytes();
    let [a, b, c, d] = u32::try_from(records.len()).unwrap().to_be_bytes();
    let mut frame = [b"\x04\x22\x4d\x18".as_slice(), &descriptor, &[checksum, d, c, b, a | 0x80], records].concat();
    if flg & 0x10 != 0 {
        frame.extend(twox_hash::XxHash32::oneshot(0, records).to_be_bytes().iter().rev());
    }
    frame.extend_from_slice(&[0; 4]);
    if flg & 4 != 0 {
        frame.extend_from_slice(&[9; 4]); // nor at the checksum of the content
    }
    frame
}

#[test]
#[cfg(feature = "lz4")]
fn lz4_reads_what_kafka_reads_and_refuses_the_rest() {
    let codec = Codec { compression: Compression::Lz4, level: 9 };
    let (input, count) = records(200_000, text());
    let read = |frame: &[u8]| unpacked(codec, frame, count);
    for (flg, bd) in [(0x60, 0x50), (0x60, 0x60), (0x60, 0x70), (0x7c, 0x50), (0x68, 0x70), (0x64, 0x50)] {
        let frame = lz4_frame(flg, bd, &input);
        assert_eq!(read(&frame).unwrap(), input, "{flg:x} {bd:x}");
        assert_eq!(read(&[frame.as_slice(), b"whatever"].concat()).unwrap(), input);
    }
    for (flg, bd, reason) in [
        (0x60, 0x40, "a block is larger than the frame allows"),
        (0x40, 0x50, "its blocks depend on each other"),
        (0x61, 0x50, "its header has flags that are reserved"),
        (0x62, 0x50, "its header has flags that are reserved"),
        (0x60, 0x51, "its header has flags that are reserved"),
        (0x60, 0xd0, "its header has flags that are reserved"),
        (0x60, 0x30, "its header names no size of blocks that there is"),
        (0xa0, 0x50, "there is no header of LZ4"),
    ] {
        let fault = BatchFault::BadStream { codec: Compression::Lz4, reason };
        assert_eq!(read(&lz4_frame(flg, bd, &input)), Err(fault), "{flg:x} {bd:x}");
    }
    let mut frame = lz4_frame(0x70, 0x50, &input);
    frame[100] ^= 1;
    let fault = BatchFault::BadStream { codec: Compression::Lz4, reason: "a block's checksum does not hold" };
    assert_eq!(read(&frame), Err(fault));
    frame[6] ^= 1; // what the header of format v0 looks like
    let fault = BatchFault::BadStream { codec: Compression::Lz4, reason: "the checksum of its header does not hold" };
    assert_eq!(read(&frame), Err(fault));
}

#[test]
fn codec_that_is_left_out_is_named() {
    let (input, count) = records(100, text());
    for codec in ALL.into_iter().filter(|&codec| !is_compiled(codec)) {
        assert_eq!(Compressor::default().compress(Codec { compression: codec, level: 1 }, &input), None);
        let refused = Decompressor::default().decompress(codec, &input, count, LIMIT);
        assert_eq!(refused, Err(BatchFault::CodecNotCompiled { codec }));
        assert!(refused.unwrap_err().to_string().ends_with(&format!("enable the cargo feature `{codec}`")));
    }
}
