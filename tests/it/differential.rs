//! Random batches, against another crate's opinion of them; `fuzz/fuzz_targets/differential.rs` does the same.

#[path = "../../fuzz/fuzz_targets/common/differential.rs"]
mod compared;

use crate::chance::Chance;

/// What `ottla::fuzzing::build` takes: a codec and records, mostly well-formed.
fn input(chance: &mut Chance) -> Vec<u8> {
    let mut input = vec![chance.byte()];
    for _ in 0..=chance.below(12) {
        let timestamp = match chance.below(4) {
            0 => chance.next() >> 1,
            1 => u64::MAX, // none
            _ => 1_700_000_000_000 + chance.below(100_000),
        };
        input.extend(timestamp.to_be_bytes());
        push_part(&mut input, chance, 100);
        push_part(&mut input, chance, 200);
        let headers = chance.below(4);
        input.push(u8::try_from(headers).unwrap());
        for _ in 0..headers {
            let len = chance.index(6);
            input.push(u8::try_from(len).unwrap());
            input.extend((0..len).map(|_| b'a' + chance.byte() % 26));
            push_part(&mut input, chance, 30);
        }
    }
    input
}

/// Null, or some bytes that repeat themselves more or less.
fn push_part(input: &mut Vec<u8>, chance: &mut Chance, most: usize) {
    if chance.below(5) == 0 {
        return input.push(255);
    }
    let (len, letters) = (chance.index(most), 1 + chance.byte() % 50);
    input.push(u8::try_from(len).unwrap());
    input.extend((0..len).map(|_| chance.byte() % letters));
}

fn run(batches: u64) {
    let mut chance = Chance::new(2026);
    for _ in 0..batches {
        let input = input(&mut chance);
        compared::written(&input);
        if let Some((_, mut bytes)) = ottla::fuzzing::build(&input) {
            for _ in 0..chance.below(3) {
                let at = chance.index(bytes.len());
                bytes[at] = chance.byte();
            }
            compared::read(bytes);
        }
    }
}

#[test]
fn another_reader_agrees_on_random_batches() {
    run(3_000);
}

#[test]
#[ignore = "takes five seconds more: cargo test --all-features --test it differential:: -- --ignored"]
fn another_reader_agrees_on_a_hundred_thousand_batches() {
    run(100_000);
}
