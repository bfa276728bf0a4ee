//! A delivery is a future: any executor can await it. This one parks the thread that it runs on, and nothing else.
//!
//! ```text
//! cargo run --example futures
//! ```

#![expect(clippy::print_stdout, reason = "an example talks to its reader")]

use std::time::{Duration, Instant};

use ottla::{Acks, Engine, Error, Offset, Producer, ProducerConfig, ProducerRecord, Result};

/// Sends an order's whole story; it is on the disk when this is over.
async fn record_story(producer: &Producer<str, str>, order: &str, story: &[&str]) -> Result<Vec<Offset>> {
    // All of them are on their way before the first is awaited, so they share a batch and a sync.
    let records = story.iter().map(|&state| ProducerRecord::to("orders").key(order).value(state));
    let deliveries = records.map(|record| producer.send(record)).collect::<Result<Vec<_>>>()?;
    let mut offsets = Vec::new();
    for delivery in deliveries {
        offsets.extend(delivery.await?.offset());
    }
    Ok(offsets)
}

#[expect(clippy::disallowed_methods, reason = "an application has a clock of its own")]
fn main() -> Result<()> {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let engine = Engine::open(directory.path())?;
    // A long linger: without somebody who waits a batch would stay open for a minute.
    let config = ProducerConfig::builder().acks(Acks::All).linger(Duration::from_secs(60)).build()?;
    let producer = Producer::<str, str>::with_config(&engine, config)?;

    let began = Instant::now();
    let offsets = pollster::block_on(record_story(&producer, "o-17", &["placed", "paid", "shipped"]))?;
    println!("stored at {offsets:?} after {:?}: awaiting does not linger", began.elapsed());
    assert_eq!(offsets, [Offset(0), Offset(1), Offset(2)]);

    // A delivery that is dropped changes nothing: the record is sent all the same.
    let dropped = producer.send(ProducerRecord::to("orders").key("o-18").value("placed"))?;
    drop(dropped);
    producer.flush()?;
    assert_eq!(engine.end_offset(&("orders", 0).into())?, Offset(4));

    // Failures arrive where the future is awaited.
    let stuck = producer.send(ProducerRecord::to("orders").key("o-19").value("placed"))?;
    producer.close_timeout(Duration::ZERO)?;
    let outcome = pollster::block_on(stuck);
    println!("closed in a hurry: {}", outcome.as_ref().expect_err("nobody had written it"));
    assert!(matches!(outcome, Err(Error::Closed { .. })));
    engine.close()
}
