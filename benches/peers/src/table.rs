//! The tables, as Markdown.

use std::fmt::Write;

use crate::experiments::{Compared, FlippedBit, FullDisk};
use crate::peers::Peer;
use crate::small_disk::{Kind, SMALL_MIB};
use crate::steps::{AFTER_FULL, UNTIL_FULL, WHEN_FLIPPED};

/// How long a cell may be: errors tend to end in paths.
const CELL: usize = 200;

/// Both experiments in few words.
pub fn summary(full: &[FullDisk], flipped: &[FlippedBit]) -> String {
    let mut table = format!(
        "| crate | full disk: first error | {AFTER_FULL} appends after room | **acknowledged, and lost** | flipped bit: returned whole | gone | **wrong, returned as good** | and opening or reading |\n\
         |---|---|---|---:|---:|---:|---:|---|\n"
    );
    for FlippedBit { peer, compared: bit, .. } in flipped {
        let (mut first, mut after, mut lost) = (String::new(), String::new(), String::new());
        if let Some(full) = full.iter().find(|full| full.peer.name == peer.name) {
            first = full.first_error.as_ref().map_or("never".to_owned(), |(number, _)| format!("after {number}"));
            let refused = if full.errors_after.is_empty() { "" } else { ", refused until opened again" };
            after = format!("{} ok{refused}", full.ok_after);
            if full.end.starts_with("hangs") || full.end.starts_with("dies") {
                after = full.end.clone();
            }
            lost = format!("**{}** of {}", full.compared.missing, full.compared.acknowledged);
        }
        let says = match &bit.said[..] {
            [] => "says nothing",
            [what, ..] if what.starts_with("refuses to open") => "refuses to open",
            _ if bit.wrong > 0 => "names it when asked to check",
            _ => "names it",
        };
        let (whole, gone, wrong) = (whole(bit), gone(bit), bit.wrong);
        let _ =
            writeln!(table, "| {} | {first} | {after} | {lost} | {whole} | {gone} | {wrong} | {says} |", named(peer));
    }
    table
}

fn whole(compared: &Compared) -> usize {
    compared.acknowledged - compared.missing
}

/// Of the missing ones those that were not returned in another form.
fn gone(compared: &Compared) -> usize {
    compared.missing.saturating_sub(compared.wrong)
}

pub fn full_disk(rows: &[FullDisk], kind: Kind) -> String {
    let disk = match kind {
        Kind::Tmpfs => format!("a tmpfs of {SMALL_MIB} MiB"),
        Kind::Limit => format!("files of at most {SMALL_MIB} MiB (`RLIMIT_FSIZE`)"),
    };
    let mut table = format!(
        "Full disk: {disk}, records of 1 KiB until the first error (at most {UNTIL_FULL}), room, {AFTER_FULL} more, close, open, read.\n\n\
         | crate | first error | {AFTER_FULL} appends after room | acknowledged | **of these missing** | doubled | there though refused | opening and reading |\n\
         |---|---|---|---:|---:|---:|---:|---|\n"
    );
    for FullDisk { peer, first_error, ok_after, errors_after, end, compared } in rows {
        let first = match first_error {
            Some((number, why)) => format!("after {number}: {}", cell(why)),
            None => "never".to_owned(),
        };
        let mut after = format!("{ok_after} ok");
        for why in errors_after.iter().take(1) {
            let _ = write!(after, ", then {}", cell(why));
        }
        if !end.is_empty() {
            let _ = write!(after, "; {}", cell(end));
        }
        let Compared { acknowledged, missing, doubled, unacknowledged, wrong, .. } = compared;
        let extra = unacknowledged + wrong;
        let _ = writeln!(
            table,
            "| {} | {first} | {after} | {acknowledged} | **{missing}** | {doubled} | {extra} | {} |",
            named(peer),
            said(compared)
        );
    }
    table
}

pub fn flipped_bit(rows: &[FlippedBit]) -> String {
    let mut table = format!(
        "Flipped bit: {WHEN_FLIPPED} records of 1 KiB, close, one bit of record 6000 flipped in the files, open, read.\n\n\
         | crate | returned whole | gone | wrong bytes returned as good | opening and reading |\n\
         |---|---:|---:|---:|---|\n"
    );
    for FlippedBit { peer, copies, compared } in rows {
        let (whole, gone) = (whole(compared), gone(compared));
        let mut said = said(compared);
        if *copies > 1 {
            let _ = write!(said, " ({copies} copies of the record were in the files, and in each the bit was flipped)");
        }
        let _ = writeln!(table, "| {} | {whole} | {gone} | {} | {said} |", named(peer), compared.wrong);
    }
    table
}

pub fn settings(peers: &[&Peer]) -> String {
    let mut table = "| crate | setting |\n|---|---|\n".to_owned();
    for peer in peers {
        let _ = writeln!(table, "| {} | {} |", named(peer), peer.setting);
    }
    table
}

fn named(peer: &Peer) -> String {
    format!("{} {}", peer.name, version(peer.package))
}

/// As `Cargo.lock` has it.
fn version(package: &str) -> &'static str {
    const LOCK: &str = include_str!("../Cargo.lock");
    let entry = LOCK.split(&format!("name = \"{package}\"\nversion = \"")).nth(1);
    entry.and_then(|entry| entry.split('"').next()).unwrap_or("?")
}

/// Each thing that was said, once.
fn said(compared: &Compared) -> String {
    let mut said: Vec<String> = Vec::new();
    for what in compared.said.iter().map(|what| cell(what)) {
        if !said.contains(&what) {
            said.push(what);
        }
    }
    if said.is_empty() { "says nothing".to_owned() } else { said.join("; ") }
}

/// Text that fits into a table.
fn cell(text: &str) -> String {
    let text = text.replace('|', "\\|");
    if text.chars().count() <= CELL {
        return text;
    }
    text.chars().take(CELL).chain("...".chars()).collect()
}
