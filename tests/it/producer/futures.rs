//! Deliveries as futures: what an executor does in its wakers is its own affair.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};

use ottla::{Delivery, Engine, MemoryDisk, Offset, Producer, ProducerRecord};

fn poll(delivery: &mut Delivery, waker: &Waker) -> bool {
    Pin::new(delivery).poll(&mut Context::from_waker(waker)).is_ready()
}

/// A producer whose engine does nothing until somebody waits.
fn producer() -> (Engine, Producer<str, str>) {
    let engine = Engine::builder().open_memory(&MemoryDisk::stepped(1)).unwrap();
    let producer = Producer::new(&engine).unwrap();
    (engine, producer)
}

struct Panics;

impl Wake for Panics {
    fn wake(self: Arc<Self>) {
        panic!("on purpose");
    }
}

// faults: P05
#[test]
fn waker_that_panics_concerns_nobody_else() {
    let (engine, producer) = producer();
    let mut first = producer.send(ProducerRecord::to("orders").value("v")).unwrap();
    let second = producer.send(ProducerRecord::to("orders").value("v")).unwrap();
    assert!(!poll(&mut first, &Arc::new(Panics).into()));
    assert_eq!(second.wait().unwrap().offset(), Some(Offset(1)));
    assert_eq!(first.wait().unwrap().offset(), Some(Offset(0)));
    let third = producer.send(ProducerRecord::to("orders").value("v")).unwrap();
    assert_eq!(third.wait().unwrap().offset(), Some(Offset(2)), "the engine goes on");
    engine.close().unwrap();
}

/// A waker that polls a delivery when it is let go, as a task that owns one may do.
struct PollsAtTheEnd(Mutex<Delivery>);

impl Wake for PollsAtTheEnd {
    fn wake(self: Arc<Self>) {}
}

impl Drop for PollsAtTheEnd {
    fn drop(&mut self) {
        poll(self.0.get_mut().unwrap(), Waker::noop());
    }
}

#[test]
fn waker_may_poll_a_delivery_of_the_same_batch_when_it_is_let_go() {
    let (_engine, producer) = producer();
    let mut first = producer.send(ProducerRecord::to("orders").value("v")).unwrap();
    let second = producer.send(ProducerRecord::to("orders").value("v")).unwrap();
    assert!(!poll(&mut first, &Arc::new(PollsAtTheEnd(Mutex::new(second))).into()));
    assert!(!poll(&mut first, Waker::noop()), "which lets the other waker go");
    assert_eq!(first.wait().unwrap().offset(), Some(Offset(0)));
}
