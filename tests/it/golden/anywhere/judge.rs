//! What has to be true of a log after one damage.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use ottla::replay::{Archive, ReplayOptions, Scanned};
use ottla::{Defect, DefectKind, Offset, VerifyOptions, verify};
use serde_json::Value;

use super::super::imported::imported;
use super::super::manifest::record_row;
use super::kinds::Hit;
use super::source::Source;
use crate::chance::Chance;
use crate::rot::tree::Tree;

pub(super) struct Outcome {
    pub(super) lost: usize,
    pub(super) is_unknowable: bool,
}

/// What a replay gave.
struct Given {
    /// In the order in which it came.
    offsets: Vec<i64>,
    records: BTreeMap<i64, Value>,
    findings: Vec<Defect>,
}

/// Whether all is as it has to be, or what is not.
pub(super) fn judge(source: &Source, hit: &Hit, tree: &Tree, chance: &mut Chance) -> Result<Outcome, String> {
    let checked = catch_unwind(AssertUnwindSafe(|| checked(source, hit, tree, chance)));
    checked.unwrap_or_else(|panic| {
        let message = panic.downcast_ref::<String>().cloned();
        Err(message.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default())
    })
}

fn is_in(ranges: &[(i64, i64)], offset: i64) -> bool {
    ranges.iter().any(|(first, last)| (*first..=*last).contains(&offset))
}

fn checked(source: &Source, hit: &Hit, tree: &Tree, chance: &mut Chance) -> Result<Outcome, String> {
    let root = tree.write();
    let archive = Archive::open(root.path()).map_err(|error| error.to_string())?;
    let all = ReplayOptions::default();
    let whole = given(&archive, source, &all)?;
    let judge = Judge { source, hit, root: root.path() };
    if hit.renumbered.is_some() && judge.is_numbered_as_well(&whole) {
        return Ok(Outcome { lost: 0, is_unknowable: true });
    }
    judge.is_right(&whole)?;
    let wanted: Vec<i64> = source.records.keys().copied().filter(|offset| *offset >= source.log_start).collect();
    let lost = judge.loss_is_said(&wanted, &whole)?;
    claims_nothing_that_came(&whole)?;
    rises(&whole.offsets)?;

    let back = given(&archive, source, &all.clone().backwards(true))?;
    agree("backwards", &whole.records, &back.records)?;
    let mut there = ranges(&whole.findings);
    there.sort_unstable();
    let mut back_again = ranges(&back.findings);
    back_again.sort_unstable();
    if there != back_again {
        return Err(format!("backwards says {:#?}, and forwards {:#?}", back.findings, whole.findings));
    }
    let scanned = |backwards: bool| -> Result<Vec<_>, String> {
        let scan = archive.logs().first().ok_or("no log")?.scan();
        let scan = if backwards { scan.backwards() } else { scan };
        scan.map(|found| match found.map_err(|error| error.to_string())? {
            Scanned::Batch(stored) => Ok((stored.path(), Some(stored.position), true)),
            Scanned::Damage(defect) => Ok((defect.path, defect.position, false)),
            _ => Err("something else".to_owned()),
        })
        .collect()
    };
    let (mut there, back) = (scanned(false)?, scanned(true)?);
    there.reverse();
    if there != back {
        return Err(format!("a scan finds {there:?}, and backwards {back:?}"));
    }

    for _ in 0..2 {
        let (first, last) = (source.log_start, source.records.keys().last().copied().unwrap_or(0));
        let from = first + i64::try_from(chance.index(usize::try_from(last - first + 2).unwrap_or(1))).unwrap();
        let expected = of(&whole.records, from, i64::MAX);
        for backwards in [false, true] {
            let found = given(&archive, source, &all.clone().from_offset(Offset(from)).backwards(backwards))?;
            agree(&format!("from {from}"), &expected, &found.records)?;
        }
    }

    let segments: Vec<_> = source.segments().into_iter().filter(|path| tree.files.contains_key(path)).collect();
    if !segments.is_empty() {
        let dir = Archive::open(root.path().join(&source.dir)).map_err(|error| error.to_string())?;
        agree("the partition's directory", &whole.records, &given(&dir, source, &all)?.records)?;
        let base = |path: &Path| path.file_stem().unwrap().to_str().unwrap().parse::<i64>().unwrap();
        let at = chance.index(segments.len());
        let (first, behind) = (base(&segments[at]), segments.get(at + 1).map_or(i64::MAX, |next| base(next)));
        let alone = Archive::open(root.path().join(&segments[at])).map_err(|error| error.to_string())?;
        let alone = given(&alone, source, &all)?;
        agree(&format!("{} alone", segments[at].display()), &of(&whole.records, first, behind), &alone.records)?;
    }

    let committed = given(&archive, source, &all.clone().read_committed(true))?;
    judge.is_right(&committed)?;
    judge.holds_nothing_uncommitted(committed.records.keys())?;
    let wanted_committed: Vec<i64> = wanted.iter().copied().filter(|offset| judge.is_committed(*offset)).collect();
    let stable: Vec<i64> = wanted_committed.iter().copied().filter(|offset| *offset < source.last_stable).collect();
    judge.committed_loss_is_said(&stable, &committed.records, &committed.findings)?;
    let back = given(&archive, source, &all.read_committed(true).backwards(true))?;
    agree("committed, backwards", &committed.records, &back.records)?;

    let (rows, report) = imported(root.path());
    let rows: BTreeMap<i64, Value> = rows.into_iter().map(|((_, offset), row)| (offset, row)).collect();
    if !source.dir.starts_with("__") {
        let imported = Given { offsets: Vec::new(), records: rows, findings: report.findings };
        judge.is_right(&imported).map_err(|problem| format!("imported: {problem}"))?;
        judge.holds_nothing_uncommitted(imported.records.keys()).map_err(|problem| format!("imported: {problem}"))?;
        judge
            .committed_loss_is_said(&wanted_committed, &imported.records, &imported.findings)
            .map_err(|problem| format!("imported: {problem}"))?;
    }

    let report = verify(root.path(), &VerifyOptions::default()).map_err(|error| error.to_string())?;
    let is_said = report.iter().next().is_some();
    if !is_said && lost > 0 && !whole.findings.is_empty() {
        return Err("verify finds nothing".to_owned());
    }
    Ok(Outcome { lost, is_unknowable: lost > 0 && whole.findings.is_empty() })
}

fn of(records: &BTreeMap<i64, Value>, first: i64, behind: i64) -> BTreeMap<i64, Value> {
    records.range(first..behind.max(first)).map(|(offset, row)| (*offset, row.clone())).collect()
}

fn ranges(findings: &[Defect]) -> Vec<(i64, i64)> {
    findings.iter().filter_map(|defect| defect.offsets).map(|(first, last)| (first.0, last.0)).collect()
}

fn given(archive: &Archive, source: &Source, options: &ReplayOptions) -> Result<Given, String> {
    let (mut offsets, mut records, mut twice) = (Vec::new(), BTreeMap::new(), None);
    let report = archive.replay(options).for_each(|found| {
        let offset = found.record.offset().0;
        offsets.push(offset);
        if records.insert(offset, record_row(&source.dir, found.batch, &found.record)).is_some() {
            twice = Some(offset);
        }
    });
    let findings = report.map_err(|error| format!("{options:?}: {error}"))?.findings;
    match twice {
        Some(offset) => Err(format!("{offset} comes twice: {findings:#?}")),
        None => Ok(Given { offsets, records, findings }),
    }
}

/// A finding that names offsets says that their records are not to be had.
fn claims_nothing_that_came(given: &Given) -> Result<(), String> {
    let claims = ranges(&given.findings);
    let came: Vec<_> = given.offsets.iter().filter(|offset| is_in(&claims, **offset)).collect();
    if came.is_empty() { Ok(()) } else { Err(format!("{came:?} came, and are said to be lost: {:#?}", given.findings)) }
}

fn rises(offsets: &[i64]) -> Result<(), String> {
    let falls = offsets.windows(2).find(|pair| pair[0] >= pair[1]);
    falls.map_or(Ok(()), |pair| Err(format!("{pair:?} in this order")))
}

fn agree(what: &str, expected: &BTreeMap<i64, Value>, found: &BTreeMap<i64, Value>) -> Result<(), String> {
    let missing: Vec<_> = expected.keys().filter(|offset| !found.contains_key(offset)).collect();
    let more: Vec<_> = found.keys().filter(|offset| !expected.contains_key(offset)).collect();
    if !missing.is_empty() || !more.is_empty() {
        return Err(format!("{what}: {missing:?} are missing, {more:?} come besides"));
    }
    let wrong = expected.iter().find(|(offset, row)| found.get(offset) != Some(row));
    wrong.map_or(Ok(()), |(offset, _)| Err(format!("{what}: {offset} is another record")))
}

struct Judge<'a> {
    source: &'a Source,
    hit: &'a Hit,
    root: &'a Path,
}

impl Judge<'_> {
    /// Whether a batch of another number came where the cleaner leaves gaps, in the right order: no byte says that it is
    /// wrong there.
    fn is_numbered_as_well(&self, given: &Given) -> bool {
        let Some((first, last)) = self.hit.renumbered else { return false };
        let is_other = |offset: &&i64| {
            self.source.records.get(offset) != given.records.get(offset) && !(first..=last).contains(*offset)
        };
        !self.source.is_dense && given.records.keys().any(|offset| is_other(&offset)) && rises(&given.offsets).is_ok()
    }

    fn is_right(&self, given: &Given) -> Result<(), String> {
        for (offset, row) in &given.records {
            match self.source.records.get(offset) {
                None => return Err(format!("{offset} was not there: {:#?}", given.findings)),
                Some(right) if right != row => {
                    return Err(format!("{offset} is {row}, not {right}: {:#?}", given.findings));
                }
                Some(_) if *offset < self.source.log_start && !self.hit.forgets_log_start => {
                    return Err(format!("{offset} is deleted"));
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    /// Whether a finding names an offset, or a place behind which nothing more comes.
    fn is_said(&self, offset: i64, given: &Given) -> bool {
        let end = given.records.keys().last().copied().unwrap_or(-1);
        let batch = self.source.batches.iter().find(|batch| (batch.first..=batch.last).contains(&offset));
        given.findings.iter().any(|defect| {
            let is_open = end < offset && self.is_in_last_segment(defect) && offset >= self.source.known_end;
            let position = defect.position.and_then(|position| usize::try_from(position).ok());
            let is_place = batch.is_some_and(|batch| {
                let is_there = position.is_some_and(|position| {
                    batch.bytes.contains(&position) || (is_open && position <= batch.bytes.start)
                });
                is_there && defect.path.ends_with(&batch.path)
            });
            let is_named = |(first, last): (Offset, Offset)| first.0 <= offset && (offset <= last.0 || is_open);
            is_place || defect.offsets.is_some_and(is_named)
        })
    }

    fn is_in_last_segment(&self, defect: &Defect) -> bool {
        let last = self.source.segments().into_iter().rfind(|path| self.root.join(path).exists());
        last.is_some_and(|last| defect.path.ends_with(last))
    }

    /// Whether what is missing is damaged, and said; how much that is.
    fn loss_is_said(&self, wanted: &[i64], given: &Given) -> Result<usize, String> {
        let missing: Vec<i64> = wanted.iter().copied().filter(|offset| !given.records.contains_key(offset)).collect();
        let besides: Vec<_> = missing.iter().filter(|offset| !is_in(&self.hit.units, **offset)).collect();
        if !besides.is_empty() {
            return Err(format!("{besides:?} are lost besides {:?}: {:#?}", self.hit.units, given.findings));
        }
        let unsaid: Vec<_> = missing.iter().filter(|offset| !self.is_said(**offset, given)).collect();
        let may_be_silent = |offset: i64| self.may_be_silent(offset);
        if unsaid.iter().any(|offset| !may_be_silent(**offset)) {
            let (is_dense, end) = (self.source.is_dense, self.source.known_end);
            return Err(format!(
                "nobody says that {unsaid:?} are lost (dense: {is_dense}, end {end}): {:#?}",
                given.findings
            ));
        }
        Ok(missing.len())
    }

    /// Whether nothing that is left says that there was such an offset: where a cleaner was, behind what any file names, and
    /// before the first segment of a log that has no leader epochs, in which a broker notes where it begins.
    fn may_be_silent(&self, offset: i64) -> bool {
        let first = self.source.segments().into_iter().find(|path| self.root.join(path).exists());
        let first = first.and_then(|path| path.file_stem()?.to_str()?.parse::<i64>().ok());
        let is_before_all = first.is_none_or(|first| offset < first) && offset < self.source.begins;
        self.hit.is_gone && (!self.source.is_dense || offset >= self.source.known_end || is_before_all)
    }

    fn is_committed(&self, offset: i64) -> bool {
        !self.source.uncommitted.contains(&offset)
    }

    fn holds_nothing_uncommitted<'o>(&self, mut offsets: impl Iterator<Item = &'o i64>) -> Result<(), String> {
        let found = offsets.find(|offset| !self.is_committed(**offset));
        found.map_or(Ok(()), |offset| Err(format!("{offset} is not committed")))
    }

    /// With a marker that is lost, all that it decides may be.
    fn committed_loss_is_said(
        &self,
        wanted: &[i64],
        records: &BTreeMap<i64, Value>,
        findings: &[Defect],
    ) -> Result<(), String> {
        let markers = self.source.decided.iter().filter(|(marker, _)| is_in(&self.hit.units, *marker));
        // The same where a segment is gone, in which a marker may have been.
        let is_cut = |(marker, offsets): &&(i64, BTreeSet<i64>)| {
            let lies_between =
                |(first, _): &(i64, i64)| first < marker && offsets.first().is_some_and(|begun| begun < first);
            self.hit.is_gone && self.hit.units.iter().any(lies_between)
        };
        let markers = markers.chain(self.source.decided.iter().filter(is_cut));
        let undecided: BTreeSet<i64> = markers.flat_map(|(_, offsets)| offsets.iter().copied()).collect();
        let missing: Vec<i64> = wanted.iter().copied().filter(|offset| !records.contains_key(offset)).collect();
        let besides: Vec<_> =
            missing.iter().filter(|offset| !is_in(&self.hit.units, **offset) && !undecided.contains(offset)).collect();
        if !besides.is_empty() {
            return Err(format!("{besides:?} are lost of what is committed: {findings:#?}"));
        }
        let is_said = findings.iter().any(|defect| matches!(defect.kind, DefectKind::Damage | DefectKind::Torn));
        if missing.iter().any(|offset| !self.may_be_silent(*offset)) && !is_said {
            return Err(format!("nobody says that {missing:?} are lost of what is committed"));
        }
        Ok(())
    }
}
