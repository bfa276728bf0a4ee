//! Kafka's small text files: checkpoints of offsets, `meta.properties`, `partition.metadata`, and the marker of a
//! clean shutdown.
//!
//! ```text
//!   0                       a version, always 0
//!   2                       how many lines follow
//!   orders 0 4711           topic, partition, offset, in any order
//!   orders 1 4690
//! ```
//!
//! All of them are written beside and renamed, so a crash leaves the old content or the new one. They are read as
//! strictly as a broker reads them; what does not fit is an error with the path and the place, and never a zero.
//!
//! | file                                | missing                  | empty                   |
//! |-------------------------------------|--------------------------|-------------------------|
//! | `*-offset-checkpoint`               | `None`                   | no entries, as in Kafka |
//! | `meta.properties`                   | made                     | version 0, no ids       |
//! | `partition.metadata`                | `None`: older than 2.8   | an error                |
//! | `.kafka_cleanshutdown`              | not closed cleanly       | closed by Kafka <= 3.6  |

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::str::FromStr;

use crate::error::{Error, Result};
use crate::io::{self, Dir};
use crate::types::{LeaderEpoch, Offset, TopicId, TopicPartition};

/// The first offset of each partition that was not flushed.
pub(crate) const RECOVERY_POINTS: &str = "recovery-point-offset-checkpoint";
/// The log start of each partition where it lies inside the first segment.
pub(crate) const LOG_STARTS: &str = "log-start-offset-checkpoint";
/// The high watermark of each partition of a broker.
pub(crate) const HIGH_WATERMARKS: &str = "replication-offset-checkpoint";
/// Up to where a broker's cleaner has been at each partition that it compacts.
pub(crate) const CLEANED: &str = "cleaner-offset-checkpoint";

/// What a log directory says about itself.
pub(crate) const META_PROPERTIES: &str = "meta.properties";
/// Which topic a partition belongs to.
pub(crate) const PARTITION_METADATA: &str = "partition.metadata";
/// Marks a directory that was closed cleanly.
pub(crate) const CLEAN_SHUTDOWN: &str = ".kafka_cleanshutdown";

/// A million partitions fit with names of the greatest length.
const CHECKPOINT_LIMIT: u64 = 300 * 1024 * 1024;
const SMALL_LIMIT: u64 = 64 * 1024;

/// Reads the offset checkpoint `name`; `None` if it is missing.
///
/// # Errors
/// [`Error::CorruptFile`] if it is not what Kafka writes; the operating system's.
pub(crate) fn read_offsets(dir: &dyn Dir, name: &str) -> Result<Option<BTreeMap<TopicPartition, Offset>>> {
    let Some(content) = read_if_there(dir, name, CHECKPOINT_LIMIT)? else { return Ok(None) };
    parse_offsets(&dir.path().join(name), &content).map(Some)
}

/// Replaces the offset checkpoint `name`.
///
/// # Errors
/// The operating system's.
pub(crate) fn write_offsets(dir: &dyn Dir, name: &str, offsets: &BTreeMap<TopicPartition, Offset>) -> Result<()> {
    io::replace(dir, name, encode_offsets(offsets).as_bytes())
}

fn encode_offsets(offsets: &BTreeMap<TopicPartition, Offset>) -> String {
    let mut text = format!("0\n{}\n", offsets.len());
    for (partition, offset) in offsets {
        writeln!(text, "{} {} {offset}", partition.topic(), partition.partition()).expect("a string takes all");
    }
    text
}

fn parse_offsets(path: &Path, content: &[u8]) -> Result<BTreeMap<TopicPartition, Offset>> {
    let mut offsets = BTreeMap::new();
    for line in parse_lines::<3>(path, content)? {
        let (partition, offset) = line.offset()?;
        offsets.insert(partition, offset);
    }
    Ok(offsets)
}

/// A line of a checkpoint behind its version and count.
#[derive(Debug)]
pub(super) struct Line<'a, const FIELDS: usize> {
    pub(super) fields: [&'a str; FIELDS],
    path: &'a Path,
    file_position: u64,
}

impl Line<'_, 3> {
    fn offset(&self) -> Result<(TopicPartition, Offset)> {
        let [topic, partition, offset] = self.fields;
        let partition = self.number::<i32>(partition)?;
        let partition = u32::try_from(partition).ok().ok_or_else(|| self.refused("the partition is negative"))?;
        let offset = self.number::<i64>(offset)?;
        if offset < 0 {
            return Err(self.refused("the offset is negative"));
        }
        Ok((TopicPartition::new(topic, partition), Offset(offset)))
    }
}

impl<const FIELDS: usize> Line<'_, FIELDS> {
    /// One of the fields as a number.
    pub(super) fn number<N: FromStr>(&self, field: &str) -> Result<N> {
        decimal(field).ok_or_else(|| self.refused(&format!("{field:?} is not a number that fits")))
    }

    pub(super) fn refused(&self, reason: &str) -> Error {
        Error::corrupt_file(self.path, self.file_position, reason)
    }
}

/// The lines of a checkpoint, each of so many fields; none at all if there is no second line.
pub(super) fn parse_lines<'a, const FIELDS: usize>(path: &'a Path, content: &'a [u8]) -> Result<Vec<Line<'a, FIELDS>>> {
    let mut parsed = Vec::new(); // grows with the lines that are there, whatever the count says
    each_line(path, content, |line| line.map(|line| parsed.push(line)))?;
    Ok(parsed)
}

/// Shows each line of a checkpoint, of so many fields, or what is wrong with it.
///
/// # Errors
/// Those of `see`, and what is wrong with the file as a whole.
fn each_line<'a, const FIELDS: usize, E: From<Error>>(
    path: &'a Path,
    content: &'a [u8],
    mut see: impl FnMut(Result<Line<'a, FIELDS>>) -> std::result::Result<(), E>,
) -> std::result::Result<(), E> {
    let valid = std::str::from_utf8(content).map_or_else(|error| error.valid_up_to(), str::len);
    let is_text = valid == content.len();
    // The lines before what is no text may still be of use to somebody who looks.
    let last_line = content[..valid].iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let text = std::str::from_utf8(&content[..if is_text { valid } else { last_line }]).unwrap_or_default();
    let no_text = "not a text of a version, a count and lines";
    let end = || if is_text { Ok(()) } else { Err(Error::corrupt_file(path, valid as u64, no_text).into()) };
    let mut lines = text.lines();
    let position = |line: &str| (line.as_ptr().addr() - text.as_ptr().addr()) as u64;
    let Some(version) = lines.next() else { return end() };
    if decimal::<i32>(version) != Some(0) {
        return Err(Error::corrupt_file(path, 0, format!("the version is {version:?} instead of 0")).into());
    }
    let Some(count) = lines.next() else { return end() };
    let expected = decimal::<usize>(count)
        .ok_or_else(|| Error::corrupt_file(path, position(count), format!("{count:?} is not a count of lines")))?;
    let mut found = 0;
    for line in lines {
        let file_position = position(line);
        let wrong = || Error::corrupt_file(path, file_position, format!("a line of other than {FIELDS} fields"));
        let mut words = line.split_whitespace();
        let mut fields = [""; FIELDS];
        fields.iter_mut().for_each(|field| *field = words.next().unwrap_or_default());
        let is_line = !line.starts_with(char::is_whitespace) && words.next().is_none() && !fields.contains(&"");
        see(if is_line { Ok(Line { fields, path, file_position }) } else { Err(wrong()) })?;
        found += 1;
    }
    if found != expected && is_text {
        let reason = format!("its number of lines is {found}, and should be {expected}");
        return Err(Error::corrupt_file(path, position(count), reason).into());
    }
    end()
}

/// Shows each entry of an offset checkpoint with its place in the file, and what is wrong with others.
///
/// # Errors
/// Those of `see`, and what is wrong with the file as a whole.
pub(crate) fn each_offset<E: From<Error>>(
    path: &Path,
    content: &[u8],
    mut see: impl FnMut(Result<(u64, TopicPartition, Offset)>) -> std::result::Result<(), E>,
) -> std::result::Result<(), E> {
    each_line::<3, E>(path, content, |line| {
        see(line.and_then(|line| {
            let at = line.file_position;
            line.offset().map(|(partition, offset)| (at, partition, offset))
        }))
    })
}

/// The same of a `leader-epoch-checkpoint`.
///
/// # Errors
/// Those of `see`, and what is wrong with the file as a whole.
pub(crate) fn each_epoch<E: From<Error>>(
    path: &Path,
    content: &[u8],
    mut see: impl FnMut(Result<(u64, LeaderEpoch, Offset)>) -> std::result::Result<(), E>,
) -> std::result::Result<(), E> {
    each_line::<2, E>(path, content, |line| {
        see(line.and_then(|line| {
            let [epoch, start] = line.fields;
            Ok((line.file_position, LeaderEpoch(line.number(epoch)?), Offset(line.number(start)?)))
        }))
    })
}

/// A decimal number, without the plus sign that Rust would take.
fn decimal<N: FromStr>(text: &str) -> Option<N> {
    text.parse().ok().filter(|_| !text.starts_with('+'))
}

/// What a log directory says about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct MetaProperties {
    /// 1 where this is ours or a newer broker's; 0 for older ones, which say `broker.id` where the others say `node.id`.
    pub(crate) version: u32,
    pub(crate) cluster_id: Option<String>,
    pub(crate) node_id: Option<i32>,
    /// Tells this directory from another one.
    pub(crate) directory_id: Option<String>,
}

impl MetaProperties {
    /// Whether it has all that an engine writes into it.
    pub(crate) fn is_complete(&self) -> bool {
        let is_id = |id: &Option<String>| id.as_deref().and_then(TopicId::parse).is_some();
        self.version == 1 && self.node_id.is_some() && is_id(&self.cluster_id) && is_id(&self.directory_id)
    }
}

/// Reads `meta.properties`, and writes it with ids of random bytes first if it is missing.
///
/// # Errors
/// [`Error::UnsupportedVersion`] for a version above 1, [`Error::CorruptFile`] if a number in it is none; the
/// operating system's.
pub(crate) fn ensure_meta_properties(dir: &dyn Dir, mut random: impl FnMut() -> [u8; 16]) -> Result<MetaProperties> {
    if let Some(properties) = read_meta_properties(dir)? {
        return Ok(properties);
    }
    let mut id = || TopicId::from_random(random()).to_string();
    let properties = MetaProperties { version: 1, cluster_id: Some(id()), node_id: Some(0), directory_id: Some(id()) };
    write_meta_properties(dir, &properties)?;
    Ok(properties)
}

/// Replaces `meta.properties`.
///
/// # Errors
/// The operating system's.
pub(crate) fn write_meta_properties(dir: &dyn Dir, properties: &MetaProperties) -> Result<()> {
    let mut text = format!("version={}\n", properties.version);
    let node = if properties.version == 0 { "broker.id" } else { "node.id" };
    let number = properties.node_id.map(|id| id.to_string());
    for (key, value) in
        [("cluster.id", &properties.cluster_id), (node, &number), ("directory.id", &properties.directory_id)]
    {
        if let Some(value) = value {
            writeln!(text, "{key}={}", escaped(value)).expect("a string takes all");
        }
    }
    io::replace(dir, META_PROPERTIES, text.as_bytes())
}

/// Reads `meta.properties`; `None` if it is missing.
///
/// # Errors
/// As [`ensure_meta_properties`].
pub(crate) fn read_meta_properties(dir: &dyn Dir) -> Result<Option<MetaProperties>> {
    let Some(content) = read_if_there(dir, META_PROPERTIES, SMALL_LIMIT)? else { return Ok(None) };
    let path = dir.path().join(META_PROPERTIES);
    let mut values = parse_properties(&String::from_utf8_lossy(&content));
    let number = |key: &str| {
        let refused = |text| Error::corrupt_file(&path, 0, format!("{key} is {text:?}, which is not a number"));
        values.get(key).map(|text| decimal::<i32>(text).ok_or_else(|| refused(text))).transpose()
    };
    let version = number("version")?.unwrap_or(0);
    let Some(version) = u32::try_from(version).ok().filter(|version| *version <= 1) else {
        let reason = format!("version {version}, and this code knows 0 and 1");
        return Err(Error::UnsupportedVersion { path, reason: reason.into() });
    };
    let node_id = number(if version == 0 { "broker.id" } else { "node.id" })?;
    let (cluster_id, directory_id) = (values.remove("cluster.id"), values.remove("directory.id"));
    Ok(Some(MetaProperties { version, cluster_id, node_id, directory_id }))
}

/// What can be made of a `meta.properties` that is damaged: the ids in it that are whole, and new ones of random bytes
/// for the others.
///
/// # Errors
/// The operating system's.
pub(crate) fn salvage_meta_properties(dir: &dyn Dir, mut random: impl FnMut() -> [u8; 16]) -> Result<MetaProperties> {
    let content = match read_if_there(dir, META_PROPERTIES, SMALL_LIMIT) {
        Err(error) if error.is_corruption() => None,
        content => content?,
    };
    let mut values = parse_properties(&String::from_utf8_lossy(&content.unwrap_or_default()));
    let node_id = values.get("node.id").and_then(|text| decimal(text)).unwrap_or(0);
    let mut id = |key| {
        let whole = values.remove(key).filter(|id| TopicId::parse(id).is_some());
        Some(whole.unwrap_or_else(|| TopicId::from_random(random()).to_string()))
    };
    let (cluster_id, directory_id) = (id("cluster.id"), id("directory.id"));
    Ok(MetaProperties { version: 1, cluster_id, node_id: Some(node_id), directory_id })
}

/// Reads Java's properties, as far as Kafka's files use them: a line is a comment, or a key and a value.
pub(crate) fn parse_properties(text: &str) -> BTreeMap<String, String> {
    let mut values = BTreeMap::new();
    for line in text.split(['\n', '\r']).map(|line| line.trim_start_matches(BLANKS)) {
        if line.is_empty() || line.starts_with(['#', '!']) {
            continue;
        }
        let end = end_of_key(line);
        let (key, rest) = line.split_at(end);
        let rest = rest.trim_start_matches(BLANKS);
        let value = rest.strip_prefix(['=', ':']).unwrap_or(rest).trim_start_matches(BLANKS);
        values.insert(unescaped(key), unescaped(value));
    }
    values
}

/// What Java takes for white space in a line.
const BLANKS: [char; 3] = [' ', '\t', '\x0c'];

/// What stands behind a backslash for a letter that would mean something else.
const ESCAPES: [(char, char); 4] = [('t', '\t'), ('n', '\n'), ('r', '\r'), ('f', '\x0c')];

/// Where the first separator is that no backslash stands in front of.
fn end_of_key(line: &str) -> usize {
    let mut is_escaped = false;
    for (at, letter) in line.char_indices() {
        if !is_escaped && (matches!(letter, '=' | ':') || BLANKS.contains(&letter)) {
            return at;
        }
        is_escaped = letter == '\\' && !is_escaped;
    }
    line.len()
}

fn unescaped(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        let meant = if letter == '\\' { letters.next() } else { Some(letter) };
        let escape = ESCAPES.into_iter().find(|(escape, _)| letter == '\\' && meant == Some(*escape));
        result.extend(escape.map_or(meant, |(_, meant)| Some(meant)));
    }
    result
}

fn escaped(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    for letter in text.chars() {
        let escape = ESCAPES.into_iter().find(|(_, meant)| letter == *meant);
        if escape.is_some() || matches!(letter, '\\' | '=' | ':' | '#' | '!' | ' ') {
            result.push('\\');
        }
        result.push(escape.map_or(letter, |(escape, _)| escape));
    }
    result
}

/// Marks a log directory as closed cleanly. Everything that the marker vouches for has to be durable before.
///
/// # Errors
/// The operating system's.
pub(crate) fn write_clean_shutdown(dir: &dyn Dir) -> Result<()> {
    io::replace(dir, CLEAN_SHUTDOWN, br#"{"version":0,"brokerEpoch":-1}"#)
}

/// Whether a log directory was closed cleanly.
///
/// # Errors
/// The operating system's, other than that there is no marker.
pub(crate) fn has_clean_shutdown(dir: &dyn Dir) -> Result<bool> {
    is_there(dir, CLEAN_SHUTDOWN)
}

/// The content of the marker of a clean shutdown; `None` if there is none. Only that it is there means something.
///
/// # Errors
/// The operating system's; [`Error::CorruptFile`] if it is much longer than a marker.
pub(crate) fn read_clean_shutdown(dir: &dyn Dir) -> Result<Option<Vec<u8>>> {
    read_if_there(dir, CLEAN_SHUTDOWN, SMALL_LIMIT)
}

/// Whether there is a `meta.properties`, in whatever state.
///
/// # Errors
/// The operating system's, other than that there is none.
pub(crate) fn has_meta_properties(dir: &dyn Dir) -> Result<bool> {
    is_there(dir, META_PROPERTIES)
}

fn is_there(dir: &dyn Dir, name: &str) -> Result<bool> {
    match dir.open(name) {
        Ok(_) => Ok(true),
        Err(error) if error.is_not_found() => Ok(false),
        Err(error) => Err(error),
    }
}

/// Removes the marker of a clean shutdown, durably: before the first write to the log directory.
///
/// # Errors
/// The operating system's.
pub(crate) fn remove_clean_shutdown(dir: &dyn Dir) -> Result<()> {
    match dir.remove(CLEAN_SHUTDOWN) {
        Err(error) if !error.is_not_found() => return Err(error),
        _ => {}
    }
    // Even if it was missing: a process that was killed may have removed it without getting so far as to sync, and a
    // power cut would bring it back behind what is written from now on.
    dir.sync()
}

/// Reads the topic id in `partition.metadata`; `None` if the file is missing, as before Kafka 2.8.
///
/// # Errors
/// [`Error::CorruptFile`] if it is not what Kafka writes; the operating system's.
pub(crate) fn read_partition_metadata(dir: &dyn Dir) -> Result<Option<TopicId>> {
    let Some(content) = read_if_there(dir, PARTITION_METADATA, SMALL_LIMIT)? else { return Ok(None) };
    let corrupt = |reason: &str| Error::corrupt_file(&dir.path().join(PARTITION_METADATA), 0, reason);
    let text = str::from_utf8(&content).map_err(|error| corrupt(&error.to_string()))?;
    let mut lines = text.lines();
    let mut value = |key: &str| {
        let (name, value) = lines.next()?.split_once(':')?;
        (name == key && value.starts_with(char::is_whitespace)).then(|| value.trim())
    };
    let version = value("version").and_then(decimal::<i32>).filter(|version| *version >= 0);
    version.ok_or_else(|| corrupt("the first line is not a version"))?;
    let id = value("topic_id").and_then(TopicId::parse);
    id.map(Some).ok_or_else(|| corrupt("the second line is not a topic id"))
}

/// Writes `partition.metadata`.
///
/// # Errors
/// The operating system's.
pub(crate) fn write_partition_metadata(dir: &dyn Dir, topic: TopicId) -> Result<()> {
    io::replace(dir, PARTITION_METADATA, format!("version: 0\ntopic_id: {topic}").as_bytes())
}

/// The content of a file that may be missing.
pub(super) fn read_if_there(dir: &dyn Dir, name: &str, limit: u64) -> Result<Option<Vec<u8>>> {
    match dir.open(name) {
        Ok(file) => io::read_small(&*file, limit).map(Some),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::io::MemoryDisk;

    fn root() -> Arc<dyn Dir> {
        MemoryDisk::new().disk().root()
    }

    fn put(dir: &dyn Dir, name: &str, content: &[u8]) {
        io::replace(dir, name, content).unwrap();
    }

    fn text(dir: &dyn Dir, name: &str) -> String {
        String::from_utf8(read_if_there(dir, name, 1000).unwrap().unwrap()).unwrap()
    }

    fn parse(content: &str) -> Result<BTreeMap<TopicPartition, Offset>> {
        parse_offsets(Path::new("dir/file"), content.as_bytes())
    }

    #[test]
    fn offsets_are_written_as_kafka_does() {
        let dir = root();
        assert_eq!(read_offsets(&*dir, RECOVERY_POINTS).unwrap(), None);
        let offsets = [(("b-c", 10), 5), (("a", 0), i64::MAX), (("b-c", 9), 0)];
        let offsets = offsets.into_iter().map(|(partition, offset)| (partition.into(), Offset(offset))).collect();
        write_offsets(&*dir, RECOVERY_POINTS, &offsets).unwrap();
        assert_eq!(text(&*dir, RECOVERY_POINTS), "0\n3\na 0 9223372036854775807\nb-c 9 0\nb-c 10 5\n");
        assert_eq!(read_offsets(&*dir, RECOVERY_POINTS).unwrap(), Some(offsets));
    }

    #[test]
    fn offsets_that_kafka_takes_are_taken() {
        for (content, count) in [("", 0), ("0", 0), ("0\n", 0), ("0\n0\n", 0), ("0\n1\na 1 2", 1)] {
            assert_eq!(parse(content).unwrap().len(), count, "{content:?}");
        }
        assert_eq!(parse("0\r\n2\r\na 1 2\r\na\t1  3 \r\n").unwrap()[&("a", 1).into()], Offset(3));
    }

    #[test]
    fn offsets_that_kafka_refuses_are_refused() {
        for content in [
            "1\n0\n",
            "\0\0\0\0",
            "x",
            "0\nx\n",
            "0\n-1\n",
            "0\n1\n",
            "0\n1\na 1 2\nb 1 2\n",
            "0\n1\na 1 2\n\n",
            "0\n1\na 1\n",
            "0\n1\na 1 2 3\n",
            "0\n1\n a 1 2\n",
            "0\n1\na x 2\n",
            "0\n1\na -1 2\n",
            "0\n1\na 1 -2\n",
            "0\n1\na 1 +2\n",
            "0\n1\na 2147483648 2\n",
            "0\n1\na 1 9223372036854775808\n",
            "0\n99999999999999999999\na 1 2\n",
            "0\n18446744073709551615\na 1 2\n",
        ] {
            let refused = parse(content).unwrap_err();
            assert!(matches!(refused, Error::CorruptFile { .. }), "{content:?}");
            assert!(refused.to_string().contains("dir/file"));
        }
        let Error::CorruptFile { file_position, .. } = parse("0\n2\na 1 2\nb x 2\n").unwrap_err() else { panic!() };
        assert_eq!(file_position, 10);
        assert!(parse_offsets(Path::new("f"), b"0\n1\n\xff 1 2\n").is_err());
    }

    #[test]
    fn meta_properties_are_made_once_and_kept() {
        let dir = root();
        let mut seed = 0;
        let mut random = || {
            seed += 1;
            [seed; 16]
        };
        let made = ensure_meta_properties(&*dir, &mut random).unwrap();
        let content = text(&*dir, META_PROPERTIES);
        assert_eq!(
            content,
            "version=1\ncluster.id=AQEBAQEBQQGBAQEBAQEBAQ\nnode.id=0\ndirectory.id=AgICAgICQgKCAgICAgICAg\n"
        );
        assert_eq!(ensure_meta_properties(&*dir, || unreachable!()).unwrap(), made);
        assert_eq!(text(&*dir, META_PROPERTIES), content);
    }

    #[test]
    fn meta_properties_with_line_ends_in_them_are_written_as_they_are_read() {
        let dir = root();
        let id = "a\r\n\t\x0c \\=:#!b\u{3000}".to_owned();
        let properties = MetaProperties { cluster_id: Some(id), ..MetaProperties::default() };
        write_meta_properties(&*dir, &properties).unwrap();
        assert_eq!(read_meta_properties(&*dir).unwrap(), Some(properties));
        put(&*dir, META_PROPERTIES, b"version=1\rcluster.id=q\r");
        let read = read_meta_properties(&*dir).unwrap().unwrap();
        assert_eq!((read.version, read.cluster_id.as_deref()), (1, Some("q")));
    }

    #[test]
    fn meta_properties_of_brokers_are_read() {
        let dir = root();
        put(
            &*dir,
            META_PROPERTIES,
            b"#\n#Wed Nov 25 20:53:20 UTC 2026\nnode.id=1\ndirectory.id=GC2Q\nversion=1\ncluster.id=a\\:b\n",
        );
        let properties = read_meta_properties(&*dir).unwrap().unwrap();
        let expected = MetaProperties {
            version: 1,
            cluster_id: Some("a:b".to_owned()),
            node_id: Some(1),
            directory_id: Some("GC2Q".to_owned()),
        };
        assert_eq!(properties, expected);
        write_meta_properties(&*dir, &properties).unwrap();
        assert_eq!(read_meta_properties(&*dir).unwrap(), Some(expected));
        put(&*dir, META_PROPERTIES, b"#\nbroker.id=7\nversion=0\n");
        let old = read_meta_properties(&*dir).unwrap().unwrap();
        assert_eq!(old, MetaProperties { node_id: Some(7), ..MetaProperties::default() });
        put(&*dir, META_PROPERTIES, b"version=2\n");
        assert!(matches!(read_meta_properties(&*dir), Err(Error::UnsupportedVersion { .. })));
        put(&*dir, META_PROPERTIES, b"version=x\n");
        assert!(matches!(read_meta_properties(&*dir), Err(Error::CorruptFile { .. })));
    }

    #[test]
    fn clean_shutdown_marker_stays_removed_after_a_power_cut() {
        let disk = MemoryDisk::new();
        let dir = disk.disk().root();
        assert!(!has_clean_shutdown(&*dir).unwrap());
        write_clean_shutdown(&*dir).unwrap();
        assert_eq!(text(&*dir, CLEAN_SHUTDOWN), r#"{"version":0,"brokerEpoch":-1}"#);
        disk.power_cut();
        let dir = disk.disk().root();
        assert!(has_clean_shutdown(&*dir).unwrap());
        dir.remove(CLEAN_SHUTDOWN).unwrap();
        disk.kill(); // before the sync
        let dir = disk.disk().root();
        assert!(!has_clean_shutdown(&*dir).unwrap());
        remove_clean_shutdown(&*dir).unwrap();
        disk.power_cut();
        assert!(!has_clean_shutdown(&*disk.disk().root()).unwrap());
    }

    #[test]
    fn partition_metadata_is_written_and_read_as_kafka_does() {
        let dir = root();
        assert_eq!(read_partition_metadata(&*dir).unwrap(), None);
        let id = TopicId::parse("huXIVYDxSuq7NplDSBnKRA").unwrap();
        write_partition_metadata(&*dir, id).unwrap();
        assert_eq!(text(&*dir, PARTITION_METADATA), "version: 0\ntopic_id: huXIVYDxSuq7NplDSBnKRA");
        assert_eq!(read_partition_metadata(&*dir).unwrap(), Some(id));
        for content in [
            &b""[..],
            b"version: 0",
            b"version: -1\ntopic_id: huXIVYDxSuq7NplDSBnKRA",
            b"version: 0\ntopic_id: AAAAAAAAAAAAAAAAAAAAAA",
            b"version: 0\ntopic_id: huXIVYDxSuq7NplDSBnK",
            b"version:0\ntopic_id:huXIVYDxSuq7NplDSBnKRA",
            b"\xff",
            &[0; 64],
        ] {
            put(&*dir, PARTITION_METADATA, content);
            assert!(matches!(read_partition_metadata(&*dir), Err(Error::CorruptFile { .. })), "{content:?}");
        }
    }

    proptest! {
        #[test]
        fn offsets_round_trip(
            offsets in prop::collection::btree_map(("[a-zA-Z0-9._-]{1,20}", 0..=2_147_483_647u32), 0..=i64::MAX, 0..50),
        ) {
            let offsets: BTreeMap<TopicPartition, Offset> =
                offsets.into_iter().map(|(partition, offset)| (partition.into(), Offset(offset))).collect();
            prop_assert_eq!(parse(&encode_offsets(&offsets)).unwrap(), offsets);
        }

        #[test]
        fn garbage_never_panics(content in prop::collection::vec(any::<u8>(), 0..200), lines in "[0-9a \n\r-]{0,60}") {
            drop(parse_offsets(Path::new("f"), &content));
            drop(parse(&lines));
            parse_properties(&String::from_utf8_lossy(&content));
            let dir = root();
            put(&*dir, PARTITION_METADATA, &content);
            drop(read_partition_metadata(&*dir));
        }
    }
}
