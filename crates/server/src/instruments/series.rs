//! Rows of intervals on disk: by ten seconds for three hours, by the minute for fifteen days.

use std::collections::BTreeMap;

use redb::{ReadTransaction, ReadableTable as _, TableDefinition, WriteTransaction};
use tintype_function::metrics::{Metric, Row, Statistics};

use super::{KeepError, Keeper};

/// Seconds of a row of either table, and how long its rows are kept.
pub(super) const FINE_S: i64 = 10;
const FINE_KEPT_S: i64 = 3 * 3600;
pub(super) const COARSE_S: i64 = 60;
/// How long measurements and results are kept, in seconds.
pub(super) const KEPT_S: i64 = 15 * 24 * 3600;

/// The tables' names hold the layout of their rows: raised when a metric gets another number, after which
/// older rows are no longer read.
/// By the second since 1970 at which the interval begins.
const TENS: TableDefinition<'_, i64, &[u8]> = TableDefinition::new("tens 2");
const MINUTES: TableDefinition<'_, i64, &[u8]> = TableDefinition::new("minutes 2");

pub(super) fn make_tables(transaction: &WriteTransaction) -> Result<(), KeepError> {
    transaction.open_table(TENS).map_err(KeepError::of)?;
    transaction.open_table(MINUTES).map_err(KeepError::of)?;
    Ok(())
}

/// Adds what was measured in the interval that ends now, and forgets what is too old.
pub(super) fn add(transaction: &WriteTransaction, now_s: i64, row: &Row) -> Result<(), KeepError> {
    for (table, step, kept) in [(TENS, FINE_S, FINE_KEPT_S), (MINUTES, COARSE_S, KEPT_S)] {
        let begin = now_s.div_euclid(step) * step;
        let mut table = transaction.open_table(table).map_err(KeepError::of)?;
        let mut merged = match table.get(begin).map_err(KeepError::of)? {
            // A row that does not read back is replaced: it must not stop the others.
            Some(before) => Row::decode(before.value()).unwrap_or_default(),
            None => Row::default(),
        };
        merged.merge(row);
        table.insert(begin, merged.encode().as_slice()).map_err(KeepError::of)?;
        table.retain_in(..now_s - kept, |_, _| false).map_err(KeepError::of)?;
    }
    Ok(())
}

/// The finest step kept for all of a range that begins at `start_s`.
pub(super) fn finest(start_s: i64, now_s: i64) -> i64 {
    if now_s - start_s <= FINE_KEPT_S - COARSE_S { FINE_S } else { COARSE_S }
}

/// The statistics of some metrics by intervals of `period_s`, by where each begins; where nothing was
/// measured there is none.
pub(super) type Series = BTreeMap<i64, Vec<Statistics>>;

/// Reads series from `start_s` up to `end_s`; `period_s` is a multiple of the step that is read.
pub(super) fn read(
    keeper: &Keeper,
    metrics: &[Metric],
    (start_s, end_s): (i64, i64),
    (period_s, step_s): (i64, i64),
) -> Result<Series, KeepError> {
    keeper.read(|transaction| {
        let table = if step_s < COARSE_S { TENS } else { MINUTES };
        let mut series = Series::new();
        walk(transaction, table, start_s, end_s, |begin, row| {
            merge(&mut series, metrics, begin.div_euclid(period_s) * period_s, &row);
        })?;
        Ok(series)
    })
}

/// Adds a row's statistics to the interval that begins at `begin`.
pub(super) fn merge(series: &mut Series, metrics: &[Metric], begin: i64, row: &Row) {
    let statistics = series.entry(begin).or_insert_with(|| vec![Statistics::default(); metrics.len()]);
    for (metric, statistics) in metrics.iter().zip(statistics) {
        if let Some(more) = row.get(*metric) {
            statistics.merge(more);
        }
    }
}

fn walk(
    transaction: &ReadTransaction,
    table: TableDefinition<'_, i64, &'static [u8]>,
    start_s: i64,
    end_s: i64,
    mut visit: impl FnMut(i64, Row),
) -> Result<(), KeepError> {
    let table = transaction.open_table(table).map_err(KeepError::of)?;
    for row in table.range(start_s..end_s).map_err(KeepError::of)? {
        let (begin, bytes) = row.map_err(KeepError::of)?;
        let row = Row::decode(bytes.value()).ok_or_else(|| KeepError::damaged("a row of measurements"))?;
        visit(begin.value(), row);
    }
    Ok(())
}
