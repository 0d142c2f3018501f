//! Group commit: whatever waits shares one folder sync and one durable transaction.

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread::JoinHandle,
};

use super::{
    LedgerError,
    handle::Handle,
    transaction::{Changes, View},
};

/// A file to be given its final name, durably, before the transaction that mentions it.
#[derive(Debug, Clone)]
pub struct Publish {
    /// The finished, synced file.
    pub from: PathBuf,
    /// Its final name.
    pub to: PathBuf,
    /// The folder of the final name.
    pub folder: PathBuf,
}

/// Called with how the commit ended: `None` if it is durable.
type Reply = Box<dyn FnOnce(Option<LedgerError>) + Send>;

type Work = Box<dyn FnOnce(Result<&Changes<'_>, LedgerError>) -> Reply + Send>;

struct Job {
    publish: Vec<Publish>,
    /// Runs inside the transaction; `Err` in place of the changes if publishing failed.
    work: Work,
}

/// The thread that owns writing.
#[derive(Debug)]
pub(super) struct Committer {
    jobs: Mutex<Option<mpsc::Sender<Job>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// The answer to a submitted change, once it is durable.
#[derive(Debug)]
pub struct Pending<T, E>(Option<mpsc::Receiver<Result<T, E>>>);

impl<T, E: From<LedgerError>> Pending<T, E> {
    /// Waits for the answer. Blocks: never call it on an async worker.
    ///
    /// # Errors
    /// What the work answered, or that the commit failed and nothing was changed.
    pub fn wait(self) -> Result<T, E> {
        let Some(answer) = self.0 else { return Err(LedgerError::Closed.into()) };
        let lost = || LedgerError::InDoubt("the commit panicked".into());
        answer.recv().unwrap_or_else(|_| Err(lost().into()))
    }
}

impl Committer {
    pub(super) fn start(handle: Arc<Handle>, max_batch: usize) -> Result<Self, LedgerError> {
        let (sender, jobs) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("ledger-commit".into())
            .spawn(move || run(&handle, &jobs, max_batch.max(1)))?;
        Ok(Self { jobs: Mutex::new(Some(sender)), thread: Mutex::new(Some(thread)) })
    }

    pub(super) fn submit<T, E>(
        &self,
        publish: Vec<Publish>,
        work: impl FnOnce(&Changes<'_>) -> Result<T, E> + Send + 'static,
    ) -> Pending<T, E>
    where
        T: Send + 'static,
        E: From<LedgerError> + Send + 'static,
    {
        let (answer, pending) = mpsc::sync_channel(1);
        let work = Box::new(move |changes: Result<&Changes<'_>, LedgerError>| -> Reply {
            let result = match changes {
                Ok(changes) => work(changes),
                Err(error) => Err(error.into()),
            };
            Box::new(move |failed: Option<LedgerError>| {
                // Without a waiter the change is committed all the same.
                let _ = answer.send(failed.map_or(result, |error| Err(error.into())));
            })
        });
        let jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        let sent = jobs.as_ref().is_some_and(|jobs| jobs.send(Job { publish, work }).is_ok());
        Pending(sent.then_some(pending))
    }
}

impl Drop for Committer {
    /// Finishes what was submitted, then ends the thread.
    fn drop(&mut self) {
        drop(self.jobs.lock().unwrap_or_else(PoisonError::into_inner).take());
        if let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = thread.join();
        }
    }
}

fn run(handle: &Handle, jobs: &mpsc::Receiver<Job>, max_batch: usize) {
    while let Ok(first) = jobs.recv() {
        let mut batch = vec![first];
        while batch.len() < max_batch
            && let Ok(next) = jobs.try_recv()
        {
            batch.push(next);
        }
        // The waiters of a batch that panicked get InDoubt; the next batch is tried on a reopened ledger.
        if catch_unwind(AssertUnwindSafe(|| commit(handle, batch))).is_err() {
            tracing::error!("a commit panicked; the ledger is reopened");
            recover(handle);
        }
    }
}

fn commit(handle: &Handle, batch: Vec<Job>) {
    let published = publish_all(handle, &batch);
    let (transaction, database) = match begin(handle) {
        Ok(begun) => begun,
        Err(error) => {
            tracing::error!(%error, "a commit could not begin");
            for job in batch {
                (job.work)(Err(error.clone()))(None);
            }
            return;
        }
    };
    let mut replies = Vec::with_capacity(batch.len());
    let number = {
        let changes = Changes::new(&transaction);
        for (job, published) in batch.into_iter().zip(published) {
            replies.push((job.work)(published.map(|()| &changes)));
        }
        changes.number_commit()
    };
    let committed = number.and_then(|number| {
        let committed = transaction.commit().or_else(|error| {
            drop(database);
            settle_doubt(handle, number, LedgerError::database(error))
        });
        committed.map(|()| handle.commit_counter().record(number))
    });
    if let Err(error) = &committed {
        tracing::error!(%error, "a commit failed");
    }
    handle.changed();
    for reply in replies {
        reply(committed.as_ref().err().cloned());
    }
}

/// Begins a transaction; if the database refuses all work after an earlier I/O error, on a reopened one.
fn begin(handle: &Handle) -> Result<(redb::WriteTransaction, Arc<redb::Database>), LedgerError> {
    let begin = || {
        let database = handle.database()?;
        let mut transaction = database.begin_write().map_err(LedgerError::database)?;
        // Each commit saves the allocator's state, so that opening after a crash need not read the whole file.
        transaction.set_quick_repair(true);
        Ok((transaction, database))
    };
    begin().or_else(|_: LedgerError| {
        handle.reopen()?;
        begin()
    })
}

/// A commit that failed may be on disk all the same. Reopening the ledger makes what can be seen of it
/// durable (see [`crate::disk::DatabaseFile`]); then the number of its last commit decides.
fn settle_doubt(handle: &Handle, number: u64, failed: LedgerError) -> Result<(), LedgerError> {
    match handle.reopen().and_then(|()| View::begin(handle.database()?)?.last_commit()) {
        Ok(last) if last < number => Err(failed),
        Ok(_) => Ok(()),
        Err(_) => Err(LedgerError::InDoubt(failed.to_string())),
    }
}

fn recover(handle: &Handle) {
    if let Err(error) = handle.reopen() {
        tracing::error!(%error, "the ledger could not be reopened; the next change tries again");
    }
}

/// Gives every file its final name and syncs each folder once; answers for each job whether its files
/// are where they belong.
fn publish_all(handle: &Handle, batch: &[Job]) -> Vec<Result<(), LedgerError>> {
    let disk = handle.disk();
    let renamed: Vec<Result<(), LedgerError>> = batch
        .iter()
        .map(|job| {
            let mut files = job.publish.iter();
            files
                .try_for_each(|publish| disk.rename(&publish.from, &publish.to))
                .map_err(LedgerError::publishing)
        })
        .collect();
    let mut synced: BTreeMap<&Path, Result<(), LedgerError>> = BTreeMap::new();
    for publish in batch.iter().flat_map(|job| &job.publish) {
        synced
            .entry(&publish.folder)
            .or_insert_with(|| disk.sync_folder(&publish.folder).map_err(LedgerError::publishing));
    }
    let folders = |job: &Job| {
        job.publish
            .iter()
            .try_for_each(|publish| synced.get(publish.folder.as_path()).cloned().unwrap_or(Ok(())))
    };
    renamed.into_iter().zip(batch).map(|(renamed, job)| renamed.and_then(|()| folders(job))).collect()
}
