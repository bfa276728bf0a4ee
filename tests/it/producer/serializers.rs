//! Kafka's types: what one client writes another reads, and the bytes between them are Kafka's.

use std::time::Duration;

use ottla::{
    Consumer, ConsumerConfig, Engine, Error, Offset, OwnDeserializer, Producer, ProducerConfig, ProducerRecord,
    RecordPart, Serialize, Serializer, StringSerializer, TopicPartition,
};

fn typed() -> TopicPartition {
    ("typed", 0).into()
}

/// What a consumer of `T` sees of all records.
fn read<T: OwnDeserializer + ?Sized, S>(
    engine: &Engine,
    see: impl Fn(T::View<'_>) -> S,
) -> Vec<Result<Option<S>, Error>> {
    let mut consumer = Consumer::<[u8], T>::with_config(engine, ConsumerConfig::default()).unwrap();
    consumer.assign([typed()]).unwrap();
    let mut seen = Vec::new();
    let end = engine.end_offset(&typed()).unwrap();
    while consumer.position(&typed()).unwrap() < end {
        match consumer.poll(Duration::from_secs(10)) {
            Ok(records) => seen.extend(records.iter().map(|record| record.value().map(|value| value.map(&see)))),
            Err(error) => {
                let Error::RecordDeserialization { offset, .. } = &error else { panic!("{error}") };
                consumer.seek(&typed(), offset.next()).unwrap();
                seen.push(Err(error));
            }
        }
    }
    seen
}

/// Sends `values` and null, and reads them back.
fn assert_round_trip<T>(values: &[T])
where
    T: Serialize + OwnDeserializer + Clone + PartialEq + std::fmt::Debug,
    T: for<'a> ottla::Deserialize<View<'a> = T>,
{
    let engine = Engine::in_memory().unwrap();
    let producer = Producer::<[u8], T>::new(&engine).unwrap();
    for value in values {
        producer.send(ProducerRecord::to("typed").value(value)).unwrap();
    }
    let null = producer.send(ProducerRecord::to("typed")).unwrap().wait().unwrap();
    assert_eq!(null.serialized_value_size(), None);
    let seen: Vec<Option<T>> = read::<T, T>(&engine, |value| value).into_iter().map(Result::unwrap).collect();
    let expected: Vec<Option<T>> = values.iter().cloned().map(Some).chain([None]).collect();
    assert_eq!(seen, expected);
}

#[test]
fn every_type_and_null_come_back_as_they_were_sent() {
    assert_round_trip(&[i16::MIN, -1, 0, i16::MAX]);
    assert_round_trip(&[i32::MIN, -1, 0, i32::MAX]);
    assert_round_trip(&[i64::MIN, -1, 0, i64::MAX]);
    assert_round_trip(&[f32::MIN, -0.0, 1.5, f32::INFINITY]);
    assert_round_trip(&[f64::MIN, -0.0, 1.5, f64::INFINITY]);
    assert_round_trip(&[true, false]);
    assert_round_trip::<()>(&[]);
    assert_round_trip(&[String::new(), "z\u{e9}ro".to_owned()]);
    assert_round_trip(&[Vec::<u8>::new(), vec![0, 255]]);
    assert_round_trip(&[vec![], vec![1, -1], vec![i32::MAX; 100]]);
    assert_round_trip(&[vec![Some(1_i64), None], vec![None]]);
    assert_round_trip(&[vec!["a".to_owned(), String::new()]]);
    assert_round_trip(&[vec![Some(vec![1_i16]), None, Some(vec![])]]);
    #[cfg(feature = "uuid")]
    assert_round_trip(&[uuid::Uuid::nil(), uuid::Uuid::max()]);
}

#[test]
fn option_is_null_or_what_it_holds() {
    let engine = Engine::in_memory().unwrap();
    let producer = Producer::<[u8], Option<f64>>::new(&engine).unwrap();
    for value in [Some(2.5), None] {
        producer.send(ProducerRecord::to("typed").value(&value)).unwrap().wait().unwrap();
    }
    let seen: Vec<_> = read::<f64, f64>(&engine, |value| value).into_iter().map(Result::unwrap).collect();
    assert_eq!(seen, [Some(2.5), None]);
}

/// Offsets at which a consumer of `T` says that it cannot read the value.
fn refused<T: OwnDeserializer>(values: &[&[u8]]) -> Vec<i64> {
    let engine = Engine::in_memory().unwrap();
    let producer = Producer::<[u8], [u8]>::new(&engine).unwrap();
    for value in values {
        producer.send(ProducerRecord::to("typed").value(value)).unwrap();
    }
    producer.flush().unwrap();
    let wrong = read::<T, ()>(&engine, |_view| ()).into_iter().filter_map(Result::err);
    let offset = |error| match error {
        Error::RecordDeserialization { offset: Offset(offset), part: RecordPart::Value, .. } => offset,
        other => panic!("{other}"),
    };
    wrong.map(offset).collect()
}

#[test]
fn bytes_of_the_wrong_length_are_refused_at_their_offset() {
    assert_eq!(refused::<i16>(&[b"12", b"1", b"123"]), [1, 2]);
    assert_eq!(refused::<i32>(&[b"", b"1234", b"12345"]), [0, 2]);
    assert_eq!(refused::<i64>(&[b"12345678", b"1234567"]), [1]);
    assert_eq!(refused::<f32>(&[b"1234", b"12345678"]), [1]);
    assert_eq!(refused::<f64>(&[b"1234", b"12345678"]), [0]);
    assert_eq!(refused::<bool>(&[&[0], &[1], &[2], &[], &[1, 1]]), [2, 3, 4]);
    assert_eq!(refused::<()>(&[b""]), [0], "empty is not null");
    assert_eq!(refused::<Vec<i32>>(&[&[0; 9], &[0; 8]]), [1]);
    #[cfg(feature = "uuid")]
    assert_eq!(refused::<uuid::Uuid>(&[b"00000000-0000-0000-0000-00000000000z", &[0; 16]]), [0, 1]);
}

#[test]
fn list_of_numbers_with_a_null_has_kafkas_bytes() {
    let engine = Engine::in_memory().unwrap();
    let producer = Producer::<[u8], Vec<Option<i32>>>::new(&engine).unwrap();
    producer.send(ProducerRecord::to("typed").value(&vec![Some(1), None, Some(3)])).unwrap().wait().unwrap();
    let expected = [0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 3, 0, 0, 0, 1, 0, 0, 0, 3];
    let seen = read::<Vec<u8>, Vec<u8>>(&engine, |bytes| bytes);
    assert_eq!(seen.into_iter().map(Result::unwrap).collect::<Vec<_>>(), [Some(expected.to_vec())]);
}

/// Refuses some values, and panics at others.
struct Moody;

impl Serializer<str> for Moody {
    fn serialize<'a>(&self, _: &str, data: &'a str, scratch: &'a mut Vec<u8>) -> Result<&'a [u8], ottla::Cause> {
        match data {
            "refuse" => Err(std::sync::Arc::new(std::fmt::Error)),
            "panic" => panic!("it was asked to"),
            _ => {
                scratch.extend_from_slice(data.as_bytes());
                Ok(scratch)
            }
        }
    }
}

// faults: P05
#[test]
fn serializer_that_refuses_or_panics_concerns_its_record_alone() {
    let engine = Engine::in_memory().unwrap();
    let config = ProducerConfig::default();
    let producer = Producer::<str, str>::with_serializers(&engine, config, StringSerializer, Moody).unwrap();
    let send = |value| producer.send(ProducerRecord::to("typed").key("k").value(value));
    send("a").unwrap();
    assert!(matches!(send("refuse"), Err(Error::Serialization { part: RecordPart::Value, .. })));
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(send("panic"))));
    assert!(panicked.is_err(), "it is the caller's own");
    assert_eq!(send("b").unwrap().wait().unwrap().offset(), Some(Offset(1)));
}

#[cfg(feature = "json")]
#[test]
fn json_goes_from_one_type_to_another() {
    use ottla::Json;
    let engine = Engine::in_memory().unwrap();
    let producer = Producer::<str, Json<(u8, String)>>::new(&engine).unwrap();
    producer.send(ProducerRecord::to("typed").value(&Json((7, "x".to_owned())))).unwrap().wait().unwrap();
    let mut seen = read::<Json<(i64, char)>, _>(&engine, |value| value);
    assert_eq!(seen.pop().unwrap().unwrap(), Some((7, 'x')));
    let mut unseen = read::<Json<bool>, _>(&engine, |value| value);
    assert!(matches!(unseen.pop().unwrap(), Err(Error::RecordDeserialization { .. })));
}
