//! VP8 key frames (RFC 6386): a row of macroblocks at a time.

mod bool_reader;
mod frame_header;
mod loop_filter;
mod modes;
mod predict;
mod tables;
mod tokens;
mod transform;
mod window;

use bool_reader::BoolReader;
use frame_header::{Filter, FrameHeader, Segment};
use loop_filter::{FilterRow, MacroblockFilter};
use modes::{EdgeModes, Luma, MacroblockHeader, NO_MODES};
use predict::{LEFT, Neighbours, SECOND, STRIDE, Work};
use tokens::FourBlocks;
use transform::Residuals;
use window::Window;

use crate::simd::{Kernel, Lanes, SimdLevel};

/// Pixels above the frame, and to its left.
const ABOVE: u8 = 127;
const BESIDE: u8 = 129;

pub(super) struct Decoder<'a> {
    level: SimdLevel,
    frame: FrameHeader<'a>,
    /// Macroblocks across and down.
    size: (usize, usize),
    /// Rows of macroblocks decoded.
    done: usize,
    modes_above: Vec<EdgeModes>,
    /// Whether blocks at the lower edge of the macroblock above have coefficients.
    filled_above: Vec<Filled>,
    /// The last rows of the macroblocks above, before the loop filter.
    above: PixelsAbove,
    filters: Vec<MacroblockFilter>,
    window: Window,
}

/// Whether blocks along an edge have coefficients.
#[derive(Debug, Clone, Copy, Default)]
struct Filled {
    luma: [bool; 4],
    chroma: [[bool; 2]; 2],
    /// Of the last macroblock that has them: the DC coefficients that are transformed once more.
    second: bool,
}

struct PixelsAbove {
    luma: Vec<u8>,
    chroma: [Vec<u8>; 2],
}

/// The coefficients of a macroblock.
struct Coefficients {
    /// Four rows of luma blocks, then two of chroma ones, of both planes.
    rows: [FourBlocks; 6],
    /// What is in each.
    content: [Content; 6],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Content {
    Nothing,
    /// DC coefficients alone.
    Dc,
    Full,
}

/// A row of luma, and the rows of chroma that it is between: the nearer one, and the farther.
pub(super) struct Line<'a> {
    pub(super) luma: &'a [u8],
    pub(super) near: [&'a [u8]; 2],
    pub(super) far: [&'a [u8]; 2],
}

/// Bytes that decoding takes for each column.
pub(super) const MEMORY_BY_WIDTH: u64 = 32 + 2 * 8 + 2 + 2;

impl<'a> Decoder<'a> {
    pub(super) fn new(data: &'a [u8], level: SimdLevel) -> Result<Self, &'static str> {
        let frame = FrameHeader::read(data)?;
        let size = (frame.width.div_ceil(16), frame.height.div_ceil(16));
        Ok(Self {
            level,
            frame,
            size,
            done: 0,
            modes_above: vec![NO_MODES; size.0],
            filled_above: vec![Filled::default(); size.0],
            above: PixelsAbove {
                luma: vec![ABOVE; 16 * size.0],
                chroma: [vec![ABOVE; 8 * size.0], vec![ABOVE; 8 * size.0]],
            },
            filters: vec![MacroblockFilter::default(); size.0],
            window: Window::new(size.0),
        })
    }

    /// Decodes the next row of macroblocks; returns the rows of pixels that are finished by it.
    pub(super) fn advance(&mut self) -> Result<std::ops::Range<usize>, &'static str> {
        let y = self.done;
        let partition = y & (self.frame.tokens.len() - 1);
        let mut tokens = self.frame.tokens[partition].clone();
        let mut modes = self.frame.modes.clone();
        let mut modes_left = NO_MODES;
        let mut filled_left = Filled::default();
        let mut work = Work { luma: [BESIDE; 17 * STRIDE], chroma: [BESIDE; 9 * STRIDE] };
        let mut coefficients = Coefficients { rows: [[0; 64]; 6], content: [Content::Nothing; 6] };
        for x in 0..self.size.0 {
            let header = self.level.run(ReadHeader {
                reader: &mut modes,
                frame: &self.frame,
                above: &mut self.modes_above[x],
                left: &mut modes_left,
            });
            let segment = &self.frame.segments[header.segment];
            let filled_above = &mut self.filled_above[x];
            let by_subblocks = matches!(header.luma, Luma::Subblocks(_));
            if header.skip {
                for filled in [filled_above, &mut filled_left] {
                    // Those transformed once more are of macroblocks predicted whole only.
                    let second = filled.second && by_subblocks;
                    *filled = Filled { second, ..Filled::default() };
                }
                coefficients.content = [Content::Nothing; 6];
            } else {
                self.level.run(ReadCoefficients {
                    coefficients: &mut coefficients,
                    reader: &mut tokens,
                    probabilities: &self.frame.probabilities,
                    segment,
                    by_subblocks,
                    above: filled_above,
                    left: &mut filled_left,
                });
            }
            let empty = coefficients.content.iter().all(|&content| content == Content::Nothing);
            self.filters[x] = MacroblockFilter {
                strength: segment.strengths[usize::from(by_subblocks)],
                inner: by_subblocks || !empty,
            };
            self.level.run(Reconstruct {
                header: &header,
                coefficients: &mut coefficients,
                work: &mut work,
                above: &mut self.above,
                window: &mut self.window,
                place: (x, y),
            });
        }
        if modes.is_past_end() || tokens.is_past_end() {
            return Err("the data ends early");
        }
        self.frame.modes = modes;
        self.frame.tokens[partition] = tokens;
        let filter = self.frame.filter;
        if filter != Filter::None {
            self.level.run(FilterRow { window: &mut self.window, filter, macroblocks: &self.filters, y });
        }
        self.done += 1;
        // The filter of the next row changes up to three rows of these, and chroma is interpolated between rows.
        let from = (16 * y).saturating_sub(7);
        let to = if self.done == self.size.1 { self.frame.height } else { 16 * y + 9 };
        Ok(from..to.max(from))
    }

    /// Row `y` of the frame, as long as the latest call of [`Self::advance`] returned it.
    pub(super) fn line(&self, y: usize) -> Line<'_> {
        let last = self.frame.height.div_ceil(2) - 1;
        let near = y / 2;
        let far = if y.is_multiple_of(2) { near.saturating_sub(1) } else { (near + 1).min(last) };
        let rows = |y| self.window.chroma.each_ref().map(|plane| plane.row(y));
        Line { luma: self.window.luma.row(y), near: rows(near), far: rows(far) }
    }

    /// Rows of macroblocks.
    pub(super) fn rows(&self) -> usize {
        self.size.1
    }
}

impl Coefficients {
    /// The residuals of a row of blocks, if there are any. Its coefficients are reset.
    #[inline(always)]
    fn take_residuals<S: Lanes>(&mut self, simd: S, row: usize) -> Option<Residuals> {
        let residuals = match self.content[row] {
            Content::Nothing => return None,
            Content::Dc => transform::dc_only(&self.rows[row]),
            Content::Full => transform::inverse_dct(simd, &self.rows[row]),
        };
        self.rows[row] = [0; 64];
        Some(residuals)
    }
}

/// Reads the header of a macroblock.
struct ReadHeader<'a, 'b> {
    reader: &'a mut BoolReader<'b>,
    frame: &'a FrameHeader<'b>,
    above: &'a mut EdgeModes,
    left: &'a mut EdgeModes,
}

impl Kernel for ReadHeader<'_, '_> {
    type Output = MacroblockHeader;

    // No vectors here; but counting zeros and shifting take fewer instructions.
    #[inline(always)]
    fn run<S: Lanes>(self, _: S) -> MacroblockHeader {
        modes::read(self.reader, self.frame, self.above, self.left)
    }
}

/// Reads the coefficients of a macroblock.
struct ReadCoefficients<'a, 'b> {
    coefficients: &'a mut Coefficients,
    reader: &'a mut BoolReader<'b>,
    probabilities: &'a frame_header::PlacedProbabilities,
    segment: &'a Segment,
    by_subblocks: bool,
    above: &'a mut Filled,
    left: &'a mut Filled,
}

impl Kernel for ReadCoefficients<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(self, _: S) {
        let Self { coefficients, reader, probabilities, segment, by_subblocks, above, left } = self;
        let steps = segment.steps;
        let mut dc = None;
        if !by_subblocks {
            let context = usize::from(above.second) + usize::from(left.second);
            let mut second = [0; 64];
            let count = tokens::decode(reader, &probabilities[1], context, 0, steps.second, 0, &mut second);
            (above.second, left.second) = (count > 0, count > 0);
            dc = Some(if count > 0 { transform::walsh_hadamard(&second) } else { [0; 16] });
        }
        let (kind, first) = if dc.is_some() { (&probabilities[0], 1) } else { (&probabilities[3], 0) };
        for (row, filled_left) in left.luma.iter_mut().enumerate() {
            let mut content = Content::Nothing;
            for (block, filled_above) in above.luma.iter_mut().enumerate() {
                let context = usize::from(*filled_above) + usize::from(*filled_left);
                let four = &mut coefficients.rows[row];
                let count = tokens::decode(reader, kind, context, first, steps.luma, block, four);
                (*filled_above, *filled_left) = (count > first, count > first);
                if let Some(dc) = &dc {
                    four[4 * block] = dc[4 * row + block];
                }
                content = content.max(Content::of(count, four[4 * block]));
            }
            coefficients.content[row] = content;
        }
        coefficients.content[4..].fill(Content::Nothing);
        for plane in 0..2 {
            for (row, filled_left) in left.chroma[plane].iter_mut().enumerate() {
                for (column, filled_above) in above.chroma[plane].iter_mut().enumerate() {
                    let context = usize::from(*filled_above) + usize::from(*filled_left);
                    let block = 2 * plane + column;
                    let four = &mut coefficients.rows[4 + row];
                    let count =
                        tokens::decode(reader, &probabilities[2], context, 0, steps.chroma, block, four);
                    (*filled_above, *filled_left) = (count > 0, count > 0);
                    let content = Content::of(count, four[4 * block]);
                    coefficients.content[4 + row] = coefficients.content[4 + row].max(content);
                }
            }
        }
    }
}

impl Content {
    /// Of a block with so many coefficients, and the value of its first.
    fn of(count: usize, dc: i16) -> Self {
        match (count > 1, dc) {
            (true, _) => Self::Full,
            (false, 0) => Self::Nothing,
            (false, _) => Self::Dc,
        }
    }
}

/// Predicts a macroblock and adds its residuals.
struct Reconstruct<'a> {
    header: &'a MacroblockHeader,
    coefficients: &'a mut Coefficients,
    work: &'a mut Work,
    above: &'a mut PixelsAbove,
    window: &'a mut Window,
    /// In macroblocks.
    place: (usize, usize),
}

impl Kernel for Reconstruct<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(self, simd: S) {
        let Self { header, coefficients, work, above, window, place: (x, y) } = self;
        let within = Neighbours { above: y > 0, left: x > 0 };
        borders(work, above, within, x);
        match &header.luma {
            Luma::Whole(mode) => {
                predict::whole::<16>(&mut work.luma, LEFT, *mode, within);
                for row in 0..4 {
                    if let Some(residuals) = coefficients.take_residuals(simd, row) {
                        predict::add(&mut work.luma, 4 * row, LEFT, &residuals);
                    }
                }
            }
            Luma::Subblocks(modes) => {
                for (row, modes) in modes.as_chunks::<4>().0.iter().enumerate() {
                    let residuals = coefficients.take_residuals(simd, row);
                    for (column, &mode) in modes.iter().enumerate() {
                        let at = (4 * column, 4 * row);
                        predict::subblock(&mut work.luma, at, mode, residuals.as_ref());
                    }
                }
            }
        }
        predict::whole::<8>(&mut work.chroma, LEFT, header.chroma, within);
        predict::whole::<8>(&mut work.chroma, SECOND, header.chroma, within);
        for row in 0..2 {
            if let Some(residuals) = coefficients.take_residuals(simd, 4 + row) {
                predict::add_chroma(&mut work.chroma, 4 * row, &residuals);
            }
        }
        above.luma[16 * x..][..16].copy_from_slice(&work.luma[16 * STRIDE + LEFT..][..16]);
        for (above, column) in above.chroma.iter_mut().zip([LEFT, SECOND]) {
            above[8 * x..][..8].copy_from_slice(&work.chroma[8 * STRIDE + column..][..8]);
        }
        window.store(work, x, y);
    }
}

/// Sets the pixels next to macroblock number `x` of its row.
#[inline(always)]
fn borders(work: &mut Work, above: &PixelsAbove, within: Neighbours, x: usize) {
    if within.left {
        for row in work.luma.chunks_exact_mut(STRIDE) {
            row[LEFT - 1] = row[LEFT + 15];
        }
        for row in work.chroma.chunks_exact_mut(STRIDE) {
            row[LEFT - 1] = row[LEFT + 7];
            row[SECOND - 1] = row[SECOND + 7];
        }
    } else {
        let corner = if within.above { BESIDE } else { ABOVE };
        work.luma[LEFT - 1] = corner;
        work.chroma[LEFT - 1] = corner;
        work.chroma[SECOND - 1] = corner;
    }
    work.luma[LEFT..LEFT + 16].copy_from_slice(&above.luma[16 * x..][..16]);
    // Right of the frame the last pixel is repeated.
    let last = work.luma[LEFT + 15];
    let right = above.luma.get(16 * (x + 1)..16 * (x + 1) + 4).map_or([last; 4], |right| {
        let mut four = [0; 4];
        four.copy_from_slice(right);
        four
    });
    for row in [0, 4, 8, 12] {
        work.luma[row * STRIDE + LEFT + 16..][..4].copy_from_slice(&right);
    }
    for (above, column) in above.chroma.iter().zip([LEFT, SECOND]) {
        work.chroma[column..column + 8].copy_from_slice(&above[8 * x..][..8]);
    }
}
