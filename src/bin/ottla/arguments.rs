//! What can be written on the command line.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use ottla::{Compression, GroupReset, Offset, Timestamp};
use regex::bytes::Regex;

use crate::dump::Dump;
use crate::format::{Format, unescape};
use crate::help;
use crate::replay::{Speed, pattern};

/// Durable topics in a directory: Kafka's log without a broker.
///
/// A topic has one or more partitions; a partition is a log of records, numbered by offset. Producing appends to it,
/// consuming reads it as often as one likes, and a consumer group remembers how far it has read.
#[derive(Debug, Parser)]
#[command(name = "ottla", version, max_term_width = 100, after_help = help::OTTLA, after_long_help = help::OTTLA_LONG)]
pub(crate) struct Arguments {
    /// The directory that holds the topics; `produce`, `topic create` and `import` make it
    #[arg(short = 'd', long = "directory", value_name = "DIR", global = true)]
    pub(crate) directory: Option<PathBuf>,
    /// Print JSON, an object a line, in place of text
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Say on standard error what the library logs: -v what happens, -vv also what it does
    #[arg(short = 'v', long, global = true, action = ArgAction::Count)]
    pub(crate) verbose: u8,
    #[command(subcommand)]
    pub(crate) command: Command,
}

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
    ///
    /// With --input json a line is a record as `consume --json` prints it. Of its fields key, value and headers are
    /// stored, and the timestamp if there is one; topic, partition and offset say where it was and are passed over.
    /// A line that is no such record is named, and the others are stored: the exit status is 2.
    #[command(verbatim_doc_comment, after_help = help::PRODUCE)]
    Produce(Produce),
    /// Print the records of topics, and remember for a group what was printed
    ///
    /// It ends where the log ended when it started, unless --follow is given. Without a group it takes no lock, so it may
    /// run beside whoever writes. With a group it has to have the directory for itself, to commit what was printed.
    ///
    /// With --json it prints for each record
    /// {"topic","partition","offset","timestamp","key","value","headers":[[name,value],...]}.
    /// Keys and values are null, a string, or {"base64":"..."} where they are not UTF-8.
    /// `produce --input json` reads it.
    #[command(verbatim_doc_comment, after_help = help::CONSUME)]
    Consume(Consume),
    /// Play stored records back: those of a directory, a Kafka log.dir, a partition or a segment
    ///
    /// It only reads: no lock, no change, no trust in indexes that do not fit. Several partitions are merged by time. At
    /// the end it says on standard error what it has gone through, and before that each finding, a line each.
    ///
    /// With --json it prints for each record what `consume --json` prints. Findings are objects on standard error then,
    /// and so is the summary, which is the last line there.
    #[command(after_help = help::REPLAY)]
    Replay(Replay),
    /// List, describe, reset and delete consumer groups
    #[command(subcommand)]
    Group(GroupCommand),
    /// Check every file, and change nothing
    ///
    /// Reads every batch and its records, indexes, journals and checkpoints, and holds them against each other. No lock
    /// is taken: it may run while another process has the directory open.
    #[command(after_help = help::VERIFY)]
    Verify {
        /// A directory of topics, a Kafka log.dir, the directory of a partition, or a segment
        /// [default: that of -d]
        path: Option<PathBuf>,
    },
    /// Show what stands in files, entry by entry with its place
    ///
    /// Segments, offset, time and transaction indexes, producer snapshots, leader-epoch-checkpoint, offset checkpoints,
    /// partition.metadata, meta.properties, `.kafka_cleanshutdown`, and of ottla's own files the catalog, the journals of
    /// groups and positions: whoever wrote them, and whether or not somebody has the directory open. Damage is shown at
    /// its place, and the dump goes on where reading would go on.
    #[command(after_help = help::DUMP)]
    Dump(Dump),
    /// Say what can be done about damage, and with --execute do it
    ///
    /// Where records cannot be read, an empty batch takes their place: reading goes on without an error, and the lines
    /// say which offsets are lost. Catalog, groups' offsets and all other files are put together from what is left.
    /// Whatever goes or is replaced is kept in DIR/quarantine.
    #[command(after_help = help::REPAIR)]
    Repair {
        /// Do it; else nothing is changed
        #[arg(long)]
        execute: bool,
    },
    /// Write a log.dir whose partitions a Kafka cluster takes over, and print the steps that are left to do
    ///
    /// The directory has to be closed; it is read, and one that a crash left is mended first. Damage ends it: `repair`
    /// comes before that.
    #[command(after_help = help::EXPORT)]
    Export(Export),
    /// Bring in topics that a Kafka cluster has stored, with the offsets of its groups
    ///
    /// Records keep offsets, timestamps, keys, values and headers. Of transactions only what was committed is taken; what is
    /// damaged costs no more than itself, and is told on standard error. A topic that exists already is refused.
    #[command(after_help = help::IMPORT)]
    Import(Import),
    /// List all settings: what they do, their defaults, and how those differ from Kafka's
    #[command(after_help = help::CONFIG)]
    Config {
        /// Only the settings of this kind
        #[arg(value_enum)]
        kind: Option<ConfigKind>,
    },
    /// Print completions for a shell
    #[command(after_help = help::COMPLETIONS)]
    Completions {
        /// The shell
        #[arg(value_enum)]
        shell: Shell,
    },
    /// See it work: produce and consume under SIGKILL, then compare
    ///
    /// It runs this program as producer and as consumer, kills each with SIGKILL in the middle of its work, lets the
    /// next one go on, and holds what came out against what went in.
    #[command(after_help = help::DEMO)]
    Demo(Demo),
}

impl Command {
    /// Whether it changes the directory, for which it has to have that for itself.
    pub(crate) fn writes(&self) -> bool {
        match self {
            Self::Topic(command) => !matches!(command, TopicCommand::List | TopicCommand::Describe { .. }),
            Self::Consume(consume) => consume.group.is_some(),
            Self::Produce(_) | Self::Demo(_) => true,
            Self::Repair { execute } => *execute,
            Self::Export(_) | Self::Import(_) => true,
            Self::Group(command) => command.writes(),
            Self::Replay(_) | Self::Verify { .. } | Self::Dump(_) | Self::Config { .. } | Self::Completions { .. } => {
                false
            }
        }
    }

    /// Whether it makes the directory if there is none.
    pub(crate) fn creates(&self) -> bool {
        matches!(self, Self::Produce(_) | Self::Import(_) | Self::Topic(TopicCommand::Create { .. }))
    }
}

#[derive(Debug, Args)]
pub(crate) struct Export {
    /// The directory to make; one that is there has to be empty
    pub(crate) path: PathBuf,
    /// Only this topic; may be repeated
    #[arg(long = "topic", value_name = "T")]
    pub(crate) topics: Vec<String>,
    /// Only the offsets of this group; may be repeated
    #[arg(long = "group", value_name = "G")]
    pub(crate) groups: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Import {
    /// The log.dir of a broker, or the directory of one partition
    pub(crate) path: PathBuf,
    /// Only this topic; may be repeated
    #[arg(long = "topic", value_name = "T")]
    pub(crate) topics: Vec<String>,
    /// Only the offsets of this group; may be repeated
    #[arg(long = "group", value_name = "G")]
    pub(crate) groups: Vec<String>,
    /// A setting of the topics that are made by Kafka's name, such as segment.bytes=1048576; may be repeated
    #[arg(long = "config", value_name = "K=V", value_parser = pair)]
    pub(crate) settings: Vec<(String, String)>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TopicCommand {
    /// Create a topic
    #[command(after_help = help::TOPIC_CREATE)]
    Create {
        /// What to call it: ASCII letters, digits, '.', '_' and '-'
        name: String,
        /// How many partitions it has [default: 1]
        #[arg(long, value_name = "N")]
        partitions: Option<u32>,
        /// A setting of the topic by Kafka's name, such as segment.bytes=1048576; may be repeated. `ottla config topic`
        /// lists them
        #[arg(long = "config", value_name = "K=V", value_parser = pair)]
        settings: Vec<(String, String)>,
    },
    /// Add partitions to a topic
    ///
    /// Records with a key go where the key belongs among the new number: those of one key may be in two partitions from
    /// then on.
    #[command(after_help = help::TOPIC_ALTER)]
    Alter {
        /// The topic
        name: String,
        /// How many partitions it is to have, more than it has
        #[arg(long, value_name = "N")]
        partitions: u32,
    },
    /// List the topics, a name a line
    #[command(after_help = help::TOPIC_LIST)]
    List,
    /// Show a topic's settings, and for each partition its offsets and size
    #[command(after_help = help::TOPIC_DESCRIBE)]
    Describe {
        /// The topic
        name: String,
    },
    /// Delete a topic, its records and what groups have committed of it
    #[command(after_help = help::TOPIC_DELETE)]
    Delete {
        /// The topic
        name: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Produce {
    /// The topic; it is created if there is none
    pub(crate) topic: String,
    /// The files to read, one after the other; - is standard input [default: -]
    #[arg(value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// What a line is
    #[arg(long, value_enum, value_name = "WHAT", default_value_t = Input::Lines)]
    pub(crate) input: Input,
    /// What stands between key and value, at its first place in a line, \t for a tab; a line without it has no key
    #[arg(long, value_name = "S", value_parser = separator)]
    pub(crate) key_separator: Option<String>,
    /// Store each record of --input json in the partition that it was in
    #[arg(long, conflicts_with = "partition")]
    pub(crate) keep_partition: bool,
    /// A header that every record gets; may be repeated
    #[arg(long = "header", value_name = "K=V", value_parser = pair)]
    pub(crate) headers: Vec<(String, String)>,
    /// The partition to store in [default: the one that the key decides; without key, any]
    #[arg(long, value_name = "N")]
    pub(crate) partition: Option<u32>,
    /// When a record counts as stored [default: all]
    #[arg(long, value_enum, value_name = "WHEN")]
    pub(crate) acks: Option<AcksArgument>,
    /// How many milliseconds a batch may wait for more records [default: 5]
    #[arg(long, value_name = "MS")]
    pub(crate) linger: Option<u64>,
    /// How batches are compressed: none, gzip, snappy, lz4 or zstd, with a level as in zstd:9 [default: none]
    #[arg(long, value_name = "CODEC", value_parser = compression)]
    pub(crate) compression: Option<(Compression, Option<String>)>,
    /// At the end, print the producer's metrics under Kafka's names on standard error
    #[arg(long)]
    pub(crate) stats: bool,
    /// A setting of the producer by Kafka's name, such as batch.size=65536; may be repeated. `ottla config producer`
    /// lists them
    #[arg(long = "config", value_name = "K=V", value_parser = pair)]
    pub(crate) settings: Vec<(String, String)>,
}

/// What a line of the input is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Input {
    /// A value, or key and value with --key-separator
    Lines,
    /// A record as `consume --json` prints it
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ConfigKind {
    /// What the whole directory has
    Engine,
    /// What each topic may have for itself
    Topic,
    /// What a producer has
    Producer,
    /// What a consumer has
    Consumer,
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
    /// Wait for more records at the end of the log, and never end by itself; without a group, of the partitions that
    /// there are now
    #[arg(long)]
    pub(crate) follow: bool,
    /// What to do where stored records are damaged
    #[arg(long, value_enum, value_name = "WHAT", default_value_t = OnCorrupt::Stop)]
    pub(crate) on_corrupt: OnCorrupt,
    /// At the end, print the consumer's metrics under Kafka's names on standard error; without a group, its totals and
    /// lags
    #[arg(long)]
    pub(crate) stats: bool,
    /// A setting of the consumer by Kafka's name, such as fetch.max.bytes=65536; may be repeated. `ottla config
    /// consumer` lists them
    #[arg(long = "config", value_name = "K=V", value_parser = pair)]
    pub(crate) settings: Vec<(String, String)>,
    /// How to print a record: text with {topic} {partition} {offset} {timestamp} {time} {key} {value} {headers}, and \t,
    /// \n. A newline follows. No key, or no value, is printed as null
    #[arg(long, value_name = "F", default_value = "{value}", value_parser = Format::parse)]
    pub(crate) format: Format,
}

#[derive(Debug, Args)]
pub(crate) struct Replay {
    /// A directory of topics, a Kafka log.dir, the directory of a partition, or a segment
    /// [default: that of -d]
    pub(crate) path: Option<PathBuf>,
    /// Only this topic; may be repeated
    #[arg(long = "topic", value_name = "T")]
    pub(crate) topics: Vec<String>,
    /// Only the partition of that number, of each topic
    #[arg(long, value_name = "N")]
    pub(crate) partition: Option<u32>,
    /// Where to begin: beginning, end, an offset, or @TIME, which is RFC 3339 or milliseconds since 1970. A time stands
    /// for all records that are not older, wherever they are
    #[arg(long, value_name = "WHERE", default_value = "beginning", value_parser = From::parse, allow_hyphen_values = true, hide_default_value = true)]
    pub(crate) from: From,
    /// Where to end, in the same words; what is there is not played back any more
    #[arg(long, value_name = "WHERE", default_value = "end", value_parser = From::parse, allow_hyphen_values = true, hide_default_value = true)]
    pub(crate) to: From,
    /// Only records in whose value or key this regular expression is found. It looks at bytes: what is not UTF-8 is
    /// matched with (?-u), as in (?-u)\xff
    #[arg(long, value_name = "RE", value_parser = pattern)]
    pub(crate) grep: Option<Regex>,
    /// Only records with this key, byte for byte
    #[arg(long, value_name = "K")]
    pub(crate) key: Option<OsString>,
    /// Only records with this header; may be repeated, and all have to be there
    #[arg(long = "header", value_name = "K=V", value_parser = pair)]
    pub(crate) headers: Vec<(String, String)>,
    /// Leave out what transactions wrote that were aborted, and all from the first one on that is open
    #[arg(long)]
    pub(crate) committed: bool,
    /// From the last record to the first
    #[arg(long)]
    pub(crate) backwards: bool,
    /// One partition after the other, in place of all merged by time
    #[arg(long)]
    pub(crate) by_partition: bool,
    /// How fast: 1x is as it was, 10x ten times that, max as fast as it goes
    #[arg(long, value_name = "SPEED", default_value = "max", value_parser = Speed::parse)]
    pub(crate) speed: Speed,
    /// End after so many records
    #[arg(long, value_name = "N")]
    pub(crate) max_records: Option<u64>,
    /// What to do where something cannot be read
    #[arg(long, value_enum, value_name = "WHAT", default_value_t = OnCorrupt::Skip)]
    pub(crate) on_corrupt: OnCorrupt,
    /// Also what was deleted by moving the log start, as far as it is still there
    #[arg(long)]
    pub(crate) below_log_start: bool,
    /// How to print a record, as `consume --format` takes it
    #[arg(long, value_name = "F", default_value = "{value}", value_parser = Format::parse)]
    pub(crate) format: Format,
    /// Store the records in this directory of topics in place of printing them: under their topics, in their partitions,
    /// with their times and headers. Topics that it lacks are made. Offsets are new
    #[arg(long, value_name = "DIR", conflicts_with_all = ["format", "backwards"])]
    pub(crate) into: Option<PathBuf>,
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
    #[command(after_help = help::GROUP_LIST)]
    List,
    /// Show how far a group has read: the offset it goes on at, by partition, and its lag behind the end in records, in
    /// bytes, and as the age of the next record; - where it has committed nothing
    #[command(after_help = help::GROUP_DESCRIBE)]
    Describe {
        /// The group
        group: String,
    },
    /// Show the members of a group
    ///
    /// Members are consumers of the program that has the directory open. From here one can tell that there are none,
    /// when nobody has it open, and else which process to ask.
    #[command(after_help = help::GROUP_MEMBERS)]
    Members {
        /// The group
        group: String,
    },
    /// Have a group go on at another place; without --execute, say which that would be
    ///
    /// Prints for each partition what the group has committed, and what it is set to. What lies outside the log becomes
    /// the nearest end of it. A group that there is not yet is made.
    #[command(after_help = help::GROUP_RESET, override_usage = help::GROUP_RESET_USAGE)]
    Reset(GroupResetCommand),
    /// Delete groups, with all that they have committed
    #[command(after_help = help::GROUP_DELETE)]
    Delete {
        /// The groups
        #[arg(required = true, value_name = "GROUP")]
        groups: Vec<String>,
    },
}

impl GroupCommand {
    fn writes(&self) -> bool {
        match self {
            Self::List | Self::Describe { .. } => false,
            Self::Members { .. } | Self::Delete { .. } => true, // for members, nobody else may have it
            Self::Reset(reset) => reset.execute,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct GroupResetCommand {
    /// The group
    pub(crate) group: String,
    #[command(flatten)]
    pub(crate) scope: ResetScope,
    #[command(flatten)]
    pub(crate) target: ResetTarget,
    /// Do it; else nothing is changed
    #[arg(long)]
    pub(crate) execute: bool,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct ResetScope {
    /// All partitions of this topic, or those that are named, as in orders:0,2; may be repeated
    #[arg(help_heading = "Which partitions", long = "topic", value_name = "T[:P[,P..]]", value_parser = TopicPartitions::parse)]
    pub(crate) topics: Vec<TopicPartitions>,
    /// All partitions that the group has committed something for
    #[arg(help_heading = "Which partitions", long)]
    pub(crate) all_topics: bool,
}

/// A topic, and those of its partitions that are meant; none stands for all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TopicPartitions {
    pub(crate) topic: String,
    pub(crate) partitions: Vec<u32>,
}

impl TopicPartitions {
    fn parse(text: &str) -> Result<Self, String> {
        let Some((topic, partitions)) = text.split_once(':') else {
            return Ok(Self { topic: text.to_owned(), partitions: Vec::new() });
        };
        let number = |text: &str| text.parse().map_err(|_error| format!("{text:?} is no number of a partition"));
        Ok(Self { topic: topic.to_owned(), partitions: partitions.split(',').map(number).collect::<Result<_, _>>()? })
    }
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct ResetTarget {
    /// At the first record that is there
    #[arg(help_heading = "Where to", long)]
    to_earliest: bool,
    /// Behind the last record
    #[arg(help_heading = "Where to", long)]
    to_latest: bool,
    /// Where it would go on now; at the first record where it has committed nothing
    #[arg(help_heading = "Where to", long)]
    to_current: bool,
    /// At this offset
    #[arg(help_heading = "Where to", long, value_name = "N", value_parser = clap::value_parser!(i64).range(0..))]
    to_offset: Option<i64>,
    /// At the first record that is not older, behind the last one if all are: RFC 3339 (without a distance from UTC it is
    /// UTC), or milliseconds since 1970
    #[arg(help_heading = "Where to", long, value_name = "TIME", value_parser = parse_datetime)]
    to_datetime: Option<i64>,
    /// So many offsets further on, or back with a minus
    #[arg(help_heading = "Where to", long, value_name = "N", allow_hyphen_values = true)]
    shift_by: Option<i64>,
    /// At the first record that is no older than this, such as P7D, PT1H30M or P1DT12H
    #[arg(help_heading = "Where to", long, value_name = "PnDTnHnMnS", value_parser = parse_duration)]
    by_duration: Option<Duration>,
}

impl ResetTarget {
    /// The one that was chosen.
    pub(crate) fn reset(&self) -> GroupReset {
        match self {
            Self { to_offset: Some(offset), .. } => GroupReset::Offset(Offset(*offset)),
            Self { to_datetime: Some(millis), .. } => GroupReset::Timestamp(Timestamp(*millis)),
            Self { shift_by: Some(by), .. } => GroupReset::ShiftBy(*by),
            Self { by_duration: Some(age), .. } => GroupReset::ByDuration(*age),
            Self { to_latest: true, .. } => GroupReset::Latest,
            Self { to_current: true, .. } => GroupReset::Current,
            Self { .. } => GroupReset::Earliest, // one of them is required
        }
    }
}

/// A time as [`parse_time`] reads it, or one without a distance from UTC, as Kafka's tool takes it.
fn parse_datetime(text: &str) -> Result<i64, String> {
    // In this order: as a time without a distance, one with it would be read too, and the distance passed over.
    parse_time(text).or_else(|_error| match text.parse::<jiff::civil::DateTime>() {
        Ok(civil) => parse_time(&format!("{civil}Z")),
        Err(error) => Err(format!("a time is such as 2026-11-26T08:00:00Z, or milliseconds since 1970 ({error})")),
    })
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    let expected = || "it is no duration such as P7D or PT1H30M".to_owned();
    let span: jiff::Span = text.parse().map_err(|_error| expected())?;
    let days_are_24_hours = jiff::SpanRelativeTo::days_are_24_hours();
    let duration = span.to_duration(days_are_24_hours).map_err(|_error| expected())?;
    Duration::try_from(duration).map_err(|_error| "it is negative".to_owned())
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

fn separator(text: &str) -> Result<String, String> {
    if text.is_empty() { Err("it is empty".to_owned()) } else { Ok(unescape(text)) }
}

/// A codec, and its level if there is one. Whether the codec has such a level is for the library to say.
fn compression(text: &str) -> Result<(Compression, Option<String>), String> {
    let (name, level) = text.split_once(':').map_or((text, None), |(name, level)| (name, Some(level.to_owned())));
    let codec = match name {
        "none" => Compression::None,
        "gzip" => Compression::Gzip,
        "snappy" => Compression::Snappy,
        "lz4" => Compression::Lz4,
        "zstd" => Compression::Zstd,
        _ => return Err("it is none of: none, gzip, snappy, lz4, zstd".to_owned()),
    };
    match (codec, level) {
        (Compression::None | Compression::Snappy, Some(_)) => Err(format!("{codec} has no levels")),
        (_, level) => Ok((codec, level)),
    }
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

    #[test]
    fn times_of_a_reset_are_read_as_kafkas_tool_reads_them() {
        const T: i64 = 1_700_000_000_000;
        for (text, millis) in [
            ("2023-11-14T22:13:20", T),
            ("2023-11-14T22:13:20.001", T + 1),
            ("2023-11-14T22:13:20Z", T),
            ("2023-11-14T23:13:20.001+01:00", T + 1),
            ("2023-11-14", 1_699_920_000_000),
            ("1700000000000", T),
        ] {
            assert_eq!(parse_datetime(text), Ok(millis), "{text}");
        }
        for text in ["yesterday", "", "-1", "2023-13-01T00:00:00"] {
            assert!(parse_datetime(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations_of_a_reset_are_those_of_iso_8601() {
        for (text, seconds) in
            [("PT0S", 0.0), ("P7D", 604_800.0), ("PT1H30M", 5400.0), ("P1DT2H3M4.5S", 93_784.5), ("1h 30m", 5400.0)]
        {
            assert_eq!(parse_duration(text), Ok(Duration::from_secs_f64(seconds)), "{text}");
        }
        for text in ["", "P", "soon", "-PT1H", "P1M", "PT", "7"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn partitions_of_a_topic_follow_a_colon() {
        let parsed = |text| TopicPartitions::parse(text).map(|parsed| (parsed.topic, parsed.partitions));
        assert_eq!(parsed("orders"), Ok(("orders".to_owned(), vec![])));
        assert_eq!(parsed("orders:0,12"), Ok(("orders".to_owned(), vec![0, 12])));
        for text in ["orders:", "orders:a", "orders:1,", "orders:-1"] {
            assert!(parsed(text).is_err(), "{text}");
        }
    }
}
