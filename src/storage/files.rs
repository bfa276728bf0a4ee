//! The names of files and directories, and what may be a name.
//!
//! ```text
//!   00000000000000000042.log                    a segment's file: 20 digits and what it is
//!   orders-3/                                   a partition: topic, and what is behind the last '-'
//!   orders-3.<32 hex digits>-delete/            one that is being deleted; also -future, -stray
//!   caf%C3%A9%2F1.offsets                       a group: small letters, digits, '_' and '-' as they are
//! ```
//!
//! No name that comes from outside reaches a path but through here. The names of topics are Kafka's, which are safe as
//! they are. Those of groups may be anything in Kafka: they are encoded byte by byte, capital letters too, so that two
//! groups never share a file, not even where a file system does not tell capitals from small letters.

use crate::error::{Error, Result};
use crate::types::{Offset, TopicPartition};

/// The file that holds a little room for a full disk, and how much.
pub(crate) const RESERVE: &str = "reserve";
pub(crate) const RESERVE_BYTES: usize = 1 << 20;

/// The name of a file of the segment that begins at `base`, such as its `log` or its `index`.
pub(crate) fn segment_name(base: Offset, extension: &str) -> String {
    debug_assert!(base.0 >= 0);
    format!("{base:0>DIGITS$}.{extension}", base = base.0)
}

/// Takes the name of a segment's file apart: its base offset and all behind the first dot. `None` for foreign names.
pub(crate) fn parse_segment_name(name: &str) -> Option<(Offset, &str)> {
    let (digits, extension) = name.split_once('.')?;
    let is_ours = digits.len() == DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit()) && !extension.is_empty();
    let base = digits.parse().ok().filter(|_| is_ours)?;
    Some((Offset(base), extension))
}

/// Where the segment behind the one at `base` begins, by the names in its directory.
pub(crate) fn segment_behind<'a>(names: impl Iterator<Item = &'a str>, base: Offset) -> Option<Offset> {
    let bases = names.filter_map(parse_segment_name).filter(|(_, extension)| *extension == "log");
    bases.map(|(each, _)| each).filter(|each| *each > base).min()
}

/// How many digits the name of a segment has: one more than the greatest offset.
const DIGITS: usize = 20;

/// What a directory of a partition is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PartitionDirKind {
    /// The partition itself.
    Live,
    /// It waits for its deletion. The name of the topic may be cut off at the end.
    Delete,
    /// It is on its way here from another log directory.
    Future,
    /// It was found, and belongs to no partition that is known.
    Stray,
}

impl PartitionDirKind {
    const fn suffix(self) -> &'static str {
        match self {
            Self::Live => "",
            Self::Delete => "-delete",
            Self::Future => "-future",
            Self::Stray => "-stray",
        }
    }
}

/// The name of the directory of a partition.
pub(crate) fn partition_dir_name(partition: &TopicPartition) -> String {
    partition.to_string()
}

/// The name of a directory that is not, or not any more, that of the partition; `id` is 16 random bytes.
///
/// The topic is cut off where the name would be longer than a file system takes.
pub(crate) fn marked_dir_name(partition: &TopicPartition, id: [u8; 16], kind: PartitionDirKind) -> String {
    let id = u128::from_be_bytes(id);
    let end = format!("-{}.{id:032x}{}", partition.partition(), kind.suffix());
    let topic = partition.topic();
    let kept = topic.get(..MAX_FILE_NAME - end.len()).unwrap_or(topic); // ASCII, as every name of a topic
    format!("{kept}{end}")
}

/// Takes the name of a partition's directory apart. `None` for foreign names, such as `lost+found`.
pub(crate) fn parse_partition_dir(name: &str) -> Option<(TopicPartition, PartitionDirKind)> {
    let marked = [PartitionDirKind::Delete, PartitionDirKind::Future, PartitionDirKind::Stray]
        .into_iter()
        .find_map(|kind| Some((name.strip_suffix(kind.suffix())?, kind)));
    let (name, kind) = match marked {
        Some((name, kind)) => (name.rsplit_once('.').filter(|(_, id)| !id.is_empty())?.0, kind),
        None => (name, PartitionDirKind::Live),
    };
    let (topic, number) = name.rsplit_once('-')?;
    let partition = number.parse().ok().filter(|partition| *partition <= MAX_PARTITION)?;
    // Two spellings of one number would be two directories of one partition.
    let is_canonical = number.bytes().all(|byte| byte.is_ascii_digit()) && (number == "0" || !number.starts_with('0'));
    let is_ours = is_canonical && topic_name_flaw(topic).is_none();
    is_ours.then(|| (TopicPartition::new(topic, partition), kind))
}

/// Kafka's partition numbers are signed.
const MAX_PARTITION: u32 = i32::MAX.unsigned_abs();

/// Checks that a topic may have that name: 1 to 249 of `a-z A-Z 0-9 . _ -`, and neither `.` nor `..`.
///
/// # Errors
/// [`Error::InvalidTopic`].
pub(crate) fn validate_topic_name(name: &str) -> Result<()> {
    match topic_name_flaw(name) {
        None => Ok(()),
        Some(reason) => Err(Error::InvalidTopic { name: name.into(), reason: reason.into() }),
    }
}

fn topic_name_flaw(name: &str) -> Option<&'static str> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    match name {
        "" => Some("it is empty"),
        "." | ".." => Some("it names a directory"),
        _ if name.len() > MAX_TOPIC_NAME => Some("it is longer than 249 bytes"),
        _ if !name.bytes().all(is_allowed) => Some("only ASCII letters and digits, '.', '_' and '-' are possible"),
        _ => None,
    }
}

/// Leaves room for `-` and five digits in the name of a directory.
const MAX_TOPIC_NAME: usize = 249;

/// What two topics must not have in common: Kafka's metrics write `_` for `.`.
pub(crate) fn topic_collision_key(name: &str) -> String {
    name.replace('.', "_")
}

/// The name of a group in the names of its files.
///
/// # Errors
/// [`Error::InvalidGroupId`] if the group has no name, one of blanks, or one that is too long for a file.
pub(crate) fn group_file_name(group: &str) -> Result<String> {
    let refused = |reason: String| Error::InvalidGroupId { group: group.into(), reason: reason.into() };
    if group.trim().is_empty() {
        return Err(refused("it has no name".to_owned()));
    }
    let len: usize = group.bytes().map(|byte| if is_plain(byte) { 1 } else { 3 }).sum();
    if len > MAX_GROUP_NAME {
        let reason = format!(
            "its name takes {len} bytes in the name of a file, of {MAX_GROUP_NAME} possible ones; \
             every byte other than a-z, 0-9, '_' and '-' takes three"
        );
        return Err(refused(reason));
    }
    let mut name = String::with_capacity(len);
    for byte in group.bytes() {
        if is_plain(byte) {
            name.push(char::from(byte));
        } else {
            name.extend(['%', hex_digit(byte >> 4), hex_digit(byte & 15)]);
        }
    }
    Ok(name)
}

/// The group that [`group_file_name`] gives this name. `None` for a name that no group has.
pub(crate) fn parse_group_file_name(name: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(if byte == b'%' { hex_value(rest.next()?)? << 4 | hex_value(rest.next()?)? } else { byte });
    }
    let group = String::from_utf8(bytes).ok()?;
    // Another spelling of the name would be a second file of the group.
    (group_file_name(&group).ok()? == name).then_some(group)
}

/// What most file systems take, in bytes.
const MAX_FILE_NAME: usize = 255;
/// The longest end that the name of a group's file gets.
const LONGEST_GROUP_SUFFIX: &str = ".offsets.previous";
const MAX_GROUP_NAME: usize = MAX_FILE_NAME - LONGEST_GROUP_SUFFIX.len();

const fn is_plain(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-')
}

fn hex_digit(value: u8) -> char {
    char::from_digit(u32::from(value), 16).expect("four bits").to_ascii_uppercase()
}

fn hex_value(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn segment_names_have_twenty_digits() {
        assert_eq!(segment_name(Offset(42), "log"), "00000000000000000042.log");
        assert_eq!(segment_name(Offset(i64::MAX), "index"), "09223372036854775807.index");
        assert_eq!(parse_segment_name("00000000000000000042.log"), Some((Offset(42), "log")));
        assert_eq!(parse_segment_name("00000000000000000042.log.swap"), Some((Offset(42), "log.swap")));
        assert_eq!(parse_segment_name("09223372036854775807.index"), Some((Offset(i64::MAX), "index")));
        for foreign in [
            "",
            "-1.log",
            "42.log",
            "99999999999999999999.log",
            "09223372036854775808.log",
            "+0000000000000000042.log",
            "-0000000000000000042.log",
            "0000000000000000004x.log",
            "000000000000000000042.log",
            "00000000000000000042",
            "00000000000000000042.",
            "leader-epoch-checkpoint",
            "\u{0660}0000000000000000042.log",
        ] {
            assert_eq!(parse_segment_name(foreign), None, "{foreign:?}");
        }
    }

    #[test]
    fn partition_directories_split_at_the_last_dash() {
        let live = |topic: &str, partition| Some(((topic, partition).into(), PartitionDirKind::Live));
        assert_eq!(parse_partition_dir("orders-3"), live("orders", 3));
        assert_eq!(parse_partition_dir("a-b.c_D-10"), live("a-b.c_D", 10));
        assert_eq!(parse_partition_dir("a--0"), live("a-", 0));
        assert_eq!(parse_partition_dir("a-delete-0"), live("a-delete", 0));
        assert_eq!(parse_partition_dir("a-2147483647"), live("a", 2_147_483_647));
        assert_eq!(parse_partition_dir(&partition_dir_name(&("x-y", 7).into())), live("x-y", 7));
        for foreign in [
            "",
            "lost+found",
            "remote-log-index-cache",
            "-0",
            "a-",
            "a-x",
            "a-00",
            "a-01",
            "a-+1",
            "a-2147483648",
            "a-99999999999999999999",
            "a b-0",
            "..-0",
            "a-delete",
            "a-0.-delete",
            "a-0-delete",
            "-delete",
        ] {
            assert_eq!(parse_partition_dir(foreign), None, "{foreign:?}");
        }
    }

    #[test]
    fn marked_directories_are_read_back_and_never_too_long() {
        for kind in [PartitionDirKind::Delete, PartitionDirKind::Future, PartitionDirKind::Stray] {
            let partition = TopicPartition::new("a.b-c", 12);
            let name = marked_dir_name(&partition, [0xab; 16], kind);
            assert_eq!(name, format!("a.b-c-12.{}{}", "ab".repeat(16), kind.suffix()));
            assert_eq!(parse_partition_dir(&name), Some((partition, kind)));
            let long = marked_dir_name(&TopicPartition::new("x".repeat(249), 2_147_483_647), [1; 16], kind);
            assert_eq!(long.len(), 255);
            assert_eq!(parse_partition_dir(&long).map(|(_, found)| found), Some(kind));
        }
    }

    #[test]
    fn topic_names_are_those_of_kafka() {
        for name in ["a", "A.b_c-9", "__consumer_offsets", "...", &"x".repeat(249)] {
            validate_topic_name(name).unwrap();
        }
        for name in ["", ".", "..", "a/b", "/etc", "a\0", "a\n", "a b", "\u{e9}", "a%", "a\\b", &"x".repeat(250)] {
            assert!(matches!(validate_topic_name(name), Err(Error::InvalidTopic { .. })), "{name:?}");
        }
        assert_eq!(topic_collision_key("a.b"), topic_collision_key("a_b"));
        assert_ne!(topic_collision_key("a-b"), topic_collision_key("a_b"));
    }

    #[test]
    fn group_names_never_share_a_file_nor_leave_their_directory() {
        let groups = ["a/b", "a_b", "a%2Fb", "a%2fb", "..", ".", "A", "a", "caf\u{e9}", " a", "a\0", "con"];
        let names: BTreeSet<String> =
            groups.iter().map(|group| group_file_name(group).unwrap().to_lowercase()).collect();
        assert_eq!(names.len(), groups.len());
        assert_eq!(group_file_name("a/B.\u{e9}").unwrap(), "a%2F%42%2E%C3%A9");
        for group in ["", " ", "\t\n", "\u{3000}"] {
            assert!(matches!(group_file_name(group), Err(Error::InvalidGroupId { .. })));
        }
    }

    #[test]
    fn group_name_is_refused_when_its_longest_file_name_would_be_too_long() {
        let longest = group_file_name(&"x".repeat(238)).unwrap();
        assert_eq!(format!("{longest}{LONGEST_GROUP_SUFFIX}").len(), 255);
        for group in ["x".repeat(239), "\u{e9}".repeat(100), "X".repeat(80)] {
            assert!(matches!(group_file_name(&group), Err(Error::InvalidGroupId { .. })));
        }
        group_file_name(&"X".repeat(79)).unwrap();
    }

    #[test]
    fn other_spellings_of_a_group_name_are_foreign() {
        for name in ["a%2fb", "%61", "A", "a.b", "%", "%2", "%GG", "%FF", "", "%20", "a%+1"] {
            assert_eq!(parse_group_file_name(name), None, "{name:?}");
        }
    }

    proptest! {
        #[test]
        fn group_names_round_trip(group in "\\PC{1,60}") {
            if let Ok(name) = group_file_name(&group) {
                prop_assert!(name.bytes().all(|byte| is_plain(byte) || byte == b'%' || byte.is_ascii_uppercase()));
                prop_assert_eq!(parse_group_file_name(&name), Some(group));
            }
        }

        #[test]
        fn segment_names_round_trip(base in 0..=i64::MAX) {
            let name = segment_name(Offset(base), "log");
            prop_assert_eq!(parse_segment_name(&name), Some((Offset(base), "log")));
        }

        #[test]
        fn directories_round_trip(topic in "[a-zA-Z0-9._-]{1,249}", partition in 0..=MAX_PARTITION) {
            prop_assume!(validate_topic_name(&topic).is_ok());
            let name = partition_dir_name(&(topic.as_str(), partition).into());
            let expected = ((topic.as_str(), partition).into(), PartitionDirKind::Live);
            prop_assert_eq!(parse_partition_dir(&name), Some(expected));
        }

        #[test]
        fn any_name_is_taken_apart_without_a_panic(name in "\\PC{0,40}") {
            drop((parse_segment_name(&name), parse_partition_dir(&name), parse_group_file_name(&name)));
        }
    }
}
