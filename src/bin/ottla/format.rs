//! What `--format` means.

use ottla::ConsumerRecord;

use crate::output::{Failure, Output};

/// What is printed of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Format {
    parts: Vec<Part>,
}

const NAMES: &str = "{topic}, {partition}, {offset}, {timestamp}, {key}, {value} and {headers}";

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Topic,
    Partition,
    Offset,
    Timestamp,
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

    pub(crate) fn print(&self, record: &ConsumerRecord<'_, [u8], [u8]>, output: &mut Output) -> Result<(), Failure> {
        for part in &self.parts {
            match part {
                Part::Text(text) => output.bytes(text.as_bytes())?,
                Part::Topic => output.bytes(record.topic().as_bytes())?,
                Part::Partition => output.bytes(record.partition().to_string().as_bytes())?,
                Part::Offset => output.bytes(record.offset().to_string().as_bytes())?,
                Part::Timestamp => output.bytes(record.timestamp().to_string().as_bytes())?,
                Part::Key => output.bytes(record.key_bytes().unwrap_or(b"null"))?,
                Part::Value => output.bytes(record.value_bytes().unwrap_or(b"null"))?,
                Part::Headers => {
                    for (index, (name, value)) in record.headers().iter().enumerate() {
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

/// With tabs and newlines for what stands for them on a command line.
pub(crate) fn unescape(text: &str) -> String {
    text.replace("\\t", "\t").replace("\\n", "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_is_text_and_names_in_braces() {
        let format = Format::parse("{partition}\\t{offset}: {value}").unwrap();
        let text = |text: &str| Part::Text(text.to_owned());
        let expected = [text(""), Part::Partition, text("\t"), Part::Offset, text(": "), Part::Value, text("")];
        assert_eq!(format.parts, expected);
        assert!(Format::parse("{size}").is_err());
        assert!(Format::parse("{value").is_err());
    }
}
