//! ottla beside other storage crates: what a full disk and a flipped bit do to each.
//!
//! Without arguments all experiments run for all crates, and the tables are printed as Markdown. `README.md` tells the
//! method. Each step of an experiment is a process of its own, this program again: what hangs or dies is a result.

mod experiments;
mod peers;
mod records;
mod small_disk;
mod steps;
mod table;

use std::process::ExitCode;

use peers::{PEERS, Peer};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

const USAGE: &str = "ottla-peers [--only NAME,NAME]";

fn main() -> ExitCode {
    match run(&std::env::args().skip(1).collect::<Vec<_>>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &[String]) -> Outcome<()> {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["step", step, peer, directory] => steps::run(step, find(peer)?, directory.as_ref()),
        ["mounted", ref rest @ ..] => all(&chosen(rest)?, small_disk::Kind::Tmpfs),
        ref rest => {
            let peers = chosen(rest)?;
            small_disk::enter_namespace(rest)?; // comes back only if there can be none
            all(&peers, small_disk::Kind::Limit)
        }
    }
}

fn all(peers: &[&'static Peer], kind: small_disk::Kind) -> Outcome<()> {
    let (mut full, mut flipped) = (Vec::new(), Vec::new());
    for peer in peers {
        if peer.in_full_disk {
            eprintln!("{}: full disk", peer.name);
            full.extend(or_say(experiments::full_disk(peer, kind)));
        }
        eprintln!("{}: flipped bit", peer.name);
        flipped.extend(or_say(experiments::flipped_bit(peer, kind)));
    }
    println!("{}", table::summary(&full, &flipped));
    println!("{}", table::full_disk(&full, kind));
    println!("{}", table::flipped_bit(&flipped));
    print!("{}", table::settings(peers));
    Ok(())
}

/// An experiment that cannot be made is said, and the others go on.
fn or_say<T>(result: Outcome<T>) -> Option<T> {
    result.inspect_err(|error| eprintln!("{error}")).ok()
}

fn chosen(arguments: &[&str]) -> Outcome<Vec<&'static Peer>> {
    match arguments {
        [] => Ok(PEERS.iter().collect()),
        ["--only", names] => names.split(',').map(find).collect(),
        _ => Err(USAGE.into()),
    }
}

fn find(name: &str) -> Outcome<&'static Peer> {
    let names = || PEERS.iter().map(|peer| peer.name).collect::<Vec<_>>().join(", ");
    let found = PEERS.iter().find(|peer| peer.name == name);
    found.ok_or_else(|| format!("there is no {name}, but {}", names()).into())
}
