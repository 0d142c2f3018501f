//! A picture that is stored together with its thumbnails: source, thumbnails and what became of them are one
//! transaction, so no event is needed, and nothing is rendered twice.

use std::{
    panic::resume_unwind,
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc},
    thread::JoinHandle,
};

use tintype_pipeline::{
    clock::now_ms,
    store::{Arrival, Location, Object, Put, SourceVersion, Stat, Store as _, StoreError, Wrapper},
};

use super::{
    Cause, DiskStore, SettlingStore, StoreFault,
    incoming::Finished,
    objects::{check_condition, place},
    publication::Publication,
};
use crate::ledger::{ResultRecord, StoredHeaders};

/// A store that holds an arrival as if it had been stored; the first [`Store::put_all`] writes it. Its file
/// is written and synced meanwhile, on a thread of its own.
pub struct ArrivingStore<'a> {
    store: SettlingStore<'a>,
    disk: &'a Arc<DiskStore>,
    arrival: &'a Arrival,
    cause: Cause,
    began_ms: i64,
    state: Mutex<State>,
}

enum State {
    /// The file is being written; its ETag comes first.
    Writing { etag: mpsc::Receiver<String>, file: JoinHandle<Result<Finished, StoreFault>> },
    /// The file is being synced, and its ETag is known.
    Known { etag: String, file: JoinHandle<Result<Finished, StoreFault>> },
    /// There is no file: it could not be made, or was used up by an attempt that others came before.
    Nothing,
    /// It is stored.
    Stored,
}

impl<'a> ArrivingStore<'a> {
    /// Begins to write the file of an arrival.
    #[must_use]
    pub fn new(disk: &'a Arc<DiskStore>, arrival: &'a Arrival, cause: Cause) -> Self {
        Self {
            store: SettlingStore::new(disk, None),
            disk,
            arrival,
            cause,
            began_ms: now_ms(),
            state: Mutex::new(write(disk, arrival)),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The ETag that the arrival will have; `None` if the place is not its, or no longer.
    fn etag(&self, at: &Location) -> Result<Option<String>, StoreError> {
        if *at != self.arrival.at {
            return Ok(None);
        }
        let mut state = self.state();
        if matches!(*state, State::Nothing) {
            *state = write(self.disk, self.arrival);
        }
        let (etag, file) = match std::mem::replace(&mut *state, State::Nothing) {
            State::Writing { etag, file } => match etag.recv() {
                Ok(etag) => (etag, file),
                // It ended without one.
                Err(_) => return Err(finished(file).err().unwrap_or_else(lost).into()),
            },
            State::Known { etag, file } => (etag, file),
            State::Nothing => return Err(lost().into()),
            State::Stored => {
                *state = State::Stored;
                return Ok(None);
            }
        };
        *state = State::Known { etag: etag.clone(), file };
        Ok(Some(etag))
    }

    /// The synced file, if the arrival is not stored yet.
    fn take(&self) -> Result<Option<Finished>, StoreFault> {
        let mut state = self.state();
        if matches!(*state, State::Nothing) {
            *state = write(self.disk, self.arrival);
        }
        match std::mem::replace(&mut *state, State::Nothing) {
            State::Writing { file, .. } | State::Known { file, .. } => finished(file).map(Some),
            State::Nothing => Err(lost()),
            State::Stored => {
                *state = State::Stored;
                Ok(None)
            }
        }
    }
}

impl Drop for ArrivingStore<'_> {
    /// Leaves no file of what was not stored.
    fn drop(&mut self) {
        let state = std::mem::replace(&mut *self.state(), State::Stored);
        if let State::Writing { file, .. } | State::Known { file, .. } = state
            && let Ok(Ok(unused)) = file.join()
        {
            self.disk.discard(Publication::of(unused).0, false);
        }
    }
}

fn write(disk: &Arc<DiskStore>, arrival: &Arrival) -> State {
    let (disk, arrival) = (disk.clone(), arrival.clone());
    let (tell, etag) = mpsc::channel();
    let work = move || {
        let headers =
            StoredHeaders { content_type: Some(arrival.content_type.clone()), ..StoredHeaders::default() };
        let mut incoming = disk.begin_put(&arrival.at, headers)?;
        incoming.write(&arrival.bytes)?;
        // Nobody asks any more where the call is over already.
        let _ = tell.send(incoming.etag());
        disk.finish(incoming)
    };
    match std::thread::Builder::new().name("arrival".into()).spawn(work) {
        Ok(file) => State::Writing { etag, file },
        Err(error) => {
            tracing::error!(%error, "the system gives no thread to write a file");
            State::Nothing
        }
    }
}

fn finished(file: JoinHandle<Result<Finished, StoreFault>>) -> Result<Finished, StoreFault> {
    file.join().unwrap_or_else(|panic| resume_unwind(panic))
}

fn lost() -> StoreFault {
    StoreFault::Unavailable("the file of the object could not be begun; try again".into())
}

impl<'a> Wrapper for ArrivingStore<'a> {
    type Inner = SettlingStore<'a>;

    fn inner(&self) -> &SettlingStore<'a> {
        &self.store
    }

    async fn head(&self, at: &Location) -> Result<Option<Stat>, StoreError> {
        match self.etag(at)? {
            Some(etag) => Ok(Some(self.arrival.stat(&etag))),
            None => self.store.head(at).await,
        }
    }

    async fn get(&self, at: &Location, limit: u64) -> Result<Option<Object>, StoreError> {
        match self.etag(at)? {
            Some(etag) => self.arrival.object(&etag, limit).map(Some),
            None => self.store.get(at, limit).await,
        }
    }

    async fn put_all(
        &self,
        puts: Vec<Put>,
        source: Option<&SourceVersion>,
    ) -> Result<Vec<String>, StoreError> {
        let Some(file) = self.take()? else { return self.store.put_all(puts, source).await };
        let etags = self.disk.put_arrival(&self.arrival.at, file, puts, self.cause.clone(), self.began_ms)?;
        *self.state() = State::Stored;
        Ok(etags)
    }
}

impl DiskStore {
    /// Makes a source and its thumbnails visible in one transaction. Without thumbnails it is an upload as
    /// any, whose event says what is to be done.
    fn put_arrival(
        &self,
        at: &Location,
        source: Finished,
        puts: Vec<Put>,
        cause: Cause,
        began_ms: i64,
    ) -> Result<Vec<String>, StoreFault> {
        let (publication, record) = Publication::of(source);
        let (publication, rows) = self.finish_all(puts, publication)?;
        let (at, triggers) = (at.clone(), self.triggers());
        let placed = self.publish(publication, move |changes| {
            if changes.bucket(&at.bucket)?.is_none() {
                return Err(StoreFault::NoSuchBucket(at.bucket));
            }
            // A newer version has thumbnails of its own: this one begins anew, to be the newest.
            if changes.object(&at)?.is_some_and(|now| now.order > record.order) {
                return Err(StoreFault::PreconditionFailed(at));
            }
            for (at, condition, _) in &rows {
                check_condition(changes, at, condition)?;
            }
            let mut placed = Vec::with_capacity(rows.len() + 1);
            if rows.is_empty() {
                placed.push(place(changes, &triggers, &at, record, &cause)?);
                return Ok(placed);
            }
            let result = ResultRecord {
                event: record.order,
                outcome: "made".into(),
                why: None,
                renditions: rows.iter().map(|(at, ..)| at.clone()).collect(),
                queued_ms: began_ms,
                ended_ms: now_ms(),
                attempts: 1,
            };
            changes.put_result(&at, &result)?;
            // No trigger is asked: what its event would do is done here.
            placed.push(place(changes, &[], &at, record, &cause)?);
            for (at, _, record) in rows {
                placed.push(place(changes, &triggers, &at, record, &cause)?);
            }
            Ok(placed)
        })?;
        let records = placed.into_iter().map(|placed| self.placed(placed).etag);
        // The source's is not asked for.
        Ok(records.skip(1).collect())
    }
}
