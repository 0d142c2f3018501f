//! Quantisation tables by quality, and the tables of T.81, annex K.

use super::huffman::Table;
use super::layout::Sampling;
use super::quantisation::Steps;

/// Quantisation of luma and of chroma at quality 50 (T.81, tables K.1 and K.2).
#[rustfmt::skip]
const STEPS: [Steps; 2] = [
    [
        16, 11, 10, 16,  24,  40,  51,  61,
        12, 12, 14, 19,  26,  58,  60,  55,
        14, 13, 16, 24,  40,  57,  69,  56,
        14, 17, 22, 29,  51,  87,  80,  62,
        18, 22, 37, 56,  68, 109, 103,  77,
        24, 35, 55, 64,  81, 104, 113,  92,
        49, 64, 78, 87, 103, 121, 120, 101,
        72, 92, 95, 98, 112, 100, 103,  99,
    ],
    [
        17, 18, 24, 47, 99, 99, 99, 99,
        18, 21, 26, 66, 99, 99, 99, 99,
        24, 26, 56, 99, 99, 99, 99, 99,
        47, 66, 99, 99, 99, 99, 99, 99,
        99, 99, 99, 99, 99, 99, 99, 99,
        99, 99, 99, 99, 99, 99, 99, 99,
        99, 99, 99, 99, 99, 99, 99, 99,
        99, 99, 99, 99, 99, 99, 99, 99,
    ],
];

/// Steps of luma and chroma alike at quality 50, in tenths: 11.5 + 4.84 r^1.15 at distance r from DC.
///
/// Flatter than annex K's, for a better score at the same size: ADR 0006.
#[rustfmt::skip]
const FLAT_STEPS: [u32; 64] = [
     96, 163, 222, 286, 353, 423, 495, 569,
    163, 188, 238, 298, 362, 431, 502, 575,
    222, 238, 276, 328, 387, 452, 520, 591,
    286, 298, 328, 372, 425, 485, 549, 617,
    353, 362, 387, 425, 472, 527, 587, 651,
    423, 431, 452, 485, 527, 577, 632, 693,
    495, 502, 520, 549, 587, 632, 684, 741,
    569, 575, 591, 617, 651, 693, 741, 795,
];

/// The quantisation tables of annex K for a quality, on the scale of the Independent JPEG Group.
pub(super) fn steps(quality: u8) -> [Steps; 2] {
    let percent = percent(quality);
    STEPS.map(|table| table.map(|step| ((u32::from(step) * percent + 50) / 100).clamp(1, 255) as u8))
}

/// The tables of [`FLAT_STEPS`] for a quality, of about the same visual quality as [`steps`].
pub(super) fn flat_steps(quality: u8, sampling: Sampling) -> [Steps; 2] {
    // In thousandths; scaled to the visual quality of annex K's tables, at low and at high qualities.
    let percent = percent(quality);
    let both = percent * 900 + (percent * 333).min(6000);
    // Chroma at full resolution has four times as many coefficients, which may be coarser.
    let scales = if sampling == Sampling::Full { [both * 7 / 8, both * 3 / 2] } else { [both; 2] };
    scales.map(|scale| FLAT_STEPS.map(|step| ((step * scale + 500_000) / 1_000_000).clamp(1, 255) as u8))
}

fn percent(quality: u8) -> u32 {
    let quality = u32::from(quality.clamp(1, 100));
    if quality < 50 { 5000 / quality } else { 200 - 2 * quality }
}

/// Huffman tables K.3 to K.6: DC and AC of luma, DC and AC of chroma.
pub(super) fn standard() -> [Table; 4] {
    let dc = |counts| Table { counts, symbols: (0..12).collect() };
    // After the listed symbols the others follow in ascending order.
    let ac = |counts, first: &[u8]| {
        let mut rest = [false; 256];
        (0..16).for_each(|run| rest[run << 4 | 1..][..10].fill(true));
        first.iter().for_each(|&symbol| rest[usize::from(symbol)] = false);
        let rest = (0..=255).filter(|&symbol| rest[usize::from(symbol)]);
        Table { counts, symbols: first.iter().copied().chain(rest).collect() }
    };
    [
        dc([0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0]),
        ac(
            [0, 2, 1, 3, 3, 2, 4, 3, 5, 5, 4, 4, 0, 0, 1, 125],
            b"\x01\x02\x03\x00\x04\x11\x05\x12\x21\x31\x41\x06\x13\x51\x61\x07\x22\x71\x14\x32\x81\x91\xa1\
            \x08\x23\x42\xb1\xc1\x15\x52\xd1\xf0\x24\x33\x62\x72\x82\x09\x0a",
        ),
        dc([0, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0]),
        ac(
            [0, 2, 1, 2, 4, 4, 3, 4, 7, 5, 4, 4, 0, 1, 2, 119],
            b"\x00\x01\x02\x03\x11\x04\x05\x21\x31\x06\x12\x41\x51\x07\x61\x71\x13\x22\x32\x81\x08\x14\x42\
            \x91\xa1\xb1\xc1\x09\x23\x33\x52\xf0\x15\x62\x72\xd1\x0a\x16\x24\x34\xe1\x25\xf1",
        ),
    ]
}
