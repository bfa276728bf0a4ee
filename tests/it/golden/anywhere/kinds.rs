//! The kinds of damages that `expected.jsonl` has, each at a random place.

use std::ops::Range;
use std::path::{Path, PathBuf};

use super::messages::{self, CRC, Inner, damaged_set, seal};
use super::source::{Source, Stored};
use crate::chance::Chance;
use crate::rot::tree::Tree;

/// What a damage may cost.
#[derive(Default)]
pub(super) struct Hit {
    pub(super) what: String,
    /// Stretches of offsets that may be lost.
    pub(super) units: Vec<(i64, i64)>,
    /// They are in no file any more, so that only offsets that are missing say so.
    pub(super) is_gone: bool,
    /// A batch has another number, which may be as good as the right one.
    pub(super) renumbered: Option<(i64, i64)>,
    /// Nobody knows what was deleted.
    pub(super) forgets_log_start: bool,
}

type Apply = fn(&Source, &mut Tree, &mut Chance) -> Option<Hit>;

pub(super) const KINDS: &[(&str, Apply)] = &[
    ("base-offset", base_offset),
    ("base-offset-bit", |source, tree, chance| flip_in(source, tree, chance, 0..8)),
    ("length", length),
    ("length-bit", |source, tree, chance| flip_in(source, tree, chance, 8..12)),
    ("epoch-bit", |source, tree, chance| flip_in(source, tree, chance, 12..16)),
    ("magic", magic),
    ("header-bit", |source, tree, chance| flip_in(source, tree, chance, 17..61)),
    ("any-bit", |source, tree, chance| flip_in(source, tree, chance, 0..usize::MAX)),
    ("record-bit", |source, tree, chance| flip_in(source, tree, chance, 61..usize::MAX)),
    ("message-bit", |source, tree, chance| flip_in(source, tree, chance, 12..40)),
    ("zeroed-page", zeroed_page),
    ("zero-hole", |source, tree, chance| hole(source, tree, chance, false)),
    ("garbage-hole", |source, tree, chance| hole(source, tree, chance, true)),
    ("zero-tail-in-batch", zero_tail),
    ("cut-anywhere", |source, tree, chance| cut(source, tree, chance, Cut::Anywhere)),
    ("cut-between", |source, tree, chance| cut(source, tree, chance, Cut::Between)),
    ("cut-in-header", |source, tree, chance| cut(source, tree, chance, Cut::InHeader)),
    ("cut-last", |source, tree, chance| cut(source, tree, chance, Cut::Last)),
    ("garbage-after-tail", |source, tree, chance| after_tail(source, tree, chance, true)),
    ("zeros-after-tail", |source, tree, chance| after_tail(source, tree, chance, false)),
    ("old-batch-again", old_batch_again),
    ("batch-twice", batch_twice),
    ("missing-segment", |source, tree, chance| {
        missing_segment(source, tree, chance, &["log", "index", "timeindex", "txnindex", "snapshot"])
    }),
    ("missing-log-of-segment", |source, tree, chance| missing_segment(source, tree, chance, &["log"])),
    ("missing-small-file", missing_small),
    ("index-garbage", |source, tree, chance| small_file(source, tree, chance, &["index", "timeindex", "txnindex"])),
    ("index-entries", index_entries),
    ("index-of-another", index_of_another),
    ("snapshot-damaged", |source, tree, chance| small_file(source, tree, chance, &["snapshot"])),
    ("partition-file-damaged", |source, tree, chance| text_file(source, tree, chance, false)),
    ("checkpoint-damaged", |source, tree, chance| text_file(source, tree, chance, true)),
    ("crc-right-payload", |source, tree, chance| crc_right(source, tree, chance, Right::Payload)),
    ("crc-right-codec", |source, tree, chance| crc_right(source, tree, chance, Right::Codec)),
    ("crc-right-lengths", |source, tree, chance| crc_right(source, tree, chance, Right::Lengths)),
    ("crc-right-null-value", |source, tree, chance| crc_right(source, tree, chance, Right::NullValue)),
    ("inner-value", |source, tree, chance| inner(source, tree, chance, Inner::Value)),
    ("inner-crc", |source, tree, chance| inner(source, tree, chance, Inner::Crc)),
    ("inner-size-longer", |source, tree, chance| inner(source, tree, chance, Inner::SizeLonger)),
    ("inner-size", |source, tree, chance| inner(source, tree, chance, Inner::Size)),
    ("inner-cut", |source, tree, chance| inner(source, tree, chance, Inner::Cut)),
];

/// A batch: the first or last of the log or of a segment as often as any other.
fn any_batch<'a>(source: &'a Source, chance: &mut Chance) -> Option<&'a Stored> {
    let batches = &source.batches;
    let at = match chance.index(5) {
        0 => 0,
        1 => batches.len().checked_sub(1)?,
        2 => {
            let firsts: Vec<_> = (0..batches.len()).filter(|at| batches[*at].bytes.start == 0).collect();
            *firsts.get(chance.index(firsts.len()))?
        }
        3 => {
            let lasts: Vec<_> = (1..batches.len()).filter(|at| batches[*at].bytes.start == 0).collect();
            lasts.get(chance.index(lasts.len()))? - 1
        }
        _ => chance.index(batches.len()),
    };
    batches.get(at)
}

fn units<'a>(of: impl IntoIterator<Item = &'a Stored>) -> Vec<(i64, i64)> {
    of.into_iter().map(|batch| (batch.first, batch.last)).collect()
}

/// What stands in a stretch of a file.
fn within(source: &Source, path: &Path, bytes: &Range<usize>) -> Vec<(i64, i64)> {
    let is_hit = |batch: &&Stored| batch.path == path && batch.bytes.start < bytes.end && bytes.start < batch.bytes.end;
    units(source.batches.iter().filter(is_hit))
}

fn at(batch: &Stored, detail: &str) -> String {
    format!(
        "{} at {:?} (v{}, offsets {} to {}): {detail}",
        batch.path.display(),
        batch.bytes,
        batch.magic,
        batch.first,
        batch.last
    )
}

fn flip_in(source: &Source, tree: &mut Tree, chance: &mut Chance, fields: Range<usize>) -> Option<Hit> {
    let batch = any_batch(source, chance)?;
    let end = fields.end.min(batch.bytes.len());
    if fields.start >= end {
        return None;
    }
    let byte = fields.start + chance.index(end - fields.start);
    let bits = if chance.index(4) == 0 { chance.byte() | 1 } else { 1 << chance.index(8) };
    let content = tree.bytes(&batch.path);
    content[batch.bytes.start + byte] ^= bits;
    let renumbered = (byte < 8).then_some((batch.first, batch.last));
    Some(Hit {
        what: at(batch, &format!("bits {bits:02x} of byte {byte}")),
        units: units([batch]),
        renumbered,
        ..Hit::default()
    })
}

fn base_offset(source: &Source, tree: &mut Tree, chance: &mut Chance) -> Option<Hit> {
    let batch = any_batch(source, chance)?;
    let front = &mut tree.bytes(&batch.path)[batch.bytes.clone()][..8];
    let stands = i64::from_be_bytes(*front.first_chunk()?);
    let other = chance.pick(&source.batches).first;
    let new = match chance.index(8) {
        0 => stands + 1,
        1 => stands - 1,
        2 => stands + 1 + i64::try_from(chance.index(20)).unwrap(),
        3 => stands - 1 - i64::try_from(chance.index(20)).unwrap(),
        4 => other,
        5 => batch.last + 1,
        6 => *chance.pick(&[0, -1, i64::MAX, i64::MIN, 1 << 32, 65_536]),
        _ => source.batches.last()?.last + 1 + i64::try_from(chance.index(5)).unwrap(),
    };
    if new == stands {
        return None;
    }
    front.copy_from_slice(&new.to_be_bytes());
    let renumbered = Some((batch.first, batch.last));
    Some(Hit { what: at(batch, &format!("offset {new}")), units: units([batch]), renumbered, ..Hit::default() })
}

fn length(source: &Source, tree: &mut Tree, chance: &mut Chance) -> Option<Hit> {
    let batch = any_batch(source, chance)?;
    let stands = i32::try_from(batch.bytes.len() - 12).unwrap();
    let next = source.batches.iter().find(|next| next.path == batch.path && next.bytes.start == batch.bytes.end);
    let rest = tree.files[&batch.path].len() - batch.bytes.start - 12;
    let some = i32::try_from(1 + chance.index(200)).unwrap();
    let new = match chance.index(10) {
        0 => stands + some,
        1 => stands - some,
        2 => i32::try_from(chance.index(62)).unwrap(),
        3 => stands + (1 << 24),
        4 => *chance.pick(&[0, -1, i32::MAX, i32::MIN, 49, 50, 14, 13]),
        5 => stands + i32::try_from(next?.bytes.len()).unwrap(),
        6 => i32::try_from(rest).unwrap(),
        7 => i32::try_from(rest).unwrap() + some,
        8 => stands + 1,
        _ => stands - 1,
    };
    if new == stands {
        return None;
    }
    tree.bytes(&batch.path)[batch.bytes.clone()][8..12].copy_from_slice(&new.to_be_bytes());
    Some(Hit { what: at(batch, &format!("length {new}, not {stands}")), units: units([batch]), ..Hit::default() })
}

fn magic(source: &Source, tree: &mut Tree, chance: &mut Chance) -> Option<Hit> {
    let batch = any_batch(source, chance)?;
    let new = *chance.pick(&[0, 1, 2, 3, 255, 128]);
    let byte = &mut tree.bytes(&batch.path)[batch.bytes.start + 16];
    if *byte == new {
        return None;
    }
    *byte = new;
    Some(Hit { what: at(batch, &format!("magic {new}")), units: units([batch]), ..Hit::default() })
}

/// Any segment, and how long it is.
fn any_segment(source: &Source, chance: &mut Chance) -> Option<(PathBuf, usize)> {
    let segments = source.segments();
    let path = if chance.index(3) == 0 { segments.last()? } else { segments.get(chance.index(segments.len()))? };
    let len = source.tree.files[path].len();
    (len > 0).then(|| (path.clone(), len))
}

fn zeroed_page(source: &Source, tree: &mut Tree, chance: &mut Chance) -> Option<Hit> {
    let (path, len) = any_segment(source, chance)?;
    let page = *chance.pick(&[512, 4096]);
    let begin = chance.index(len.div_ceil(page)) * page;
    wipe(source, tree, &path, begin..(begin + page).min(len), |_| 0)
}

fn hole(source: &Source, tree: &mut Tree, chance: &mut Chance, is_garbage: bool) -> Option<Hit> {
    let (path, len) = any_segment(source, chance)?;
    let range = chance.range(len, 200);
    wipe(source, tree, &path, range, |_| if is_garbage { chance.byte() } else { 0 })
}

fn zero_tail(source: &Source, tree: &mut Tree, chance: &mut Chance) -> Option<Hit> {
    let batch = source.batches.last()?;
    let len = tree.files[&batch.path].len();
    wipe(source, tree, &batch.path, batch.bytes.start + chance.index(batch.bytes.len())..len, |_| 0)
}

fn wipe(
    source: &Source,
    tree: &mut Tree,
    path: &Path,
    range: Range<usize>,
    mut byte: impl FnMut(u8) -> u8,
) -> Option<Hit> {
    let content = &mut tree.bytes(path)[range.clone()];
    content.iter_mut().for_each(|each| *each = byte(*each));
    // The last batch that is hit may have lost nothing but its number.
    let front =
        |batch: &&Stored| batch.path == path && (batch.bytes.start..batch.bytes.start + 8).contains(&(range.end - 1));
    let renumbered = source.batches.iter().find(front).map(|batch| (batch.first, batch.last));
    let what = format!("{range:?} of {}", path.display());
    Some(Hit { what, units: within(source, path, &range), renumbered, ..Hit::default() })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Cut {
    Anywhere,
    Between,
    InHeader,
    Last,
}

fn cut(source: &Source, tree: &mut Tree, chance: &mut Chance, cut: Cut) -> Option<Hit> {
    let batch = if cut == Cut::Last { source.batches.last()? } else { chance.pick(&source.batches) };
    let len = tree.files[&batch.path].len();
    let to = match cut {
        Cut::Anywhere => batch.bytes.start + chance.index(batch.bytes.len()),
        Cut::Between => batch.bytes.start,
        Cut::InHeader => batch.bytes.start + 1 + chance.index(20),
        Cut::Last => batch.bytes.end - 1 - chance.index(batch.bytes.len() - 1),
    };
    tree.bytes(&batch.path).truncate(to);
    let units = within(source, &batch.path, &(to..len));
    let what = format!("{} cut at {to} of {len}, which is within {:?}", batch.path.display(), batch.bytes);
    Some(Hit { what, units, is_gone: true, ..Hit::default() })
}

fn after_tail(source: &Source, tree: &mut Tree, chance: &mut Chance, is_garbage: bool) -> Option<Hit> {
    let (path, _) = any_segment(source, chance)?;
    let most = *chance.pick(&[30, 3000]);
    let count = 1 + chance.index(most);
    let bytes: Vec<u8> = (0..count).map(|_| if is_garbage { chance.byte() } else { 0 }).collect();
    tree.bytes(&path).extend(bytes);
    Some(Hit { what: format!("{count} bytes behind {}", path.display()), ..Hit::default() })
}

fn old_batch_again(source: &Source, tree: &mut Tree, chance: &mut Chance) -> Option<Hit> {
    let (old, (path, _)) = (chance.pick(&source.batches), any_segment(source, chance)?);
    let bytes = tree.files[&old.path][old.bytes.clone()].to_vec();
    tree.bytes(&path).extend(bytes);
    Some(Hit { what: at(old, &format!("again behind {}", path.display())), ..Hit::default() })
}

fn batch_twice(source: &Source, tree: &mut Tree, chance: &mut Chance) -> Option<Hit> {
    let (old, place) = (chance.pick(&source.batches), chance.pick(&source.batches));
    let place = if chance.index(2) == 0 { old } else { place };
    let bytes = tree.files[&old.path][old.bytes.clone()].to_vec();
    tree.bytes(&place.path).splice(place.bytes.end..place.bytes.end, bytes);
    Some(Hit { what: at(old, &format!("again in {} at {}", place.path.display(), place.bytes.end)), ..Hit::default() })
}

fn missing_segment(source: &Source, tree: &mut Tree, chance: &mut Chance, of: &[&str]) -> Option<Hit> {
    let segments = source.segments();
    let path = segments.get(chance.index(segments.len()))?;
    for extension in of {
        tree.files.remove(&path.with_extension(extension));
    }
    tree.dirs.push(PathBuf::from(&source.dir));
    let units = within(source, path, &(0..usize::MAX));
    Some(Hit { what: format!("{} is missing", path.display()), units, is_gone: true, ..Hit::default() })
}

/// The files of the partition that are not its batches.
fn small_files(source: &Source, extensions: &[&str]) -> Vec<PathBuf> {
    extensions.iter().flat_map(|extension| source.tree.of(&source.dir, extension)).collect()
}

fn missing_small(source: &Source, tree: &mut Tree, chance: &mut Chance) -> Option<Hit> {
    let mut files = small_files(source, &["index", "timeindex", "txnindex", "snapshot"]);
    files.extend(["leader-epoch-checkpoint", "partition.metadata"].map(|name| Path::new(&source.dir).join(name)));
    let path = files.get(chance.index(files.len()))?;
    if chance.index(5) == 0 {
        small_files(source, &["snapshot"]).iter().for_each(|path| drop(tree.files.remove(path)));
    } else if chance.index(5) == 0 {
        small_files(source, &["index"]).iter().for_each(|path| drop(tree.files.remove(path)));
    } else {
        tree.files.remove(path)?;
    }
    Some(Hit { what: format!("{} is missing, or all of a kind", path.display()), ..Hit::default() })
}

fn small_file(source: &Source, tree: &mut Tree, chance: &mut Chance, of: &[&str]) -> Option<Hit> {
    let files = small_files(source, of);
    let path = files.get(chance.index(files.len()))?;
    let content = tree.bytes(path);
    let len = content.len();
    let what = match chance.index(7) {
        0 => {
            content.extend([0; 4096]);
            "zeros behind it"
        }
        1 => {
            content.truncate(chance.index(len));
            "cut"
        }
        2 => {
            *content = vec![0; 4096];
            "all zero"
        }
        3 => {
            content.iter_mut().for_each(|byte| *byte = chance.byte());
            "garbage"
        }
        4 => {
            content.extend((0..1 + chance.index(40)).map(|_| chance.byte()));
            "garbage behind it"
        }
        _ if len > 0 => {
            content[chance.index(len)] ^= 1 << chance.index(8);
            "a bit"
        }
        _ => return None,
    };
    Some(Hit { what: format!("{}: {what}", path.display()), ..Hit::default() })
}

/// Entries that are exchanged, or lead elsewhere.
fn index_entries(source: &Source, tree: &mut Tree, chance: &mut Chance) -> Option<Hit> {
    let files = small_files(source, &["index", "timeindex"]);
    let path = files.get(chance.index(files.len()))?;
    let size = if path.extension()? == "index" { 8 } else { 12 };
    let len = source.tree.files.get(&path.with_extension("log"))?.len();
    let content = tree.bytes(path);
    let count = content.len() / size;
    if count == 0 {
        return None;
    }
    let entry = chance.index(count) * size;
    let place = entry + size - 4..entry + size;
    let what = match chance.index(5) {
        0 => {
            let other = chance.index(count) * size;
            let one = content[entry..entry + size].to_vec();
            content.copy_within(other..other + size, entry);
            content[other..other + size].copy_from_slice(&one);
            "entries exchanged"
        }
        1 => {
            content[place].copy_from_slice(&u32::try_from(chance.index(len)).unwrap().to_be_bytes());
            "it leads anywhere"
        }
        2 => {
            content[place].copy_from_slice(&u32::try_from(len + chance.index(100_000)).unwrap().to_be_bytes());
            "it leads behind the end"
        }
        3 => {
            // To another batch than the one it names.
            let batches: Vec<_> =
                source.batches.iter().filter(|batch| batch.path == path.with_extension("log")).collect();
            let batch = batches.get(chance.index(batches.len()))?;
            content[place].copy_from_slice(&u32::try_from(batch.bytes.start).unwrap().to_be_bytes());
            "it leads to another batch"
        }
        _ => {
            let first = i32::from_be_bytes(*content[entry..].first_chunk()?);
            let first = first.wrapping_add(i32::try_from(1 + chance.index(40)).unwrap() - 20);
            content[entry..entry + 4].copy_from_slice(&first.to_be_bytes());
            "it names another offset"
        }
    };
    Some(Hit { what: format!("{}: entry {}: {what}", path.display(), entry / size), ..Hit::default() })
}

fn index_of_another(source: &Source, tree: &mut Tree, chance: &mut Chance) -> Option<Hit> {
    let kind = *chance.pick(&["index", "timeindex", "txnindex"]);
    let files = small_files(source, &[kind]);
    let (one, other) = (files.get(chance.index(files.len()))?, files.get(chance.index(files.len()))?);
    if one == other {
        return None;
    }
    tree.swap(one, other);
    Some(Hit { what: format!("{} and {} exchanged", one.display(), other.display()), ..Hit::default() })
}

fn text_file(source: &Source, tree: &mut Tree, chance: &mut Chance, is_of_log_dir: bool) -> Option<Hit> {
    let in_partition = ["leader-epoch-checkpoint", "partition.metadata"].map(|name| Path::new(&source.dir).join(name));
    let in_log_dir = [
        "recovery-point-offset-checkpoint",
        "replication-offset-checkpoint",
        "log-start-offset-checkpoint",
        "cleaner-offset-checkpoint",
        "meta.properties",
    ];
    let files = if is_of_log_dir { in_log_dir.map(PathBuf::from).to_vec() } else { in_partition.to_vec() };
    let path = files.get(chance.index(files.len()))?;
    let content = tree.files.get_mut(path)?;
    let what = match chance.index(5) {
        0 => {
            *content = (0..40).map(|_| chance.byte()).collect();
            "garbage"
        }
        1 => {
            content.truncate(chance.index(content.len()));
            "cut"
        }
        2 => {
            let text = String::from_utf8(content.clone()).ok()?;
            let lines: Vec<_> = text.lines().collect();
            let count = format!("{}", chance.index(9) + lines.len());
            let lines: Vec<_> =
                lines.iter().enumerate().map(|(at, line)| if at == 1 { &count } else { *line }).collect();
            *content = (lines.join("\n") + "\n").into_bytes();
            "a wrong count"
        }
        3 => {
            let text = String::from_utf8(content.clone()).ok()?;
            let start = format!("{} ", source.dir.rsplit_once('-')?.0);
            let line = text.lines().find(|line| line.starts_with(&start))?;
            let wrong = line.rsplit_once(' ')?.0.to_owned() + " many";
            *content = text.replace(line, &wrong).into_bytes();
            "no number"
        }
        _ => {
            content.clear();
            "empty"
        }
    };
    if what == "empty" && !source.is_dense && path == Path::new("cleaner-offset-checkpoint") {
        return None; // as a broker leaves it that has never cleaned
    }
    let forgets_log_start = path == Path::new("log-start-offset-checkpoint");
    Some(Hit { what: format!("{}: {what}", path.display()), forgets_log_start, ..Hit::default() })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Right {
    Payload,
    Codec,
    Lengths,
    NullValue,
}

/// An entry of an old format.
fn any_message<'a>(source: &'a Source, chance: &mut Chance, is_packed: Option<bool>) -> Option<&'a Stored> {
    let fits = |batch: &&Stored| batch.magic < 2 && is_packed.is_none_or(|is_packed| batch.is_packed == is_packed);
    let fitting: Vec<&Stored> = source.batches.iter().filter(fits).collect();
    fitting.get(chance.index(fitting.len())).copied()
}

/// What rot does not do alone: a message that its checksum confirms.
fn crc_right(source: &Source, tree: &mut Tree, chance: &mut Chance, right: Right) -> Option<Hit> {
    let is_packed = match right {
        Right::Lengths => None,
        _ => Some(true),
    };
    let batch = any_message(source, chance, is_packed)?;
    let message = &mut tree.bytes(&batch.path)[batch.bytes.clone()];
    let key = if batch.magic == 0 { 18 } else { 26 };
    let key_len = usize::try_from(i32::from_be_bytes(*message.get(key..)?.first_chunk()?)).unwrap_or(0);
    let value = key + 4 + key_len;
    match right {
        Right::Payload => {
            // What snappy does not pack has no checksum but that of the messages, which leaves their offsets out.
            if message[17] & 7 == 2 {
                return None;
            }
            let at = value + 4 + chance.index(message.len().checked_sub(value + 4)?);
            *message.get_mut(at)? ^= 1 << chance.index(8);
        }
        Right::Codec => message[17] = message[17] & !7 | (4 + u8::try_from(chance.index(4)).unwrap()),
        Right::Lengths => {
            message[if chance.index(2) == 0 { key } else { value } + 2 + chance.index(2)] ^= 1 << chance.index(8)
        }
        Right::NullValue => message[value..value + 4].fill(255),
    }
    seal(message);
    Some(Hit { what: at(batch, "under a right checksum"), units: units([batch]), ..Hit::default() })
}

fn inner(source: &Source, tree: &mut Tree, chance: &mut Chance, kind: Inner) -> Option<Hit> {
    let batch = any_message(source, chance, Some(true))?;
    let whole = tree.files[&batch.path][batch.bytes.clone()].to_vec();
    let set = damaged_set(batch, &whole, kind, chance)?;
    debug_assert_eq!(messages::crc(&set[CRC + 4..]).to_be_bytes(), set[CRC..CRC + 4]);
    tree.bytes(&batch.path).splice(batch.bytes.clone(), set);
    Some(Hit { what: at(batch, &format!("{kind:?} of an inner message")), units: units([batch]), ..Hit::default() })
}
