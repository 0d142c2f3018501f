//! Headers of macroblocks: how each is predicted (RFC 6386, sections 10 and 11).

use super::bool_reader::BoolReader;
use super::frame_header::FrameHeader;
use super::tables::SUBBLOCK_MODES;

/// Prediction of a whole macroblock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Dc,
    Vertical,
    Horizontal,
    TrueMotion,
}

/// Prediction of a subblock of 4x4 pixels, numbered as in the tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum SubblockMode {
    Dc,
    TrueMotion,
    Vertical,
    Horizontal,
    LeftDown,
    RightDown,
    VerticalRight,
    VerticalLeft,
    HorizontalDown,
    HorizontalUp,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Luma {
    Whole(Mode),
    Subblocks([SubblockMode; 16]),
}

#[derive(Debug, Clone, Copy)]
pub(super) struct MacroblockHeader {
    pub(super) segment: usize,
    /// Whether it has no coefficients.
    pub(super) skip: bool,
    pub(super) luma: Luma,
    pub(super) chroma: Mode,
}

/// The modes of the subblocks at an edge: what those beyond it depend on.
pub(super) type EdgeModes = [SubblockMode; 4];

/// Beyond the frame.
pub(super) const NO_MODES: EdgeModes = [SubblockMode::Dc; 4];

/// Reads the next macroblock's, and replaces the modes of its edges.
#[inline(always)]
pub(super) fn read(
    original: &mut BoolReader<'_>,
    frame: &FrameHeader<'_>,
    above: &mut EdgeModes,
    left: &mut EdgeModes,
) -> MacroblockHeader {
    // A copy lives in registers.
    let mut local = original.clone();
    let reader = &mut local;
    let segment = frame.segment_map.map_or(0, |nodes| {
        let high = reader.read(nodes[0]);
        2 * usize::from(high) + usize::from(reader.read(nodes[if high { 2 } else { 1 }]))
    });
    let skip = frame.skip.is_some_and(|probability| reader.read(probability));
    let luma = if reader.read(145) {
        let [first, second] =
            if reader.read(156) { [Mode::Horizontal, Mode::TrueMotion] } else { [Mode::Dc, Mode::Vertical] };
        let odds = if first == Mode::Dc { 163 } else { 128 };
        let mode = if reader.read(odds) { second } else { first };
        let implied = match mode {
            Mode::Dc => SubblockMode::Dc,
            Mode::Vertical => SubblockMode::Vertical,
            Mode::Horizontal => SubblockMode::Horizontal,
            Mode::TrueMotion => SubblockMode::TrueMotion,
        };
        (*above, *left) = ([implied; 4], [implied; 4]);
        Luma::Whole(mode)
    } else {
        let mut modes = [SubblockMode::Dc; 16];
        for (row, left) in modes.as_chunks_mut::<4>().0.iter_mut().zip(left) {
            for (mode, above) in row.iter_mut().zip(&mut *above) {
                *mode = subblock(reader, &SUBBLOCK_MODES[*above as usize][*left as usize]);
                (*above, *left) = (*mode, *mode);
            }
        }
        Luma::Subblocks(modes)
    };
    let chroma = if !reader.read(142) {
        Mode::Dc
    } else if !reader.read(114) {
        Mode::Vertical
    } else if !reader.read(183) {
        Mode::Horizontal
    } else {
        Mode::TrueMotion
    };
    *original = local;
    MacroblockHeader { segment, skip, luma, chroma }
}

/// Section 11.2.
#[inline(always)]
fn subblock(reader: &mut BoolReader<'_>, nodes: &[u8; 9]) -> SubblockMode {
    use SubblockMode::{
        Dc, Horizontal, HorizontalDown, HorizontalUp, LeftDown, RightDown, TrueMotion, Vertical,
        VerticalLeft, VerticalRight,
    };
    for (node, mode) in [Dc, TrueMotion, Vertical].into_iter().enumerate() {
        if !reader.read(nodes[node]) {
            return mode;
        }
    }
    if !reader.read(nodes[3]) {
        if !reader.read(nodes[4]) {
            return Horizontal;
        }
        return if reader.read(nodes[5]) { VerticalRight } else { RightDown };
    }
    for (node, mode) in [(6, LeftDown), (7, VerticalLeft), (8, HorizontalDown)] {
        if !reader.read(nodes[node]) {
            return mode;
        }
    }
    HorizontalUp
}
