//! The forward transform (T.81, A.3.3) after Loeffler, Ligtenberg and Moschytz, "Practical fast 1-D
//! DCT algorithms with 11 multiplications" (ICASSP 1989), on several blocks side by side.
//!
//! Everything is 16 bits wide, so that a vector holds as many lanes as can be. Samples come with four
//! bits below the point and coefficients leave with five: at that scale the largest coefficient just
//! fits, and rounding in between stays far below one quantisation step even at quality 100.

use fearless_simd::{Simd, SimdBase as _, i16x8};

use super::layout::BLOCK;

/// Columns transformed at once: four blocks.
pub(super) const GROUP: usize = 32;

/// What one unit of a true coefficient is here.
pub(super) const UNIT: i32 = 32;

/// Coefficients of four blocks. Row `u` is one horizontal frequency; in it, each block has its eight
/// vertical frequencies side by side.
pub(super) type Coefficients = [[i16; GROUP]; BLOCK];

/// What cutting off products takes away from each frequency, on average.
const CUT: [i16; BLOCK] = [0, 3, 1, 0, 0, 2, 1, 1];

/// Transforms the four blocks in eight rows of samples.
#[inline(always)]
pub(super) fn forward<S: Simd>(simd: S, rows: &[&[i16; GROUP]; BLOCK]) -> Coefficients {
    let mut half = [[0; GROUP]; BLOCK];
    for x in 0..GROUP {
        let column = one_way(std::array::from_fn(|y| rows[y][x]), CUT.map(|cut| cut + 2));
        for (row, value) in half.iter_mut().zip(column) {
            // Back to two bits below the point, so that the second pass has room.
            row[x] = value >> 2;
        }
    }
    let turned = turn(simd, &half);
    let mut whole = [[0; GROUP]; BLOCK];
    for at in 0..GROUP {
        let column = one_way(std::array::from_fn(|x| turned[x][at]), CUT);
        for (row, value) in whole.iter_mut().zip(column) {
            row[at] = value;
        }
    }
    whole
}

/// Mirrors each of the four blocks in its diagonal.
#[inline(always)]
fn turn<S: Simd>(simd: S, rows: &Coefficients) -> Coefficients {
    let mut turned = [[0; GROUP]; BLOCK];
    for block in (0..GROUP).step_by(BLOCK) {
        let mut lines: [i16x8<S>; BLOCK] =
            std::array::from_fn(|y| i16x8::from_slice(simd, &rows[y][block..block + BLOCK]));
        for _ in 0..3 {
            lines = std::array::from_fn(|at| {
                let (a, b) = (lines[at / 2], lines[at / 2 + 4]);
                if at % 2 == 0 { simd.zip_low_i16x8(a, b) } else { simd.zip_high_i16x8(a, b) }
            });
        }
        for (row, line) in turned.iter_mut().zip(lines) {
            line.store_slice(&mut row[block..block + BLOCK]);
        }
    }
    turned
}

/// Eight samples to eight frequencies, each the root of eight times as large as an orthonormal
/// transform has it. `more` is added to each.
#[inline(always)]
fn one_way(x: [i16; BLOCK], more: [i16; BLOCK]) -> [i16; BLOCK] {
    let add = i16::wrapping_add;
    let less = i16::wrapping_sub;
    // The high half of a product is one instruction everywhere, but takes factors below a half only; so a
    // factor is given as its distance from a whole number. (Rounding products, pmulhrsw, are not
    // recognised when one side is constant.)
    let part = |value: i16, factor: i32| ((i32::from(value) * factor) >> 16) as i16;

    let sum = |n: usize| add(x[n], x[7 - n]);
    let difference = |n: usize| less(x[n], x[7 - n]);

    let (a, b) = (add(sum(0), sum(3)), add(sum(1), sum(2)));
    let (c, d) = (less(sum(0), sum(3)), less(sum(1), sum(2)));
    // A turn by an eighth with three products: by 0.541196, 0.765367 and 1.847759.
    let both = add(c, d);
    let shared = add(both, part(both, -30068));
    let second = add(shared, add(c, part(c, -15377)));
    let sixth = add(shared, less(part(d, 9977), add(d, d)));

    // Turns by three sixteenths and by one: cosines 0.831470 and 0.980785, sines 0.555570 and 0.195090.
    let [e, f, g, h] = [difference(0), difference(1), difference(2), difference(3)];
    let p = add(less(e, h), add(part(e, -11045), part(h, 29126)));
    let q = add(add(e, h), add(part(e, -29126), part(h, -11045)));
    let r = add(f, less(part(f, -1259), part(g, 12785)));
    let s = add(g, add(part(f, 12785), part(g, -1259)));
    let root_of_two = |value: i16| add(value, part(value, 27146));
    let whole = [
        add(a, b),
        add(add(p, s), add(q, r)),
        second,
        root_of_two(less(p, s)),
        less(a, b),
        root_of_two(less(q, r)),
        sixth,
        less(add(p, s), add(q, r)),
    ];
    std::array::from_fn(|k| add(whole[k], more[k]))
}

#[cfg(test)]
mod tests {
    use fearless_simd::{Level, dispatch};

    use super::*;

    #[test]
    fn coefficients_are_those_of_the_definition() {
        let mut state = 1_u32;
        let mut worst = 0.0_f64;
        for round in 0..200 {
            let mut rows = [[0_i16; GROUP]; BLOCK];
            for value in rows.as_flattened_mut() {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let level = (state >> 24) as i16;
                *value = (if round % 2 == 0 { level } else { level % 2 * 255 } - 128) << 4;
            }
            let made = dispatch!(Level::new(), simd => forward(simd, &rows.each_ref()));
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
                    let here = f64::from(made[u][block * BLOCK + v]) / f64::from(UNIT);
                    worst = worst.max((exact - here).abs());
                }
            }
        }
        // An eighth of the smallest step.
        assert!(worst < 0.25, "{worst} off");
    }
}
