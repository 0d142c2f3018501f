//! The metrics as Prometheus text.
//! Source: Prometheus, "Exposition formats", version 0.0.4.

use std::fmt::Write as _;

use crate::metrics::{Kind, Metric, Metrics, Unit};

/// Upper bounds of the buckets, in microseconds.
const BOUNDS: [u64; 18] = [
    500,
    1_000,
    2_000,
    5_000,
    10_000,
    20_000,
    50_000,
    100_000,
    200_000,
    500_000,
    1_000_000,
    2_000_000,
    5_000_000,
    10_000_000,
    20_000_000,
    50_000_000,
    100_000_000,
    500_000_000,
];

/// The media type of the text.
pub const MEDIA_TYPE: &str = "text/plain; version=0.0.4";

/// Everything measured since the start, and the gauges as they were last set.
#[must_use]
pub fn text(metrics: &Metrics, function: &str) -> String {
    let mut out = String::with_capacity(16 << 10);
    let mut last = "";
    for metric in by_family() {
        let definition = metric.definition();
        if definition.family.is_empty() {
            continue;
        }
        if definition.family != last {
            let kind = match definition.kind {
                Kind::Counter => "counter",
                Kind::Gauge => "gauge",
                Kind::Distribution => "histogram",
            };
            let (name, help) = (definition.family, definition.help);
            let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
            last = definition.family;
        }
        // Metrics of the function carry its name, as Lambda's metrics do.
        let labels = match definition.labels {
            "" => format!("function_name=\"{function}\""),
            labels => labels.to_owned(),
        };
        if definition.kind == Kind::Distribution {
            histogram(&mut out, metrics, metric, &labels);
        } else if let Some(value) = metrics.value(metric) {
            let value = metric.in_unit(value as f64);
            let _ = writeln!(out, "{}{{{labels}}} {value}", definition.family);
        }
        if metric == Metric::ConcurrentExecutions {
            let peak = metrics.concurrent_peak_ever.load(std::sync::atomic::Ordering::Relaxed);
            let name = "ConcurrentExecutions_max";
            let help = "The most concurrent calls since the start.";
            let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} gauge\n{name}{{{labels}}} {peak}");
        }
    }
    out.push_str("# HELP tintype_requests_total Requests by endpoint, route and status.\n");
    out.push_str("# TYPE tintype_requests_total counter\n");
    for (endpoint, route, status, count) in metrics.requests().all() {
        let route = escaped(&route);
        let endpoint = endpoint.name();
        let _ = writeln!(
            out,
            "tintype_requests_total{{door=\"{endpoint}\",route=\"{route}\",status=\"{status}\"}} {count}"
        );
    }
    out
}

/// Every metric, those of a family together: rows that were added later are at the catalogue's end.
fn by_family() -> Vec<Metric> {
    let mut all = Metric::ALL.to_vec();
    let first = |metric: &Metric| {
        Metric::ALL.iter().position(|one| one.definition().family == metric.definition().family)
    };
    all.sort_by_cached_key(first);
    all
}

fn histogram(out: &mut String, metrics: &Metrics, metric: Metric, labels: &str) {
    debug_assert_eq!(metric.unit(), Unit::Milliseconds, "the bounds are durations");
    let name = metric.definition().family;
    let (up_to, count, sum) = metrics.distribution(metric).cumulative(&BOUNDS);
    for (bound, below) in BOUNDS.iter().zip(up_to) {
        let _ = writeln!(out, "{name}_bucket{{{labels},le=\"{}\"}} {below}", *bound as f64 / 1e3);
    }
    let _ = writeln!(out, "{name}_bucket{{{labels},le=\"+Inf\"}} {count}");
    let _ = writeln!(out, "{name}_sum{{{labels}}} {}", sum as f64 / 1e3);
    let _ = writeln!(out, "{name}_count{{{labels}}} {count}");
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::requests::Endpoint;
    use std::time::Duration;

    #[test]
    fn lambdas_metrics_are_present_and_every_family_once() {
        let metrics = Metrics::default();
        drop(metrics.invocation());
        metrics.ended(Duration::from_millis(3), true);
        metrics.request(Endpoint::S3, "PUT object", 200, Duration::from_millis(1));
        let text = text(&metrics, "Thumbnails");
        for name in [
            "Invocations{function_name=\"Thumbnails\"} 1\n",
            "Errors{function_name=\"Thumbnails\"} 1\n",
            "Throttles{",
            "Duration_count{function_name=\"Thumbnails\"} 1\n",
            "Duration_bucket{function_name=\"Thumbnails\",le=\"2\"} 0\n",
            "Duration_bucket{function_name=\"Thumbnails\",le=\"5\"} 1\n",
            "Duration_sum{function_name=\"Thumbnails\"} 3\n",
            "ConcurrentExecutions{function_name=\"Thumbnails\"} 0\n",
            "AsyncEventsReceived{",
            "AsyncEventAge_count{",
            "AsyncEventsDropped{",
            "tintype_requests_total{door=\"s3\",route=\"PUT object\",status=\"200\"} 1\n",
            "tintype_stage_milliseconds_count{stage=\"decode\"} 0\n",
        ] {
            assert!(text.contains(name), "{name} in\n{text}");
        }
        let mut types: Vec<_> = text.lines().filter(|line| line.starts_with("# TYPE")).collect();
        let all = types.len();
        types.sort_unstable();
        types.dedup();
        assert_eq!(types.len(), all);
    }
}
