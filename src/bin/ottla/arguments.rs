//! What can be written on the command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::format::Format;

/// Durable topics in a directory: Kafka's log without a broker.
///
/// A topic has one or more partitions; a partition is a log of records, numbered by offset. Producing appends to it,
/// consuming reads it as often as one likes, and a consumer group remembers how far it has read.
#[derive(Debug, Parser)]
#[command(name = "ottla", version, max_term_width = 100, after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    /// The directory that holds the topics; `produce` and `topic create` make it
    #[arg(short = 'd', long = "directory", value_name = "DIR", global = true)]
    pub(crate) directory: Option<PathBuf>,
    /// Print JSON, an object a line, in place of text
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const AFTER_HELP: &str = "\
Try it:
  ottla demo                              see records survive SIGKILL
  seq 5 | ottla -d data produce numbers   store five records in data/
  ottla -d data consume numbers           print them

One process at a time has a directory open.
Exit status: 0 done, 1 findings (said on standard error), 2 error.";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create, list, describe and delete topics
    #[command(subcommand)]
    Topic(TopicCommand),
    /// Store lines in a topic, a record a line
    ///
    /// A topic that does not exist is created.
    ///
    /// With --json it prints for each record, in the order of the lines and as soon as it is stored,
    /// {"topic","partition","offset","timestamp"}, or {"topic","partition","error"} if it was not.
    #[command(verbatim_doc_comment)]
    Produce(Produce),
    /// Print the records of topics, and remember for a group what was printed
    ///
    /// It ends where the log ended when it started, unless --follow is given.
    ///
    /// With --json it prints for each record
    /// {"topic","partition","offset","timestamp","key","value","headers":[[name,value],...]}.
    /// Keys and values are null, a string, or {"base64":"..."} where they are not UTF-8.
    #[command(verbatim_doc_comment)]
    Consume(Consume),
    /// List consumer groups, and describe how far they have read
    #[command(subcommand)]
    Group(GroupCommand),
    /// Check every file, and change nothing
    ///
    /// Reads every batch and its records, indexes, journals and checkpoints, and holds them against each other. No lock
    /// is taken: it may run while another process has the directory open.
    ///
    /// It prints one line for each finding, `file: position: offsets: kind: what`, with - where there is none, and a
    /// summary. The kinds:
    ///   damage      what was once on the disk is not there any more
    ///   torn        a crash cut short what was not yet durable; the next opening cuts it off
    ///   cache       an index or snapshot does not fit; it is made again
    ///   name        a name that does not belong there
    ///   not-read    a format or codec that this program does not read
    ///   unreadable  the operating system refused
    ///
    /// With --json it prints {"file","position","first_offset","last_offset","kind","detail"} for each, and
    /// {"findings","partitions","segments","batches","records","bytes"} in the end.
    ///
    /// Exit status: 0 nothing found, 1 findings, 2 something could not be read.
    #[command(verbatim_doc_comment)]
    Verify {
        /// A directory of topics, a Kafka log.dir, the directory of a partition, or a segment
        /// [default: that of -d]
        path: Option<PathBuf>,
    },
    /// See it work: produce and consume under SIGKILL, then compare
    ///
    /// It runs this program as producer and as consumer, kills each with SIGKILL in the middle of its work, lets the
    /// next one go on, and holds what came out against what went in.
    Demo(Demo),
}

impl Command {
    /// Whether it makes the directory if there is none.
    pub(crate) fn creates(&self) -> bool {
        matches!(self, Self::Produce(_) | Self::Topic(TopicCommand::Create { .. }))
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum TopicCommand {
    /// Create a topic
    Create {
        /// What to call it: ASCII letters, digits, '.', '_' and '-'
        name: String,
        /// How many partitions it has [default: 1]
        #[arg(long, value_name = "N")]
        partitions: Option<u32>,
        /// A setting of the topic by Kafka's name, such as segment.bytes=1048576; may be repeated
        #[arg(long = "config", value_name = "K=V", value_parser = pair)]
        settings: Vec<(String, String)>,
    },
    /// List the topics, a name a line
    List,
    /// Show a topic's settings, and for each partition its offsets and size
    Describe {
        /// The topic
        name: String,
    },
    /// Delete a topic, its records and what groups have committed of it
    Delete {
        /// The topic
        name: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Produce {
    /// The topic; it is created if there is none
    pub(crate) topic: String,
    /// The file to read [default: standard input]
    pub(crate) file: Option<PathBuf>,
    /// What stands between key and value, at its first place in a line; a line without it has no key
    #[arg(long, value_name = "S")]
    pub(crate) key_separator: Option<String>,
    /// A header that every record gets; may be repeated
    #[arg(long = "header", value_name = "K=V", value_parser = pair)]
    pub(crate) headers: Vec<(String, String)>,
    /// The partition to store in [default: the one that the key decides; without key, any]
    #[arg(long, value_name = "N")]
    pub(crate) partition: Option<u32>,
    /// When a record counts as stored
    #[arg(long, value_enum, value_name = "WHEN", default_value_t = AcksArgument::All)]
    pub(crate) acks: AcksArgument,
    /// How many milliseconds a batch may wait for more records
    #[arg(long, value_name = "MS", default_value_t = 5)]
    pub(crate) linger: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum AcksArgument {
    /// At once: it may get lost, and has no offset
    #[value(name = "0")]
    Zero,
    /// When it is in the file: it survives kill -9
    #[value(name = "1")]
    One,
    /// When it is on the disk: it survives a power cut
    #[value(name = "all")]
    All,
}

#[derive(Debug, Args)]
pub(crate) struct Consume {
    /// The topics to read, all their partitions
    #[arg(required = true, value_name = "TOPIC")]
    pub(crate) topics: Vec<String>,
    /// Go on where this group has stopped reading, and remember what was printed
    #[arg(long, value_name = "G")]
    pub(crate) group: Option<String>,
    /// Where to begin: beginning, end, an offset, or @TIME, which is RFC 3339 or milliseconds since 1970
    /// [default: where the group has stopped, else the beginning]
    #[arg(long, value_name = "WHERE", value_parser = From::parse, allow_hyphen_values = true)]
    pub(crate) from: Option<From>,
    /// Only this partition
    #[arg(long, value_name = "N")]
    pub(crate) partition: Option<u32>,
    /// End after so many records of all partitions together
    #[arg(long, value_name = "N")]
    pub(crate) max_records: Option<u64>,
    /// Wait for more records at the end of the log, and never end by itself
    #[arg(long)]
    pub(crate) follow: bool,
    /// What to do where stored records are damaged
    #[arg(long, value_enum, value_name = "WHAT", default_value_t = OnCorrupt::Stop)]
    pub(crate) on_corrupt: OnCorrupt,
    /// How to print a record: text with {topic} {partition} {offset} {timestamp} {key} {value} {headers}, and \t, \n.
    /// A newline follows. No key, or no value, is printed as null
    #[arg(long, value_name = "F", default_value = "{value}", value_parser = Format::parse)]
    pub(crate) format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnCorrupt {
    /// Print what lies before it, and end with status 2
    Stop,
    /// Say so on standard error, go on behind it, and end with status 1
    Skip,
}

/// Where consuming begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum From {
    Beginning,
    End,
    Offset(i64),
    /// Milliseconds since 1970.
    Time(i64),
}

impl From {
    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "beginning" => Ok(Self::Beginning),
            "end" => Ok(Self::End),
            _ => match text.strip_prefix('@') {
                Some(time) => parse_time(time).map(Self::Time),
                None => match text.parse() {
                    Ok(offset) if offset >= 0 => Ok(Self::Offset(offset)),
                    _ => Err("it is none of: beginning, end, an offset, @ and a time".to_owned()),
                },
            },
        }
    }
}

/// RFC 3339, or milliseconds; the first millisecond that is not before the time.
fn parse_time(text: &str) -> Result<i64, String> {
    if let Ok(millis) = text.parse::<i64>() {
        return if millis >= 0 { Ok(millis) } else { Err("it lies before 1970".to_owned()) };
    }
    let expected = "a time is RFC 3339, such as @2026-11-26T08:00:00Z, or milliseconds since 1970";
    let time: jiff::Timestamp = text.parse().map_err(|error| format!("{expected} ({error})"))?;
    let nanos = time.as_nanosecond();
    i64::try_from(nanos.div_euclid(1_000_000) + i128::from(nanos.rem_euclid(1_000_000) > 0))
        .map_err(|error| error.to_string())
}

#[derive(Debug, Subcommand)]
pub(crate) enum GroupCommand {
    /// List the groups that have committed something, a name a line
    List,
    /// Show how far a group has read: the offset it goes on at, by partition, and its lag behind the end
    Describe {
        /// The group
        group: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// The lines to work on [default: a stream of orders that it makes]
    pub(crate) file: Option<PathBuf>,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or_else(|| "it has no '='".to_owned())?;
    Ok((name.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_to_the_millisecond() {
        const T: i64 = 1_700_000_000_000;
        for (text, millis) in [
            ("2023-11-14T22:13:20Z", T),
            ("2023-11-14T23:13:20+01:00", T),
            ("2023-11-14T22:13:20.001Z", T + 1),
            ("2023-11-14T22:13:20.0005Z", T + 1), // a record of T is before that
            ("1700000000000", T),
            ("1700000000", 1_700_000_000), // a moment in January 1970
        ] {
            assert_eq!(From::parse(&format!("@{text}")), Ok(From::Time(millis)), "{text}");
        }
        for text in ["@yesterday", "@", "@-1", "", "-1", "1.5"] {
            assert!(From::parse(text).is_err(), "{text}");
        }
    }
}
