//! A partitioner of one's own: customers that pay for it have a partition to themselves, and an interceptor marks their
//! records.
//!
//! ```text
//! cargo run --example custom_partitioner
//! ```

#![expect(clippy::print_stdout, reason = "an example talks to its reader")]

use std::time::Duration;

use ottla::{
    Admin, Cause, Consumer, Engine, Error, Keep, NewTopic, Partitioner, Producer, ProducerInterceptor, ProducerRecord,
    Result, partition_for_key,
};

/// Sends who is on the list to the last partition, and everybody else to the others, by key.
struct PriorityLane {
    priority: Vec<&'static str>,
}

impl PriorityLane {
    fn has(&self, customer: &[u8]) -> bool {
        self.priority.iter().any(|name| name.as_bytes() == customer)
    }
}

impl Partitioner for PriorityLane {
    fn partition(&self, _topic: &str, key: Option<&[u8]>, _value: Option<&[u8]>, count: u32) -> u32 {
        let customer = key.unwrap_or_default();
        if count == 1 || self.has(customer) { count - 1 } else { partition_for_key(customer, count - 1) }
    }
}

/// Writes into each record which shop it is from.
struct Shop(u32);

impl ProducerInterceptor<str, str> for Shop {
    fn on_send<'a>(
        &self,
        record: ProducerRecord<'a, str, str>,
        keep: &'a Keep,
    ) -> Result<ProducerRecord<'a, str, str>, Cause> {
        Ok(record.header("shop", keep.hold(format!("shop-{}", self.0))))
    }
}

fn main() -> Result<()> {
    let engine = Engine::in_memory()?;
    Admin::new(&engine).create_topic(NewTopic::new("orders").partitions(4))?;
    let producer = Producer::<str, str>::builder(&engine)
        .partitioner(PriorityLane { priority: vec!["ann", "bob"] })
        .interceptor(Shop(7))
        .build()?;

    for customer in ["ann", "carol", "dave", "bob", "erin", "ann"] {
        let metadata = producer.send(ProducerRecord::to("orders").key(customer).value("one pear"))?.wait()?;
        println!("{customer:>5} -> partition {}", metadata.partition());
        assert_eq!(metadata.partition() == 3, ["ann", "bob"].contains(&customer));
    }
    // Who names a partition gets it; the partitioner is not asked.
    let named = producer.send(ProducerRecord::to("orders").key("ann").value("one pear").partition(0))?.wait()?;
    assert_eq!(named.partition(), 0);

    // The express counter reads its own partition and sees nobody else's orders.
    let mut express = Consumer::<str, str>::new(&engine, "express")?;
    express.assign([("orders", 3).into()])?;
    let records = express.poll(Duration::from_secs(5))?;
    let customers = records.iter().map(|record| record.key()).collect::<Result<Vec<_>>>()?;
    println!("express: {customers:?}");
    assert_eq!(customers, [Some("ann"), Some("bob"), Some("ann")]);
    assert!(records.iter().all(|record| record.headers().last("shop") == Some(Some(b"shop-7"))));

    // A partition that is not there is refused, and the record with it.
    struct Lost;
    impl Partitioner for Lost {
        fn partition(&self, _: &str, _: Option<&[u8]>, _: Option<&[u8]>, count: u32) -> u32 {
            count
        }
    }
    let lost = Producer::<str, str>::builder(&engine).partitioner(Lost).build()?;
    let refused = lost.send(ProducerRecord::to("orders").value("one pear"));
    println!("refused: {}", refused.as_ref().expect_err("there are four partitions, 0 to 3"));
    assert!(matches!(refused, Err(Error::IllegalArgument { .. })));
    engine.close()
}
