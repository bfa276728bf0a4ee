//! The first five minutes: a topic, a producer, a consumer of a group, and where the group stands afterwards.
//!
//! ```text
//! cargo run --example quickstart
//! ```

#![expect(clippy::print_stdout, reason = "an example talks to its reader")]

use std::time::Duration;

use ottla::{Admin, Consumer, Engine, NewTopic, Offset, Producer, ProducerRecord, Result, TopicPartition};

fn main() -> Result<()> {
    // In memory nothing outlives the engine; `Engine::open("data")` is the same on a disk.
    let engine = Engine::in_memory()?;
    Admin::new(&engine).create_topic(NewTopic::new("orders").partitions(2))?;

    // Records with the same key go to the same partition, and stay in order there.
    let producer = Producer::<str, str>::new(&engine)?;
    let mut deliveries = Vec::new();
    for (order, state) in [("o-17", "placed"), ("o-18", "placed"), ("o-17", "paid"), ("o-17", "shipped")] {
        deliveries.push(producer.send(ProducerRecord::to("orders").key(order).value(state))?);
    }
    // `send` only queues. Waiting gets a batch on its way at once; when it is over the record survives a power cut.
    for delivery in deliveries {
        let metadata = delivery.wait()?;
        let offset = metadata.offset().expect("with acks = all there is one");
        println!("stored in partition {} at offset {offset}", metadata.partition());
    }

    // A group remembers where it stands, by partition.
    let mut consumer = Consumer::<str, str>::new(&engine, "billing")?;
    consumer.subscribe(["orders"])?;
    let mut story = Vec::new();
    while story.len() < 4 {
        let records = consumer.poll(Duration::from_secs(5))?;
        for record in &records {
            let (order, state) = (record.key()?.unwrap_or("?"), record.value()?.unwrap_or("?"));
            println!("{}-{} @ {}: {order} is {state}", record.topic(), record.partition(), record.offset());
            story.push((order.to_owned(), state.to_owned()));
        }
    }
    consumer.commit_sync()?;

    let of_one_order = story.iter().filter(|(order, _)| order == "o-17").map(|(_, state)| state.as_str());
    assert_eq!(of_one_order.collect::<Vec<_>>(), ["placed", "paid", "shipped"]);
    let mut consumed = 0;
    for partition in 0..2 {
        let partition = TopicPartition::new("orders", partition);
        let Offset(position) = consumer.position(&partition)?;
        assert_eq!(Offset(position), engine.end_offset(&partition)?, "{partition} was read to its end");
        consumed += position;
    }
    assert_eq!(consumed, 4);
    println!("billing has read all {consumed} records");

    // Dropping closes as well, but cannot say what went wrong.
    consumer.close()?;
    producer.close()?;
    engine.close()
}
