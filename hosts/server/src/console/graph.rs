//! A chart as SVG: readable without a script, and by screen readers.

use maud::{Markup, html};

use super::{
    amounts::{number, or_dash, round_bytes, round_ms},
    charts::{Chart, Line, Unit},
    svg_path::{PathWriter, coordinate},
};
use crate::admin::Period;

const WIDTH: f64 = 400.0;
const HEIGHT: f64 = 150.0;
const LEFT: f64 = 52.0;
const RIGHT: f64 = 4.0;
const TOP: f64 = 8.0;
const BOTTOM: f64 = 20.0;

/// A line of a chart.
pub(super) struct Plotted {
    pub(super) line: Line,
    /// Its values by interval; none where nothing was measured.
    pub(super) values: Vec<Option<f64>>,
    /// The same over the whole range.
    pub(super) total: Option<f64>,
}

/// From this part of its limit on a chart shows the limit as a line.
const NEAR: f64 = 0.5;

/// A chart of these lines as a figure; `limit` with its name, if there is one.
pub(super) fn figure(
    chart: &Chart,
    period: Period,
    plotted: &[Plotted],
    limit: Option<(f64, &'static str)>,
) -> Markup {
    let most = plotted.iter().flat_map(|line| &line.values).flatten().copied().fold(0.0, f64::max);
    let line_at = limit.map(|(value, _)| value).filter(|value| most >= value * NEAR);
    let ticks = ticks(most.max(line_at.unwrap_or(0.0)), chart.unit);
    let top = ticks.last().copied().unwrap_or(1.0);
    let steps = plotted.first().map_or(1, |line| line.values.len()).max(1);
    let x = |at: f64| LEFT + at / steps as f64 * (WIDTH - LEFT - RIGHT);
    let y = |value: f64| HEIGHT - BOTTOM - value / top * (HEIGHT - TOP - BOTTOM);
    let is_over = limit.is_some_and(|(value, _)| chart.unit != Unit::Number && most >= value);
    let is_bad = chart.alarming && most > 0.0 || is_over;
    let unit = match chart.unit {
        Unit::Number => "",
        Unit::Milliseconds => "ms",
        Unit::Bytes => "B",
    };
    let rule = |class: &str, value: f64| {
        html! { path class=(class) d={ "M" (LEFT) " " (coordinate(y(value))) "H" (WIDTH - RIGHT) } {} }
    };
    let labels = labels(period).into_iter().filter_map(|(at_s, label)| {
        let at = x((at_s - period.start_s) as f64 / period.period_s as f64);
        (at > LEFT + 14.0 && at < WIDTH - RIGHT - 14.0).then_some((at_s, at, label))
    });
    html! {
        figure class={ "card graph" @if is_bad { " bad" } } tabindex="0" data-start=(period.start_s) data-step=(period.period_s)
            data-in=(unit) data-top=(top) {
            figcaption { h3 { (chart.title) } span.help { (chart.help) } }
            svg viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } role="img" aria-label={
                (chart.title) ". " (chart.help) ". " (summary(chart, plotted, limit))
            } {
                @for tick in ticks {
                    (rule("rule", tick))
                    text x=(LEFT - 6.0) y=(coordinate(y(tick) + 4.0)) text-anchor="end" { (shown(tick, chart.unit)) }
                }
                @for (at_s, at, label) in labels {
                    text x=(coordinate(at)) y=(HEIGHT - 4.0) text-anchor="middle" data-at=(at_s) { (label) }
                }
                @if let Some(value) = line_at { (rule("limit", value)) }
                @if let [line] = plotted { path.area d=(area(&line.values, x, y)) {} }
                @for (index, line) in plotted.iter().enumerate() {
                    path class={ "line c" (index) } d=(path(&line.values, x, y)) {}
                }
                @if plotted.iter().all(|line| line.values.iter().all(Option::is_none)) {
                    text.nothing x=(LEFT + (WIDTH - LEFT - RIGHT) / 2.0) y=(HEIGHT / 2.0) text-anchor="middle" {
                        "nothing measured yet: drop an image on the first page"
                    }
                }
                path.cursor d="" {}
            }
            ul.legend {
                @for (index, Plotted { line, values, total }) in plotted.iter().enumerate() {
                    @let total = or_dash(*total, |total| shown(total, chart.unit));
                    li data-values=(list(values)) { i class={ "c" (index) } {} (line.name) " " b data-total=(total) { (total) } }
                }
                @if let Some((value, name)) = limit { li.limit { (name) " " (shown(value, chart.unit)) } }
            }
        }
    }
}

/// The values for the script, with commas.
fn list(values: &[Option<f64>]) -> String {
    let values: Vec<String> = values.iter().map(|value| value.map(brief).unwrap_or_default()).collect();
    values.join(",")
}

/// The chart in words.
fn summary(chart: &Chart, plotted: &[Plotted], limit: Option<(f64, &'static str)>) -> String {
    let shown = |value: f64| shown(value, chart.unit);
    let mut words = Vec::new();
    for Plotted { line: Line { name, .. }, values, total } in plotted {
        let last = values.iter().rev().find_map(|value| *value);
        words.push(match total.zip(last) {
            Some((total, last)) => format!("{name}: {} over the range, now {}", shown(total), shown(last)),
            None => format!("{name}: nothing measured"),
        });
    }
    words.extend(limit.map(|(value, name)| format!("{name}: {}", shown(value))));
    words.join("; ")
}

/// A value with three significant digits.
fn brief(value: f64) -> String {
    if value == 0.0 {
        return "0".into();
    }
    let digits = 2 - value.abs().log10().floor() as i32;
    let factor = 10_f64.powi(digits);
    let rounded = (value * factor).round() / factor;
    format!("{rounded:.*}", usize::try_from(digits).unwrap_or(0)).trim_end_matches(".0").to_owned()
}

fn shown(value: f64, unit: Unit) -> String {
    match unit {
        Unit::Number => number(value),
        Unit::Milliseconds => round_ms(value),
        Unit::Bytes => round_bytes(value as u64),
    }
}

/// Values that follow one another without a gap, with the index of the first.
fn runs(values: &[Option<f64>]) -> impl Iterator<Item = (usize, Vec<f64>)> {
    let mut index = 0;
    std::iter::from_fn(move || {
        index += values[index.min(values.len())..].iter().take_while(|value| value.is_none()).count();
        let run: Vec<f64> = values[index..].iter().map_while(|value| *value).collect();
        index += run.len();
        (!run.is_empty()).then(|| (index - run.len(), run))
    })
}

fn path(values: &[Option<f64>], x: impl Fn(f64) -> f64, y: impl Fn(f64) -> f64) -> String {
    let mut writer = PathWriter::default();
    for (begin, run) in runs(values) {
        for (step, value) in run.iter().enumerate() {
            let at = x((begin + step) as f64 + 0.5).round();
            if step == 0 {
                // A point alone is a dash.
                writer.move_to(at - 2.0, y(*value));
                writer.line_to(at + 2.0, y(*value));
            } else {
                writer.line_to(at, y(*value));
            }
        }
    }
    writer.finish()
}

fn area(values: &[Option<f64>], x: impl Fn(f64) -> f64, y: impl Fn(f64) -> f64) -> String {
    let mut writer = PathWriter::default();
    for (begin, run) in runs(values).filter(|(_, run)| run.len() > 1 && run.iter().any(|value| *value > 0.0))
    {
        let at = |step: usize| x((begin + step) as f64 + 0.5).round();
        writer.move_to(at(0), y(0.0));
        for (step, value) in run.iter().enumerate() {
            writer.line_to(at(step), y(*value));
        }
        writer.line_to(at(run.len() - 1), y(0.0));
        writer.close();
    }
    writer.finish()
}

/// Zero, and up to four steps of 1, 2 or 5 above it that hold the greatest value.
fn ticks(most: f64, unit: Unit) -> Vec<f64> {
    let least = match unit {
        Unit::Number => 1.0,
        Unit::Milliseconds => 1.0,
        Unit::Bytes => 1e6,
    };
    let rough = most.max(least) / 3.0;
    let power = 10_f64.powf(rough.log10().floor());
    let mut step = [1.0, 2.0, 5.0, 10.0].map(|times| times * power).into_iter().find(|step| *step >= rough);
    // Half a call cannot be counted.
    if unit == Unit::Number {
        step = step.map(|step| step.max(1.0));
    }
    let step = step.unwrap_or(1.0);
    let count = (most.max(least) / step).ceil() as u32;
    (0..=count).map(|n| f64::from(n) * step).collect()
}

/// The labels of a time axis: about four round times in UTC.
fn labels(period: Period) -> Vec<(i64, String)> {
    let length = period.end_s - period.start_s;
    let steps = [300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400, 172_800, 259_200];
    let step = steps.into_iter().find(|step| length / step <= 5).unwrap_or(604_800);
    let first = (period.start_s + step - 1).div_euclid(step) * step;
    let format = if step < 86_400 {
        time::macros::format_description!(version = 2, "[hour]:[minute]")
    } else {
        time::macros::format_description!(version = 2, "[month repr:short] [day padding:none]")
    };
    let label = |at: i64| {
        time::OffsetDateTime::from_unix_timestamp(at)
            .ok()
            .and_then(|at| at.format(format).ok())
            .unwrap_or_default()
    };
    (0..).map(|n| first + n * step).take_while(|at| *at < period.end_s).map(|at| (at, label(at))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_hold_the_greatest() {
        assert_eq!(ticks(0.0, Unit::Number), [0.0, 1.0]);
        assert_eq!(ticks(7.0, Unit::Number), [0.0, 5.0, 10.0]);
        assert_eq!(ticks(290.0, Unit::Milliseconds), [0.0, 100.0, 200.0, 300.0]);
        for most in [0.3, 1.0, 4.2, 17.0, 999.0, 1e7] {
            for unit in [Unit::Number, Unit::Milliseconds, Unit::Bytes] {
                let ticks = ticks(most, unit);
                assert!(ticks.len() <= 5 && ticks[ticks.len() - 1] >= most, "{most}: {ticks:?}");
            }
        }
    }

    #[test]
    fn values_are_brief() {
        let all = [0.0, 0.01234, 3.1259, 10.0, 27.5, 12_345.0].map(brief);
        assert_eq!(all, ["0", "0.0123", "3.13", "10", "27.5", "12300"]);
    }

    #[test]
    fn a_gap_breaks_the_line() {
        let values = [Some(1.0), Some(2.0), None, Some(3.0)];
        let path = path(&values, |x| x * 10.0, |y| y);
        assert_eq!(path, "M3 1h4l8 1M33 3h4");
    }
}
