//! The loop filter (RFC 6386, section 15): sixteen pixels along an edge at a time, of luma or of both chroma planes.

use fearless_simd::prelude::*;
use fearless_simd::{i8x16, mask8x16, u8x16};

use super::frame_header::{Filter, Strength};
use super::window::{Plane, Window};
use crate::simd::{Kernel, Lanes, array_from_fn};

/// How one macroblock is filtered.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct MacroblockFilter {
    pub(super) strength: Strength,
    /// Whether the edges between its subblocks are filtered, too.
    pub(super) inner: bool,
}

/// Filters a row of macroblocks.
pub(super) struct FilterRow<'a> {
    pub(super) window: &'a mut Window,
    pub(super) filter: Filter,
    pub(super) macroblocks: &'a [MacroblockFilter],
    pub(super) y: usize,
}

impl Kernel for FilterRow<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(self, simd: S) {
        for x in 0..self.macroblocks.len() {
            let macroblock = self.macroblocks[x];
            if macroblock.strength.level == 0 {
                continue;
            }
            let edges = Edges { x, y: self.y, inner: macroblock.inner };
            match self.filter {
                Filter::None => {}
                Filter::Simple => edges.simple(simd, macroblock.strength, &mut self.window.luma),
                Filter::Normal => edges.normal(simd, macroblock.strength, self.window),
            }
        }
    }
}

/// The pixels across an edge, four on each side, for each of sixteen places along it.
type Across<S> = [u8x16<S>; 8];

/// The edges of macroblock (x, y).
struct Edges {
    x: usize,
    y: usize,
    inner: bool,
}

impl Edges {
    #[inline(always)]
    fn simple<S: Lanes>(&self, simd: S, strength: Strength, plane: &mut Plane) {
        let (x, y) = (16 * self.x, 16 * self.y);
        let (outer, inner) = Thresholds::of(simd, strength);
        if self.x > 0 {
            columns(simd, plane, (x, y), |pixels| simple(simd, outer, pixels));
        }
        for step in (4..16).step_by(4).filter(|_| self.inner) {
            columns(simd, plane, (x + step, y), |pixels| simple(simd, inner, pixels));
        }
        if self.y > 0 {
            rows::<S, 1>(simd, plane, (x, y), |pixels| simple(simd, outer, pixels));
        }
        for step in (4..16).step_by(4).filter(|_| self.inner) {
            rows::<S, 1>(simd, plane, (x, y + step), |pixels| simple(simd, inner, pixels));
        }
    }

    #[inline(always)]
    fn normal<S: Lanes>(&self, simd: S, strength: Strength, Window { luma, chroma }: &mut Window) {
        let (x, y) = (16 * self.x, 16 * self.y);
        let (half_x, half_y) = (8 * self.x, 8 * self.y);
        let (outer, inner) = Thresholds::of(simd, strength);
        if self.x > 0 {
            columns(simd, luma, (x, y), |pixels| between_macroblocks(simd, outer, pixels));
            chroma_columns(simd, chroma, (half_x, half_y), |pixels| between_macroblocks(simd, outer, pixels));
        }
        if self.inner {
            for step in [4, 8, 12] {
                columns(simd, luma, (x + step, y), |pixels| between_subblocks(simd, inner, pixels));
            }
            chroma_columns(simd, chroma, (half_x + 4, half_y), |pixels| {
                between_subblocks(simd, inner, pixels)
            });
        }
        if self.y > 0 {
            rows::<S, 3>(simd, luma, (x, y), |pixels| between_macroblocks(simd, outer, pixels));
            chroma_rows::<S, 3>(simd, chroma, (half_x, half_y), |pixels| {
                between_macroblocks(simd, outer, pixels)
            });
        }
        if self.inner {
            for step in [4, 8, 12] {
                rows::<S, 2>(simd, luma, (x, y + step), |pixels| between_subblocks(simd, inner, pixels));
            }
            chroma_rows::<S, 2>(simd, chroma, (half_x, half_y + 4), |pixels| {
                between_subblocks(simd, inner, pixels)
            });
        }
    }
}

/// Filters the edge above row `y`; `N` rows on either side change.
#[inline(always)]
fn rows<S: Lanes, const N: usize>(
    simd: S,
    plane: &mut Plane,
    (x, y): (usize, usize),
    filter: impl FnOnce(Across<S>) -> Across<S>,
) {
    let at = |row: usize| plane.at(y + row - 4) + x;
    let at = array_from_fn::<usize, 8>(at);
    let pixels = array_from_fn(|row| u8x16::from_slice(simd, &plane.pixels[at[row]..at[row] + 16]));
    let filtered = filter(pixels);
    for row in 4 - N..4 + N {
        filtered[row].store_slice(&mut plane.pixels[at[row]..at[row] + 16]);
    }
}

/// The same in both chroma planes, eight pixels of each.
#[inline(always)]
fn chroma_rows<S: Lanes, const N: usize>(
    simd: S,
    planes: &mut [Plane; 2],
    (x, y): (usize, usize),
    filter: impl FnOnce(Across<S>) -> Across<S>,
) {
    let at = array_from_fn::<usize, 8>(|row| planes[0].at(y + row - 4) + x);
    let pixels = array_from_fn(|row| pair(simd, &planes[0].pixels, at[row], &planes[1].pixels, at[row]));
    let filtered = filter(pixels);
    for row in 4 - N..4 + N {
        let both = filtered[row].as_slice();
        planes[0].pixels[at[row]..at[row] + 8].copy_from_slice(&both[..8]);
        planes[1].pixels[at[row]..at[row] + 8].copy_from_slice(&both[8..16]);
    }
}

/// Filters the edge to the left of column `x`, sixteen rows of it.
#[inline(always)]
fn columns<S: Lanes>(
    simd: S,
    plane: &mut Plane,
    (x, y): (usize, usize),
    filter: impl FnOnce(Across<S>) -> Across<S>,
) {
    let (at, stride) = (plane.at(y) + x - 4, plane.stride);
    let pixels = &mut plane.pixels[at..at + 15 * stride + 8];
    let pairs = array_from_fn(|row| pair(simd, pixels, 2 * row * stride, pixels, (2 * row + 1) * stride));
    let filtered = to_pairs(simd, filter(to_columns(simd, pairs)));
    for row in 0..8 {
        let both = filtered[row].as_slice();
        pixels[2 * row * stride..][..8].copy_from_slice(&both[..8]);
        pixels[(2 * row + 1) * stride..][..8].copy_from_slice(&both[8..16]);
    }
}

/// The same in both chroma planes, eight rows of each.
#[inline(always)]
fn chroma_columns<S: Lanes>(
    simd: S,
    planes: &mut [Plane; 2],
    (x, y): (usize, usize),
    filter: impl FnOnce(Across<S>) -> Across<S>,
) {
    let (at, stride) = (planes[0].at(y) + x - 4, planes[0].stride);
    let [first, second] = planes;
    let length = 7 * stride + 8;
    let (first, second) = (&mut first.pixels[at..at + length], &mut second.pixels[at..at + length]);
    let pairs = array_from_fn(|row| pair(simd, first, row * stride, second, row * stride));
    let filtered = to_pairs(simd, filter(to_columns(simd, pairs)));
    for row in 0..8 {
        let both = filtered[row].as_slice();
        first[row * stride..][..8].copy_from_slice(&both[..8]);
        second[row * stride..][..8].copy_from_slice(&both[8..16]);
    }
}

/// Eight pixels of each.
#[inline(always)]
fn pair<S: Lanes>(simd: S, first: &[u8], at: usize, second: &[u8], other: usize) -> u8x16<S> {
    let mut both = [0; 16];
    both[..8].copy_from_slice(&first[at..at + 8]);
    both[8..].copy_from_slice(&second[other..other + 8]);
    u8x16::from_slice(simd, &both)
}

/// Interleaves the vectors whose indices differ in the highest bit: that bit becomes the lowest of the lane's index,
/// and the highest of the lane's the vector's. So do the next two with the other bits.
#[inline(always)]
fn turn_high<S: Lanes>(simd: S, [a, b, c, d, e, f, g, h]: Across<S>) -> Across<S> {
    let ((a, e), (b, f)) = (simd.interleave_u8x16(a, e), simd.interleave_u8x16(b, f));
    let ((c, g), (d, h)) = (simd.interleave_u8x16(c, g), simd.interleave_u8x16(d, h));
    [a, b, c, d, e, f, g, h]
}

#[inline(always)]
fn turn_middle<S: Lanes>(simd: S, [a, b, c, d, e, f, g, h]: Across<S>) -> Across<S> {
    let ((a, c), (b, d)) = (simd.interleave_u8x16(a, c), simd.interleave_u8x16(b, d));
    let ((e, g), (f, h)) = (simd.interleave_u8x16(e, g), simd.interleave_u8x16(f, h));
    [a, b, c, d, e, f, g, h]
}

#[inline(always)]
fn turn_low<S: Lanes>(simd: S, [a, b, c, d, e, f, g, h]: Across<S>) -> Across<S> {
    let ((a, b), (c, d)) = (simd.interleave_u8x16(a, b), simd.interleave_u8x16(c, d));
    let ((e, f), (g, h)) = (simd.interleave_u8x16(e, f), simd.interleave_u8x16(g, h));
    [a, b, c, d, e, f, g, h]
}

/// From eight pairs of rows of eight pixels to eight columns of sixteen.
#[inline(always)]
fn to_columns<S: Lanes>(simd: S, pairs: Across<S>) -> Across<S> {
    let turned = turn_low(simd, turn_middle(simd, turn_high(simd, pairs)));
    // Column c has its bits in the order 0, 2, 1.
    let [c0, c2, c4, c6, c1, c3, c5, c7] = turn_high(simd, turned);
    [c0, c1, c2, c3, c4, c5, c6, c7]
}

/// The reverse.
#[inline(always)]
fn to_pairs<S: Lanes>(simd: S, columns: Across<S>) -> Across<S> {
    turn_low(simd, turn_middle(simd, turn_high(simd, columns)))
}

/// What a filtered edge may differ by.
#[derive(Clone, Copy)]
struct Thresholds<S: Lanes> {
    edge: u8x16<S>,
    interior: u8x16<S>,
    high_variance: u8x16<S>,
}

impl<S: Lanes> Thresholds<S> {
    /// For edges between macroblocks, and between subblocks.
    #[inline(always)]
    fn of(simd: S, strength: Strength) -> (Self, Self) {
        let Strength { level, interior, high_variance } = strength;
        let of = |level: u8| Self {
            edge: u8x16::splat(simd, 2 * level + interior),
            interior: u8x16::splat(simd, interior),
            high_variance: u8x16::splat(simd, high_variance),
        };
        (of(level + 2), of(level))
    }

    /// Where the edge is weak enough to be filtered.
    #[inline(always)]
    fn edge_mask(&self, simd: S, [_, _, p1, p0, q0, q1, _, _]: Across<S>) -> mask8x16<S> {
        let step = difference(simd, p0, q0);
        let outer = difference(simd, p1, q1) >> 1;
        let sum = simd.saturating_add_u8x16(simd.saturating_add_u8x16(step, step), outer);
        sum.simd_le(self.edge)
    }

    /// The same, and its neighbourhood smooth.
    #[inline(always)]
    fn mask(&self, simd: S, pixels: Across<S>) -> mask8x16<S> {
        let [p3, p2, p1, p0, q0, q1, q2, q3] = pixels;
        let mut most = difference(simd, p1, p0).max(difference(simd, q1, q0));
        for (a, b) in [(p3, p2), (p2, p1), (q1, q2), (q2, q3)] {
            most = most.max(difference(simd, a, b));
        }
        self.edge_mask(simd, pixels) & most.simd_le(self.interior)
    }

    /// Where the pixels next to the edge differ much.
    #[inline(always)]
    fn high_variance(&self, simd: S, [_, _, p1, p0, q0, q1, _, _]: Across<S>) -> mask8x16<S> {
        difference(simd, p1, p0).max(difference(simd, q1, q0)).simd_gt(self.high_variance)
    }
}

#[inline(always)]
fn difference<S: Lanes>(simd: S, a: u8x16<S>, b: u8x16<S>) -> u8x16<S> {
    simd.saturating_sub_u8x16(a, b) | simd.saturating_sub_u8x16(b, a)
}

/// Pixels about zero.
#[inline(always)]
fn signed<S: Lanes>(simd: S, pixels: u8x16<S>) -> i8x16<S> {
    (pixels ^ u8x16::splat(simd, 0x80)).bitcast()
}

#[inline(always)]
fn unsigned<S: Lanes>(simd: S, pixels: i8x16<S>) -> u8x16<S> {
    pixels.bitcast::<u8x16<S>>() ^ u8x16::splat(simd, 0x80)
}

/// What an edge is adjusted by, of which `outer` is the part due to the outer pixels: the step across it, thrice.
#[inline(always)]
fn adjustment<S: Lanes>(simd: S, outer: i8x16<S>, p0: i8x16<S>, q0: i8x16<S>) -> i8x16<S> {
    let step = simd.saturating_sub_i8x16(q0, p0);
    let sum = simd.saturating_add_i8x16(simd.saturating_add_i8x16(outer, step), step);
    simd.saturating_add_i8x16(sum, step)
}

/// Adds a part of the adjustment to the pixels next to the edge; returns it as subtracted from `q0`.
#[inline(always)]
fn adjust<S: Lanes>(simd: S, by: i8x16<S>, p0: &mut i8x16<S>, q0: &mut i8x16<S>) -> i8x16<S> {
    let up = simd.saturating_add_i8x16(by, i8x16::splat(simd, 3)) >> 3;
    let down = simd.saturating_add_i8x16(by, i8x16::splat(simd, 4)) >> 3;
    *p0 = simd.saturating_add_i8x16(*p0, up);
    *q0 = simd.saturating_sub_i8x16(*q0, down);
    down
}

#[inline(always)]
fn simple<S: Lanes>(simd: S, thresholds: Thresholds<S>, pixels: Across<S>) -> Across<S> {
    let [p3, p2, p1, p0, q0, q1, q2, q3] = pixels;
    let mask = thresholds.edge_mask(simd, pixels);
    let (s1, mut s0) = (signed(simd, p1), signed(simd, p0));
    let (mut t0, t1) = (signed(simd, q0), signed(simd, q1));
    let by = adjustment(simd, simd.saturating_sub_i8x16(s1, t1), s0, t0);
    let by = mask.select(by, i8x16::splat(simd, 0));
    adjust(simd, by, &mut s0, &mut t0);
    [p3, p2, p1, unsigned(simd, s0), unsigned(simd, t0), q1, q2, q3]
}

#[inline(always)]
fn between_subblocks<S: Lanes>(simd: S, thresholds: Thresholds<S>, pixels: Across<S>) -> Across<S> {
    let [p3, p2, p1, p0, q0, q1, q2, q3] = pixels;
    let zero = i8x16::splat(simd, 0);
    let mask = thresholds.mask(simd, pixels);
    let high_variance = thresholds.high_variance(simd, pixels);
    let (mut s1, mut s0, mut t0, mut t1) =
        (signed(simd, p1), signed(simd, p0), signed(simd, q0), signed(simd, q1));
    let outer = high_variance.select(simd.saturating_sub_i8x16(s1, t1), zero);
    let by = mask.select(adjustment(simd, outer, s0, t0), zero);
    let down = adjust(simd, by, &mut s0, &mut t0);
    let half = high_variance.select(zero, (down + i8x16::splat(simd, 1)) >> 1);
    s1 = simd.saturating_add_i8x16(s1, half);
    t1 = simd.saturating_sub_i8x16(t1, half);
    let [p1, p0, q0, q1] = [unsigned(simd, s1), unsigned(simd, s0), unsigned(simd, t0), unsigned(simd, t1)];
    [p3, p2, p1, p0, q0, q1, q2, q3]
}

#[inline(always)]
fn between_macroblocks<S: Lanes>(simd: S, thresholds: Thresholds<S>, pixels: Across<S>) -> Across<S> {
    let [p3, p2, p1, p0, q0, q1, q2, q3] = pixels;
    let zero = i8x16::splat(simd, 0);
    let mask = thresholds.mask(simd, pixels);
    let high_variance = thresholds.high_variance(simd, pixels);
    let (s2, s1, mut s0) = (signed(simd, p2), signed(simd, p1), signed(simd, p0));
    let (mut t0, t1, t2) = (signed(simd, q0), signed(simd, q1), signed(simd, q2));
    let by = adjustment(simd, simd.saturating_sub_i8x16(s1, t1), s0, t0);
    let by = mask.select(by, zero);
    adjust(simd, high_variance.select(by, zero), &mut s0, &mut t0);
    // 27, 18 and 9 of 128 parts.
    let (low, high) = simd.widen_i8x16(high_variance.select(zero, by));
    let (low, high) = (low * 9, high * 9);
    let (mut low_sum, mut high_sum) = (low + 63, high + 63);
    let mut part = || {
        let part = simd.saturating_narrow_i16x8(low_sum >> 7, high_sum >> 7);
        (low_sum, high_sum) = (low_sum + low, high_sum + high);
        part
    };
    let (ninth, two_ninths, three_ninths) = (part(), part(), part());
    let up = |pixels, by| unsigned(simd, simd.saturating_add_i8x16(pixels, by));
    let down = |pixels, by| unsigned(simd, simd.saturating_sub_i8x16(pixels, by));
    [
        p3,
        up(s2, ninth),
        up(s1, two_ninths),
        up(s0, three_ninths),
        down(t0, three_ninths),
        down(t1, two_ninths),
        down(t2, ninth),
        q3,
    ]
}
