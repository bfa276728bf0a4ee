//! What can be written on the command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Kafka's log in your process: topics in a directory, without a broker.
#[derive(Debug, Parser)]
#[command(name = "ottla", version, max_term_width = 100)]
#[command(after_help = "Exit status: 0 done, 1 findings (said on standard error), 2 error.")]
pub(crate) struct Arguments {
    /// The directory that holds the topics
    #[arg(short = 'd', long = "directory", value_name = "DIR", global = true)]
    pub(crate) directory: Option<PathBuf>,
    /// Print JSON lines in place of text
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create, list, describe and delete topics
    #[command(subcommand)]
    Topic(TopicCommand),
    /// Send lines to a topic, a record a line; a missing topic is created
    Produce(Produce),
    /// Print the records of topics
    Consume(Consume),
    /// List and describe consumer groups
    #[command(subcommand)]
    Group(GroupCommand),
    /// See it work: produce, die by SIGKILL, recover, consume with a group, die again, resume, check
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
        name: String,
        /// How many partitions it has [default: the engine's num.partitions]
        #[arg(long, value_name = "N")]
        partitions: Option<u32>,
        /// A setting by Kafka's name, such as segment.bytes=1048576
        #[arg(long = "config", value_name = "K=V", value_parser = pair)]
        settings: Vec<(String, String)>,
    },
    /// List the topics, a name a line
    List,
    /// Show a topic's settings and partitions
    Describe { name: String },
    /// Delete a topic, its records and what groups have committed of it
    Delete { name: String },
}

#[derive(Debug, Args)]
pub(crate) struct Produce {
    pub(crate) topic: String,
    /// The file to read [default: standard input]
    pub(crate) file: Option<PathBuf>,
    /// What stands between key and value; a line without it has no key
    #[arg(long, value_name = "S")]
    pub(crate) key_separator: Option<String>,
    /// A header for every record
    #[arg(long = "header", value_name = "K=V", value_parser = pair)]
    pub(crate) headers: Vec<(String, String)>,
    /// Send to this partition, whatever the key
    #[arg(long, value_name = "N")]
    pub(crate) partition: Option<u32>,
    /// When a record counts as sent
    #[arg(long, value_enum, default_value_t = AcksArgument::All)]
    pub(crate) acks: AcksArgument,
    /// How long a batch waits for more records
    #[arg(long, value_name = "MS", default_value_t = 5)]
    pub(crate) linger: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum AcksArgument {
    /// At once
    #[value(name = "0")]
    Zero,
    /// When it is in the file: survives kill -9
    #[value(name = "1")]
    One,
    /// When it is on the disk: survives a power cut
    #[value(name = "all")]
    All,
}

#[derive(Debug, Args)]
pub(crate) struct Consume {
    #[arg(required = true, value_name = "TOPIC")]
    pub(crate) topics: Vec<String>,
    /// Go on where this group has committed, and commit what was printed
    #[arg(long, value_name = "G")]
    pub(crate) group: Option<String>,
    /// Where to begin: beginning, end, an offset, or @ and a time, RFC 3339 or milliseconds since 1970
    /// [default: what the group has committed, else the beginning]
    #[arg(long, value_name = "WHERE", value_parser = From::parse, allow_hyphen_values = true)]
    pub(crate) from: Option<From>,
    /// Only this partition
    #[arg(long, value_name = "N")]
    pub(crate) partition: Option<u32>,
    /// End after so many records
    #[arg(long, value_name = "N")]
    pub(crate) max_records: Option<u64>,
    /// Wait for more at the end, in place of ending at what was there at the start
    #[arg(long)]
    pub(crate) follow: bool,
    /// What to do where stored records are damaged
    #[arg(long, value_enum, default_value_t = OnCorrupt::Stop)]
    pub(crate) on_corrupt: OnCorrupt,
    /// What to print of a record, with {topic} {partition} {offset} {timestamp} {key} {value} {headers}, \t and \n
    /// [default: {value}]; a newline follows, null is printed as null
    #[arg(long, value_name = "F")]
    pub(crate) format: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnCorrupt {
    /// Print what lies before, and end with status 2
    Stop,
    /// Say so, go on behind it, and end with status 1
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
                    _ => Err(format!("{text:?} is neither beginning, end, an offset, nor @ and a time")),
                },
            },
        }
    }
}

/// RFC 3339, or milliseconds; the first millisecond that is not before the time.
fn parse_time(text: &str) -> Result<i64, String> {
    if let Ok(millis) = text.parse::<i64>() {
        return if millis >= 0 { Ok(millis) } else { Err(format!("{text:?} lies before 1970")) };
    }
    let time: jiff::Timestamp = text.parse().map_err(|error| format!("{text:?} is no time: {error}"))?;
    let nanos = time.as_nanosecond();
    i64::try_from(nanos.div_euclid(1_000_000) + i128::from(nanos.rem_euclid(1_000_000) > 0))
        .map_err(|error| error.to_string())
}

#[derive(Debug, Subcommand)]
pub(crate) enum GroupCommand {
    /// List the groups that have committed something, a name a line
    List,
    /// Show what a group has committed, and how far behind it is
    Describe { group: String },
}

#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// The lines to work on [default: a stream of orders that it makes]
    pub(crate) file: Option<PathBuf>,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or_else(|| format!("{text:?} has no '='"))?;
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
            assert!(From::parse(text).unwrap_err().contains(text.trim_start_matches('@')), "{text}");
        }
    }
}
