//! A chart as SVG: readable without a script, and by screen readers.

use std::fmt::Write as _;

use super::{
    charts::{Chart, Unit},
    html,
    svg_path::PathWriter,
};
use crate::admin::Period;

const WIDTH: f64 = 400.0;
const HEIGHT: f64 = 150.0;
const LEFT: f64 = 52.0;
const RIGHT: f64 = 4.0;
const TOP: f64 = 8.0;
const BOTTOM: f64 = 20.0;

/// The values of one line by interval; none where nothing was measured.
pub(super) type Values = Vec<Option<f64>>;

/// A line of a chart: its values, and the same over the whole range.
pub(super) struct Plotted {
    pub(super) values: Values,
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
) -> String {
    let lines: Vec<&Values> = plotted.iter().map(|line| &line.values).collect();
    let most = lines.iter().flat_map(|values| values.iter()).flatten().copied().fold(0.0, f64::max);
    let line_at = limit.map(|(value, _)| value).filter(|value| most >= value * NEAR);
    let ticks = ticks(most.max(line_at.unwrap_or(0.0)), chart.unit);
    let top = ticks.last().copied().unwrap_or(1.0);
    let steps = lines.first().map_or(1, |values| values.len()).max(1);
    let x = |at: f64| LEFT + at / steps as f64 * (WIDTH - LEFT - RIGHT);
    let y = |value: f64| HEIGHT - BOTTOM - value / top * (HEIGHT - TOP - BOTTOM);
    let is_over = limit.is_some_and(|(value, _)| chart.unit != Unit::Number && most >= value);
    let bad = if chart.alarming && most > 0.0 || is_over { " bad" } else { "" };

    let mut out = String::with_capacity(6000);
    let summary = summary(chart, plotted, limit);
    let _ = write!(
        out,
        "<figure class=\"card graph{bad}\" tabindex=\"0\" data-start=\"{}\" data-step=\"{}\" data-in=\"{}\" \
         data-top=\"{top}\"><figcaption><h3>{}</h3><span class=\"help\">{}</span></figcaption>\
         <svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}. {}\">",
        period.start_s,
        period.period_s,
        match chart.unit {
            Unit::Number => "",
            Unit::Milliseconds => "ms",
            Unit::Bytes => "B",
        },
        chart.title,
        chart.help,
        chart.title,
        html::text(&summary),
    );
    for tick in &ticks {
        let at = y(*tick);
        let _ = write!(
            out,
            "<path class=\"rule\" d=\"M{LEFT} {at:.1}H{}\"/><text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            WIDTH - RIGHT,
            LEFT - 6.0,
            at + 4.0,
            shown(*tick, chart.unit)
        );
    }
    for (at_s, label) in labels(period) {
        let at = x((at_s - period.start_s) as f64 / period.period_s as f64);
        if at > LEFT + 14.0 && at < WIDTH - RIGHT - 14.0 {
            let _ = write!(
                out,
                "<text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\" data-at=\"{at_s}\">{label}</text>",
                HEIGHT - 4.0
            );
        }
    }
    if let Some(value) = line_at {
        let at = y(value);
        let _ = write!(out, "<path class=\"limit\" d=\"M{LEFT} {at:.1}H{}\"/>", WIDTH - RIGHT);
    }
    for (index, values) in lines.iter().enumerate() {
        let path = path(values, x, y);
        if index == 0 && lines.len() == 1 {
            out.push_str(&area(values, x, y));
        }
        let _ = write!(out, "<path class=\"line c{index}\" d=\"{path}\"/>");
    }
    if plotted.iter().all(|line| line.values.iter().all(Option::is_none)) {
        let _ = write!(
            out,
            "<text class=\"nothing\" x=\"{}\" y=\"{}\" text-anchor=\"middle\">nothing measured yet: drop an image on the first page</text>",
            LEFT + (WIDTH - LEFT - RIGHT) / 2.0,
            HEIGHT / 2.0
        );
    }
    out.push_str("<path class=\"cursor\" d=\"\"/></svg><ul class=\"legend\">");
    for (index, (line, plotted)) in chart.lines.iter().zip(plotted).enumerate() {
        let total = plotted.total.map_or_else(|| "–".to_owned(), |value| shown(value, chart.unit));
        let list: Vec<String> =
            plotted.values.iter().map(|value| value.map(brief).unwrap_or_default()).collect();
        let _ = write!(
            out,
            "<li data-values=\"{}\"><i class=\"c{index}\"></i>{} <b data-total=\"{total}\">{total}</b></li>",
            list.join(","),
            line.name,
        );
    }
    if let Some((value, name)) = limit {
        let _ = write!(out, "<li class=\"limit\">{name} {}</li>", shown(value, chart.unit));
    }
    out.push_str("</ul></figure>");
    out
}

/// The chart in words.
fn summary(chart: &Chart, plotted: &[Plotted], limit: Option<(f64, &'static str)>) -> String {
    let mut words = Vec::new();
    for (line, Plotted { values, total }) in chart.lines.iter().zip(plotted) {
        let last = values.iter().rev().find_map(|value| *value);
        words.push(match (total, last) {
            (Some(total), Some(last)) => {
                format!(
                    "{}: {} over the range, now {}",
                    line.name,
                    shown(*total, chart.unit),
                    shown(last, chart.unit)
                )
            }
            _ => format!("{}: nothing measured", line.name),
        });
    }
    words.extend(limit.map(|(value, name)| format!("{name}: {}", shown(value, chart.unit))));
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

pub(super) fn shown(value: f64, unit: Unit) -> String {
    match unit {
        Unit::Number => html::number(value),
        Unit::Milliseconds => html::ms(value).replace(".0 ", " "),
        Unit::Bytes => html::bytes(value as u64).replace(".0 ", " "),
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
                writer.move_to(at - 1.0, y(*value));
                writer.line_to(at + 1.0, y(*value));
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
    format!("<path class=\"area\" d=\"{}\"/>", writer.finish())
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
        assert_eq!(path, "M4 1h2l9 1M34 3h2");
    }
}
