use std::path::Path;
use std::time::Duration;

use ottla::{
    Consumer, ConsumerConfig, Delivery, Engine, Error, Offset, Producer, ProducerConfig, ProducerRecord, VerifyOptions,
    verify,
};

use super::Log;
use crate::Outcome;
use crate::steps::Found;

const TOPIC: &str = "t";

struct Ottla {
    engine: Engine,
    producer: Producer<[u8], [u8]>,
    /// Deliveries that are waited for in the end, if that is how it goes.
    waiting: Option<Vec<Delivery>>,
}

pub fn open(directory: &Path) -> Outcome<Box<dyn Log>> {
    let config = ProducerConfig::builder().retries(0).build()?;
    let engine = Engine::open(directory)?;
    let producer = Producer::with_config(&engine, config)?;
    Ok(Box::new(Ottla { engine, producer, waiting: None }))
}

pub fn open_batching(directory: &Path) -> Outcome<Box<dyn Log>> {
    let engine = Engine::open(directory)?;
    let producer = Producer::new(&engine)?;
    Ok(Box::new(Ottla { engine, producer, waiting: Some(Vec::new()) }))
}

impl Log for Ottla {
    fn append(&mut self, record: &[u8]) -> Outcome<()> {
        let delivery = self.producer.send(ProducerRecord::to(TOPIC).value(record))?;
        match &mut self.waiting {
            Some(waiting) => waiting.push(delivery),
            None => drop(delivery.wait()?),
        }
        Ok(())
    }

    fn close(self: Box<Self>) -> Outcome<()> {
        for delivery in self.waiting.into_iter().flatten() {
            delivery.wait()?;
        }
        self.producer.close()?;
        Ok(self.engine.close()?)
    }
}

pub fn read(directory: &Path, found: &mut Found) -> Outcome<()> {
    for defect in verify(directory, &VerifyOptions::default())?.iter() {
        found.said(format_args!("verify: {defect}"));
    }
    let engine = Engine::open(directory)?;
    for finding in engine.report().iter() {
        found.said(finding);
    }
    let partition = (TOPIC, 0).into();
    let mut consumer = Consumer::<[u8], [u8]>::with_config(&engine, ConsumerConfig::default())?;
    consumer.assign([(TOPIC, 0).into()])?;
    let end = engine.end_offset(&partition)?;
    while consumer.position(&partition)? < end {
        match consumer.poll(Duration::from_secs(10)) {
            Ok(records) => {
                for record in &records {
                    found.record(record.value()?.unwrap_or_default());
                }
            }
            Err(error @ Error::CorruptBatch { last, .. }) => {
                found.said(&error);
                consumer.seek(&partition, Offset(last.0 + 1))?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(engine.close()?)
}
