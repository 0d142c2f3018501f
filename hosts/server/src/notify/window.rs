//! The rows at hand, and which of them may be sent now: of each object one at a time, the oldest first.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    time::Duration,
};

use tokio::time::Instant;

use crate::storage::{OutboxRecord, OutboxRow};

/// Objects with rows at hand at most.
const MOST_OBJECTS: usize = 256;
/// Rows at hand at most: those of one object that is held up must not leave the others without room.
const MOST_ROWS: usize = 16_384;

type ObjectName = (String, String);

/// Rows that are neither confirmed nor dropped.
#[derive(Debug, Default)]
pub(super) struct Window {
    rows: BTreeMap<u64, OutboxRecord>,
    objects: HashMap<ObjectName, State>,
    /// The number of the last row that was added.
    pub(super) last: u64,
}

/// Of an object with rows at hand.
#[derive(Debug, Default)]
struct State {
    /// Its rows, the oldest first.
    numbers: VecDeque<u64>,
    is_under_way: bool,
    /// Attempts that failed at the first of them.
    failed: u32,
    /// When that may be tried again.
    due: Option<Instant>,
}

fn object_of(record: &OutboxRecord) -> ObjectName {
    (record.bucket.clone(), record.key.clone())
}

impl Window {
    /// How many rows may be added. Each may be of another object.
    pub(super) fn room(&self) -> usize {
        let (objects, rows) = (self.objects.len(), self.rows.len());
        MOST_OBJECTS.saturating_sub(objects).min(MOST_ROWS.saturating_sub(rows))
    }

    pub(super) fn add(&mut self, rows: Vec<OutboxRow>) {
        for (number, record) in rows {
            self.objects.entry(object_of(&record)).or_default().numbers.push_back(number);
            self.rows.insert(number, record);
            self.last = number;
        }
    }

    /// The row to be sent now, which is under way from then on: of the first ones of objects, of those that failed least often
    /// the oldest. One at which the target fails must not hold up the others.
    pub(super) fn take(&mut self, now: Instant) -> Option<OutboxRow> {
        let ready = self.objects.values_mut().filter_map(|state| {
            let is_ready = !state.is_under_way && state.due.is_none_or(|due| due <= now);
            let first = *state.numbers.front().filter(|_| is_ready)?;
            Some((first, state))
        });
        let (number, state) = ready.min_by_key(|(first, state)| (state.failed, *first))?;
        state.is_under_way = true;
        Some((number, self.rows.get(&number)?.clone()))
    }

    /// When the next row that failed may be tried again.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.objects.values().filter(|state| !state.is_under_way).filter_map(|state| state.due).min()
    }

    /// A row was confirmed.
    pub(super) fn confirmed(&mut self, number: u64) {
        self.remove(number, true);
    }

    /// A row under way was not taken. It may be sent again after `delay`, which is given how often it has failed before.
    pub(super) fn failed(&mut self, number: u64, now: Instant, delay: impl Fn(u32) -> Duration) {
        let Some(record) = self.rows.get(&number) else { return };
        let Some(state) = self.objects.get_mut(&object_of(record)) else { return };
        state.is_under_way = false;
        state.due = Some(now + delay(state.failed));
        state.failed = state.failed.saturating_add(1);
    }

    /// Rows were dropped.
    pub(super) fn dropped(&mut self, numbers: &[u64]) {
        numbers.iter().for_each(|number| self.remove(*number, false));
    }

    fn remove(&mut self, number: u64, was_under_way: bool) {
        let Some(record) = self.rows.remove(&number) else { return };
        let object = object_of(&record);
        let Some(state) = self.objects.get_mut(&object) else { return };
        let was_first = state.numbers.front() == Some(&number);
        state.numbers.retain(|other| *other != number);
        if was_first {
            (state.failed, state.due) = (0, None);
        }
        // One that is dropped while it is under way ends later: until then no other of its object is sent.
        if was_under_way {
            state.is_under_way = false;
        }
        if state.numbers.is_empty() && !state.is_under_way {
            self.objects.remove(&object);
        }
    }

    /// A row that was dropped while it was under way has ended.
    pub(super) fn ended(&mut self, record: &OutboxRecord) {
        let object = object_of(record);
        if let Some(state) = self.objects.get_mut(&object) {
            state.is_under_way = false;
            if state.numbers.is_empty() {
                self.objects.remove(&object);
            }
        }
    }

    pub(super) fn holds(&self, number: u64) -> bool {
        self.rows.contains_key(&number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(number: u64, key: &str) -> OutboxRow {
        let record = OutboxRecord {
            removed: false,
            replaced: false,
            name: "ObjectCreated:Put".into(),
            bucket: "in".into(),
            key: key.into(),
            etag: String::new(),
            size: 0,
            time_ms: 0,
            request_id: String::new(),
            access_key: None,
        };
        (number, record)
    }

    fn taken(window: &mut Window, now: Instant) -> Vec<u64> {
        std::iter::from_fn(|| window.take(now)).map(|(number, _)| number).collect()
    }

    #[test]
    fn each_object_has_one_row_under_way_and_the_oldest_first() {
        let (mut window, now) = (Window::default(), Instant::now());
        window.add(vec![row(1, "a"), row(2, "a"), row(3, "b"), row(4, "a")]);
        assert_eq!(taken(&mut window, now), [1, 3]);
        assert!(taken(&mut window, now).is_empty());
        window.confirmed(1);
        assert_eq!(taken(&mut window, now), [2]);
        window.confirmed(2);
        window.confirmed(3);
        assert_eq!(taken(&mut window, now), [4]);
        window.confirmed(4);
        assert_eq!((window.room(), window.objects.len(), window.last), (MOST_OBJECTS, 0, 4));
    }

    #[test]
    fn rows_of_an_object_that_is_held_up_leave_room_for_others() {
        let mut window = Window::default();
        window.add((1..MOST_ROWS as u64).map(|number| row(number, "a")).collect());
        assert_eq!((window.room(), window.objects.len()), (1, 1));
        window.add(vec![row(MOST_ROWS as u64, "a"), row(MOST_ROWS as u64 + 1, "b")]);
        assert_eq!(window.room(), 0, "more rows than there may be");
        let mut window = Window::default();
        window.add((1..MOST_OBJECTS as u64).map(|number| row(number, &number.to_string())).collect());
        assert_eq!(window.room(), 1);
        window.add(vec![row(1_000, "a"), row(1_001, "b")]);
        assert_eq!(window.room(), 0, "more objects than there may be");
    }

    #[test]
    fn a_row_that_fails_holds_up_its_object_alone() {
        let (mut window, now) = (Window::default(), Instant::now());
        window.add(vec![row(1, "a"), row(2, "a"), row(3, "b")]);
        assert_eq!(taken(&mut window, now), [1, 3]);
        let delay = |failed: u32| Duration::from_secs(1 + u64::from(failed));
        window.failed(1, now, delay);
        assert!(taken(&mut window, now).is_empty());
        assert_eq!(window.next_due(), Some(now + Duration::from_secs(1)));
        let later = now + Duration::from_secs(1);
        assert_eq!(taken(&mut window, later), [1]);
        window.failed(1, later, delay);
        assert_eq!(window.next_due(), Some(later + Duration::from_secs(2)));
        assert_eq!(taken(&mut window, later + Duration::from_secs(2)), [1]);
        window.confirmed(1);
        assert_eq!(taken(&mut window, later), [2]);
    }

    #[test]
    fn what_failed_least_often_goes_first() {
        let (mut window, now) = (Window::default(), Instant::now());
        window.add(vec![row(1, "a"), row(2, "a"), row(3, "b"), row(4, "c")]);
        assert_eq!(window.take(now).map(|(number, _)| number), Some(1));
        window.failed(1, now, |_| Duration::from_secs(1));
        let later = now + Duration::from_secs(1);
        assert_eq!(window.take(later).map(|(number, _)| number), Some(3));
        window.failed(3, later, |_| Duration::from_secs(1));
        assert_eq!(taken(&mut window, later + Duration::from_secs(1)), [4, 1, 3]);
        window.confirmed(1);
        assert_eq!(taken(&mut window, now), [2]);
    }

    #[test]
    fn what_is_dropped_is_not_sent_any_more() {
        let (mut window, now) = (Window::default(), Instant::now());
        window.add(vec![row(1, "a"), row(2, "a"), row(3, "a")]);
        let (_, record) = window.take(now).unwrap();
        window.dropped(&[1, 2]);
        assert!(taken(&mut window, now).is_empty(), "the dropped one is still under way");
        assert!(!window.holds(1) && window.holds(3));
        window.ended(&record);
        assert_eq!(taken(&mut window, now), [3]);
    }
}
