//! Counts allocations: a record costs none on its way down and up, only a batch does.
//!
//! A binary of its own, since it counts what every thread of the process allocates.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ottla::{Acks, Consumer, ConsumerConfig, Engine, MemoryDisk, Offset, Producer, ProducerConfig, ProducerRecord};

struct Counting;

static COUNT: AtomicU64 = AtomicU64::new(0);

#[expect(unsafe_code, reason = "an allocator is unsafe by nature; this one hands everything on")]
// SAFETY: every call goes to the system's allocator with the same arguments.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps the allocator's contract, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the pointer came from `alloc` above, so from the system's allocator.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const RECORDS: u64 = 20_000;
const VALUE_BYTES: u64 = 100;
const BATCH_BYTES: u64 = 16_384;
/// What a batch may cost: its outcome and where that is listed, one round of the writer's if it has a round alone.
const ALLOCATIONS_A_BATCH: u64 = 40;

fn allocations(work: impl FnOnce()) -> u64 {
    let before = COUNT.load(Ordering::Relaxed);
    work();
    COUNT.load(Ordering::Relaxed) - before
}

/// Checks that nine times as many records more cost nothing but for their batches.
fn assert_free(what: &str, mut work: impl FnMut(u64)) {
    work(RECORDS); // buffers and lists get their size
    let few = allocations(|| work(RECORDS));
    let many = allocations(|| work(10 * RECORDS));
    let batches = 9 * RECORDS * VALUE_BYTES / BATCH_BYTES;
    let more = many.saturating_sub(few);
    assert!(more < batches * ALLOCATIONS_A_BATCH, "{what}: {more} allocations for {batches} batches");
}

#[test]
fn records_allocate_nothing_down_and_up() {
    // Without threads, so that how many rounds there are does not depend on the machine.
    let disk = MemoryDisk::stepped(1);
    let engine = Engine::builder().open_memory(&disk).unwrap();
    let config = ProducerConfig::builder().acks(Acks::One).build().unwrap();
    let producer = Producer::<str, [u8]>::with_config(&engine, config).unwrap();
    let value = vec![b'v'; usize::try_from(VALUE_BYTES).unwrap()];
    assert_free("send", |count| {
        for _ in 0..count {
            drop(producer.send(ProducerRecord::to("t").key("k").value(&value)).unwrap());
        }
        producer.flush().unwrap();
    });

    let mut consumer = Consumer::<str, [u8]>::with_config(&engine, ConsumerConfig::default()).unwrap();
    consumer.assign([("t", 0).into()]).unwrap();
    assert_free("poll", |count| {
        consumer.seek(&("t", 0).into(), Offset(0)).unwrap();
        let mut read = 0;
        while read < count {
            for record in &consumer.poll(Duration::from_secs(1)).unwrap() {
                read += u64::from(record.key().unwrap() == Some("k") && record.value().unwrap().is_some());
            }
        }
    });
}
