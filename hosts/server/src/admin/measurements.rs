//! What the dashboard shows: several metrics over a range at once, their values now, the cost on Lambda.

use tintype_telemetry::metrics::{Metric, Statistics};

use super::{Admin, Refusal, metrics::refusal};
use crate::{
    history::{Period, Price, cost, query::Statistic, slowdown},
    storage::free_floor,
};

/// Metrics over a range.
pub struct Measurements {
    period: Period,
    metrics: Vec<Metric>,
    intervals: Vec<(i64, Vec<Statistics>)>,
    totals: Vec<Statistics>,
}

impl Measurements {
    /// A metric over the whole range.
    ///
    /// # Panics
    /// It is not among those that were asked for: a fault of the program.
    #[must_use]
    pub fn total(&self, metric: Metric) -> &Statistics {
        &self.totals[self.index(metric)]
    }

    /// A statistic of each interval; none where nothing was measured.
    ///
    /// # Panics
    /// As [`Self::total`].
    #[must_use]
    pub fn values(&self, metric: Metric, statistic: Statistic) -> Vec<Option<f64>> {
        let Period { start_s, end_s, period_s } = self.period;
        let index = self.index(metric);
        let mut values = vec![None; usize::try_from((end_s - start_s) / period_s).unwrap_or(0)];
        for (at_s, statistics) in &self.intervals {
            let step = usize::try_from((at_s - start_s) / period_s).unwrap_or(usize::MAX);
            if let Some(value) = values.get_mut(step) {
                *value = statistic.of(metric, &statistics[index]);
            }
        }
        values
    }

    /// The range that is shown.
    #[must_use]
    pub const fn period(&self) -> Period {
        self.period
    }

    /// Has the range begin where something was measured first, with at least so many intervals.
    pub fn begin_at_first_data(&mut self, least: i64) {
        let Period { start_s, end_s, period_s } = self.period;
        let first = self.intervals.first().map_or(end_s, |(at_s, _)| *at_s);
        self.period.start_s = first.min(end_s - least * period_s).max(start_s);
    }

    fn index(&self, metric: Metric) -> usize {
        self.metrics.binary_search(&metric).unwrap_or(usize::MAX)
    }
}

/// What the invocations of a range would have cost on Lambda, in dollars.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LambdaCost {
    /// On Graviton.
    pub arm64_dollars: f64,
    /// On x86-64.
    pub x86_64_dollars: f64,
    /// GB-seconds billed.
    pub gb_s: f64,
    /// The part of a vCPU that the function's memory has.
    pub vcpus: f64,
}

impl Admin {
    /// Reads metrics over a range. Blocks on the disk: see [`Admin::blocking`].
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn measurements(&self, mut metrics: Vec<Metric>, period: Period) -> Result<Measurements, Refusal> {
        metrics.sort_unstable();
        metrics.dedup();
        let intervals = self.parts.history.statistics(&metrics, period).map_err(refusal)?;
        let mut totals = vec![Statistics::default(); metrics.len()];
        for (_, statistics) in &intervals {
            for (total, part) in totals.iter_mut().zip(statistics) {
                total.merge(part);
            }
        }
        Ok(Measurements { period, metrics, intervals, totals })
    }

    /// The value of a counter since the start, or of a gauge as [`Self::measurements`] last read it; `None` for a gauge
    /// that could not be read.
    #[must_use]
    pub fn value(&self, metric: Metric) -> Option<u64> {
        self.parts.history.value(metric)
    }

    /// Whether so few bytes are free on a disk of `total` bytes that uploads are refused.
    #[must_use]
    pub const fn is_disk_full(free: u64, total: u64) -> bool {
        free < free_floor(total)
    }

    /// The cost of invocations that were billed for so many milliseconds in total.
    #[must_use]
    pub fn lambda_cost(&self, invocations: u64, billed_ms: u64) -> LambdaCost {
        let memory_mb = self.parts.settings.function.memory_mb;
        let [arm64, x86_64] = Price::ALL.map(|price| cost(price, invocations, billed_ms, memory_mb));
        LambdaCost {
            arm64_dollars: arm64.total(),
            x86_64_dollars: x86_64.total(),
            gb_s: arm64.gb_s,
            vcpus: 1.0 / slowdown(memory_mb),
        }
    }
}
