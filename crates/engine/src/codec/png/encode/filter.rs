//! Filtering of PNG rows (W3C PNG, third edition, section 9).

use crate::error::Error;
use crate::stop::Stop;

/// Rows with filter type None.
pub(super) fn none(samples: &[u8], length: usize) -> Vec<u8> {
    let mut rows = Vec::with_capacity(samples.len() + samples.len() / length + 1);
    for row in samples.chunks_exact(length) {
        rows.push(0);
        rows.extend_from_slice(row);
    }
    rows
}

/// For each row the filter with the least sum of absolute differences (section 12.7).
pub(super) fn adaptive(
    samples: &[u8],
    length: usize,
    pixel: usize,
    stop: Stop<'_>,
) -> Result<Vec<u8>, Error> {
    let mut rows = Vec::with_capacity(samples.len() + samples.len() / length + 1);
    // Each row has a pixel of zeros before it, as left neighbour of the first.
    let mut above = vec![0; pixel + length];
    let mut row = above.clone();
    let mut tried: [Vec<u8>; 5] = std::array::from_fn(|_| vec![0; length]);
    for (y, samples) in samples.chunks_exact(length).enumerate() {
        if y % 16 == 0 {
            stop.check("encoding")?;
        }
        row[pixel..].copy_from_slice(samples);
        let near = row.iter().zip(&above).zip(&above[pixel..]);
        let [unfiltered, sub, up, average, paeth] = &mut tried;
        unfiltered.copy_from_slice(samples);
        let tried_rows = sub.iter_mut().zip(up.iter_mut()).zip(average.iter_mut().zip(paeth.iter_mut()));
        for (((&sample, ((&left, &upper_left), &above)), (sub, up)), (average, paeth)) in
            samples.iter().zip(near).zip(tried_rows).map(|((a, b), (c, d))| (((a, b), c), d))
        {
            *sub = sample.wrapping_sub(left);
            *up = sample.wrapping_sub(above);
            *average = sample.wrapping_sub(((u16::from(left) + u16::from(above)) / 2) as u8);
            *paeth = sample.wrapping_sub(paeth_predictor(left.into(), above.into(), upper_left.into()));
        }
        let sums = tried.each_ref().map(|row| absolute_sum(row));
        let (filter, _) = sums.iter().enumerate().min_by_key(|&(_, sum)| sum).unwrap_or((0, &0));
        rows.push(filter as u8);
        rows.extend_from_slice(&tried[filter]);
        std::mem::swap(&mut row, &mut above);
    }
    Ok(rows)
}

fn absolute_sum(row: &[u8]) -> u64 {
    let sums = row
        .chunks(128)
        .map(|part| part.iter().map(|&sample| u16::from((sample as i8).unsigned_abs())).sum::<u16>());
    sums.map(u64::from).sum()
}

/// The Paeth predictor: whichever of left, above and upper left is nearest to left + above − upper left.
#[inline(always)]
fn paeth_predictor(left: i16, above: i16, upper_left: i16) -> u8 {
    let (to_left, to_above) = ((above - upper_left).abs(), (left - upper_left).abs());
    let to_upper_left = (left + above - 2 * upper_left).abs();
    let second = if to_above <= to_upper_left { above } else { upper_left };
    (if to_left <= to_above && to_left <= to_upper_left { left } else { second }) as u8
}
