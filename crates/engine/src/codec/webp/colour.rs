//! Rows of Y'CbCr to RGB: chroma interpolated to the resolution of luma and ITU-R BT.601 with its limited range,
//! both rounded as libwebp does.

use fearless_simd::prelude::*;
use fearless_simd::{i16x16, u8x16, u16x16};

use super::vp8::Line;
use crate::simd::{Kernel, Lanes, SimdLevel, padded};

/// Pixels converted at a time.
const STEP: usize = 32;

pub(super) struct Converter {
    level: SimdLevel,
    width: usize,
    /// Three parts of the nearer row of chroma and one of the farther, the samples at both ends repeated.
    blended: [Vec<i16>; 2],
    /// R, G and B, in sixteenths of a code.
    planes: [Vec<i16>; 3],
}

/// Bytes for each column.
pub(super) const MEMORY_BY_WIDTH: u64 = 2 + 3 * 2;

impl Converter {
    pub(super) fn new(level: SimdLevel, width: usize) -> Self {
        let pixels = padded(width).next_multiple_of(STEP);
        let blended = || vec![0; pixels / 2 + 2];
        let plane = || vec![0; pixels];
        Self { level, width, blended: [blended(), blended()], planes: [plane(), plane(), plane()] }
    }

    /// The planes of R, G and B of one row, padded to whole vectors.
    pub(super) fn convert(&mut self, line: &Line<'_>) -> [&[i16]; 3] {
        let samples = self.width.div_ceil(2);
        for ((blended, near), far) in self.blended.iter_mut().zip(line.near).zip(line.far) {
            self.level.run(Blend { near: &near[..samples], far, blended: &mut blended[1..] });
            blended[0] = blended[1];
            blended[samples + 1] = blended[samples];
        }
        let [red, green, blue] = &mut self.planes;
        self.level.run(Convert { luma: line.luma, blended: &self.blended, planes: [red, green, blue] });
        let length = padded(self.width);
        self.planes.each_ref().map(|plane| &plane[..length])
    }
}

struct Blend<'a> {
    near: &'a [u8],
    far: &'a [u8],
    blended: &'a mut [i16],
}

impl Kernel for Blend<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(self, _: S) {
        // Simple enough for the compiler to vectorise.
        for ((blended, &near), &far) in self.blended.iter_mut().zip(self.near).zip(self.far) {
            *blended = 3 * i16::from(near) + i16::from(far);
        }
    }
}

struct Convert<'a> {
    luma: &'a [u8],
    blended: &'a [Vec<i16>; 2],
    planes: [&'a mut [i16]; 3],
}

impl Kernel for Convert<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(self, simd: S) {
        let Self { luma, blended: [cb, cr], planes: [red, green, blue] } = self;
        let length = luma.len().min(red.len()) / STEP * STEP;
        let mut at = 0;
        while at < length {
            let (cb, cr) = (upsampled(simd, cb, at / 2), upsampled(simd, cr, at / 2));
            for half in 0..2 {
                let part = at + 16 * half..at + 16 * half + 16;
                let (low, high) = u8x16::from_slice(simd, &luma[part.clone()]).widen();
                let [r, g, b] = rgb(simd, simd.combine_u16x8(low, high), cb[half], cr[half]);
                r.store_slice(&mut red[part.clone()]);
                g.store_slice(&mut green[part.clone()]);
                b.store_slice(&mut blue[part]);
            }
            at += STEP;
        }
    }
}

/// The samples of 32 pixels, from blended ones of which one lies before.
#[inline(always)]
fn upsampled<S: Lanes>(simd: S, blended: &[i16], at: usize) -> [u16x16<S>; 2] {
    let (before, here) = (simd.load(&blended[at..]), simd.load(&blended[at + 1..]));
    let after = simd.load(&blended[at + 2..]);
    let here = here * 3 + 8;
    let (low, high) = simd.interleave_i16x16((here + before) >> 4, (here + after) >> 4);
    [low.bitcast(), high.bitcast()]
}

/// `value` × `factor` / 256, for values up to 255 and a factor in two bytes.
#[inline(always)]
fn part<S: Lanes>(value: u16x16<S>, factor: u16) -> u16x16<S> {
    value * (factor >> 8) + ((value * (factor & 0xff)) >> 8)
}

/// In 1/64 of a code: 1.164 (Y − 16) with 1.596 (Cr − 128), −0.391 (Cb − 128) − 0.813 (Cr − 128) and
/// 2.018 (Cb − 128). Returns sixteenths.
#[inline(always)]
fn rgb<S: Lanes>(simd: S, y: u16x16<S>, cb: u16x16<S>, cr: u16x16<S>) -> [i16x16<S>; 3] {
    let less = |a, b| simd.saturating_sub_u16x16(a, b);
    let y = part(y, 19077);
    let red = less(y + part(cr, 26149), u16x16::splat(simd, 14234));
    let green = less(less(y + 8708, part(cb, 6419)), part(cr, 13320));
    let blue = less(y + part(cb, 33050), u16x16::splat(simd, 17685));
    [sixteenths(simd, red), sixteenths(simd, green), sixteenths(simd, blue)]
}

/// Of a code, from 1/64.
#[inline(always)]
fn sixteenths<S: Lanes>(simd: S, value: u16x16<S>) -> i16x16<S> {
    ((value >> 6).min(u16x16::splat(simd, 255)) << 4).bitcast()
}
