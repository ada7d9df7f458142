//! Standard output is for machines and standard error for people; a reader who has gone is no failure.

use std::io::{self, ErrorKind, Write};
use std::pin::pin;
use std::time::Duration;

use serde::Serialize;

use crate::words::printable;

/// Prints a line to standard output.
pub(super) fn print(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(line.as_bytes())?;
    out.write_all(b"\n")?;
    out.flush()
}

/// Prints a value as indented JSON to standard output.
pub(super) fn print_json(value: &impl Serialize) -> io::Result<()> {
    print(&serde_json::to_string_pretty(value)?)
}

/// Prints lines to standard error; if that is closed, there is nobody to tell.
pub(super) fn complain(text: &str) {
    let lines: Vec<String> = text.lines().map(printable).collect();
    let _ = writeln!(io::stderr().lock(), "{}", lines.join("\n"));
}

/// Does it; if that takes long, somebody who waits for it is told why.
pub(super) async fn tell_after<T>(long: Duration, word: &str, task: impl Future<Output = T>) -> T {
    let mut task = pin!(task);
    if let Ok(done) = tokio::time::timeout(long, &mut task).await {
        return done;
    }
    complain(word);
    task.await
}

/// Whether the error is only that whoever read our output stopped reading.
pub(super) fn is_closed(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}

/// Rows as columns of equal width, for people. What a bank has said is in some: no cell speaks to the terminal.
pub(super) fn table(rows: &[Vec<String>]) -> String {
    let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(|cell| printable(cell)).collect()).collect();
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let cell_width = |row: &Vec<String>, column| row.get(column).map_or(0, |cell: &String| cell.chars().count());
    let widths: Vec<usize> =
        (0..columns).map(|column| rows.iter().map(|row| cell_width(row, column)).max().unwrap_or(0)).collect();
    let line = |row: &Vec<String>| {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        cells.join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tables_columns_stand_below_each_other() {
        let rows = [vec!["BANK".to_owned(), "GRANT".to_owned()], vec!["b".to_owned(), "default".to_owned()]];
        assert_eq!(table(&rows), "BANK  GRANT\nb     default");
    }

    #[test]
    fn no_cell_speaks_to_the_terminal_or_begins_a_line() {
        let rows = [vec!["a\u{1b}]0;x\u{7}\u{9b}".to_owned(), "b\r\nc".to_owned()], vec!["d".to_owned()]];
        assert_eq!(table(&rows), "a\\u{1b}]0;x\\u{7}\\u{9b}  b\\u{d}\\u{a}c\nd");
    }
}
