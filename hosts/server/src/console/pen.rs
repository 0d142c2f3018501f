//! Draws a path of SVG in few characters: steps instead of places, tenths only where they are needed.

use std::fmt::Write as _;

/// A path under way. Places are kept in tenths, so that steps add up to them.
#[derive(Debug, Default)]
pub(super) struct Pen {
    path: String,
    x: i64,
    y: i64,
    /// A step to the right that is not written yet: level ones in a row are one.
    level: i64,
    /// Whether the last thing written was a step, after which the letter need not be said again.
    in_line: bool,
}

fn tenths(value: f64) -> i64 {
    (value * 10.0).round() as i64
}

/// A number of tenths: `12`, `12.3`, `-.4`. Nothing has to stand before one with a sign.
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

impl Pen {
    /// Begins a line at a place.
    pub(super) fn go(&mut self, x: f64, y: f64) {
        self.write_level();
        (self.x, self.y) = (tenths(x), tenths(y));
        self.path.push('M');
        number(&mut self.path, self.x, true);
        number(&mut self.path, self.y, false);
        self.in_line = false;
    }

    /// Draws to a place.
    pub(super) fn draw(&mut self, x: f64, y: f64) {
        let (dx, dy) = (tenths(x) - self.x, tenths(y) - self.y);
        (self.x, self.y) = (self.x + dx, self.y + dy);
        if dy == 0 {
            self.level += dx;
            return;
        }
        self.write_level();
        if dx == 0 {
            self.path.push('v');
            number(&mut self.path, dy, true);
            self.in_line = false;
            return;
        }
        if !self.in_line {
            self.path.push('l');
        }
        number(&mut self.path, dx, !self.in_line);
        number(&mut self.path, dy, false);
        self.in_line = true;
    }

    /// Back to where the line began.
    pub(super) fn close(&mut self) {
        self.write_level();
        self.path.push('Z');
        self.in_line = false;
    }

    fn write_level(&mut self) {
        if self.level != 0 {
            self.path.push('h');
            number(&mut self.path, self.level, true);
            self.in_line = false;
            self.level = 0;
        }
    }

    /// The path.
    pub(super) fn finish(mut self) -> String {
        self.write_level();
        self.path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_short_and_comes_where_it_should() {
        let mut pen = Pen::default();
        pen.go(3.0, 120.0);
        for (x, y) in [(5.0, 120.0), (7.04, 120.0), (9.0, 119.6), (11.0, 131.2), (13.06, 130.0), (13.06, 0.0)]
        {
            pen.draw(x, y);
        }
        pen.close();
        assert_eq!(pen.finish(), "M3 120h4l2-.4 2 11.6 2.1-1.2v-130Z");
    }
}
