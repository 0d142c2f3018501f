//! Stages of a render that a host may time: the engine has no clock, and reports only when one begins.

use crate::error::Error;
use crate::pixels::{Grid, PassRow, Row, RowSink};

/// A stage of a render. Decoding and resampling alternate, row by row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stage {
    /// Header, plan and the file's samples.
    Decode,
    /// Conversion to linear light and to the thumbnail's size.
    Resample,
    /// Orientation, colour, canvas and the thumbnail's file.
    Encode,
}

/// Passes rows on to the resamplers, and marks the stages before and after each.
pub(crate) struct StageMarker<'a, R> {
    pub(crate) rows: R,
    pub(crate) mark: &'a dyn Fn(Stage),
    /// Whether the rows belong to a batch, whose stages are marked once: a clock read a row is too many.
    pub(crate) batch: bool,
}

impl<R> StageMarker<'_, R> {
    fn resampling<T>(&mut self, work: impl FnOnce(&mut R) -> T) -> T {
        if self.batch {
            return work(&mut self.rows);
        }
        (self.mark)(Stage::Resample);
        let output = work(&mut self.rows);
        (self.mark)(Stage::Decode);
        output
    }
}

impl<R: RowSink> RowSink for StageMarker<'_, R> {
    fn begin(&mut self, grid: Grid) -> Result<(), Error> {
        self.resampling(|rows| rows.begin(grid))
    }

    fn row(&mut self, row: Row<'_>) -> Result<(), Error> {
        self.resampling(|rows| rows.row(row))
    }

    fn batch(&mut self, begins: bool) {
        self.batch = begins;
        (self.mark)(if begins { Stage::Resample } else { Stage::Decode });
    }

    fn pass_row(&mut self, place: PassRow, row: Row<'_>) -> Result<(), Error> {
        self.resampling(|rows| rows.pass_row(place, row))
    }
}
