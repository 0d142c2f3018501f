//! Rows of intervals on disk: by ten seconds for three hours; by the minute, by ten minutes and by the hour for
//! fifteen days. The coarser rows are sums of the minutes', so that a long range is answered from few of them.

use std::{collections::BTreeMap, sync::Arc};

use redb::{ReadableTable, TableDefinition, WriteTransaction};
use tintype_telemetry::metrics::{Metric, Row, Statistics};

use super::{KeepError, Keeper};

/// Seconds of the finest rows and of minutes, and how long the finest are kept.
pub(super) const FINE_S: i64 = 10;
const FINE_KEPT_S: i64 = 3 * 3600 + 2 * COARSE_S;
pub(super) const COARSE_S: i64 = 60;
/// How long measurements and results are kept, in seconds.
pub(super) const KEPT_S: i64 = 15 * 24 * 3600;

type Table = TableDefinition<'static, i64, &'static [u8]>;

/// Rows of one length, by the second since 1970 at which each begins.
#[derive(Clone, Copy)]
struct Level {
    table: Table,
    step_s: i64,
    kept_s: i64,
}

/// The tables' names hold the layout of their rows: raised when a metric gets another number, after which
/// older rows are no longer read.
const TENS: Level = Level { table: Table::new("tens 2"), step_s: FINE_S, kept_s: FINE_KEPT_S };
const MINUTES: Level = Level { table: Table::new("minutes 2"), step_s: COARSE_S, kept_s: KEPT_S };
/// Sums are kept for as long as any of their minutes is.
const TEN_MINUTES: Level = Level { table: Table::new("ten minutes 2"), step_s: 600, kept_s: KEPT_S + 600 };
const HOURS: Level = Level { table: Table::new("hours 2"), step_s: 3600, kept_s: KEPT_S + 3600 };

const LEVELS: [Level; 4] = [TENS, MINUTES, TEN_MINUTES, HOURS];
const SUMS: [Level; 2] = [TEN_MINUTES, HOURS];

/// Where writing stands: [`SUMMED`] and [`WRITTEN`].
const STATE: TableDefinition<'_, &str, i64> = TableDefinition::new("series state 1");
/// The last minute that the sums hold. If it is not the last there is, an older program wrote the others, and
/// the sums are made anew.
const SUMMED: &str = "summed";
/// The number of the last interval written.
const WRITTEN: &str = "written";

/// What was measured in one interval of [`FINE_S`].
#[derive(Debug, Clone)]
pub struct Interval {
    /// Rises from interval to interval.
    pub number: u64,
    /// Where it begins, in seconds since 1970.
    pub begin_s: i64,
    /// The measurements.
    pub row: Arc<Row>,
}

impl Interval {
    /// The interval that ends at `now_ms`.
    #[must_use]
    pub fn that_ends(now_ms: i64, number: u64, row: Row) -> Self {
        let begin_s = (now_ms / 1000 - 1).div_euclid(FINE_S) * FINE_S;
        Self { number, begin_s, row: Arc::new(row) }
    }
}

pub(super) fn make_tables(transaction: &WriteTransaction) -> Result<(), KeepError> {
    for level in LEVELS {
        transaction.open_table(level.table).map_err(KeepError::of)?;
    }
    transaction.open_table(STATE).map_err(KeepError::of)?;
    Ok(())
}

/// Adds what was measured, and forgets what is too old.
pub(super) fn add(
    transaction: &WriteTransaction,
    now_s: i64,
    intervals: &[Interval],
) -> Result<(), KeepError> {
    let mut state = transaction.open_table(STATE).map_err(KeepError::of)?;
    let last_minute = || -> Result<Option<i64>, KeepError> {
        last(&transaction.open_table(MINUTES.table).map_err(KeepError::of)?)
    };
    if value(&state, SUMMED)? != last_minute()? {
        sum_up(transaction)?;
    }
    for level in LEVELS {
        let mut table = transaction.open_table(level.table).map_err(KeepError::of)?;
        for interval in intervals {
            let begin = interval.begin_s.div_euclid(level.step_s) * level.step_s;
            let mut merged = match table.get(begin).map_err(KeepError::of)? {
                // A row that does not read back is replaced: it must not stop the others.
                Some(before) => Row::decode(before.value()).unwrap_or_default(),
                None => Row::default(),
            };
            merged.merge(&interval.row);
            table.insert(begin, merged.encode().as_slice()).map_err(KeepError::of)?;
        }
        table.retain_in(..now_s - level.kept_s, |_, _| false).map_err(KeepError::of)?;
    }
    if let Some(minute) = last_minute()? {
        state.insert(SUMMED, minute).map_err(KeepError::of)?;
    }
    if let Some(interval) = intervals.last() {
        state.insert(WRITTEN, interval.number.cast_signed()).map_err(KeepError::of)?;
    }
    Ok(())
}

/// Makes the sums anew from all minutes.
fn sum_up(transaction: &WriteTransaction) -> Result<(), KeepError> {
    let minutes = transaction.open_table(MINUTES.table).map_err(KeepError::of)?;
    for level in SUMS {
        transaction.delete_table(level.table).map_err(KeepError::of)?;
        let mut sums = transaction.open_table(level.table).map_err(KeepError::of)?;
        let mut under_way = (i64::MIN, Row::default());
        for minute in minutes.iter().map_err(KeepError::of)? {
            let (begin, bytes) = minute.map_err(KeepError::of)?;
            let begin = begin.value().div_euclid(level.step_s) * level.step_s;
            if begin != under_way.0 {
                let (before, sum) = std::mem::replace(&mut under_way, (begin, Row::default()));
                if before != i64::MIN {
                    sums.insert(before, sum.encode().as_slice()).map_err(KeepError::of)?;
                }
            }
            under_way.1.merge(&Row::decode(bytes.value()).unwrap_or_default());
        }
        if under_way.0 != i64::MIN {
            sums.insert(under_way.0, under_way.1.encode().as_slice()).map_err(KeepError::of)?;
        }
    }
    Ok(())
}

fn value(
    state: &impl ReadableTable<&'static str, i64>,
    name: &'static str,
) -> Result<Option<i64>, KeepError> {
    Ok(state.get(name).map_err(KeepError::of)?.map(|value| value.value()))
}

fn last(table: &impl ReadableTable<i64, &'static [u8]>) -> Result<Option<i64>, KeepError> {
    Ok(table.last().map_err(KeepError::of)?.map(|(begin, _)| begin.value()))
}

/// The finest step kept for all of a range that begins at `start_s`.
pub(super) fn finest(start_s: i64, now_s: i64) -> i64 {
    if now_s - start_s <= FINE_KEPT_S - COARSE_S { FINE_S } else { COARSE_S }
}

/// The statistics of some metrics by intervals of `period_s`, by where each begins; where nothing was
/// measured there is none.
pub(super) type Series = BTreeMap<i64, Vec<Statistics>>;

/// Reads series from `start_s` up to `end_s`, and the number of the last interval they hold. `start_s` and
/// `period_s` are multiples of a step that is kept.
pub(super) fn read(
    keeper: &Keeper,
    metrics: &[Metric],
    (start_s, end_s): (i64, i64),
    period_s: i64,
    now_s: i64,
) -> Result<(Series, u64), KeepError> {
    keeper.read(|transaction| {
        let state = transaction.open_table(STATE).map_err(KeepError::of)?;
        let minutes = transaction.open_table(MINUTES.table).map_err(KeepError::of)?;
        let summed = value(&state, SUMMED)? == last(&minutes)?;
        // The longest rows of which the range and each period hold whole ones.
        let whole = |level: &&Level| {
            period_s % level.step_s == 0
                && (level.step_s <= COARSE_S || summed && (end_s % level.step_s == 0 || end_s > now_s))
        };
        let level = LEVELS.iter().rev().find(whole).unwrap_or(&TENS);
        let table = transaction.open_table(level.table).map_err(KeepError::of)?;
        let mut series = Series::new();
        for row in table.range(start_s..end_s).map_err(KeepError::of)? {
            let (begin, bytes) = row.map_err(KeepError::of)?;
            let row =
                Row::decode(bytes.value()).ok_or_else(|| KeepError::damaged("a row of measurements"))?;
            merge(&mut series, metrics, begin.value().div_euclid(period_s) * period_s, &row);
        }
        Ok((series, value(&state, WRITTEN)?.map_or(0, i64::cast_unsigned)))
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
