//! Clocks that are wrong, and clocks that jump.

use std::time::Duration;

use ottla::{Consumer, Engine, MemoryDisk, Producer, ProducerConfig, ProducerRecord, Timestamp, TopicConfig};

use super::{read, send, t};

/// A time of day, in milliseconds since 1970.
const MOMENTS: [(&str, i64); 6] = [
    ("1970", 0),
    ("2001, when seconds get a tenth digit", 1_000_000_000_000),
    ("2038, the last second of 31 bits", 2_147_483_647_000),
    ("2038, the second after it", 2_147_483_648_000),
    ("2106, the last second of 32 bits", 4_294_967_295_000),
    ("2106, the second after it", 4_294_967_296_000),
];

/// Sets the clock of `disk` to `moment`, from whatever it shows.
fn set_clock(disk: &MemoryDisk, moment: i64) {
    let now = now(disk);
    let by = Duration::from_millis(moment.abs_diff(now));
    if moment > now { disk.set_clock_forward(by) } else { disk.set_clock_back(by) }
}

/// The time that a record gets.
fn now(disk: &MemoryDisk) -> i64 {
    let engine = Engine::builder().open_memory(disk).unwrap();
    let sent = Producer::<str, str>::new(&engine).unwrap().send(ProducerRecord::to("clock").value("x")).unwrap();
    let now = sent.wait().unwrap().timestamp().0;
    engine.close().unwrap();
    now
}

// faults: Z01
#[test]
fn whatever_year_it_is_records_are_kept_found_by_time_and_recovered() {
    for (what, moment) in MOMENTS {
        let disk = MemoryDisk::simulated(7);
        set_clock(&disk, moment);
        let engine = Engine::builder().open_memory(&disk).unwrap();
        send(&engine, "a").unwrap();
        send(&engine, "b").unwrap();
        disk.power_cut();
        drop(engine);
        let engine = Engine::builder().open_memory(&disk).unwrap();
        send(&engine, "c").unwrap();
        assert_eq!(read(&engine).unwrap(), ["a", "b", "c"], "{what}");
        let consumer = Consumer::<str, str>::new(&engine, "billing").unwrap();
        let find = |time: i64| {
            let found = consumer.offsets_for_times([(t(), Timestamp(time))]).unwrap();
            found.into_iter().find_map(|(_, found)| found).map(|found| found.offset.0)
        };
        assert_eq!(find(moment), Some(0), "{what}");
        assert_eq!(find(moment + 3_600_000), None, "{what}");
        engine.close().unwrap();
    }
}

// faults: Z02
#[test]
fn clock_that_jumps_loses_no_record_and_keeps_their_order() {
    let disk = MemoryDisk::simulated(7);
    let defaults = TopicConfig::builder().segment_ms(Duration::from_secs(60)).build().unwrap();
    let engine = Engine::builder().topic_defaults(defaults).open_memory(&disk).unwrap();
    let mut sent = Vec::new();
    for number in 0..40u64 {
        let jump = Duration::from_secs(1 + number * number * 7);
        if number % 2 == 0 {
            disk.set_clock_forward(jump)
        } else {
            disk.set_clock_back(jump)
        }
        sent.push(number.to_string());
        send(&engine, &sent[sent.len() - 1]).unwrap();
    }
    assert_eq!(read(&engine).unwrap(), sent);
    disk.kill();
    drop(engine);
    let engine = Engine::builder().open_memory(&disk).unwrap();
    assert_eq!(read(&engine).unwrap(), sent);
    engine.close().unwrap();
}

// faults: Z02
#[test]
fn linger_and_timeouts_do_not_follow_the_time_of_day() {
    let disk = MemoryDisk::simulated(7);
    let engine = Engine::builder().open_memory(&disk).unwrap();
    let config = ProducerConfig::builder().linger(Duration::from_millis(50)).build().unwrap();
    let producer = Producer::<str, str>::with_config(&engine, config).unwrap();
    let first = producer.send(ProducerRecord::to("t").value("a")).unwrap();
    disk.set_clock_back(Duration::from_secs(1 << 30));
    first.wait().unwrap();
    let second = producer.send(ProducerRecord::to("t").value("b")).unwrap();
    disk.set_clock_forward(Duration::from_secs(1 << 31)); // far beyond any timeout of a delivery
    second.wait().unwrap();
    assert_eq!(read(&engine).unwrap(), ["a", "b"]);
    engine.close().unwrap();
}
