//! A linear fit of measurements with the confidence interval of its slope.

/// A slope with its 95 % interval.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Slope {
    /// Rise for one more of the first coordinate.
    pub(crate) per_unit: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
    /// A point of the line: the mean of both coordinates.
    pub(crate) middle: (f64, f64),
}

impl Slope {
    pub(crate) fn includes_zero(&self) -> bool {
        self.low <= 0.0 && self.high >= 0.0
    }
}

/// The least-squares line through the means of `blocks` blocks of points in a row, which are nearly independent
/// where single points are not. `None` if there are fewer points than blocks.
pub(crate) fn of_blocks(points: &[(f64, f64)], blocks: usize) -> Option<Slope> {
    if points.len() < blocks || blocks < 3 {
        return None;
    }
    let mean = |points: &[(f64, f64)]| {
        let sum = points.iter().fold((0.0, 0.0), |sum, point| (sum.0 + point.0, sum.1 + point.1));
        (sum.0 / points.len() as f64, sum.1 / points.len() as f64)
    };
    let means: Vec<(f64, f64)> = (0..blocks)
        .map(|block| mean(&points[block * points.len() / blocks..(block + 1) * points.len() / blocks]))
        .collect();
    let middle = mean(&means);
    let sum = |term: &dyn Fn(&(f64, f64)) -> f64| means.iter().map(term).sum::<f64>();
    let spread = sum(&|point| (point.0 - middle.0).powi(2));
    if spread == 0.0 {
        return None;
    }
    let slope = sum(&|point| (point.0 - middle.0) * (point.1 - middle.1)) / spread;
    let left = sum(&|point| (point.1 - middle.1 - slope * (point.0 - middle.0)).powi(2));
    let freedom = (blocks - 2) as f64;
    let margin = quantile(freedom) * (left / freedom / spread).sqrt();
    Some(Slope { per_unit: slope, low: slope - margin, high: slope + margin, middle })
}

/// Student's t at 97.5 %, by the expansion about the normal's quantile. Source: Abramowitz and Stegun, 26.7.5;
/// right to three digits from five degrees of freedom on.
fn quantile(freedom: f64) -> f64 {
    let z = 1.959_964_f64;
    let g = [
        (z.powi(3) + z) / 4.0,
        (5.0 * z.powi(5) + 16.0 * z.powi(3) + 3.0 * z) / 96.0,
        (3.0 * z.powi(7) + 19.0 * z.powi(5) + 17.0 * z.powi(3) - 15.0 * z) / 384.0,
        (79.0 * z.powi(9) + 776.0 * z.powi(7) + 1482.0 * z.powi(5) - 1920.0 * z.powi(3) - 945.0 * z)
            / 92_160.0,
    ];
    g.iter().rev().fold(0.0, |sum, term| (sum + term) / freedom) + z
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Noise between -1 and 1 that is the same each time.
    fn noise(index: u64) -> f64 {
        let mut mixed = index.wrapping_add(99).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed >> 40) as f64 / f64::from(1 << 23) - 1.0
    }

    #[test]
    fn quantiles_match_tables() {
        for (freedom, known) in [(5.0, 2.571), (10.0, 2.228), (18.0, 2.101), (100.0, 1.984)] {
            assert!((quantile(freedom) - known).abs() < 0.002, "{freedom}: {}", quantile(freedom));
        }
    }

    #[test]
    fn growth_is_distinguished_from_noise() {
        let points = |growth: f64| -> Vec<_> {
            (0..600).map(|at| (at as f64, 1e5 + growth * at as f64 + 50.0 * noise(at))).collect()
        };
        let level = of_blocks(&points(0.0), 20).unwrap();
        assert!(level.includes_zero(), "{level:?}");
        let growing = of_blocks(&points(0.5), 20).unwrap();
        assert!(growing.low < 0.5 && 0.5 < growing.high && !growing.includes_zero(), "{growing:?}");
        assert!(of_blocks(&points(0.5)[..10], 20).is_none());
    }
}
