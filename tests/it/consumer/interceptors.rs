//! Interceptors: what they may do, and what their errors do.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};

use ottla::{Cause, ConsumerBuilder, ConsumerConfig, ConsumerInterceptor, ConsumerRecords, Engine, Offset, Offsets};

use super::{TextConsumer, append, committed, engine, orders, poll};

/// Leaves out records at odd offsets.
struct Even;

impl ConsumerInterceptor<str, str> for Even {
    fn on_consume(&mut self, records: &mut ConsumerRecords<str, str>) -> Result<(), Cause> {
        records.retain(|record| record.offset().0 % 2 == 0);
        Ok(())
    }
}

/// Leaves out everything, and then fails.
struct Failing;

impl ConsumerInterceptor<str, str> for Failing {
    fn on_consume(&mut self, records: &mut ConsumerRecords<str, str>) -> Result<(), Cause> {
        records.retain(|_| false);
        Err(Arc::new(io::Error::other("no")))
    }

    fn on_commit(&mut self, _offsets: &Offsets) -> Result<(), Cause> {
        Err(Arc::new(io::Error::other("no")))
    }
}

struct Panicking;

impl ConsumerInterceptor<str, str> for Panicking {
    fn on_consume(&mut self, records: &mut ConsumerRecords<str, str>) -> Result<(), Cause> {
        records.retain(|_| panic!("in an interceptor, as the test wants it"));
        Ok(())
    }

    fn on_commit(&mut self, _offsets: &Offsets) -> Result<(), Cause> {
        panic!("in an interceptor, as the test wants it")
    }
}

/// Tells how many records it saw, and what was committed.
struct Report(Sender<String>);

impl ConsumerInterceptor<str, str> for Report {
    fn on_consume(&mut self, records: &mut ConsumerRecords<str, str>) -> Result<(), Cause> {
        self.0.send(format!("{} records", records.len())).map_err(|error| Arc::new(error) as Cause)
    }

    fn on_commit(&mut self, offsets: &Offsets) -> Result<(), Cause> {
        let shown = offsets.iter().map(|(partition, at)| format!("{partition}@{}", at.offset)).collect();
        self.0.send(shown).map_err(|error| Arc::new(error) as Cause)
    }
}

fn with(
    engine: &Engine,
    interceptors: impl FnOnce(ConsumerBuilder<str, str>) -> ConsumerBuilder<str, str>,
) -> TextConsumer {
    let config = ConsumerConfig::builder().group_id(Some("billing".into())).build().unwrap();
    interceptors(TextConsumer::builder(engine).config(config)).build().unwrap()
}

#[test]
fn c34_interceptor_may_leave_records_out() {
    let engine = engine(&[("orders", 1)]);
    append(&engine, "orders", 0, &[b"a", b"b", b"c", b"d", b"e"]);
    let mut consumer = with(&engine, |builder| builder.interceptor(Even));
    consumer.subscribe(["orders"]).unwrap();
    let records = consumer.poll(std::time::Duration::from_secs(1)).unwrap();
    assert_eq!(records.len(), 3);
    let shown: Vec<_> = records.iter().map(|record| (record.offset().0, record.value().unwrap().unwrap())).collect();
    assert_eq!(shown, [(0, "a"), (2, "c"), (4, "e")]);
    assert_eq!(records.partition(&orders()).count(), 3);
    consumer.commit_sync().unwrap();
    assert_eq!(committed(&consumer), Some(5), "what was left out counts as read");
}

// faults: P05
#[test]
fn c34_failing_interceptor_is_passed_by() {
    let engine = engine(&[("orders", 1)]);
    append(&engine, "orders", 0, &[b"a", b"b", b"c"]);
    let (tell, told) = channel();
    let mut consumer = with(&engine, |builder| {
        builder.interceptor(Even).interceptor(Failing).interceptor(Panicking).interceptor(Report(tell))
    });
    consumer.subscribe(["orders"]).unwrap();
    assert_eq!(poll(&mut consumer).unwrap(), [0, 2], "as the one before it left them");
    consumer.commit_sync().unwrap();
    assert_eq!(told.try_iter().collect::<Vec<_>>(), ["2 records", "orders-0@3"]);
}

#[test]
fn c34_interceptor_sees_commits_that_succeeded() {
    let engine = engine(&[("orders", 1)]);
    append(&engine, "orders", 0, &[b"a", b"b"]);
    let (tell, told) = channel();
    let mut consumer = with(&engine, |builder| builder.interceptor(Report(tell.clone())));
    let seen = || told.try_iter().collect::<Vec<_>>();
    consumer.subscribe(["orders"]).unwrap();
    assert_eq!(poll(&mut consumer).unwrap(), [0, 1]);
    assert_eq!(seen(), ["2 records"]);
    assert!(consumer.commit_sync_offsets([(orders(), Offset(-1).into())]).is_err());
    assert_eq!(seen(), [""; 0]);
    consumer.commit_sync_offsets([(orders(), Offset(1).into())]).unwrap();
    assert_eq!(seen(), ["orders-0@1"]);
    consumer
        .commit_async_offsets([(orders(), Offset(0).into())], move |_, _| tell.send("callback".to_owned()).unwrap())
        .unwrap();
    consumer.close().unwrap(); // which commits too: that comes first on the disk, and last here
    assert_eq!(seen(), ["orders-0@0", "callback", "orders-0@2"]);
}
