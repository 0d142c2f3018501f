//! Results: lines for people on a terminal, one JSON object a line on a pipe.

use std::{
    io::{IsTerminal as _, Write as _},
    path::Path,
};

/// Whether standard output is a terminal.
pub(super) fn is_for_people() -> bool {
    std::io::stdout().is_terminal()
}

/// Prints a result in the form for its reader. A closed pipe is no error.
pub(super) fn print(text: impl FnOnce() -> String, json: impl FnOnce() -> serde_json::Value) {
    let line = if is_for_people() { text() } else { json().to_string() };
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Bytes for people.
pub(super) fn bytes(count: u64) -> String {
    match count {
        0..1_000 => format!("{count} B"),
        1_000..1_000_000 => format!("{:.1} KB", count as f64 / 1e3),
        _ => format!("{:.1} MB", count as f64 / 1e6),
    }
}

/// Prints an error. A closed pipe is none.
pub(super) fn error(words: impl std::fmt::Display) {
    let _ = writeln!(std::io::stderr(), "tintype: {words}");
}

/// Prints the error of one file, on one line whatever its name and the file hold.
pub(super) fn file_error(file: &Path, words: &str) {
    let line = format!("{}: {}", file.display(), words.trim_end());
    error(
        line.chars()
            .map(|one| if one.is_control() { char::REPLACEMENT_CHARACTER } else { one })
            .collect::<String>(),
    );
}
