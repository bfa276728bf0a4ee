//! Decoding never panics whatever the bytes are, and what decodes survives a round trip.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ottla::Batch;

fuzz_target!(|bytes: &[u8]| {
    let Ok(batch) = Batch::decode(bytes) else { return };
    for record in batch.records() {
        let Ok(record) = record else { break };
        let lens = record.headers().map(|(name, value)| name.len() + value.map_or(0, <[u8]>::len));
        let _ = (record.offset(), record.timestamp(), record.key(), record.value(), lens.sum::<usize>());
    }
    let again = Batch::decode(&batch.encode()).expect("what was encoded decodes");
    assert_eq!(again, batch);
});
