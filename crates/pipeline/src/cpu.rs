//! Where a render runs: on render threads, or on the polling thread where a host uses that for computing.

use std::{
    io,
    sync::{Mutex, PoisonError},
};

use tintype_engine::Scratch;
use tokio::sync::OwnedSemaphorePermit;

use crate::{outcome::Failure, render_threads::RenderThreads};

/// The threads that render.
pub(crate) enum Cpu {
    /// Dedicated threads; polling continues meanwhile.
    Threads(RenderThreads),
    /// The thread that polls the call; buffers are reused by the next one.
    Polling(Mutex<Vec<Scratch>>),
}

/// The right to run one render on a free thread.
#[derive(Debug)]
pub(crate) struct ThreadPermit(Option<OwnedSemaphorePermit>);

impl Cpu {
    pub(crate) fn threads(count: usize) -> io::Result<Self> {
        RenderThreads::start(count).map(Self::Threads)
    }

    pub(crate) const fn polling() -> Self {
        Self::Polling(Mutex::new(Vec::new()))
    }

    /// Waits for a free render thread; at once on the polling thread.
    pub(crate) async fn acquire(&self) -> ThreadPermit {
        match self {
            Self::Threads(threads) => ThreadPermit(threads.acquire().await),
            Self::Polling(_) => ThreadPermit(None),
        }
    }

    /// Runs `work` with buffers of the engine.
    ///
    /// # Errors
    /// `work` panicked on a render thread. On the polling thread the panic propagates.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        permit: ThreadPermit,
        work: impl FnOnce(&mut Scratch) -> T + Send + 'static,
    ) -> Result<T, Failure> {
        let buffers = match self {
            Self::Threads(threads) => return threads.run(permit.0, work).await,
            Self::Polling(buffers) => buffers,
        };
        let taken = buffers.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut scratch = taken.unwrap_or_default();
        let result = work(&mut scratch);
        buffers.lock().unwrap_or_else(PoisonError::into_inner).push(scratch);
        Ok(result)
    }

    /// Waits until every render thread is idle.
    pub(crate) async fn idle(&self) {
        if let Self::Threads(threads) = self {
            threads.idle().await;
        }
    }
}
