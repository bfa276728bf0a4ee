//! Standard output and standard error.

use std::fmt;
use std::io::{self, BufWriter, ErrorKind, Write};

use comfy_table::{CellAlignment, Table, presets};
use ottla::{Error, Metrics};
use serde_json::{Map, Value};

/// Why a command ended early.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The library's word.
    Error(Error),
    /// What was asked for makes no sense.
    Usage(String),
    /// A file that was named, or standard input.
    Input { path: String, error: io::Error },
    /// Standard output takes no more, for another reason than the next.
    Output(io::Error),
    /// Whoever read the output has gone: no error.
    ClosedPipe,
    /// Said already.
    Said,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Error(error) => error.fmt(f),
            Self::Usage(text) => f.write_str(text),
            Self::Input { path, error } => write!(f, "cannot read {path}: {error}"),
            Self::Output(error) => write!(f, "cannot write the output: {error}"),
            Self::ClosedPipe | Self::Said => Ok(()),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if error.kind() == ErrorKind::BrokenPipe { Self::ClosedPipe } else { Self::Output(error) }
    }
}

/// A partition was asked for that the topic does not have.
pub(crate) fn no_partition(topic: &str, number: u32, count: u32) -> Failure {
    let there_is = if count == 1 { "only partition 0".to_owned() } else { format!("partitions 0 to {}", count - 1) };
    Failure::Usage(format!("{topic} has no partition {number}, but {there_is}"))
}

/// Says something to whoever watches; if nobody does, so be it.
pub(crate) fn say(what: impl fmt::Display) {
    let _ = writeln!(io::stderr().lock(), "{what}");
}

/// Says what there is to say of each metric.
pub(crate) fn say_stats(metrics: &Metrics) {
    for metric in metrics.iter().filter(|metric| !metric.value.is_nan()) {
        say(metric);
    }
}

/// Standard output, buffered, for a person or for a program.
pub(crate) struct Output {
    out: BufWriter<Box<dyn Write>>,
    pub(crate) is_json: bool,
}

impl Output {
    pub(crate) fn new(is_json: bool) -> Self {
        Self::to(Box::new(io::stdout().lock()), is_json)
    }

    /// The same to somebody else.
    pub(crate) fn to(out: Box<dyn Write>, is_json: bool) -> Self {
        Self { out: BufWriter::with_capacity(64 * 1024, out), is_json }
    }

    pub(crate) fn line(&mut self, what: impl fmt::Display) -> Result<(), Failure> {
        Ok(writeln!(self.out, "{what}")?)
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        Ok(self.out.write_all(bytes)?)
    }

    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        Ok(self.out.flush()?)
    }

    /// Rows under headings: a table, or an object a row.
    pub(crate) fn table<const N: usize>(
        &mut self,
        headings: [&str; N],
        rows: impl IntoIterator<Item = [Value; N]>,
    ) -> Result<(), Failure> {
        if self.is_json {
            for row in rows {
                let object: Map<String, Value> = headings.iter().map(|name| (*name).to_owned()).zip(row).collect();
                self.line(Value::from(object))?;
            }
            return Ok(());
        }
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_header(headings.map(|name| name.to_uppercase().replace('_', " ")));
        for row in rows {
            table.add_row(row.map(|cell| match cell {
                Value::String(text) => text,
                Value::Null => "-".to_owned(),
                other => other.to_string(),
            }));
        }
        for (index, column) in table.column_iter_mut().enumerate() {
            column.set_padding((0, 2));
            if index > 0 {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        for line in table.lines() {
            self.line(line.trim_end())?;
        }
        Ok(())
    }
}
