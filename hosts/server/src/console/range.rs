//! The range of time that the dashboard shows, and its intervals.

use maud::{Markup, html};
use tintype_pipeline::clock::now_ms;

use crate::admin::{Period, parse_time};

/// Name, seconds, seconds a point.
const RANGES: [(&str, i64, i64); 6] = [
    ("1h", 3600, 30),
    ("3h", 3 * 3600, 60),
    ("12h", 12 * 3600, 300),
    ("1d", 24 * 3600, 600),
    ("3d", 3 * 24 * 3600, 1800),
    ("1w", 7 * 24 * 3600, 3600),
];
const DEFAULT: &str = "1h";
/// Points of a custom range, about.
const POINTS: i64 = 150;

/// The dashboard's query.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
pub(super) struct RangeQuery {
    pub(super) range: String,
    /// Of a custom range: seconds since 1970, or `2026-11-24T12:03` in UTC.
    pub(super) start: String,
    pub(super) end: String,
}

/// A range to show.
#[derive(Debug)]
pub(super) struct Range {
    /// Its name; empty for a custom range.
    pub(super) name: &'static str,
    pub(super) period: Period,
    /// Of a custom range the start and, unless that is now, the end, in seconds since 1970.
    custom: Option<(i64, Option<i64>)>,
}

impl Range {
    pub(super) fn parse(query: &RangeQuery) -> Result<Self, String> {
        let now_s = now_ms() / 1000;
        if query.start.is_empty() {
            let name = if query.range.is_empty() { DEFAULT } else { query.range.as_str() };
            let Some((name, length, step)) = RANGES.into_iter().find(|(known, ..)| *known == name) else {
                return Err(format!("range \"{name}\" is not known; there are 1h, 3h, 12h, 1d, 3d, 1w"));
            };
            let end_s = now_s.div_euclid(step) * step + step;
            let period = Period { start_s: end_s - length, end_s, period_s: step };
            return Ok(Self { name, period, custom: None });
        }
        let start_s = parse_time("start", &query.start)?;
        let end_s = match query.end.as_str() {
            "" => now_s,
            end => parse_time("end", end)?,
        };
        // A step that people count in.
        let least = end_s.saturating_sub(start_s).max(60).div_euclid(POINTS);
        let step = [60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800].into_iter().find(|step| *step >= least);
        let step = step.unwrap_or(14_400);
        let mut period = Period::new(start_s, end_s, step).map_err(|error| error.to_string())?;
        // The first interval holds the start, the last the end.
        period.end_s = (end_s + step - 1).div_euclid(step).min(now_s.div_euclid(step) + 1) * step;
        let custom = (start_s, (!query.end.is_empty()).then_some(end_s));
        Ok(Self { name: "", period, custom: Some(custom) })
    }

    /// The range as a query.
    pub(super) fn query(&self) -> String {
        match self.custom {
            Some((start_s, Some(end_s))) => format!("start={start_s}&end={end_s}"),
            Some((start_s, None)) => format!("start={start_s}"),
            None => format!("range={}", self.name),
        }
    }

    /// Links to the ranges, and the form of a custom one.
    pub(super) fn chooser(&self) -> Markup {
        let (start_s, end_s) = self.custom.map_or((None, None), |(start_s, end_s)| (Some(start_s), end_s));
        html! {
            div.ranges role="group" aria-label="Range" {
                @for (name, ..) in RANGES {
                    a href={ "/metrics/dashboard?range=" (name) } aria-current=[(name == self.name).then_some("true")] { (name) }
                }
                details open[self.custom.is_some()] {
                    summary { "Custom" }
                    form.custom action="/metrics/dashboard" {
                        label { "From (UTC)" input type="datetime-local" name="start" value=(datetime_local(start_s)) required; }
                        label { "To (UTC)" input type="datetime-local" name="end" value=(datetime_local(end_s)); }
                        button { "Show" }
                    }
                }
            }
        }
    }
}

/// As the value of `<input type="datetime-local">`.
fn datetime_local(seconds: Option<i64>) -> String {
    let format = time::macros::format_description!("[year]-[month]-[day]T[hour]:[minute]");
    let at = seconds.and_then(|seconds| time::OffsetDateTime::from_unix_timestamp(seconds).ok());
    at.and_then(|at| at.format(format).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_custom_range_holds_its_start_and_its_end() {
        let now_s = now_ms() / 1000;
        for (length, end_s) in [(600, now_s - 7201), (40_000, now_s - 3), (15 * 86_400 - 60, now_s)] {
            let query = RangeQuery {
                start: (end_s - length).to_string(),
                end: end_s.to_string(),
                ..RangeQuery::default()
            };
            let Period { start_s: from, end_s: to, period_s } = Range::parse(&query).unwrap().period;
            assert!(from <= end_s - length && to >= end_s, "{from} to {to} for {length} until {end_s}");
            assert_eq!((from % period_s, to % period_s), (0, 0));
            assert!((to - from) / period_s <= POINTS + 2);
        }
    }

    #[test]
    fn the_ranges_are_answered_and_others_are_not() {
        for (name, length, step) in RANGES {
            let query = RangeQuery { range: name.into(), ..RangeQuery::default() };
            let period = Range::parse(&query).unwrap().period;
            assert_eq!((period.end_s - period.start_s, period.period_s), (length, step));
        }
        let wrong = RangeQuery { range: "2h".into(), ..RangeQuery::default() };
        assert!(Range::parse(&wrong).unwrap_err().contains("12h"));
    }
}
