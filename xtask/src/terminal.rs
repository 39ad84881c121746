//! Output: colours, tables, errors with their causes.

use std::env;
use std::io::{IsTerminal, Write, stdout};
use std::sync::LazyLock;

/// Prints a line. A reader that closes the pipe is no reason to fail.
pub(crate) fn say(line: impl AsRef<str>) {
    let _ = writeln!(stdout(), "{}", line.as_ref());
}

/// Prints a part of a line.
pub(crate) fn say_more(text: impl AsRef<str>) {
    let mut out = stdout();
    let _ = out.write_all(text.as_ref().as_bytes()).and_then(|()| out.flush());
}

/// Returns `true` if the output goes to a terminal that a person watches.
pub(crate) fn is_watched() -> bool {
    static WATCHED: LazyLock<bool> = LazyLock::new(|| stdout().is_terminal() && env::var_os("CI").is_none());
    *WATCHED
}

fn coloured(code: u8, text: &str) -> String {
    let plain = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty()) || !is_watched();
    if plain { text.to_owned() } else { format!("\x1b[{code}m{text}\x1b[0m") }
}

pub(crate) fn bold(text: &str) -> String {
    coloured(1, text)
}

pub(crate) fn red(text: &str) -> String {
    coloured(31, text)
}

pub(crate) fn green(text: &str) -> String {
    coloured(32, text)
}

/// An error and its causes, a line each.
pub(crate) fn with_causes(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).collect::<Vec<_>>().join("\n  because: ")
}

/// A table whose first columns are flush left and whose other columns are flush right.
pub(crate) struct Table {
    left: usize,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(left: usize) -> Self {
        Self { left, rows: Vec::new() }
    }

    pub(crate) fn row<T: Into<String>>(&mut self, cells: impl IntoIterator<Item = T>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }

    /// Prints the table, with the first row as headings.
    pub(crate) fn print(&self) {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or_default();
        let width =
            |row: &Vec<String>, column| row.get(column).map_or(0, |cell: &String| cell.chars().count());
        let widest = |column| self.rows.iter().map(|row| width(row, column)).max().unwrap_or_default();
        let widths: Vec<_> = (0..columns).map(widest).collect();
        for (number, row) in self.rows.iter().enumerate() {
            let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, &width))| {
                match column < self.left {
                    true => format!("{cell:<width$}"),
                    false => format!("{cell:>width$}"),
                }
            });
            let line = cells.collect::<Vec<_>>().join("   ");
            let line = line.trim_end();
            say(match number {
                0 => bold(line),
                _ => line.replace('✗', &red("✗")).replace('✓', &green("✓")),
            });
        }
    }
}
