//! Two programs at one directory: one writes, and another one watches, which needs neither a lock nor the permission to
//! write. Here they are two threads; `ottla -d DIR consume orders --follow` would be a third.
//!
//! ```text
//! cargo run --example read_beside_writer
//! ```

#![expect(clippy::print_stdout, reason = "an example talks to its reader")]

use std::time::Duration;

use ottla::replay::Directory;
use ottla::{Consumer, Engine, Offset, Producer, ProducerRecord, Result, TopicPartition};

fn main() -> Result<()> {
    let data = tempfile::tempdir().expect("a temporary directory");
    let orders = TopicPartition::new("orders", 0);

    // The application: it has the directory for itself, and one order in it.
    let engine = Engine::open(data.path())?;
    let producer = Producer::<str, str>::new(&engine)?;
    producer.send(ProducerRecord::to("orders").key("o-1").value("placed"))?.wait()?;

    // The watcher reads from the beginning, and on from there while the application goes on.
    let mut reader = Directory::open(data.path())?.reader(&orders)?;
    let seen = std::thread::scope(|scope| {
        let watcher = scope.spawn(move || {
            let mut seen = Vec::new();
            while seen.len() < 100 {
                for record in &reader.poll(Duration::from_secs(10))? {
                    seen.push(String::from_utf8_lossy(record.key().unwrap_or_default()).into_owned());
                }
            }
            Ok::<_, ottla::Error>(seen)
        });
        for number in 2..=100 {
            let key = format!("o-{number}");
            producer.send(ProducerRecord::to("orders").key(key.as_str()).value("placed"))?;
        }
        watcher.join().expect("it does not panic")
    })?;
    assert_eq!((seen[0].as_str(), seen[99].as_str()), ("o-1", "o-100"));
    println!("watched {} orders, from {} to {}", seen.len(), seen[0], seen[99]);

    // How far are the groups? They say so at each commit, to whoever looks.
    let mut billing = Consumer::<str, str>::new(&engine, "billing")?;
    billing.commit_sync_offsets([(orders, Offset(60).into())])?;
    let described = Directory::open(data.path())?.group("billing")?;
    let lag = described.partitions[0].lag.unwrap_or_default();
    assert_eq!((described.partitions[0].committed, lag.records), (Some(Offset(60)), 40));
    println!("billing has {} orders to go, {} bytes of batches", lag.records, lag.bytes);

    billing.close()?;
    producer.close()?;
    engine.close() // the watcher could have gone on, and the next owner open it meanwhile
}
