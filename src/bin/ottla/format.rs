//! What `--format` means.

use ottla::{ConsumerRecord, Headers, Offset, Record, Timestamp, TopicPartition};
use serde_json::{Value, json};

use crate::json::json_bytes;
use crate::output::{Failure, Output};

/// What a record has to show.
pub(crate) struct Line<'a> {
    partition: &'a TopicPartition,
    offset: Offset,
    timestamp: Timestamp,
    key: Option<&'a [u8]>,
    value: Option<&'a [u8]>,
    headers: Headers<'a>,
}

impl<'a> Line<'a> {
    pub(crate) fn of(partition: &'a TopicPartition, record: &Record<'a>) -> Self {
        let (offset, timestamp) = (record.offset(), record.timestamp());
        Self { partition, offset, timestamp, key: record.key(), value: record.value(), headers: record.headers() }
    }

    pub(crate) fn consumed(record: &ConsumerRecord<'a, [u8], [u8]>) -> Self {
        Self {
            partition: record.topic_partition(),
            offset: record.offset(),
            timestamp: record.timestamp(),
            key: record.key_bytes(),
            value: record.value_bytes(),
            headers: record.headers(),
        }
    }

    /// Prints it as text or as JSON.
    pub(crate) fn print(&self, format: &Format, output: &mut Output) -> Result<(), Failure> {
        if !output.is_json {
            return format.print(self, output);
        }
        let headers: Vec<Value> = self.headers.iter().map(|(name, value)| json!([name, json_bytes(value)])).collect();
        output.line(json!({
            "topic": self.partition.topic(),
            "partition": self.partition.partition(),
            "offset": self.offset.0,
            "timestamp": self.timestamp.0,
            "key": json_bytes(self.key),
            "value": json_bytes(self.value),
            "headers": headers,
        }))
    }
}

/// What is printed of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Format {
    parts: Vec<Part>,
}

const NAMES: &str = "{topic}, {partition}, {offset}, {timestamp}, {time}, {key}, {value} and {headers}";

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Topic,
    Partition,
    Offset,
    Timestamp,
    /// The same, as RFC 3339.
    Time,
    Key,
    Value,
    Headers,
}

impl Format {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(open) = rest.find('{') {
            let (before, behind) = rest.split_at(open);
            parts.push(Part::Text(unescape(before)));
            let Some((name, behind)) = behind[1..].split_once('}') else {
                return Err("a '{' has no '}'".to_owned());
            };
            parts.push(match name {
                "topic" => Part::Topic,
                "partition" => Part::Partition,
                "offset" => Part::Offset,
                "timestamp" => Part::Timestamp,
                "time" => Part::Time,
                "key" => Part::Key,
                "value" => Part::Value,
                "headers" => Part::Headers,
                _ => return Err(format!("there is no {{{name}}}, but {NAMES}")),
            });
            rest = behind;
        }
        parts.push(Part::Text(unescape(rest)));
        Ok(Self { parts })
    }

    fn print(&self, record: &Line<'_>, output: &mut Output) -> Result<(), Failure> {
        for part in &self.parts {
            match part {
                Part::Text(text) => output.bytes(text.as_bytes())?,
                Part::Topic => output.bytes(record.partition.topic().as_bytes())?,
                Part::Partition => output.bytes(record.partition.partition().to_string().as_bytes())?,
                Part::Offset => output.bytes(record.offset.to_string().as_bytes())?,
                Part::Timestamp => output.bytes(record.timestamp.to_string().as_bytes())?,
                Part::Time => output.bytes(time(record.timestamp).as_bytes())?,
                Part::Key => output.bytes(record.key.unwrap_or(b"null"))?,
                Part::Value => output.bytes(record.value.unwrap_or(b"null"))?,
                Part::Headers => {
                    for (index, (name, value)) in record.headers.iter().enumerate() {
                        output.bytes(if index == 0 { b"" } else { b"," })?;
                        output.bytes(name.as_bytes())?;
                        output.bytes(b"=")?;
                        output.bytes(value.unwrap_or(b"null"))?;
                    }
                }
            }
        }
        output.bytes(b"\n")
    }
}

/// RFC 3339; a number where there is no such date, and `-` for no time.
pub(crate) fn time(at: Timestamp) -> String {
    if !at.is_some() {
        return "-".to_owned();
    }
    jiff::Timestamp::from_millisecond(at.0).map_or_else(|_| at.0.to_string(), |time| time.to_string())
}

/// With tabs and newlines for what stands for them on a command line.
pub(crate) fn unescape(text: &str) -> String {
    text.replace("\\t", "\t").replace("\\n", "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_is_text_and_names_in_braces_and_no_time_is_a_dash() {
        let format = Format::parse("{partition}\\t{offset}: {value}").unwrap();
        let text = |text: &str| Part::Text(text.to_owned());
        let expected = [text(""), Part::Partition, text("\t"), Part::Offset, text(": "), Part::Value, text("")];
        assert_eq!(format.parts, expected);
        assert_eq!((time(Timestamp(0)).as_str(), time(Timestamp::NONE).as_str()), ("1970-01-01T00:00:00Z", "-"));
        assert!(Format::parse("{size}").is_err());
        assert!(Format::parse("{value").is_err());
    }
}
