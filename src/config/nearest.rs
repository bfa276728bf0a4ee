//! Which name somebody may have meant.

/// The one of `names` that is nearest to `name`, if one is near: what differs is at most a third of it, or two letters.
pub(super) fn nearest<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let plain = plain(name);
    let near = names.filter_map(|other| {
        let distance = distance(&plain, other.as_bytes());
        (distance <= 2.max(plain.len().max(other.len()) / 3)).then_some((distance, other))
    });
    near.min_by_key(|(distance, _)| *distance).map(|(_, other)| other)
}

/// As Kafka writes names: small letters, dots between the words. Long ones are nobody's.
fn plain(name: &str) -> Vec<u8> {
    name.bytes()
        .take(100)
        .map(|byte| if matches!(byte, b'_' | b'-') { b'.' } else { byte.to_ascii_lowercase() })
        .collect()
}

/// How many letters have to be put in, taken out or replaced (Levenshtein).
fn distance(left: &[u8], right: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (at, letter) in left.iter().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], at + 1);
        for (column, other) in right.iter().enumerate() {
            let replaced = diagonal + usize::from(letter != other);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_counts_letters() {
        for (left, right, expected) in [("", "", 0), ("a", "", 1), ("kitten", "sitting", 3), ("ms", "sm", 2)] {
            assert_eq!(distance(left.as_bytes(), right.as_bytes()), expected, "{left} {right}");
            assert_eq!(distance(right.as_bytes(), left.as_bytes()), expected, "{right} {left}");
        }
    }

    #[test]
    fn nearest_is_what_was_meant_or_nothing() {
        let names = ["batch.size", "linger.ms", "acks", "segment.bytes", "segment.ms"];
        for (name, expected) in [
            ("linger", Some("linger.ms")),
            ("LINGER_MS", Some("linger.ms")),
            ("lingerMs", Some("linger.ms")),
            ("batch.sizes", Some("batch.size")),
            ("segment.byte", Some("segment.bytes")),
            ("ack", Some("acks")),
            ("retention.ms.and.bytes", None),
            ("", None),
        ] {
            assert_eq!(nearest(name, names.into_iter()), expected, "{name}");
        }
        assert_eq!(nearest(&"x".repeat(1 << 20), names.into_iter()), None);
    }
}
