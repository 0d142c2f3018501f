//! Where a render runs: on threads for it, or on the thread that polls, where a host has that for computing.

use std::{
    io,
    sync::{Mutex, PoisonError},
};

use tintype_engine::Scratch;
use tokio::sync::OwnedSemaphorePermit;

use crate::{outcome::Failure, render_threads::RenderThreads};

/// The threads that compute.
pub(crate) enum Cpu {
    /// Threads of their own: polling goes on meanwhile.
    Threads(RenderThreads),
    /// Each call on the thread that polls it, with buffers that the next one takes over.
    Polling(Mutex<Vec<Scratch>>),
}

/// A thread that is free for a render.
#[derive(Debug)]
pub(crate) struct Turn(Option<OwnedSemaphorePermit>);

impl Cpu {
    pub(crate) fn threads(count: usize) -> io::Result<Self> {
        RenderThreads::start(count).map(Self::Threads)
    }

    pub(crate) const fn polling() -> Self {
        Self::Polling(Mutex::new(Vec::new()))
    }

    /// Waits until a thread is free, where renders have their own.
    pub(crate) async fn turn(&self) -> Turn {
        match self {
            Self::Threads(threads) => Turn(threads.turn().await),
            Self::Polling(_) => Turn(None),
        }
    }

    /// Runs `work` with buffers of the engine.
    ///
    /// # Errors
    /// It panicked on a thread of its own; here the panic goes on.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        turn: Turn,
        work: impl FnOnce(&mut Scratch) -> T + Send + 'static,
    ) -> Result<T, Failure> {
        let buffers = match self {
            Self::Threads(threads) => return threads.run(turn.0, work).await,
            Self::Polling(buffers) => buffers,
        };
        let taken = buffers.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut scratch = taken.unwrap_or_default();
        let done = work(&mut scratch);
        buffers.lock().unwrap_or_else(PoisonError::into_inner).push(scratch);
        Ok(done)
    }

    /// Waits until no thread computes any more.
    pub(crate) async fn idle(&self) {
        if let Self::Threads(threads) = self {
            threads.idle().await;
        }
    }
}
