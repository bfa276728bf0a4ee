//! Sends without waiting, and is called back: with where each record is, or with why it is not.
//!
//! ```text
//! cargo run --example async_callbacks
//! ```

#![expect(clippy::print_stdout, reason = "an example talks to its reader")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use ottla::{Engine, Error, MemoryDisk, Producer, ProducerConfig, ProducerRecord, RecordMetadata, Result};

/// What the callbacks were told. They run on a thread of the engine's.
#[derive(Default)]
struct Outcomes {
    offsets: Vec<i64>,
    lost: Vec<String>,
}

fn main() -> Result<()> {
    let disk = MemoryDisk::new();
    let engine = Engine::builder().open_memory(&disk)?;
    // A full disk is tried again for two minutes unless told otherwise; a short story has less time.
    let config = ProducerConfig::builder().delivery_timeout(Duration::from_millis(200)).build()?;
    let producer = Producer::<str, str>::with_config(&engine, config)?;
    let outcomes = Arc::new(Mutex::new(Outcomes::default()));

    // `send_with` returns at once. The callback owns what it needs; `order` goes along to say whose outcome it is.
    let send = |order: String| {
        let (outcomes, name) = (Arc::clone(&outcomes), order.clone());
        let callback = move |outcome: Result<RecordMetadata>| {
            let mut outcomes = outcomes.lock().expect("no callback panics");
            match outcome {
                Ok(metadata) => outcomes.offsets.push(metadata.offset().map_or(-1, |offset| offset.0)),
                Err(error) => outcomes.lost.push(format!("{name}: {error}")),
            }
        };
        producer.send_with(ProducerRecord::to("orders").key(order.as_str()).value("paid"), callback)
    };

    for number in 0..5 {
        send(format!("o-{number}"))?;
    }
    // When `flush` returns, the callbacks have run.
    producer.flush()?;
    {
        let outcomes = outcomes.lock().expect("no callback panics");
        println!("stored at offsets {:?}", outcomes.offsets);
        assert_eq!(outcomes.offsets, [0, 1, 2, 3, 4], "callbacks of a partition come in the order of its records");
    }

    // The disk is full, and stays so: the callbacks say it.
    disk.set_capacity(Some(0));
    send("o-5".to_owned())?;
    producer.flush()?;
    {
        let outcomes = outcomes.lock().expect("no callback panics");
        println!("lost: {}", outcomes.lost.join("; "));
        assert!(outcomes.lost.len() == 1 && outcomes.lost[0].starts_with("o-5: no space left"));
    }

    // What `send` itself refuses is its answer: then the callback is dropped, and never called.
    let refused = producer.send_with(ProducerRecord::to("no/such/name").value("paid"), |_| unreachable!());
    assert!(matches!(refused, Err(Error::InvalidTopic { .. })));

    // There is room again, and everything goes on.
    disk.set_capacity(None);
    send("o-6".to_owned())?;
    producer.flush()?;
    assert_eq!(outcomes.lock().expect("no callback panics").offsets.last(), Some(&5));
    println!("and o-6 at offset 5: nothing of o-5 is in the log");
    engine.close()
}
