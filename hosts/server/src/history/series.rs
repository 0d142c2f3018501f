//! Measurements on disk, one row per interval: of ten seconds for three hours; of a minute, ten minutes and an hour for
//! fifteen days. The two coarsest are sums of the minutes, so that a query of a long range reads few rows.

use std::{collections::BTreeMap, sync::Arc};

use redb::{ReadableTable, TableDefinition, WriteTransaction};
use tintype_telemetry::metrics::{Metric, Row, Statistics};

use super::{Database, DatabaseError};

/// Seconds of the finest rows and of minutes, and the retention of the finest.
pub(super) const FINE_S: i64 = 10;
const FINE_RETENTION_S: i64 = 3 * 3600 + 2 * COARSE_S;
pub(super) const COARSE_S: i64 = 60;
/// The retention of measurements and results, in seconds.
pub(super) const RETENTION_S: i64 = 15 * 24 * 3600;

type Table = TableDefinition<'static, i64, &'static [u8]>;

/// Rows of one length, by their start in seconds since 1970.
#[derive(Clone, Copy)]
struct Level {
    table: Table,
    step_s: i64,
    retention_s: i64,
}

/// The number in a table's name is the version of its rows, raised when a metric's number changes; older rows are then
/// no longer read.
const TENS: Level = Level { table: Table::new("tens 2"), step_s: FINE_S, retention_s: FINE_RETENTION_S };
const MINUTES: Level = Level { table: Table::new("minutes 2"), step_s: COARSE_S, retention_s: RETENTION_S };
/// Sums are retained as long as any of their minutes.
const TEN_MINUTES: Level =
    Level { table: Table::new("ten minutes 2"), step_s: 600, retention_s: RETENTION_S + 600 };
const HOURS: Level = Level { table: Table::new("hours 2"), step_s: 3600, retention_s: RETENTION_S + 3600 };

const LEVELS: [Level; 4] = [TENS, MINUTES, TEN_MINUTES, HOURS];
const SUMS: [Level; 2] = [TEN_MINUTES, HOURS];

/// Progress of writing: [`SUMMED`] and [`WRITTEN`].
const STATE: TableDefinition<'_, &str, i64> = TableDefinition::new("series state 1");
/// The last minute in the sums. If it is not the last minute stored, an earlier version without sums wrote the others,
/// and the sums are rebuilt.
const SUMMED: &str = "summed";
/// The number of the last interval written.
const WRITTEN: &str = "written";

/// The measurements of one interval of [`FINE_S`].
#[derive(Debug, Clone)]
pub struct Interval {
    /// Increases from interval to interval.
    pub number: u64,
    /// Its start, in seconds since 1970.
    pub begin_s: i64,
    /// The measurements.
    pub row: Arc<Row>,
}

impl Interval {
    /// The interval that ends at `now_ms`.
    #[must_use]
    pub fn ending_at(now_ms: i64, number: u64, row: Row) -> Self {
        let begin_s = (now_ms / 1000 - 1).div_euclid(FINE_S) * FINE_S;
        Self { number, begin_s, row: Arc::new(row) }
    }
}

pub(super) fn create_tables(transaction: &WriteTransaction) -> Result<(), DatabaseError> {
    for level in LEVELS {
        transaction.open_table(level.table).map_err(DatabaseError::redb)?;
    }
    transaction.open_table(STATE).map_err(DatabaseError::redb)?;
    Ok(())
}

/// Adds intervals, and deletes rows past their retention.
pub(super) fn add(
    transaction: &WriteTransaction,
    now_s: i64,
    intervals: &[Interval],
) -> Result<(), DatabaseError> {
    let mut state = transaction.open_table(STATE).map_err(DatabaseError::redb)?;
    let last_minute = || -> Result<Option<i64>, DatabaseError> {
        last(&transaction.open_table(MINUTES.table).map_err(DatabaseError::redb)?)
    };
    if value(&state, SUMMED)? != last_minute()? {
        rebuild_sums(transaction)?;
    }
    for level in LEVELS {
        let mut table = transaction.open_table(level.table).map_err(DatabaseError::redb)?;
        for interval in intervals {
            let begin = interval.begin_s.div_euclid(level.step_s) * level.step_s;
            let mut merged = match table.get(begin).map_err(DatabaseError::redb)? {
                // A corrupt row is replaced: it must not stop the others.
                Some(before) => Row::decode(before.value()).unwrap_or_default(),
                None => Row::default(),
            };
            merged.merge(&interval.row);
            table.insert(begin, merged.encode().as_slice()).map_err(DatabaseError::redb)?;
        }
        table.retain_in(..now_s - level.retention_s, |_, _| false).map_err(DatabaseError::redb)?;
    }
    if let Some(minute) = last_minute()? {
        state.insert(SUMMED, minute).map_err(DatabaseError::redb)?;
    }
    if let Some(interval) = intervals.last() {
        state.insert(WRITTEN, interval.number.cast_signed()).map_err(DatabaseError::redb)?;
    }
    Ok(())
}

/// Rebuilds the sums from all minutes.
fn rebuild_sums(transaction: &WriteTransaction) -> Result<(), DatabaseError> {
    let minutes = transaction.open_table(MINUTES.table).map_err(DatabaseError::redb)?;
    for level in SUMS {
        transaction.delete_table(level.table).map_err(DatabaseError::redb)?;
        let mut sums = transaction.open_table(level.table).map_err(DatabaseError::redb)?;
        let mut current = (i64::MIN, Row::default());
        for minute in minutes.iter().map_err(DatabaseError::redb)? {
            let (begin, bytes) = minute.map_err(DatabaseError::redb)?;
            let begin = begin.value().div_euclid(level.step_s) * level.step_s;
            if begin != current.0 {
                let (before, sum) = std::mem::replace(&mut current, (begin, Row::default()));
                if before != i64::MIN {
                    sums.insert(before, sum.encode().as_slice()).map_err(DatabaseError::redb)?;
                }
            }
            current.1.merge(&Row::decode(bytes.value()).unwrap_or_default());
        }
        if current.0 != i64::MIN {
            sums.insert(current.0, current.1.encode().as_slice()).map_err(DatabaseError::redb)?;
        }
    }
    Ok(())
}

fn value(
    state: &impl ReadableTable<&'static str, i64>,
    name: &'static str,
) -> Result<Option<i64>, DatabaseError> {
    Ok(state.get(name).map_err(DatabaseError::redb)?.map(|value| value.value()))
}

fn last(table: &impl ReadableTable<i64, &'static [u8]>) -> Result<Option<i64>, DatabaseError> {
    Ok(table.last().map_err(DatabaseError::redb)?.map(|(begin, _)| begin.value()))
}

/// The finest step stored for all of a range that begins at `start_s`.
pub(super) fn finest(start_s: i64, now_s: i64) -> i64 {
    if now_s - start_s <= FINE_RETENTION_S - COARSE_S { FINE_S } else { COARSE_S }
}

/// The statistics of some metrics by the start of each interval; intervals without measurements are absent.
pub(super) type Series = BTreeMap<i64, Vec<Statistics>>;

/// Reads the series from `start_s` up to `end_s` in intervals of `period_s`, and the number of the last interval in it.
/// `start_s` and `period_s` are multiples of a step that is stored.
pub(super) fn read(
    database: &Database,
    metrics: &[Metric],
    (start_s, end_s): (i64, i64),
    period_s: i64,
    now_s: i64,
) -> Result<(Series, u64), DatabaseError> {
    database.read(|transaction| {
        let state = transaction.open_table(STATE).map_err(DatabaseError::redb)?;
        let minutes = transaction.open_table(MINUTES.table).map_err(DatabaseError::redb)?;
        let summed = value(&state, SUMMED)? == last(&minutes)?;
        // The coarsest rows that divide the range and each period.
        let divides = |level: &&Level| {
            period_s % level.step_s == 0
                && (level.step_s <= COARSE_S || summed && (end_s % level.step_s == 0 || end_s > now_s))
        };
        let level = LEVELS.iter().rev().find(divides).unwrap_or(&TENS);
        let table = transaction.open_table(level.table).map_err(DatabaseError::redb)?;
        let mut series = Series::new();
        for row in table.range(start_s..end_s).map_err(DatabaseError::redb)? {
            let (begin, bytes) = row.map_err(DatabaseError::redb)?;
            let row =
                Row::decode(bytes.value()).ok_or_else(|| DatabaseError::corrupt("a row of measurements"))?;
            merge(&mut series, metrics, begin.value().div_euclid(period_s) * period_s, &row);
        }
        Ok((series, value(&state, WRITTEN)?.map_or(0, i64::cast_unsigned)))
    })
}

/// Merges a row's statistics into the interval that begins at `begin`.
pub(super) fn merge(series: &mut Series, metrics: &[Metric], begin: i64, row: &Row) {
    let statistics = series.entry(begin).or_insert_with(|| vec![Statistics::default(); metrics.len()]);
    for (metric, statistics) in metrics.iter().zip(statistics) {
        if let Some(more) = row.get(*metric) {
            statistics.merge(more);
        }
    }
}
