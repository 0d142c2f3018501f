//! The stages a host may time: the engine has no clock, so it only says when one begins.

use crate::error::Error;
use crate::pixels::{Grid, PassRow, Row, Rows};

/// A stage of a render. Decoding and resampling take turns, row by row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Header, plan and the file's samples.
    Decode,
    /// To light and to the thumbnail's size.
    Resample,
    /// Orientation, colour, canvas and the thumbnail's file.
    Encode,
}

/// Rows on their way to the resamplers, with a mark on either side.
pub(crate) struct Marked<'a, R> {
    pub(crate) rows: R,
    pub(crate) mark: &'a dyn Fn(Stage),
}

impl<R> Marked<'_, R> {
    fn resampling<T>(&mut self, work: impl FnOnce(&mut R) -> T) -> T {
        (self.mark)(Stage::Resample);
        let done = work(&mut self.rows);
        (self.mark)(Stage::Decode);
        done
    }
}

impl<R: Rows> Rows for Marked<'_, R> {
    fn begin(&mut self, grid: Grid) -> Result<(), Error> {
        self.resampling(|rows| rows.begin(grid))
    }

    fn row(&mut self, row: Row<'_>) -> Result<(), Error> {
        self.resampling(|rows| rows.row(row))
    }

    fn pass_row(&mut self, place: PassRow, row: Row<'_>) -> Result<(), Error> {
        self.resampling(|rows| rows.pass_row(place, row))
    }
}
