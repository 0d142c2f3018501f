//! Forward DCT (T.81, A.3.3) after Loeffler, Ligtenberg and Moschytz, "Practical fast 1-D
//! DCT algorithms with 11 multiplications" (ICASSP 1989), on several blocks at once.
//!
//! Values have 16 bits, for the most lanes in a vector. Samples have four fractional bits and coefficients five:
//! at that scale the largest coefficient fits, and rounding is far below a quantisation step at quality 100.

use fearless_simd::{Simd, SimdBase as _, i16x8};

use super::layout::BLOCK;

/// Columns transformed at once: four blocks.
pub(super) const GROUP: usize = 32;

/// A coefficient of 1.0.
pub(super) const UNIT: i32 = 32;

/// Coefficients of four blocks. Row `u` is one horizontal frequency; in it, each block has its eight
/// vertical frequencies side by side.
pub(super) type Coefficients = [[i16; GROUP]; BLOCK];

/// The mean error of each frequency by truncated products.
const TRUNCATION: [i16; BLOCK] = [0, 3, 1, 0, 0, 2, 1, 1];

/// Transforms the four blocks in eight rows of samples.
#[inline(always)]
pub(super) fn forward<S: Simd>(simd: S, rows: &[&[i16; GROUP]; BLOCK]) -> Coefficients {
    let mut half = [[0; GROUP]; BLOCK];
    for x in 0..GROUP {
        let column = transform(std::array::from_fn(|y| rows[y][x]), TRUNCATION.map(|error| error + 2));
        for (row, value) in half.iter_mut().zip(column) {
            // Back to two fractional bits, for the range of the second pass.
            row[x] = value >> 2;
        }
    }
    let transposed = transpose(simd, &half);
    let mut whole = [[0; GROUP]; BLOCK];
    for at in 0..GROUP {
        let column = transform(std::array::from_fn(|x| transposed[x][at]), TRUNCATION);
        for (row, value) in whole.iter_mut().zip(column) {
            row[at] = value;
        }
    }
    whole
}

/// Transposes each of the four blocks.
#[inline(always)]
fn transpose<S: Simd>(simd: S, rows: &Coefficients) -> Coefficients {
    let mut transposed = [[0; GROUP]; BLOCK];
    for block in (0..GROUP).step_by(BLOCK) {
        let mut lines: [i16x8<S>; BLOCK] =
            std::array::from_fn(|y| i16x8::from_slice(simd, &rows[y][block..block + BLOCK]));
        for _ in 0..3 {
            lines = std::array::from_fn(|at| {
                let (a, b) = (lines[at / 2], lines[at / 2 + 4]);
                if at % 2 == 0 { simd.zip_low_i16x8(a, b) } else { simd.zip_high_i16x8(a, b) }
            });
        }
        for (row, line) in transposed.iter_mut().zip(lines) {
            line.store_slice(&mut row[block..block + BLOCK]);
        }
    }
    transposed
}

/// Eight samples to eight frequencies, each √8 times that of an orthonormal transform. `bias` is added to each.
#[inline(always)]
fn transform(x: [i16; BLOCK], bias: [i16; BLOCK]) -> [i16; BLOCK] {
    let add = i16::wrapping_add;
    let sub = i16::wrapping_sub;
    // The high half of a product is one instruction everywhere, but takes factors below a half only; so a
    // factor is given as its distance from a whole number.
    let part = |value: i16, factor: i32| ((i32::from(value) * factor) >> 16) as i16;

    let sum = |n: usize| add(x[n], x[7 - n]);
    let difference = |n: usize| sub(x[n], x[7 - n]);

    let (a, b) = (add(sum(0), sum(3)), add(sum(1), sum(2)));
    let (c, d) = (sub(sum(0), sum(3)), sub(sum(1), sum(2)));
    // A rotation by π/8 with three products: by 0.541196, 0.765367 and 1.847759.
    let both = add(c, d);
    let shared = add(both, part(both, -30068));
    let second = add(shared, add(c, part(c, -15377)));
    let sixth = add(shared, sub(part(d, 9977), add(d, d)));

    // Rotations by 3π/16 and by π/16: cosines 0.831470 and 0.980785, sines 0.555570 and 0.195090.
    let [e, f, g, h] = [difference(0), difference(1), difference(2), difference(3)];
    let p = add(sub(e, h), add(part(e, -11045), part(h, 29126)));
    let q = add(add(e, h), add(part(e, -29126), part(h, -11045)));
    let r = add(f, sub(part(f, -1259), part(g, 12785)));
    let s = add(g, add(part(f, 12785), part(g, -1259)));
    let root_of_two = |value: i16| add(value, part(value, 27146));
    let whole = [
        add(a, b),
        add(add(p, s), add(q, r)),
        second,
        root_of_two(sub(p, s)),
        sub(a, b),
        root_of_two(sub(q, r)),
        sixth,
        sub(add(p, s), add(q, r)),
    ];
    std::array::from_fn(|k| add(whole[k], bias[k]))
}

#[cfg(test)]
mod tests {
    use fearless_simd::{Level, dispatch};

    use super::*;

    #[test]
    fn coefficients_match_the_definition() {
        let mut state = 1_u32;
        let mut worst = 0.0_f64;
        for round in 0..200 {
            let mut rows = [[0_i16; GROUP]; BLOCK];
            for value in rows.as_flattened_mut() {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let level = (state >> 24) as i16;
                *value = (if round % 2 == 0 { level } else { level % 2 * 255 } - 128) << 4;
            }
            let actual = dispatch!(Level::new(), simd => forward(simd, &rows.each_ref()));
            for block in 0..GROUP / BLOCK {
                for (u, v) in (0..64).map(|k| (k / 8, k % 8)) {
                    let angle =
                        |n: usize, k: usize| (2 * n + 1) as f64 * k as f64 * std::f64::consts::PI / 16.0;
                    let norm = |k: usize| if k == 0 { 0.5_f64.sqrt() } else { 1.0 };
                    let mut sum = 0.0;
                    for (y, x) in (0..64).map(|n| (n / 8, n % 8)) {
                        sum += f64::from(rows[y][block * BLOCK + x]) / 16.0
                            * angle(x, u).cos()
                            * angle(y, v).cos();
                    }
                    let exact = sum * norm(u) * norm(v) / 4.0;
                    let here = f64::from(actual[u][block * BLOCK + v]) / f64::from(UNIT);
                    worst = worst.max((exact - here).abs());
                }
            }
        }
        // An eighth of the smallest step.
        assert!(worst < 0.25, "{worst} off");
    }
}
