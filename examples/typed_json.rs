//! Records of one's own types, as JSON: sent, read by a worker until it is told to stop, and what happens when one of
//! them is not what the reader expects.
//!
//! ```text
//! cargo run --example typed_json --features json
//! ```

#![expect(clippy::print_stdout, reason = "an example talks to its reader")]

use ottla::{Consumer, Engine, Error, Json, Offset, Producer, ProducerRecord, Result, TopicPartition};
use serde::{Deserialize, Serialize};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Order {
    id: String,
    cents: u64,
    items: Vec<Item>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Item {
    name: String,
    count: u32,
}

/// Keys are text, values are orders.
type OrderConsumer = Consumer<str, Json<Order>>;

fn main() -> Result<()> {
    let engine = Engine::in_memory()?;
    send_orders(&engine)?;
    let total = add_up(&engine)?;
    println!("{total} cents in all");
    assert_eq!(total, 1299 + 450 + 99);
    engine.close()
}

fn send_orders(engine: &Engine) -> Result<()> {
    let producer = Producer::<str, Json<Order>>::new(engine)?;
    for (id, cents, name) in [("o-17", 1299, "tea pot"), ("o-18", 450, "cup")] {
        let items = vec![Item { name: name.to_owned(), count: 1 }];
        let order = Json(Order { id: id.to_owned(), cents, items });
        producer.send(ProducerRecord::to("orders").key(id).value(&order))?;
    }
    producer.close()?; // what was sent is on the disk
    // Somebody with another idea of what an order is.
    let other = Producer::<str, str>::new(engine)?;
    other.send(ProducerRecord::to("orders").key("o-19").value(r#"{"id":"o-19","price":"12.99"}"#))?;
    other.send(ProducerRecord::to("orders").key("o-20").value(r#"{"id":"o-20","cents":99,"items":[]}"#))?;
    other.close()
}

/// Reads all orders there are, past those that are none.
fn add_up(engine: &Engine) -> Result<u64> {
    let orders = TopicPartition::new("orders", 0);
    let end = engine.end_offset(&orders)?;
    let mut consumer = OrderConsumer::new(engine, "bookkeeping")?;
    consumer.subscribe(["orders"])?;
    let mut total = 0;
    loop {
        match read_to(&mut consumer, end, &mut total) {
            Ok(()) => break,
            // The record stays where it is: an application may copy it elsewhere before it goes on.
            Err(Error::RecordDeserialization { partition, offset, cause, .. }) => {
                println!("passed over {partition} @ {offset}: {cause}");
                assert_eq!(offset, Offset(2));
                consumer.seek(&partition, offset.next())?;
            }
            Err(error) => return Err(error),
        }
    }
    consumer.close()?; // commits
    Ok(total)
}

/// Adds up the orders before `end`.
fn read_to(consumer: &mut OrderConsumer, end: Offset, total: &mut u64) -> Result<()> {
    let records = consumer.stream();
    let stop = records.stop_handle(); // a server keeps it for its shutdown
    for record in records {
        let record = record?;
        if let Some(order) = record.value()? {
            println!("{}: {} cents, {:?}", order.id, order.cents, order.items);
            *total += order.cents;
        }
        if record.offset().next() == end {
            stop.stop();
        }
    }
    Ok(())
}
