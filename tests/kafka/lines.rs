//! Records as lines of text, which both sides of the check write and read.
//!
//! ```text
//! topic TAB partition TAB offset TAB timestamp TAB key TAB value TAB headers
//! ```
//!
//! Bytes are in hexadecimal, `-` is null; headers are `name:value`, with commas between them. `Lines.java` is the same
//! in Java.

use std::collections::BTreeMap;
use std::fmt::Write;

use ottla::Record;

/// Records by topic, partition and offset; each as what stands behind its offset in a line.
pub(crate) type Lines = BTreeMap<(String, u32, i64), String>;

/// What stands behind the offset in a record's line.
pub(crate) fn line<'a>(
    timestamp: i64,
    key: Option<&[u8]>,
    value: Option<&[u8]>,
    headers: impl IntoIterator<Item = (&'a str, Option<&'a [u8]>)>,
) -> String {
    let headers = headers.into_iter().map(|(name, value)| format!("{}:{}", hex(Some(name.as_bytes())), hex(value)));
    let headers: Vec<String> = headers.collect();
    format!("{timestamp}\t{}\t{}\t{}", hex(key), hex(value), headers.join(","))
}

/// The same of a record that was read.
pub(crate) fn line_of(record: &Record<'_>) -> String {
    line(record.timestamp().0, record.key(), record.value(), record.headers().iter())
}

fn hex(bytes: Option<&[u8]>) -> String {
    let Some(bytes) = bytes else { return "-".to_owned() };
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes everything");
        text
    })
}

/// All of them, as a file has them.
pub(crate) fn to_text(lines: &Lines) -> String {
    lines.iter().fold(String::new(), |mut text, ((topic, partition, offset), line)| {
        writeln!(text, "{topic}\t{partition}\t{offset}\t{line}").expect("a string takes everything");
        text
    })
}

/// What [`to_text`] wrote, or the Java program.
pub(crate) fn from_text(text: &str) -> Lines {
    let line = |line: &str| {
        let mut fields = line.splitn(4, '\t').map(str::to_owned);
        let mut field = || fields.next().expect("a line has seven fields");
        let (topic, partition, offset, rest) = (field(), field(), field(), field());
        ((topic, partition.parse().expect("a partition"), offset.parse().expect("an offset")), rest)
    };
    text.lines().map(line).collect()
}
