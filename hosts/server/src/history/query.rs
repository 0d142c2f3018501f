//! Queries of measurements: a metric, a statistic, a period, a range.

use tintype_pipeline::{clock::now_ms, spelling::nearest};
use tintype_telemetry::metrics::{Kind, Metric, Statistics};

use super::{
    DatabaseError, History,
    series::{self, COARSE_S, FINE_S, RETENTION_S},
};

/// Points of one response; CloudWatch's limit.
const MAX_POINTS: i64 = 1440;

/// The statistic of each interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Statistic {
    /// The mean of the values.
    Average,
    /// Their sum.
    Sum,
    /// The smallest.
    Minimum,
    /// The largest.
    Maximum,
    /// The number of values.
    SampleCount,
    /// The value that this percentage of values does not exceed.
    Percentile(f64),
}

/// A range of time and the length of the intervals in it, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    /// The start, since 1970.
    pub start_s: i64,
    /// The end, since 1970, exclusive.
    pub end_s: i64,
    /// The length of each interval.
    pub period_s: i64,
}

/// The value of one interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// The interval's start, in seconds since 1970.
    pub at_s: i64,
    /// The value, in the metric's unit.
    pub value: f64,
}

/// Why a query failed.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The query is invalid; the message says what would be valid.
    #[error("{0}")]
    Invalid(String),
    /// The database cannot be read.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

fn invalid<T>(message: impl Into<String>) -> Result<T, QueryError> {
    Err(QueryError::Invalid(message.into()))
}

impl Statistic {
    /// Parses a name: `Average`, `Sum`, `Minimum`, `Maximum`, `SampleCount`, `p50`, `p95`, `p99`.
    ///
    /// # Errors
    /// There is none of this name.
    pub fn parse(name: &str) -> Result<Self, QueryError> {
        Ok(match name {
            "Average" => Self::Average,
            "Sum" => Self::Sum,
            "Minimum" => Self::Minimum,
            "Maximum" => Self::Maximum,
            "SampleCount" => Self::SampleCount,
            "p50" => Self::Percentile(50.0),
            "p95" => Self::Percentile(95.0),
            "p99" => Self::Percentile(99.0),
            other => {
                return invalid(format!(
                    "statistic \"{other}\" is not known; ask for Average, Sum, Minimum, Maximum, SampleCount, p50, \
                     p95 or p99"
                ));
            }
        })
    }

    /// The value in the metric's unit; `None` if nothing was measured.
    #[must_use]
    pub fn of(self, metric: Metric, statistics: &Statistics) -> Option<f64> {
        if statistics.count == 0 {
            return None;
        }
        let value = match self {
            Self::Average => statistics.sum as f64 / statistics.count as f64,
            Self::Sum => statistics.sum as f64,
            Self::Minimum => statistics.min as f64,
            Self::Maximum => statistics.max as f64,
            Self::SampleCount => return Some(statistics.count as f64),
            Self::Percentile(percent) => statistics.percentile(percent)?,
        };
        Some(metric.in_unit(value))
    }
}

/// Finds a metric by name.
///
/// # Errors
/// There is none of this name; the message names the nearest.
pub fn metric(name: &str) -> Result<Metric, QueryError> {
    Metric::by_name(name).map_or_else(
        || {
            let names: Vec<&str> = Metric::ALL.iter().map(|metric| metric.name()).collect();
            let nearest = nearest(name, names.iter().copied()).unwrap_or_default();
            invalid(format!(
                "metric \"{name}\" is not known; did you mean \"{nearest}\"? There are {}",
                names.join(", ")
            ))
        },
        Ok,
    )
}

impl Period {
    /// Validates a range and a period against what is stored.
    ///
    /// # Errors
    /// The range or the period is invalid; the message says what would be valid.
    pub fn new(start_s: i64, end_s: i64, period_s: i64) -> Result<Self, QueryError> {
        let now_s = now_ms() / 1000;
        if start_s >= now_s {
            return invalid("start lies in the future: nothing has been measured there yet");
        }
        if end_s <= start_s {
            return invalid("end must lie after start");
        }
        if start_s < now_s - RETENTION_S - COARSE_S {
            return invalid("start lies more than 15 days back: measurements are stored for 15 days");
        }
        if !(1..=RETENTION_S).contains(&period_s) {
            return invalid(format!("period must be between {FINE_S} s and 15 days"));
        }
        let start_s = start_s.div_euclid(period_s) * period_s;
        let finest = series::finest(start_s, now_s);
        if period_s < finest || period_s % finest != 0 {
            return invalid(format!(
                "period must be a multiple of {finest} s for a range that begins there: measurements are stored by {FINE_S} \
                 s for 3 hours and by {COARSE_S} s for 15 days"
            ));
        }
        let end_s = end_s.min(now_s + period_s);
        let points = (end_s - start_s + period_s - 1) / period_s;
        if points > MAX_POINTS {
            return invalid(format!(
                "the range holds {points} periods; the limit is {MAX_POINTS}: ask for a longer period"
            ));
        }
        Ok(Self { start_s, end_s, period_s })
    }
}

impl History {
    /// The statistics of some metrics for each interval, by the interval's start; the last interval may be incomplete.
    /// Blocks on the disk.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn statistics(
        &self,
        metrics: &[Metric],
        period: Period,
    ) -> Result<Vec<(i64, Vec<Statistics>)>, QueryError> {
        let Period { start_s, end_s, period_s } = period;
        let now_s = now_ms() / 1000;
        self.sample();
        let mut series;
        let current = if let Some(recorder) = self.recorder() {
            let (unwritten, current) = recorder.unwritten(|| self.peek());
            let (read, written) =
                series::read(recorder.database(), metrics, (start_s, end_s), period_s, now_s)?;
            series = read;
            // Intervals written since the snapshot are in the series already.
            for interval in unwritten.iter().filter(|interval| interval.number > written) {
                if (start_s..end_s).contains(&interval.begin_s) {
                    let begin = interval.begin_s.div_euclid(period_s) * period_s;
                    series::merge(&mut series, metrics, begin, &interval.row);
                }
            }
            current
        } else {
            series = series::Series::new();
            self.peek()
        };
        let begin = now_s.div_euclid(period_s) * period_s;
        if begin < end_s && now_s >= start_s {
            series::merge(&mut series, metrics, begin, &current);
        }
        Ok(series.into_iter().collect())
    }

    /// One metric's statistic for each interval.
    ///
    /// # Errors
    /// The metric does not have the statistic, or the database cannot be read.
    pub fn query(
        &self,
        metric: Metric,
        statistic: Statistic,
        period: Period,
    ) -> Result<Vec<Point>, QueryError> {
        if matches!(statistic, Statistic::Percentile(_)) && metric.kind() != Kind::Distribution {
            return invalid(format!(
                "{} has no percentiles; ask for Average, Sum, Minimum, Maximum or SampleCount",
                metric.name()
            ));
        }
        let rows = self.statistics(&[metric], period)?;
        let points = rows.into_iter().filter_map(|(at_s, statistics)| {
            Some(Point { at_s, value: statistic.of(metric, statistics.first()?)? })
        });
        Ok(points.collect())
    }
}
