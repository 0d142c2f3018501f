//! An image that is stored together with its thumbnails: source, thumbnails and their result are one
//! transaction, so no event is needed, and nothing is rendered twice.

use std::{panic::resume_unwind, sync::Arc};

use async_trait::async_trait;
use tintype_pipeline::{
    clock::now_ms,
    store::{Arrival, Location, Object, Put, SourceVersion, Stat, Store, StoreError, Wrapper},
};
use tokio::{
    runtime::Handle,
    sync::{Mutex, oneshot},
    task::{JoinError, JoinHandle},
};

use super::{
    Cause, DiskPort, Objects, StoreFault,
    incoming::Finished,
    objects::{check_condition, close_dead_letter, place},
    publication::Publication,
};
use crate::ledger::{ResultRecord, StoredHeaders};

/// A store that holds an arrival as if it had been stored; the first [`Store::put_all`] writes it. Its file
/// is written and synced meanwhile, on another thread; it needs Tokio. [`ArrivingStore::close`] belongs at the end.
pub struct ArrivingStore {
    store: DiskPort,
    arrival: Arrival,
    cause: Cause,
    began_ms: i64,
    state: Mutex<State>,
}

type File = JoinHandle<Result<Finished, StoreFault>>;

enum State {
    /// The file is being written; its ETag comes first.
    Writing { etag: oneshot::Receiver<String>, file: File },
    /// The file is being synced, and its ETag is known.
    Known { etag: String, file: File },
    /// There is no file: it was used up by an attempt that others came before.
    Nothing,
    /// It is stored, or is not to be stored any more.
    Stored,
}

impl State {
    fn into_file(self) -> Option<File> {
        match self {
            Self::Writing { file, .. } | Self::Known { file, .. } => Some(file),
            Self::Nothing | Self::Stored => None,
        }
    }
}

impl ArrivingStore {
    /// Begins to write the file of an arrival.
    #[must_use]
    pub fn new(store: DiskPort, arrival: Arrival, cause: Cause) -> Self {
        let state = Mutex::new(write(store.objects(), &arrival));
        Self { store, arrival, cause, began_ms: now_ms(), state }
    }

    /// Leaves no file of what was not stored.
    pub async fn close(self) {
        let file = std::mem::replace(&mut *self.state.lock().await, State::Stored).into_file();
        if let Some(file) = file {
            discard(self.store.objects().clone(), file).await;
        }
    }

    /// The ETag that the arrival will have; `None` if the place is not its, or no longer. May be dropped while it waits:
    /// the file stays known.
    async fn etag(&self, at: &Location) -> Result<Option<String>, StoreError> {
        if *at != self.arrival.at {
            return Ok(None);
        }
        let mut state = self.state.lock().await;
        self.write_if_gone(&mut state);
        let etag = match &mut *state {
            State::Writing { etag, .. } => etag.await,
            State::Known { etag, .. } => Ok(etag.clone()),
            State::Nothing | State::Stored => return Ok(None),
        };
        let Some(file) = std::mem::replace(&mut *state, State::Nothing).into_file() else { return Ok(None) };
        match etag {
            Ok(etag) => {
                *state = State::Known { etag: etag.clone(), file };
                Ok(Some(etag))
            }
            // It ended without one.
            Err(_) => Err(finished(file.await).err().unwrap_or_else(lost).into()),
        }
    }

    /// The synced file, if the arrival is not stored yet.
    async fn take(&self) -> Result<Option<Finished>, StoreFault> {
        let mut state = self.state.lock().await;
        self.write_if_gone(&mut state);
        let file = match &mut *state {
            State::Writing { file, .. } | State::Known { file, .. } => file.await,
            State::Nothing | State::Stored => return Ok(None),
        };
        *state = State::Nothing;
        finished(file).map(Some)
    }

    /// Begins the file again where an attempt that others came before has used it up.
    fn write_if_gone(&self, state: &mut State) {
        if matches!(state, State::Nothing) {
            *state = write(self.store.objects(), &self.arrival);
        }
    }
}

impl Drop for ArrivingStore {
    /// For what ended early: without a runtime the file is an orphan that the next start removes.
    fn drop(&mut self) {
        let state = std::mem::replace(self.state.get_mut(), State::Stored);
        if let (Some(file), Ok(runtime)) = (state.into_file(), Handle::try_current()) {
            runtime.spawn(discard(self.store.objects().clone(), file));
        }
    }
}

/// Waits until a file is written, and removes it.
async fn discard(objects: Arc<Objects>, file: File) {
    if let Ok(Ok(unused)) = file.await {
        let removing =
            tokio::task::spawn_blocking(move || objects.publisher.discard(Publication::of(unused).0, false));
        // A panic there is in the log.
        let _ = removing.await;
    }
}

fn write(objects: &Arc<Objects>, arrival: &Arrival) -> State {
    let (objects, arrival) = (objects.clone(), arrival.clone());
    let (sender, etag) = oneshot::channel();
    let file = tokio::task::spawn_blocking(move || {
        let headers =
            StoredHeaders { content_type: Some(arrival.content_type.clone()), ..StoredHeaders::default() };
        let mut incoming = objects.begin(&arrival.at, headers)?;
        incoming.write(&arrival.bytes)?;
        // Nobody waits any more where the call is over already.
        let _ = sender.send(incoming.etag());
        objects.publisher.files.seal(incoming)
    });
    State::Writing { etag, file }
}

fn finished(file: Result<Result<Finished, StoreFault>, JoinError>) -> Result<Finished, StoreFault> {
    match file {
        Ok(finished) => finished,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => resume_unwind(panic),
            Err(_) => Err(lost()),
        },
    }
}

fn lost() -> StoreFault {
    StoreFault::Unavailable("the file of the object could not be begun; try again".into())
}

#[async_trait]
impl Wrapper for ArrivingStore {
    fn inner(&self) -> &dyn Store {
        &self.store
    }

    async fn head(&self, at: &Location) -> Result<Option<Stat>, StoreError> {
        match self.etag(at).await? {
            Some(etag) => Ok(Some(self.arrival.stat(&etag))),
            None => self.store.head(at).await,
        }
    }

    async fn get(&self, at: &Location, limit: u64) -> Result<Option<Object>, StoreError> {
        match self.etag(at).await? {
            Some(etag) => self.arrival.object(&etag, limit).map(Some),
            None => self.store.get(at, limit).await,
        }
    }

    async fn put_all(
        &self,
        puts: Vec<Put>,
        source: Option<&SourceVersion>,
    ) -> Result<Vec<String>, StoreError> {
        self.store.check_puts(&puts)?;
        let Some(file) = self.take().await? else { return self.store.put_all(puts, source).await };
        let objects = self.store.objects();
        let etags = objects.put_arrival(&self.arrival.at, file, puts, self.cause.clone(), self.began_ms)?;
        *self.state.lock().await = State::Stored;
        Ok(etags)
    }
}

impl Objects {
    /// Makes a source and its thumbnails visible in one transaction. Without thumbnails it is an upload as
    /// any, whose event has it rendered.
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
        let (at, events) = (at.clone(), self.events());
        let placed = self.publisher.publish(publication, move |changes| {
            if changes.bucket(&at.bucket)?.is_none() {
                return Err(StoreFault::NoSuchBucket(at.bucket));
            }
            // A newer version has thumbnails of its own: this one begins again, to be the newest.
            if changes.object(&at)?.is_some_and(|now| now.order > record.order) {
                return Err(StoreFault::PreconditionFailed(at));
            }
            for (at, condition, _) in &rows {
                check_condition(changes, at, condition)?;
            }
            let mut placed = Vec::with_capacity(rows.len() + 1);
            if rows.is_empty() {
                placed.push(place(changes, &events, &at, record, &cause)?);
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
            // No trigger is asked: what its event would do is done here.
            close_dead_letter(changes, &at)?;
            placed.push(place(changes, &events.without_triggers(), &at, record, &cause)?);
            changes.queue().put_result(&at, &result)?;
            for (at, _, record) in rows {
                placed.push(place(changes, &events, &at, record, &cause)?);
            }
            Ok(placed)
        })?;
        let records = placed.into_iter().map(|placed| self.placed(placed).etag);
        // The source's is not asked for.
        Ok(records.skip(1).collect())
    }
}
