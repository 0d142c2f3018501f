//! The range a dashboard shows, and how finely.

use tintype_pipeline::clock::now_ms;

use crate::history::Period;

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
/// Points of a range of one's own, about.
const POINTS: i64 = 150;

/// What a page is asked to show.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    pub(super) range: String,
    /// Of a range of one's own: seconds since 1970, or `2026-11-24T12:03` in UTC.
    pub(super) start: String,
    pub(super) end: String,
}

/// A range to show.
#[derive(Debug)]
pub(super) struct Range {
    /// Its name; empty if it is one's own.
    pub(super) name: &'static str,
    pub(super) period: Period,
    /// Of one's own: where it begins and, unless that is now, ends, in seconds since 1970.
    asked: Option<(i64, Option<i64>)>,
}

impl Range {
    pub(super) fn of(asked: &Asked) -> Result<Self, String> {
        let now_s = now_ms() / 1000;
        if asked.start.is_empty() {
            let name = if asked.range.is_empty() { DEFAULT } else { asked.range.as_str() };
            let Some((name, length, step)) = RANGES.into_iter().find(|(known, ..)| *known == name) else {
                return Err(format!("range \"{name}\" is not known; there are 1h, 3h, 12h, 1d, 3d, 1w"));
            };
            let end_s = now_s.div_euclid(step) * step + step;
            let period = Period { start_s: end_s - length, end_s, period_s: step };
            return Ok(Self { name, period, asked: None });
        }
        let start_s = moment(&asked.start).ok_or_else(|| unclear("start", &asked.start))?;
        let end_s = match asked.end.as_str() {
            "" => now_s,
            end => moment(end).ok_or_else(|| unclear("end", end))?,
        };
        // A step that people count in.
        let least = end_s.saturating_sub(start_s).max(60).div_euclid(POINTS);
        let step = [60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800].into_iter().find(|step| *step >= least);
        let step = step.unwrap_or(14_400);
        let mut period = Period::new(start_s, end_s, step).map_err(|error| error.to_string())?;
        // The first interval holds the moment asked for, and so does the last.
        period.end_s = (end_s + step - 1).div_euclid(step).min(now_s.div_euclid(step) + 1) * step;
        let asked = (start_s, (!asked.end.is_empty()).then_some(end_s));
        Ok(Self { name: "", period, asked: Some(asked) })
    }

    /// The range in a query, to ask for it again.
    pub(super) fn query(&self) -> String {
        match self.asked {
            Some((start_s, Some(end_s))) => format!("start={start_s}&amp;end={end_s}"),
            Some((start_s, None)) => format!("start={start_s}"),
            None => format!("range={}", self.name),
        }
    }

    /// Links to the ranges, and the form for one's own.
    pub(super) fn chooser(&self) -> String {
        let mut out = String::from("<div class=\"ranges\" role=\"group\" aria-label=\"Range\">");
        for (name, ..) in RANGES {
            let here = if name == self.name { " aria-current=\"true\"" } else { "" };
            out.push_str(&format!("<a href=\"/?range={name}\"{here}>{name}</a>"));
        }
        let (open, value) = match self.asked {
            Some((start_s, end_s)) => (" open", [local(start_s), end_s.map(local).unwrap_or_default()]),
            None => ("", [String::new(), String::new()]),
        };
        out.push_str(&format!(
            "<details{open}><summary>Custom</summary><form class=\"custom\" action=\"/\">\
             <label>From (UTC)<input type=\"datetime-local\" name=\"start\" value=\"{}\" required></label>\
             <label>To (UTC)<input type=\"datetime-local\" name=\"end\" value=\"{}\"></label>\
             <button>Show</button></form></details></div>",
            value[0], value[1]
        ));
        out
    }
}

fn unclear(name: &str, value: &str) -> String {
    format!("{name} \"{value}\" is no moment; write seconds since 1970 or UTC like 2026-11-24T12:03")
}

/// A moment in seconds since 1970: a number, or UTC as in RFC 3339, seconds and zone left out or not.
pub(super) fn moment(text: &str) -> Option<i64> {
    if let Ok(seconds) = text.parse::<i64>() {
        // Milliseconds are what scripts have at hand.
        return Some(if seconds > 100_000_000_000 { seconds / 1000 } else { seconds });
    }
    let whole = match text.len() {
        16 => format!("{text}:00Z"),
        17 => text.strip_suffix('Z').map_or_else(|| text.to_owned(), |text| format!("{text}:00Z")),
        19 => format!("{text}Z"),
        _ => text.to_owned(),
    };
    let rfc3339 = &time::format_description::well_known::Rfc3339;
    Some(time::OffsetDateTime::parse(&whole, rfc3339).ok()?.unix_timestamp())
}

/// As a browser's field for moments wants it.
fn local(seconds: i64) -> String {
    let format = time::macros::format_description!("[year]-[month]-[day]T[hour]:[minute]");
    time::OffsetDateTime::from_unix_timestamp(seconds)
        .ok()
        .and_then(|at| at.format(format).ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_as_people_and_scripts_write_them() {
        for text in ["1790000000", "1790000000000", "2026-09-21T14:13:20Z", "2026-09-21T14:13:20"] {
            assert_eq!(moment(text), Some(1_790_000_000), "{text}");
        }
        assert_eq!(moment("2026-09-21T14:13"), Some(1_789_999_980));
        assert_eq!(moment("2026-09-21T14:13Z"), Some(1_789_999_980));
        assert_eq!(moment("yesterday"), None);
        assert_eq!(local(1_790_000_000), "2026-09-21T14:13");
    }

    #[test]
    fn a_range_of_ones_own_holds_both_moments_asked_for() {
        let now_s = now_ms() / 1000;
        for (length, end_s) in [(600, now_s - 7201), (40_000, now_s - 3), (15 * 86_400 - 60, now_s)] {
            let asked =
                Asked { start: (end_s - length).to_string(), end: end_s.to_string(), ..Asked::default() };
            let Period { start_s: from, end_s: to, period_s } = Range::of(&asked).unwrap().period;
            assert!(from <= end_s - length && to >= end_s, "{from} to {to} for {length} until {end_s}");
            assert_eq!((from % period_s, to % period_s), (0, 0));
            assert!((to - from) / period_s <= POINTS + 2);
        }
    }

    #[test]
    fn the_ranges_are_answered_and_others_are_not() {
        for (name, length, step) in RANGES {
            let asked = Asked { range: name.into(), ..Asked::default() };
            let period = Range::of(&asked).unwrap().period;
            assert_eq!((period.end_s - period.start_s, period.period_s), (length, step));
        }
        let wrong = Asked { range: "2h".into(), ..Asked::default() };
        assert!(Range::of(&wrong).unwrap_err().contains("12h"));
    }
}
