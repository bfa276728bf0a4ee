//! Closing a producer: everything is written, or given up after a while.

use std::sync::mpsc::channel;
use std::time::Duration;

use ottla::{Engine, Error, MemoryDisk, Offset, Producer, ProducerConfig, ProducerRecord};

const HOUR: Duration = Duration::from_secs(3600);

fn lingering(engine: &Engine) -> Producer<str, str> {
    Producer::with_config(engine, ProducerConfig::builder().linger(HOUR).build().unwrap()).unwrap()
}

fn end(engine: &Engine) -> Offset {
    engine.end_offset(&("orders", 0).into()).unwrap()
}

#[test]
fn close_writes_all_that_was_sent() {
    let engine = Engine::builder().open_memory(&MemoryDisk::stepped(1)).unwrap();
    let producer = lingering(&engine);
    let sent: Vec<_> = (0..100).map(|_| producer.send(ProducerRecord::to("orders").value("v")).unwrap()).collect();
    producer.close().unwrap();
    assert!(sent.iter().all(|delivery| delivery.try_get().unwrap().is_ok()));
    assert_eq!(end(&engine), Offset(100));
}

#[test]
fn close_after_no_time_fails_all_that_is_not_on_its_way() {
    let engine = Engine::builder().open_memory(&MemoryDisk::stepped(1)).unwrap();
    let producer = lingering(&engine);
    let written = producer.send(ProducerRecord::to("orders").value("v")).unwrap().wait().unwrap();
    assert_eq!(written.offset(), Some(Offset(0)));
    let (told, outcomes) = channel();
    let sent = producer.send_with(ProducerRecord::to("orders").value("v"), move |outcome| told.send(outcome).unwrap());
    let sent = sent.unwrap();
    producer.close_timeout(Duration::ZERO).unwrap();
    assert!(matches!(sent.wait(), Err(Error::Closed { what: "producer" })));
    assert!(matches!(outcomes.try_recv(), Ok(Err(Error::Closed { .. }))));
    assert!(matches!(producer.send(ProducerRecord::to("orders").value("v")), Err(Error::Closed { .. })));
    producer.close().unwrap();
    engine.close().unwrap();
    assert_eq!(producer.metrics().get("buffer-available-bytes"), producer.metrics().get("buffer-total-bytes"));
    assert_eq!(producer.metrics().get("record-error-total"), Some(2.0));
}

#[test]
fn close_with_a_timeout_writes_what_it_can_and_gives_up_the_rest() {
    let disk = MemoryDisk::stepped(1);
    let engine = Engine::builder().open_memory(&disk).unwrap();
    let producer = lingering(&engine);
    let fine = producer.send(ProducerRecord::to("orders").value("v")).unwrap();
    producer.flush().unwrap();
    disk.set_capacity(Some(0));
    let stuck = producer.send(ProducerRecord::to("orders").value("v")).unwrap();
    producer.close_timeout(Duration::from_secs(3)).unwrap();
    assert!(fine.try_get().unwrap().is_ok());
    assert!(matches!(stuck.try_get(), Some(Err(Error::Closed { .. }))), "it would have been tried for an hour");
    disk.set_capacity(None);
    assert_eq!(end(&engine), Offset(1));
    engine.close().unwrap();
}

#[test]
fn close_inside_a_callback_waits_for_nothing() {
    let engine = Engine::in_memory().unwrap();
    let producer = lingering(&engine);
    let (told, outcomes) = channel();
    let inside = producer.clone();
    let first = producer.send_with(ProducerRecord::to("orders").value("v"), move |_| {
        let open = inside.send(ProducerRecord::to("orders").value("v")).unwrap();
        let refused = [inside.close(), inside.close_timeout(HOUR)];
        assert!(refused.iter().all(|refused| matches!(refused, Err(Error::IllegalState { .. }))));
        inside.close_timeout(Duration::ZERO).unwrap();
        told.send(open).unwrap();
    });
    first.unwrap().wait().unwrap();
    let open = outcomes.recv().unwrap();
    assert!(matches!(open.wait(), Err(Error::Closed { what: "producer" })));
}

#[test]
fn closed_producer_takes_nothing() {
    let engine = Engine::in_memory().unwrap();
    let producer = lingering(&engine);
    producer.close().unwrap();
    let late = ProducerRecord::to("orders").value("v");
    assert!(matches!(producer.send(late.clone()), Err(Error::Closed { what: "producer" })));
    assert!(matches!(producer.send_all(&[late]), Err(stopped) if stopped.queued == 0));
    producer.flush().unwrap();
}
