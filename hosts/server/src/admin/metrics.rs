//! `/metrics` for Prometheus, and `/metrics/query` for one metric over time.

use axum::{
    extract::State,
    http::{Method, header},
    response::{IntoResponse as _, Response},
};
use serde::{Deserialize, Serialize};
use tintype_api::Permission;
use tintype_pipeline::clock::now_ms;
use tintype_telemetry::render::prometheus::MEDIA_TYPE;

use super::{Admin, Handle, Refusal, Request};
use crate::history::{
    Period, QueryError, SAMPLE_TIMEOUT,
    query::{self, Statistic},
};

pub(super) async fn prometheus(State(admin): State<Admin>) -> Response {
    let sampled = admin.blocking(|admin| {
        admin.parts.history.sample();
        Ok(())
    });
    // On a disk that hangs the gauges have their last values.
    let _ = tokio::time::timeout(SAMPLE_TIMEOUT, sampled).await;
    let text = admin.parts.history.prometheus(&admin.parts.settings.function.name);
    ([(header::CONTENT_TYPE, MEDIA_TYPE)], text).into_response()
}

/// A statistic of one metric for each period of a range.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MetricRequest {
    /// The metric's name.
    pub metric: Option<String>,
    /// The statistic's name; none: `Average`.
    pub statistic: Option<String>,
    /// The start of the range, see [`parse_time`]; none: an hour before its end.
    pub start: Option<String>,
    /// The end; none: now.
    pub end: Option<String>,
    /// The length of a period in seconds; none: 60.
    pub period: Option<i64>,
}

/// The values of the periods that have any.
#[derive(Debug, Serialize, Deserialize)]
pub struct MetricAnswer {
    /// The metric's name.
    pub metric: String,
    /// The statistic's name.
    pub statistic: String,
    /// The unit of the values, as CloudWatch names it.
    pub unit: String,
    /// The length of a period in seconds.
    pub period: i64,
    /// The start of the range in milliseconds since 1970.
    pub start_ms: i64,
    /// Its end, exclusive.
    pub end_ms: i64,
    /// The start of each period.
    pub timestamps_ms: Vec<i64>,
    /// The value of each.
    pub values: Vec<f64>,
    /// As earlier versions had the times: in seconds since 1970.
    pub start: i64,
    /// The end in seconds.
    pub end: i64,
    /// The periods in seconds.
    pub timestamps: Vec<i64>,
}

impl Request for MetricRequest {
    const METHOD: Method = Method::GET;
    const PATH: &'static str = "/metrics/query";
    const PERMISSION: Permission = Permission::Read;
    type Answer = MetricAnswer;
}

impl Handle for MetricRequest {
    fn handle(self, admin: &Admin) -> Result<MetricAnswer, Refusal> {
        let Some(metric) = self.metric else {
            return Err(Refusal::invalid(
                "which metric? Add ?metric=, for example metric=Duration&statistic=p95",
            ));
        };
        let metric = query::metric(&metric).map_err(refusal)?;
        let name = self.statistic.unwrap_or_else(|| "Average".into());
        let statistic = Statistic::parse(&name).map_err(refusal)?;
        let time = |name: &str, text: Option<String>, default: i64| match text {
            Some(text) => parse_time(name, &text).map_err(Refusal::invalid),
            None => Ok(default),
        };
        let end_s = time("end", self.end, now_ms() / 1000 + 1)?;
        let start_s = time("start", self.start, end_s.saturating_sub(3600))?;
        let period = Period::new(start_s, end_s, self.period.unwrap_or(60)).map_err(refusal)?;
        let points = admin.parts.history.query(metric, statistic, period).map_err(refusal)?;
        let unit = match statistic {
            Statistic::SampleCount => "Count",
            _ => metric.unit().name(),
        };
        let timestamps: Vec<i64> = points.iter().map(|point| point.at_s).collect();
        Ok(MetricAnswer {
            metric: metric.name().into(),
            statistic: name,
            unit: unit.into(),
            period: period.period_s,
            start_ms: period.start_s * 1000,
            end_ms: period.end_s * 1000,
            timestamps_ms: timestamps.iter().map(|seconds| seconds * 1000).collect(),
            values: points.iter().map(|point| rounded(point.value)).collect(),
            start: period.start_s,
            end: period.end_s,
            timestamps,
        })
    }
}

/// A measurement in thousandths of its unit: percentiles are not known better.
pub(super) fn rounded(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

pub(super) fn refusal(error: QueryError) -> Refusal {
    match error {
        QueryError::Invalid(message) => Refusal::invalid(message),
        QueryError::Database(error) => error.into(),
    }
}

/// The time of a query's field in seconds since 1970: a number, or UTC as in RFC 3339, with or without seconds and zone.
///
/// # Errors
/// It is no time; the message names the field.
pub fn parse_time(field: &str, text: &str) -> Result<i64, String> {
    if let Ok(seconds) = text.parse::<i64>() {
        // Scripts have milliseconds at hand.
        return Ok(if seconds > 100_000_000_000 { seconds / 1000 } else { seconds });
    }
    let whole = match text.len() {
        16 => format!("{text}:00Z"),
        17 => text.strip_suffix('Z').map_or_else(|| text.to_owned(), |text| format!("{text}:00Z")),
        19 => format!("{text}Z"),
        _ => text.to_owned(),
    };
    let rfc3339 = &time::format_description::well_known::Rfc3339;
    let time = time::OffsetDateTime::parse(&whole, rfc3339).map_err(|_| {
        format!("{field} \"{text}\" is no time; write seconds since 1970 or UTC like 2026-11-24T12:03:00Z")
    })?;
    Ok(time.unix_timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_and_scripts_write_them() {
        let read = |text| parse_time("start", text);
        for text in ["1790000000", "1790000000000", "2026-09-21T14:13:20Z", "2026-09-21T14:13:20"] {
            assert_eq!(read(text), Ok(1_790_000_000), "{text}");
        }
        assert_eq!(read("2026-09-21T14:13"), Ok(1_789_999_980));
        assert_eq!(read("2026-09-21T14:13Z"), Ok(1_789_999_980));
        assert!(read("yesterday").unwrap_err().starts_with("start \"yesterday\" is no time"));
    }
}
