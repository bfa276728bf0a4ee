//! Interceptors see and change records, learn what became of them, and stop nothing.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use ottla::{
    Acks, Cause, Consumer, ConsumerConfig, Engine, Error, Keep, Offset, Producer, ProducerConfig, ProducerInterceptor,
    ProducerRecord, RecordMetadata,
};

/// What happened, in order.
#[derive(Clone, Default)]
struct Journal(Arc<Mutex<Vec<String>>>);

impl Journal {
    fn note(&self, line: impl Into<String>) {
        self.0.lock().unwrap().push(line.into());
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

type Change = for<'a> fn(ProducerRecord<'a, str, str>, &'a Keep) -> Result<ProducerRecord<'a, str, str>, Cause>;

/// Notes what it sees, under its name, and changes records.
struct Named {
    name: &'static str,
    change: Change,
    journal: Journal,
}

impl Named {
    fn new(name: &'static str, journal: &Journal, change: Change) -> Self {
        Self { name, change, journal: journal.clone() }
    }
}

impl ProducerInterceptor<str, str> for Named {
    fn on_send<'a>(
        &self,
        record: ProducerRecord<'a, str, str>,
        keep: &'a Keep,
    ) -> Result<ProducerRecord<'a, str, str>, Cause> {
        self.journal.note(format!("{} sees {}", self.name, record.value.unwrap_or("null")));
        (self.change)(record, keep)
    }

    fn on_acknowledgement(&self, topic: &str, partition: Option<u32>, outcome: Result<&RecordMetadata, &Error>) {
        let outcome = match outcome {
            Ok(metadata) => format!("offset {:?}", metadata.offset().map(|offset| offset.0)),
            Err(error) => format!("{:?}", error.class()),
        };
        self.journal.note(format!("{} told of {topic} {partition:?}: {outcome}", self.name));
        assert_ne!(self.name, "panics");
    }
}

fn same<'a>(record: ProducerRecord<'a, str, str>, _: &'a Keep) -> Result<ProducerRecord<'a, str, str>, Cause> {
    Ok(record)
}

fn producer(engine: &Engine, acks: Acks, interceptors: Vec<Named>) -> Producer<str, str> {
    let config = ProducerConfig::builder().acks(acks).max_request_size(1000).build().unwrap();
    let builder = Producer::<str, str>::builder(engine).config(config);
    interceptors.into_iter().fold(builder, |builder, each| builder.interceptor(each)).build().unwrap()
}

/// Values, and how many headers they have.
fn stored(engine: &Engine, topic: &str) -> Vec<(String, usize)> {
    let mut consumer = Consumer::<str, str>::with_config(engine, ConsumerConfig::default()).unwrap();
    consumer.assign([(topic, 0).into()]).unwrap();
    let records = consumer.poll(Duration::from_secs(10)).unwrap();
    let seen =
        records.iter().map(|record| (record.value().unwrap().unwrap().to_owned(), record.headers().iter().count()));
    seen.collect()
}

// faults: P05
#[test]
fn interceptor_that_fails_or_panics_is_passed_over() {
    let (engine, journal) = (Engine::in_memory().unwrap(), Journal::default());
    let interceptors = vec![
        Named::new("first", &journal, |record, _| Ok(record.value("changed").header("by", "first"))),
        Named::new("fails", &journal, |_, _| Err(Arc::new(std::fmt::Error))),
        Named::new("panics", &journal, |_, _| panic!("it was asked to")),
        Named::new("last", &journal, |record, _| Ok(record.header("by", "last"))),
    ];
    let producer = producer(&engine, Acks::All, interceptors);
    producer.send(ProducerRecord::to("orders").value("sent")).unwrap();
    producer.flush().unwrap();
    let expected = [
        "first sees sent",
        "fails sees changed",
        "panics sees changed",
        "last sees changed",
        "first told of orders Some(0): offset Some(0)",
        "fails told of orders Some(0): offset Some(0)",
        "panics told of orders Some(0): offset Some(0)",
        "last told of orders Some(0): offset Some(0)",
    ];
    assert_eq!(journal.take(), expected);
    assert_eq!(stored(&engine, "orders"), [("changed".to_owned(), 2)]);
}

#[test]
fn record_that_send_refuses_is_acknowledged_once_and_its_callback_is_dropped() {
    let (engine, journal) = (Engine::in_memory().unwrap(), Journal::default());
    let producer = producer(&engine, Acks::All, vec![Named::new("only", &journal, same)]);
    let large = "x".repeat(2000);
    let called = journal.clone();
    let refused = producer.send_with(ProducerRecord::to("orders").value(&large), move |_| called.note("called"));
    assert!(matches!(refused, Err(Error::RecordTooLarge { .. })));
    producer.send(ProducerRecord::to("orders").value("a").partition(7)).unwrap_err();
    producer.flush().unwrap();
    let expected = [
        format!("only sees {large}"),
        "only told of orders None: Refused".to_owned(),
        "only sees a".to_owned(),
        "only told of orders Some(7): Refused".to_owned(),
    ];
    assert_eq!(journal.take(), expected);

    producer.close().unwrap();
    producer.send(ProducerRecord::to("orders").value("late")).unwrap_err();
    assert_eq!(journal.take(), ["only sees late", "only told of orders None: Fatal"], "on a closed producer too");
}

#[test]
fn interceptors_are_told_before_the_records_own_callback_in_the_order_of_the_records() {
    let (engine, journal) = (Engine::in_memory().unwrap(), Journal::default());
    let producer = producer(&engine, Acks::One, vec![Named::new("only", &journal, same)]);
    for value in ["a", "b"] {
        let journal = journal.clone();
        let called = move |outcome: Result<RecordMetadata, Error>| {
            journal.note(format!("called with {}", outcome.unwrap().offset().unwrap()));
        };
        producer.send_with(ProducerRecord::to("orders").value(value), called).unwrap();
    }
    producer.flush().unwrap();
    let expected = [
        "only sees a",
        "only sees b",
        "only told of orders Some(0): offset Some(0)",
        "called with 0",
        "only told of orders Some(0): offset Some(1)",
        "called with 1",
    ];
    assert_eq!(journal.take(), expected);
}

#[test]
fn what_is_sent_is_what_the_interceptor_answers() {
    let (engine, journal) = (Engine::in_memory().unwrap(), Journal::default());
    let redirect = Named::new("only", &journal, |mut record, keep| {
        record.topic = keep.hold(format!("{}.checked", record.topic));
        record.partition = Some(0);
        let value = keep.hold(record.value.unwrap_or_default().to_uppercase());
        Ok(record.key("k").value(value).null_header("checked"))
    });
    let producer = producer(&engine, Acks::All, vec![redirect]);
    let metadata = producer.send(ProducerRecord::to("orders").value("paid")).unwrap().wait().unwrap();
    assert_eq!((metadata.topic(), metadata.serialized_key_size()), ("orders.checked", Some(1)));
    assert_eq!(stored(&engine, "orders.checked"), [("PAID".to_owned(), 1)]);
}

#[test]
fn every_record_of_send_all_is_seen_and_acknowledged() {
    let (engine, journal) = (Engine::in_memory().unwrap(), Journal::default());
    let producer = producer(&engine, Acks::Zero, vec![Named::new("only", &journal, same)]);
    let records = ["a", "b", "c"].map(|value| ProducerRecord::to("orders").value(value));
    producer.send_all(&records).unwrap();
    producer.flush().unwrap();
    let told = journal.take();
    assert_eq!(told[..3], ["only sees a", "only sees b", "only sees c"]);
    assert_eq!(told[3..], ["only told of orders Some(0): offset None"; 3], "nobody learns where with acks of 0");
    assert_eq!(engine.end_offset(&("orders", 0).into()).unwrap(), Offset(3));
}

#[test]
fn interceptor_that_sends_does_not_wait_for_itself() {
    struct Copies(Producer<str, str>);

    impl ProducerInterceptor<str, str> for Copies {
        fn on_acknowledgement(&self, topic: &str, _: Option<u32>, outcome: Result<&RecordMetadata, &Error>) {
            let offset = outcome.unwrap().offset().unwrap().to_string();
            let copy = self.0.send(ProducerRecord::to("audit").key(topic).value(&offset)).unwrap();
            assert!(matches!(copy.wait(), Err(Error::IllegalState { .. })));
        }
    }

    let engine = Engine::in_memory().unwrap();
    let copies = Copies(Producer::new(&engine).unwrap());
    let audit = copies.0.clone();
    let producer = Producer::<str, str>::builder(&engine).interceptor(copies).build().unwrap();
    producer.send(ProducerRecord::to("orders").value("paid")).unwrap().wait().unwrap();
    audit.flush().unwrap();
    assert_eq!(stored(&engine, "audit"), [("0".to_owned(), 0)]);
}
