//! What is compressed here is read here and elsewhere, and the other way around.

#![expect(clippy::disallowed_methods, reason = "looks at the files as another reader would")]

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use kafka_protocol::records::{
    Compression as TheirCompression, NO_PARTITION_LEADER_EPOCH, NO_PRODUCER_EPOCH, NO_PRODUCER_ID,
    Record as TheirRecord, RecordBatchDecoder, RecordBatchEncoder, RecordEncodeOptions,
    TimestampType as TheirTimestampType,
};
use ottla::{
    Batch, Compression, Consumer, ConsumerConfig, Engine, Error, Offset, Producer, ProducerConfig, ProducerRecord,
    Timestamp, TopicPartition,
};

use crate::chance::Chance;

const RECORDS: i64 = 3000;

/// The codecs that this build has.
fn codecs() -> Vec<(Compression, TheirCompression)> {
    let all = [
        (Compression::Gzip, TheirCompression::Gzip, cfg!(feature = "gzip")),
        (Compression::Snappy, TheirCompression::Snappy, cfg!(feature = "snappy")),
        (Compression::Lz4, TheirCompression::Lz4, cfg!(feature = "lz4")),
        (Compression::Zstd, TheirCompression::Zstd, cfg!(feature = "zstd")),
    ];
    all.into_iter().filter(|(_, _, is_compiled)| *is_compiled).map(|(ours, theirs, _)| (ours, theirs)).collect()
}

fn value(index: i64) -> String {
    let user = index.wrapping_mul(2_654_435_761) % 100_000;
    format!(r#"{{"user":"u-{user:05}","action":"click","page":"/orders/{index}","ms":{:04}}}"#, user % 7919)
}

fn producer(engine: &Engine, codec: Compression) -> Producer<str, str> {
    let config = ProducerConfig::builder().compression(codec).build().unwrap();
    Producer::with_config(engine, config).unwrap()
}

fn produce(engine: &Engine, codec: Compression, records: i64) {
    let producer = producer(engine, codec);
    for index in 0..records {
        let value = value(index);
        let record =
            ProducerRecord::to("clicks").key("k").value(value.as_str()).header("h", b"1").timestamp(Timestamp(index));
        drop(producer.send(record).unwrap());
    }
    producer.close().unwrap();
}

fn segment(directory: &Path) -> Bytes {
    fs::read(directory.join("log/clicks-0/00000000000000000000.log")).unwrap().into()
}

#[test]
fn compressed_records_are_polled_and_found_by_offset() {
    for (codec, _) in codecs() {
        let engine = Engine::in_memory().unwrap();
        produce(&engine, codec, RECORDS);
        let mut consumer = Consumer::<str, str>::with_config(&engine, ConsumerConfig::default()).unwrap();
        let partition = TopicPartition::new("clicks", 0);
        consumer.assign([partition.clone()]).unwrap();
        for from in [0, 1, 1234, RECORDS - 1] {
            consumer.seek(&partition, Offset(from)).unwrap();
            let mut expected = from;
            while expected < RECORDS {
                let records = consumer.poll(Duration::from_secs(5)).unwrap();
                assert!(!records.is_empty(), "{codec} at {expected}");
                for record in &records {
                    assert_eq!(record.offset(), Offset(expected));
                    assert_eq!(record.timestamp(), Timestamp(expected));
                    assert_eq!(record.value().unwrap(), Some(value(expected).as_str()));
                    assert_eq!(record.headers().last("h"), Some(Some(b"1".as_slice())));
                    expected += 1;
                }
            }
        }
    }
}

#[test]
fn another_crate_reads_what_is_written_here() {
    for (codec, theirs) in codecs() {
        let directory = tempfile::tempdir().unwrap();
        let engine = Engine::open(directory.path()).unwrap();
        produce(&engine, codec, RECORDS);
        engine.close().unwrap();
        let sets = RecordBatchDecoder::decode_all(&mut segment(directory.path())).unwrap();
        assert!(sets.iter().filter(|set| set.compression == theirs).count() > 1, "{codec}");
        let records: Vec<_> = sets.iter().flat_map(|set| &set.records).collect();
        assert_eq!(records.len(), usize::try_from(RECORDS).unwrap());
        for (index, record) in (0..).zip(records) {
            assert_eq!((record.offset, record.timestamp), (index, index));
            assert_eq!(record.value.as_deref(), Some(value(index).as_bytes()));
        }
    }
}

#[test]
fn what_another_crate_writes_is_read_here() {
    for (codec, theirs) in codecs() {
        let record = |index| TheirRecord {
            transactional: false,
            control: false,
            delete_horizon: false,
            partition_leader_epoch: NO_PARTITION_LEADER_EPOCH,
            producer_id: NO_PRODUCER_ID,
            producer_epoch: NO_PRODUCER_EPOCH,
            timestamp_type: TheirTimestampType::Creation,
            offset: index,
            sequence: i32::try_from(index).unwrap(), // it begins another batch where this does not follow
            timestamp: index,
            key: None,
            value: Some(value(index).into()),
            headers: kafka_protocol::indexmap::IndexMap::new(),
        };
        let records: Vec<_> = (0..RECORDS).map(record).collect();
        let mut stored = BytesMut::new();
        let options = RecordEncodeOptions { version: 2, compression: theirs };
        RecordBatchEncoder::encode(&mut stored, &records, &options).unwrap();
        let batch = Batch::decode(stored.freeze()).unwrap().unpack(Batch::DEFAULT_UNPACKED_LIMIT).unwrap();
        assert_eq!(batch.header().compression(), Ok(codec));
        let mut count = 0;
        for record in batch.records().unwrap() {
            let record = record.unwrap();
            assert_eq!((record.offset(), record.timestamp()), (Offset(count), Timestamp(count)));
            assert_eq!(record.value(), Some(value(count).as_bytes()));
            count += 1;
        }
        assert_eq!(count, RECORDS);
    }
}

/// `tests/interop/kafka_python.sh` installs the library outside of the project, and runs this.
#[test]
#[ignore = "needs kafka-python: run tests/interop/kafka_python.sh"]
fn kafka_python_and_ottla_read_each_other() {
    let python = std::env::var_os("KAFKA_PYTHON").expect("KAFKA_PYTHON is a Python that has kafka-python");
    for (codec, _) in codecs() {
        let directory = tempfile::tempdir().unwrap();
        let engine = Engine::open(directory.path()).unwrap();
        produce(&engine, codec, RECORDS);
        engine.close().unwrap();
        // Checks what was written here, and writes the same records in batches of its own.
        let theirs = directory.path().join("theirs");
        let mut script = Command::new(&python);
        script.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/kafka_python.py"));
        script.arg(codec.to_string()).arg(RECORDS.to_string());
        script.arg(directory.path().join("log/clicks-0/00000000000000000000.log")).arg(&theirs);
        let outcome = script.status().unwrap();
        assert!(outcome.success(), "{codec}: {outcome}");
        let mut rest = Bytes::from(fs::read(&theirs).unwrap());
        let mut expected = 0;
        while !rest.is_empty() {
            let batch = Batch::decode(rest.clone()).unwrap().unpack(Batch::DEFAULT_UNPACKED_LIMIT).unwrap();
            assert_eq!(batch.header().compression(), Ok(codec));
            for record in batch.records().unwrap() {
                let record = record.unwrap();
                assert_eq!((record.offset(), record.timestamp()), (Offset(expected), Timestamp(expected)));
                assert_eq!(record.key(), Some(b"k".as_slice()));
                assert_eq!(record.value(), Some(value(expected).as_bytes()));
                assert_eq!(record.headers().last("h"), Some(Some(b"1".as_slice())));
                expected += 1;
            }
            rest = rest.slice(batch.header().len_bytes..);
        }
        assert_eq!(expected, RECORDS);
    }
}

/// What an application logs: the same words, other numbers; 100 bytes each.
fn click(index: u32, chance: &mut Chance) -> String {
    let action = chance.pick(&["click", "visit", "order", "login"]);
    let (user, page, ms) = (chance.below(100_000), chance.below(1000), chance.below(3000));
    let value = format!(
        r#"{{"id":{index:06},"user":"u-{user:05}","action":"{action}","page":"/orders/{page:03}","status":200,"ms":{ms:04},"in":"e"}}"#
    );
    assert_eq!(value.len(), 100);
    value
}

/// At the default size of a batch, once the producer knows how well its topic compresses.
#[test]
fn records_like_json_take_a_fraction_of_the_disk() {
    for (codec, least) in [(Compression::Zstd, 3.5), (Compression::Lz4, 2.0)] {
        if !codecs().iter().any(|(ours, _)| *ours == codec) {
            continue;
        }
        let directory = tempfile::tempdir().unwrap();
        let engine = Engine::open(directory.path()).unwrap();
        let producer = producer(&engine, codec);
        let mut chance = Chance::new(1);
        for index in 0..100_000 {
            let value = click(index, &mut chance);
            drop(producer.send(ProducerRecord::to("clicks").value(value.as_str())).unwrap());
        }
        producer.close().unwrap();
        engine.close().unwrap();
        let mut rest = segment(directory.path());
        let (mut stored, mut records) = (0, 0);
        while !rest.is_empty() {
            let batch = Batch::decode(rest.clone()).unwrap();
            let (header, len) = (batch.header(), batch.header().len_bytes);
            if header.base_offset >= Offset(50_000) {
                stored += len;
                records += header.count;
                assert!(len <= 16_384, "{len}");
            }
            rest = rest.slice(len..);
        }
        let ratio = f64::from(records) * 100.0 / f64::from(u32::try_from(stored).unwrap());
        assert!(ratio >= least, "{codec}: {ratio}");
    }
}

#[test]
fn record_that_compresses_into_what_the_topic_takes_is_taken() {
    let Some(&(codec, _)) = codecs().last() else { return };
    let engine = Engine::in_memory().unwrap();
    let settings = ProducerConfig::builder().compression(codec).max_request_size(8 << 20);
    let producer = Producer::<str, [u8]>::with_config(&engine, settings.build().unwrap()).unwrap();
    let zeros = vec![0; 3 << 20];
    producer.send(ProducerRecord::to("clicks").value(&zeros)).unwrap().wait().unwrap();
    let mut state = 1_u64;
    let noise = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state.to_be_bytes()[0]
    });
    let noise: Vec<u8> = noise.take(3 << 20).collect();
    let refused = producer.send(ProducerRecord::to("clicks").value(&noise)).unwrap().wait();
    assert!(matches!(refused, Err(Error::RecordTooLarge { setting: "max.message.bytes", .. })), "{refused:?}");
}
