//! `/metrics` for Prometheus and `/metrics/query` for whoever asks for one thing.

use axum::{
    extract::{RawQuery, State},
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
};
use serde_json::json;
use tintype_api::message;
use tintype_telemetry::render::prometheus::MEDIA_TYPE;

use super::{Console, answers, range::moment};
use crate::history::{
    Period, QueryError,
    query::{self, Statistic},
};

pub(super) async fn prometheus(State(console): State<Console>) -> Response {
    let text =
        answers::blocking(&console, |inner| Ok(inner.history.prometheus(&inner.settings.function.name)));
    match text.await {
        Ok(text) => ([(header::CONTENT_TYPE, MEDIA_TYPE)], text).into_response(),
        Err(problem) => *problem,
    }
}

/// What a query asks for.
struct Question {
    metric: tintype_telemetry::metrics::Metric,
    statistic: Statistic,
    statistic_name: String,
    period: Period,
}

/// `metric`, `statistic` (Average), `start` (an hour ago), `end` (now) and `period` (60) in seconds.
fn parse(raw: &str) -> Result<Question, QueryError> {
    let wrong = |message: String| Err(QueryError::Invalid(message));
    let (mut metric, mut statistic, mut start, mut end, mut period) = (None, None, None, None, None);
    for (name, value) in url::form_urlencoded::parse(raw.as_bytes()) {
        let slot = match name.as_ref() {
            "metric" => &mut metric,
            "statistic" => &mut statistic,
            "start" => &mut start,
            "end" => &mut end,
            "period" => &mut period,
            other => {
                return wrong(format!(
                    "\"{other}\" is not known; a query has metric, statistic, period, start and end"
                ));
            }
        };
        *slot = Some(value.into_owned());
    }
    let Some(metric) = metric else {
        return wrong("which metric? Add ?metric=, for example metric=Duration&statistic=p95".into());
    };
    let metric = query::metric(&metric)?;
    let statistic_name = statistic.unwrap_or_else(|| "Average".into());
    let statistic = Statistic::parse(&statistic_name)?;
    let now_s = tintype_pipeline::clock::now_ms() / 1000;
    let time = |name: &str, text: Option<String>, otherwise: i64| match text {
        None => Ok(otherwise),
        Some(text) => moment(&text).ok_or_else(|| {
            QueryError::Invalid(format!(
                "{name} \"{text}\" is no moment; write seconds since 1970 or UTC like 2026-11-24T12:03:00Z"
            ))
        }),
    };
    let end_s = time("end", end, now_s + 1)?;
    let start_s = time("start", start, end_s.saturating_sub(3600))?;
    let period_s = match period {
        None => 60,
        Some(text) => match text.parse::<i64>() {
            Ok(seconds) if seconds > 0 => seconds,
            _ => return wrong(format!("period \"{text}\" is no number of seconds above 0")),
        },
    };
    Ok(Question { metric, statistic, statistic_name, period: Period::new(start_s, end_s, period_s)? })
}

pub(super) async fn query(State(console): State<Console>, RawQuery(raw): RawQuery) -> Response {
    let question = match parse(&raw.unwrap_or_default()) {
        Ok(question) => question,
        Err(error) => return message(StatusCode::BAD_REQUEST, error.to_string()),
    };
    let Question { metric, statistic, statistic_name, period } = question;
    let asked =
        answers::blocking(&console, move |inner| match inner.history.query(metric, statistic, period) {
            Ok(points) => Ok(Ok(points)),
            Err(QueryError::Invalid(words)) => Ok(Err(words)),
            Err(error) => Err(error.into()),
        });
    let points = match asked.await {
        Ok(Ok(points)) => points,
        Ok(Err(words)) => return message(StatusCode::BAD_REQUEST, words),
        Err(problem) => return *problem,
    };
    let unit = match statistic {
        Statistic::SampleCount => "Count",
        _ => metric.unit().name(),
    };
    axum::Json(json!({
        "metric": metric.name(),
        "statistic": statistic_name,
        "unit": unit,
        "period": period.period_s,
        "start": period.start_s,
        "end": period.end_s,
        "timestamps": points.iter().map(|point| point.at_s).collect::<Vec<_>>(),
        "values": points.iter().map(|point| point.value).collect::<Vec<_>>(),
    }))
    .into_response()
}
