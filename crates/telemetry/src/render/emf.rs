//! The metrics of one interval in CloudWatch's embedded metric format: lines for standard output.
//! Source: AWS, "Specification: Embedded metric format".

use serde_json::{Map, Value, json};

use crate::metrics::{Kind, Metric, Row, Unit, bounds};

/// The namespace in CloudWatch.
pub const NAMESPACE: &str = "Tintype";
/// The most values of one metric in one line.
const MOST_VALUES: usize = 100;
/// Metrics that Lambda itself publishes under these names, or that only a server has.
const EXCLUDED: [Metric; 10] = [
    Metric::Invocations,
    Metric::Errors,
    Metric::Throttles,
    Metric::AsyncEventsReceived,
    Metric::AsyncEventsDropped,
    Metric::AsyncEventAge,
    Metric::DeadLetterErrors,
    Metric::RecursiveInvocationsDropped,
    Metric::ConcurrentExecutions,
    Metric::Duration,
];

/// The lines, each one JSON object without a line break; none if nothing was measured. Usually one: more
/// than 100 values of one metric take another.
#[must_use]
pub fn lines(row: &Row, function: &str, timestamp_ms: i64) -> Vec<String> {
    let mut series: Vec<(Metric, Vec<f64>)> = Vec::new();
    for (metric, statistics) in row.iter() {
        if EXCLUDED.contains(&metric) || statistics.max == 0 {
            continue;
        }
        let values = match metric.kind() {
            Kind::Distribution if statistics.count > 1 => {
                let middles = statistics.buckets.iter().flat_map(|(bucket, count)| {
                    let (low, high) = bounds(*bucket);
                    let middle = f64::midpoint(low, high).clamp(statistics.min as f64, statistics.max as f64);
                    std::iter::repeat_n(middle, usize::try_from(*count).unwrap_or(usize::MAX))
                });
                middles.map(|value| metric.in_unit(value)).collect()
            }
            _ => vec![metric.in_unit(statistics.sum as f64)],
        };
        series.push((metric, values));
    }
    let most = series.iter().map(|(_, values)| values.len()).max().unwrap_or(0);
    (0..most.div_ceil(MOST_VALUES))
        .map(|part| {
            let of_part = |values: &[f64]| -> Vec<f64> {
                values.iter().skip(part * MOST_VALUES).take(MOST_VALUES).copied().collect()
            };
            let parts = series.iter().map(|(metric, values)| (*metric, of_part(values)));
            line(parts.filter(|(_, values)| !values.is_empty()), function, timestamp_ms)
        })
        .collect()
}

fn line(series: impl Iterator<Item = (Metric, Vec<f64>)>, function: &str, timestamp_ms: i64) -> String {
    let mut definitions = Vec::new();
    let mut members = Map::new();
    for (metric, values) in series {
        let unit = metric.unit();
        debug_assert!(matches!(unit, Unit::Count | Unit::Milliseconds | Unit::Bytes), "a unit of CloudWatch");
        definitions.push(json!({"Name": metric.name(), "Unit": unit.name()}));
        let value = match values.as_slice() {
            [one] => json!(one),
            many => json!(many),
        };
        members.insert(metric.name().into(), value);
    }
    members.insert("FunctionName".into(), function.into());
    members.insert(
        "_aws".into(),
        json!({
            "Timestamp": timestamp_ms,
            "CloudWatchMetrics": [{
                "Namespace": NAMESPACE,
                "Dimensions": [["FunctionName"]],
                "Metrics": definitions,
            }],
        }),
    );
    Value::Object(members).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{Metrics, MetricsSnapshot};
    use std::time::Duration;

    #[test]
    fn every_metric_has_its_member_and_at_most_100_values() {
        let metrics = Metrics::default();
        metrics.add(Metric::Made, 250);
        for n in 0..250 {
            metrics.observe(Metric::StageDecode, Duration::from_micros(1000 + n));
        }
        metrics.observe(Metric::StageWrite, Duration::from_micros(1234));
        metrics.ended(Duration::from_millis(5), false);
        let lines = lines(&metrics.take(&mut MetricsSnapshot::default()), "F", 1_700_000_000_000);
        let values: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(values.len(), 3);
        let mut decoded = 0;
        for value in &values {
            assert_eq!(value["FunctionName"], "F");
            let directive = &value["_aws"]["CloudWatchMetrics"][0];
            assert_eq!(directive["Namespace"], "Tintype");
            for metric in directive["Metrics"].as_array().unwrap() {
                let member = &value[metric["Name"].as_str().unwrap()];
                assert!(member.is_number() || member.as_array().is_some_and(|many| many.len() <= 100));
            }
            decoded += value["StageDecode"].as_array().unwrap().len();
        }
        assert_eq!(decoded, 250);
        assert_eq!((&values[0]["Made"], &values[0]["StageWrite"]), (&json!(250.0), &json!(1.234)));
        assert!(values[0].get("Duration").is_none(), "Lambda publishes that itself");
    }

    #[test]
    fn no_measurements_are_no_lines() {
        assert!(lines(&Metrics::default().take(&mut MetricsSnapshot::default()), "F", 0).is_empty());
    }
}
