//! Writes a path of SVG in few characters: relative commands, tenths only where they are needed.
//! Source: SVG 2, "Path data".

use std::fmt::Write as _;

/// Writes the data of a path. Coordinates are in tenths, so that relative ones add up without rounding errors.
#[derive(Debug, Default)]
pub(super) struct PathWriter {
    path: String,
    x: i64,
    y: i64,
    /// A horizontal line that is not written yet: those in a row become one.
    horizontal: i64,
    /// Whether the last command written was `l`, which need not be repeated.
    is_line: bool,
}

fn tenths(value: f64) -> i64 {
    (value * 10.0).round() as i64
}

/// A number of tenths: `12`, `12.3`, `-.4`. One with a sign needs no separator.
fn number(out: &mut String, tenths: i64, is_first: bool) {
    if !is_first && tenths >= 0 {
        out.push(' ');
    }
    if tenths < 0 {
        out.push('-');
    }
    let (whole, part) = (tenths.abs() / 10, tenths.abs() % 10);
    if whole > 0 || part == 0 {
        let _ = write!(out, "{whole}");
    }
    if part > 0 {
        let _ = write!(out, ".{part}");
    }
}

/// A coordinate with at most one digit after the point.
pub(super) fn coordinate(value: f64) -> String {
    let mut out = String::new();
    number(&mut out, tenths(value), true);
    out
}

impl PathWriter {
    /// Moves to a point.
    pub(super) fn move_to(&mut self, x: f64, y: f64) {
        self.write_horizontal();
        (self.x, self.y) = (tenths(x), tenths(y));
        self.path.push('M');
        number(&mut self.path, self.x, true);
        number(&mut self.path, self.y, false);
        self.is_line = false;
    }

    /// Draws a line to a point.
    pub(super) fn line_to(&mut self, x: f64, y: f64) {
        let (dx, dy) = (tenths(x) - self.x, tenths(y) - self.y);
        (self.x, self.y) = (self.x + dx, self.y + dy);
        if dy == 0 {
            self.horizontal += dx;
            return;
        }
        self.write_horizontal();
        if dx == 0 {
            self.path.push('v');
            number(&mut self.path, dy, true);
            self.is_line = false;
            return;
        }
        if !self.is_line {
            self.path.push('l');
        }
        number(&mut self.path, dx, !self.is_line);
        number(&mut self.path, dy, false);
        self.is_line = true;
    }

    /// Closes the path.
    pub(super) fn close(&mut self) {
        self.write_horizontal();
        self.path.push('Z');
        self.is_line = false;
    }

    fn write_horizontal(&mut self) {
        if self.horizontal != 0 {
            self.path.push('h');
            number(&mut self.path, self.horizontal, true);
            self.is_line = false;
            self.horizontal = 0;
        }
    }

    /// The path.
    pub(super) fn finish(mut self) -> String {
        self.write_horizontal();
        self.path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_coordinate_is_short() {
        assert_eq!([0.0, 0.04, -0.36, 118.0, 7.25].map(coordinate), ["0", "0", "-.4", "118", "7.3"]);
    }

    #[test]
    fn a_path_is_short_and_exact() {
        let mut writer = PathWriter::default();
        writer.move_to(3.0, 120.0);
        for (x, y) in [(5.0, 120.0), (7.04, 120.0), (9.0, 119.6), (11.0, 131.2), (13.06, 130.0), (13.06, 0.0)]
        {
            writer.line_to(x, y);
        }
        writer.close();
        assert_eq!(writer.finish(), "M3 120h4l2-.4 2 11.6 2.1-1.2v-130Z");
    }
}
