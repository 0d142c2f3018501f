//! Resident memory over images as an SVG plot.

use std::fmt::Write as _;

use super::samples::Sample;
use crate::slope::Slope;

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 320.0;
/// Margins for labels: left, top, right, bottom.
const MARGINS: [f64; 4] = [56.0, 28.0, 16.0, 40.0];
/// The most points plotted; more are indistinguishable.
const POINTS: usize = 700;

/// The plot: samples, the bound, and the line through the second half.
pub(crate) fn svg(samples: &[Sample], bound_kib: u64, slope: &Slope) -> String {
    let images = samples.last().map_or(1, |last| last.images).max(1) as f64;
    let bound = bound_kib as f64 / 1024.0;
    let [left, top, right, bottom] = MARGINS;
    let x = |at: f64| left + at / images * (WIDTH - left - right);
    let y = |mib: f64| HEIGHT - bottom - mib / (bound * 1.05) * (HEIGHT - top - bottom);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" \
         font-size=\"11\">\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n<text x=\"{left}\" y=\"16\">Resident \
         memory (MiB) over images uploaded; slope of the second half {:.2} KiB for 1,000 images, 95 % interval {:.2} to \
         {:.2}</text>\n",
        slope.per_unit, slope.low, slope.high
    );
    let step =
        [16.0, 32.0, 64.0, 128.0, 256.0, 512.0].into_iter().find(|step| bound / step < 9.0).unwrap_or(1024.0);
    let mut mib = 0.0;
    while mib < bound {
        let at = y(mib);
        let _ = writeln!(
            svg,
            "<path d=\"M{left} {at:.1}H{:.1}\" stroke=\"#ddd\"/><text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{mib}</text>",
            WIDTH - right,
            left - 6.0,
            at + 4.0
        );
        mib += step;
    }
    for quarter in 0..=4 {
        let at = images * f64::from(quarter) / 4.0;
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{at:.0}</text>",
            x(at).min(WIDTH - right - 16.0),
            HEIGHT - bottom + 18.0
        );
    }
    let _ = writeln!(
        svg,
        "<path d=\"M{left} {0:.1}H{1:.1}\" stroke=\"#b33\" stroke-dasharray=\"5 3\"/><text x=\"{2:.1}\" y=\"{3:.1}\" \
         text-anchor=\"end\" fill=\"#b33\">bound</text>",
        y(bound),
        WIDTH - right,
        WIDTH - right - 4.0,
        y(bound) - 4.0
    );
    let line: Vec<String> = samples
        .iter()
        .step_by(samples.len().div_ceil(POINTS).max(1))
        .map(|sample| format!("{:.1} {:.1}", x(sample.images as f64), y(sample.resident_kib as f64 / 1024.0)))
        .collect();
    let _ = writeln!(svg, "<path d=\"M{}\" fill=\"none\" stroke=\"#246\"/>", line.join("L"));
    let fit = |images: f64| (slope.middle.1 + slope.per_unit * (images / 1e3 - slope.middle.0)) / 1024.0;
    let _ = writeln!(
        svg,
        "<path d=\"M{:.1} {:.1}L{:.1} {:.1}\" stroke=\"#e80\" stroke-width=\"2\"/>\n</svg>",
        x(images / 2.0),
        y(fit(images / 2.0)),
        x(images),
        y(fit(images))
    );
    svg
}
