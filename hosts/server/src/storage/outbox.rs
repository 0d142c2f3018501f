//! The outbox: bucket events that targets of the settings are still to be sent. A row is written in the transaction of its
//! change, and removed once the target has confirmed the event: each is sent at least once.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use tintype_pipeline::{clock::now_ms, event::Kind, store::Location};
use tokio::sync::Notify;

use super::{StoreFault, alt_texts::AltTextWriter};
use crate::{
    ledger::{Changes, Ledger, LedgerError, ObjectRecord, OutboxRecord, OutboxRow},
    queue::{Cause, EventWriter},
};

/// Rows removed in one transaction where more wait than may.
const LARGEST_TRIM: usize = 10_000;

/// Which events a target gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxSection {
    /// Names its rows.
    pub name: String,
    /// The bucket whose events it gets.
    pub bucket: String,
    /// What a key must begin with.
    pub prefix: String,
    /// Whether it gets created objects where there was none.
    pub created: bool,
    /// Whether it gets created objects that replaced a version.
    pub overwritten: bool,
    /// Whether it gets removed objects.
    pub removed: bool,
    /// Beyond this number the oldest of its rows are dropped.
    pub max_waiting: u64,
}

impl OutboxSection {
    fn wants(&self, change: &Change<'_>) -> bool {
        let is_kind = match (change.kind == Kind::Removed, change.replaces) {
            (true, _) => self.removed,
            (false, true) => self.overwritten,
            (false, false) => self.created,
        };
        is_kind && self.bucket == change.at.bucket && change.at.key.as_str().starts_with(&self.prefix)
    }
}

/// How sending goes, for operators.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OutboxProgress {
    /// Events confirmed since the start.
    pub sent: u64,
    /// Milliseconds since 1970 since when no event could be sent; none: the last one was.
    pub failing_since_ms: Option<i64>,
    /// Why the last attempt failed, while it does.
    pub last_error: Option<String>,
}

/// A section with what its sender shares.
#[derive(Debug)]
pub struct OutboxLane {
    /// Which events.
    pub section: OutboxSection,
    wake: Notify,
    progress: Mutex<OutboxProgress>,
}

impl OutboxLane {
    /// Waits until there is a new row.
    pub async fn woken(&self) {
        self.wake.notified().await;
    }

    /// How sending goes.
    #[must_use]
    pub fn progress(&self) -> OutboxProgress {
        self.locked().clone()
    }

    fn locked(&self) -> MutexGuard<'_, OutboxProgress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records that an event was confirmed. Returns whether the one before could not be sent.
    pub fn sent(&self) -> bool {
        let mut progress = self.locked();
        progress.sent += 1;
        progress.last_error = None;
        progress.failing_since_ms.take().is_some()
    }

    /// Records that an event could not be sent. Returns whether the one before could.
    pub fn failed(&self, why: String) -> bool {
        let mut progress = self.locked();
        progress.last_error = Some(why);
        let is_first = progress.failing_since_ms.is_none();
        progress.failing_since_ms.get_or_insert_with(now_ms);
        is_first
    }
}

/// The outbox.
pub struct Outbox {
    ledger: Arc<Ledger>,
    lanes: OnceLock<Arc<Vec<Arc<OutboxLane>>>>,
}

impl fmt::Debug for Outbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbox").field("lanes", &self.lanes).finish_non_exhaustive()
    }
}

impl Outbox {
    pub(super) const fn new(ledger: Arc<Ledger>) -> Self {
        Self { ledger, lanes: OnceLock::new() }
    }

    /// From now on changes are recorded for these; the first call counts.
    pub fn record_for(&self, sections: Vec<OutboxSection>) {
        let lane =
            |section| Arc::new(OutboxLane { section, wake: Notify::new(), progress: Mutex::default() });
        let _ = self.lanes.set(Arc::new(sections.into_iter().map(lane).collect()));
    }

    /// Those that changes are recorded for.
    #[must_use]
    pub fn lanes(&self) -> Arc<Vec<Arc<OutboxLane>>> {
        self.lanes.get().cloned().unwrap_or_default()
    }

    /// Wakes the senders, after a commit.
    pub(super) fn wake(&self) {
        self.lanes.get().iter().flat_map(|lanes| lanes.iter()).for_each(|lane| lane.wake.notify_one());
    }

    /// Rows of a section above a number, in order.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn rows(&self, section: &str, after: u64, most: usize) -> Result<Vec<OutboxRow>, StoreFault> {
        Ok(self.ledger.view()?.outbox_rows(section, after, most)?)
    }

    /// Removes rows, durably.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub fn remove(&self, section: &str, numbers: Vec<u64>) -> Result<(), StoreFault> {
        if numbers.is_empty() {
            return Ok(());
        }
        let section = section.to_owned();
        let pending = self.ledger.submit(Vec::new(), move |changes| {
            Ok::<_, StoreFault>(changes.remove_outbox_rows(&section, &numbers)?)
        });
        pending.wait()
    }

    /// How many rows there are.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn waiting(&self) -> Result<u64, StoreFault> {
        Ok(self.ledger.view()?.outbox_count()?)
    }

    /// How many rows a section has, and when its oldest was written, in milliseconds since 1970.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn waiting_of(&self, section: &str) -> Result<(u64, Option<i64>), StoreFault> {
        let view = self.ledger.view()?;
        let oldest = view.outbox_rows(section, 0, 1)?.pop();
        Ok((view.outbox_count_of(section)?, oldest.map(|(_, record)| record.time_ms)))
    }

    /// When the oldest row was written, in milliseconds since 1970.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn oldest_ms(&self) -> Result<Option<i64>, StoreFault> {
        let view = self.ledger.view()?;
        let mut oldest = None;
        for lane in self.lanes().iter() {
            let first = view.outbox_rows(&lane.section.name, 0, 1)?.pop();
            let times = oldest.into_iter().chain(first.map(|(_, record)| record.time_ms));
            oldest = times.min();
        }
        Ok(oldest)
    }

    /// Drops the oldest rows of a section that has more than it may; returns their numbers and how many it has after that.
    ///
    /// # Errors
    /// The ledger cannot be used.
    pub fn trim(&self, section: &OutboxSection) -> Result<(Vec<u64>, u64), StoreFault> {
        let (view, name) = (self.ledger.view()?, &section.name);
        if view.outbox_count()? * 5 <= section.max_waiting * 4 {
            return Ok((Vec::new(), 0));
        }
        let count = view.outbox_count_of(name)?;
        let excess = usize::try_from(count.saturating_sub(section.max_waiting)).unwrap_or(usize::MAX);
        if excess == 0 {
            return Ok((Vec::new(), count));
        }
        let dropped = view.oldest_outbox_rows(name, excess.min(LARGEST_TRIM))?;
        drop(view);
        self.remove(name, dropped.clone())?;
        let left = count - dropped.len() as u64;
        Ok((dropped, left))
    }

    /// Drops the rows of sections that there are no more; returns their names, each with how many it had.
    ///
    /// # Errors
    /// The ledger cannot be used.
    pub fn drop_unknown(&self) -> Result<Vec<(String, u64)>, StoreFault> {
        let lanes = self.lanes();
        let mut dropped = Vec::new();
        let sections = self.ledger.view()?.outbox_sections()?;
        for name in sections {
            if lanes.iter().any(|lane| lane.section.name == name) {
                continue;
            }
            let mut count = 0;
            loop {
                let numbers = self.ledger.view()?.oldest_outbox_rows(&name, LARGEST_TRIM)?;
                if numbers.is_empty() {
                    break;
                }
                count += numbers.len() as u64;
                self.remove(&name, numbers)?;
            }
            dropped.push((name, count));
        }
        Ok(dropped)
    }

    pub(super) fn writer(&self) -> OutboxWriter {
        OutboxWriter { lanes: self.lanes() }
    }
}

/// A change of an object, in its transaction.
pub(super) struct Change<'a> {
    pub(super) order: u64,
    pub(super) kind: Kind,
    pub(super) at: &'a Location,
    /// As it is, or was before it was removed.
    pub(super) object: &'a ObjectRecord,
    /// Whether there was another version before.
    pub(super) replaces: bool,
    pub(super) cause: &'a Cause,
}

/// Writes rows inside a transaction.
#[derive(Debug, Clone)]
pub(super) struct OutboxWriter {
    lanes: Arc<Vec<Arc<OutboxLane>>>,
}

impl OutboxWriter {
    /// Writes a row for each section that wants the change; returns whether one does. After the commit, [`Outbox::wake`].
    pub(super) fn write(&self, changes: &Changes<'_>, change: &Change<'_>) -> Result<bool, LedgerError> {
        let mut number = None;
        for lane in self.lanes.iter().filter(|lane| lane.section.wants(change)) {
            let number = match number {
                Some(number) => number,
                None => *number.insert(changes.next_notification(change.order)?),
            };
            let record = OutboxRecord {
                removed: change.kind == Kind::Removed,
                replaced: change.replaces,
                name: change.cause.event.into(),
                bucket: change.at.bucket.clone(),
                key: change.at.key.to_string(),
                etag: change.object.etag.clone(),
                size: change.object.size,
                time_ms: now_ms(),
                request_id: change.cause.request_id.clone(),
                access_key: change.cause.access_key.clone(),
            };
            changes.put_outbox_row(&lane.section.name, number, &record)?;
        }
        Ok(number.is_some())
    }
}

/// What a change of an object causes: an event for the function, rows of the outbox, and that an image is described.
#[derive(Debug, Clone)]
pub(super) struct ChangeEvents {
    pub(super) queue: EventWriter,
    pub(super) outbox: OutboxWriter,
    pub(super) alt_texts: AltTextWriter,
}

impl ChangeEvents {
    /// The same, for a change that no trigger is to see.
    pub(super) fn without_triggers(&self) -> Self {
        Self { queue: self.queue.without_triggers(), ..self.clone() }
    }
}
