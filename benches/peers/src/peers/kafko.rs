use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use kafko::{Kafko, Partition, Producer, Topic};
use tokio::runtime::Runtime;

use super::Log;
use crate::Outcome;
use crate::steps::Found;

const TOPIC: &str = "t";

struct Opened {
    runtime: Runtime,
    kafko: Kafko,
    topic: Arc<Topic>,
}

impl Opened {
    fn open(directory: &Path) -> Outcome<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let kafko = runtime.block_on(Kafko::open(directory))?;
        if !runtime.block_on(kafko.has_topic(TOPIC)) {
            runtime.block_on(kafko.create_topic(TOPIC))?;
        }
        let topic = runtime.block_on(kafko.topic(TOPIC)).ok_or("the topic is not there")?;
        Ok(Self { runtime, kafko, topic })
    }

    fn partition(&self) -> Outcome<&Partition> {
        Ok(self.topic.partition(0).ok_or("the partition is not there")?)
    }
}

struct Appending {
    opened: Opened,
    producer: Producer,
}

pub fn open(directory: &Path) -> Outcome<Box<dyn Log>> {
    let opened = Opened::open(directory)?;
    let producer = opened.runtime.block_on(opened.kafko.producer_for(TOPIC))?;
    Ok(Box::new(Appending { opened, producer }))
}

impl Log for Appending {
    fn append(&mut self, record: &[u8]) -> Outcome<()> {
        let partition = self.opened.partition()?;
        self.opened.runtime.block_on(async {
            self.producer.send(None, Bytes::copy_from_slice(record)).await?;
            Ok(partition.sync().await?)
        })
    }

    fn close(self: Box<Self>) -> Outcome<()> {
        let Self { opened: Opened { runtime, kafko, topic }, producer } = *self;
        drop((topic, producer));
        Ok(runtime.block_on(kafko.shutdown())?)
    }
}

/// By offset: its consumer would wait for ever for what is not there.
pub fn read(directory: &Path, found: &mut Found) -> Outcome<()> {
    let opened = Opened::open(directory)?;
    let partition = opened.partition()?;
    let mut unreadable = None;
    for offset in 0..partition.high_water_mark() {
        match opened.runtime.block_on(partition.read_record_at(offset)) {
            Ok(Some(record)) => found.record(record.value()),
            Ok(None) => {}
            Err(error) => {
                let _ = unreadable.get_or_insert(format!("offset {offset} and perhaps others: {error}"));
            }
        }
    }
    unreadable.into_iter().for_each(|what| found.said(what));
    Ok(())
}
