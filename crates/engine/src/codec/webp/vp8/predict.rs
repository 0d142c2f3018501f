//! Intra prediction (RFC 6386, section 12), and the sum with the residuals.

use super::modes::{Mode, SubblockMode};
use super::transform::Residuals;

/// Pixels in a row of a [`Work`].
pub(super) const STRIDE: usize = 32;
/// The first column of luma and of the first chroma plane.
pub(super) const LEFT: usize = 8;
/// The first column of the second chroma plane.
pub(super) const SECOND: usize = 24;

/// A macroblock in the making. Rows begin with that above it; the column before each plane is to its left.
pub(super) struct Work {
    /// With the four pixels above and to the right, in the row above each row of subblocks.
    pub(super) luma: [u8; 17 * STRIDE],
    pub(super) chroma: [u8; 9 * STRIDE],
}

/// Which neighbours are within the frame.
#[derive(Debug, Clone, Copy)]
pub(super) struct Neighbours {
    pub(super) above: bool,
    pub(super) left: bool,
}

/// Predicts a square of `SIDE` pixels whose columns begin at `at`.
#[inline(always)]
pub(super) fn whole<const SIDE: usize>(area: &mut [u8], at: usize, mode: Mode, within: Neighbours) {
    let mut above = [0; SIDE];
    above.copy_from_slice(&area[at..at + SIDE]);
    let corner = i16::from(area[at - 1]);
    let rows = area[STRIDE..].chunks_exact_mut(STRIDE).take(SIDE);
    match mode {
        Mode::Vertical => rows.for_each(|row| row[at..at + SIDE].copy_from_slice(&above)),
        Mode::Horizontal => rows.for_each(|row| {
            let left = row[at - 1];
            row[at..at + SIDE].fill(left);
        }),
        Mode::TrueMotion => rows.for_each(|row| {
            let base = i16::from(row[at - 1]) - corner;
            for (pixel, &above) in row[at..at + SIDE].iter_mut().zip(&above) {
                *pixel = (i16::from(above) + base).clamp(0, 255) as u8;
            }
        }),
        Mode::Dc => {
            let above = above.iter().map(|&pixel| u32::from(pixel)).sum::<u32>();
            let left = (1..=SIDE).map(|y| u32::from(area[y * STRIDE + at - 1])).sum::<u32>();
            let side = SIDE as u32;
            let mean = match (within.above, within.left) {
                (true, true) => (above + left + side) / (2 * side),
                (true, false) => (above + side / 2) / side,
                (false, true) => (left + side / 2) / side,
                (false, false) => 128,
            };
            for row in area[STRIDE..].chunks_exact_mut(STRIDE).take(SIDE) {
                row[at..at + SIDE].fill(mean as u8);
            }
        }
    }
}

/// Adds four rows of residuals of 16 pixels to the pixels from row `y` and column `at` on.
#[inline(always)]
pub(super) fn add(area: &mut [u8], y: usize, at: usize, residuals: &Residuals) {
    let rows = area[(y + 1) * STRIDE..].chunks_exact_mut(STRIDE);
    for (row, residuals) in rows.zip(residuals) {
        for (pixel, &residual) in row[at..at + 16].iter_mut().zip(residuals) {
            *pixel = i16::from(*pixel).saturating_add(residual).clamp(0, 255) as u8;
        }
    }
}

/// Adds four rows of the residuals of both chroma planes, eight pixels of each.
#[inline(always)]
pub(super) fn add_chroma(area: &mut [u8; 9 * STRIDE], y: usize, residuals: &Residuals) {
    let rows = area[(y + 1) * STRIDE..].chunks_exact_mut(STRIDE);
    for (row, residuals) in rows.zip(residuals) {
        for (at, residuals) in [LEFT, SECOND].into_iter().zip(residuals.as_chunks::<8>().0) {
            for (pixel, &residual) in row[at..at + 8].iter_mut().zip(residuals) {
                *pixel = i16::from(*pixel).saturating_add(residual).clamp(0, 255) as u8;
            }
        }
    }
}

/// Predicts the subblock at row `y` and column `x`, and adds its residuals: columns from `x` on.
#[inline(always)]
pub(super) fn subblock(
    area: &mut [u8; 17 * STRIDE],
    (x, y): (usize, usize),
    mode: SubblockMode,
    residuals: Option<&Residuals>,
) {
    let rows = predicted(area, (x, y), mode);
    for row in 0..4 {
        let mut pixels = rows[row];
        if let Some(residuals) = residuals {
            let residuals = &residuals[row][x..x + 4];
            for (pixel, &residual) in pixels.iter_mut().zip(residuals) {
                *pixel = i16::from(*pixel).saturating_add(residual).clamp(0, 255) as u8;
            }
        }
        area[(y + 1 + row) * STRIDE + LEFT + x..][..4].copy_from_slice(&pixels);
    }
}

#[inline(always)]
fn predicted(area: &[u8; 17 * STRIDE], (x, y): (usize, usize), mode: SubblockMode) -> [[u8; 4]; 4] {
    let at = y * STRIDE + LEFT + x;
    // The edge, from the lower left over the corner to the upper right; both ends are repeated.
    let mut edge = [0; 16];
    for row in 0..4 {
        edge[4 - row] = area[at + (row + 1) * STRIDE - 1];
    }
    edge[0] = edge[1];
    edge[5..14].copy_from_slice(&area[at - 1..at + 8]);
    edge[14] = edge[13];
    let of = |all: &[u8; 16], from: usize| [all[from], all[from + 1], all[from + 2], all[from + 3]];
    match mode {
        SubblockMode::Dc => {
            let mut sum = 4;
            for index in 1..5 {
                sum += u16::from(edge[index]) + u16::from(edge[index + 5]);
            }
            return [[(sum >> 3) as u8; 4]; 4];
        }
        SubblockMode::TrueMotion => {
            let corner = i16::from(edge[5]);
            let mut rows = [[0; 4]; 4];
            for row in 0..4 {
                let base = i16::from(edge[4 - row]) - corner;
                for column in 0..4 {
                    rows[row][column] = (i16::from(edge[6 + column]) + base).clamp(0, 255) as u8;
                }
            }
            return rows;
        }
        _ => {}
    }
    // Means of two and weighted means of three neighbours.
    let (mut two, mut three) = ([0; 16], [0; 16]);
    let mut wide = [0_u16; 18];
    for index in 0..16 {
        wide[index + 1] = u16::from(edge[index]);
    }
    for index in 0..16 {
        let (before, here, after) = (wide[index], wide[index + 1], wide[index + 2]);
        two[index] = ((here + after + 1) >> 1) as u8;
        three[index] = ((before + 2 * here + after + 2) >> 2) as u8;
    }
    match mode {
        SubblockMode::Dc | SubblockMode::TrueMotion => [[0; 4]; 4],
        SubblockMode::Vertical => [of(&three, 6); 4],
        SubblockMode::Horizontal => [[three[4]; 4], [three[3]; 4], [three[2]; 4], [three[1]; 4]],
        SubblockMode::LeftDown => [of(&three, 7), of(&three, 8), of(&three, 9), of(&three, 10)],
        SubblockMode::RightDown => [of(&three, 5), of(&three, 4), of(&three, 3), of(&three, 2)],
        SubblockMode::VerticalRight => [
            of(&two, 5),
            of(&three, 5),
            [three[4], two[5], two[6], two[7]],
            [three[3], three[5], three[6], three[7]],
        ],
        SubblockMode::VerticalLeft => [
            of(&two, 6),
            of(&three, 7),
            [two[7], two[8], two[9], three[11]],
            [three[8], three[9], three[10], three[12]],
        ],
        SubblockMode::HorizontalDown => [
            [two[4], three[5], three[6], three[7]],
            [two[3], three[4], two[4], three[5]],
            [two[2], three[3], two[3], three[4]],
            [two[1], three[2], two[2], three[3]],
        ],
        SubblockMode::HorizontalUp => [
            [two[3], three[3], two[2], three[2]],
            [two[2], three[2], two[1], three[1]],
            [two[1], three[1], edge[1], edge[1]],
            [edge[1]; 4],
        ],
    }
}
