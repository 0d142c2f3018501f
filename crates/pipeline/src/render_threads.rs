//! Threads that render, so that CPU work does not block the threads that poll futures.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
};

use tintype_engine::Scratch;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::outcome::{Failure, Reason};

type Task = Box<dyn FnOnce(&mut Scratch) + Send>;

/// A fixed number of threads, each with the engine's buffers. They end once this is dropped and their work is finished.
#[derive(Debug)]
pub(crate) struct RenderThreads {
    tasks: mpsc::Sender<Task>,
    count: u32,
    /// One permit for each idle thread: a cancelled wait leaves no task behind.
    free: Arc<Semaphore>,
}

impl RenderThreads {
    /// Starts `count` threads, at least one.
    ///
    /// # Errors
    /// The system refuses another thread.
    pub(crate) fn start(count: usize) -> io::Result<Self> {
        let count = count.max(1);
        let (tasks, queued) = mpsc::channel();
        let queued = Arc::new(Mutex::new(queued));
        for index in 0..count {
            let queued = queued.clone();
            thread::Builder::new().name(format!("render-{index}")).spawn(move || run(&queued))?;
        }
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        Ok(Self { tasks, count, free: Arc::new(Semaphore::new(count as usize)) })
    }

    /// Waits until every thread is idle.
    pub(crate) async fn idle(&self) {
        // The semaphore is never closed.
        let _ = self.free.acquire_many(self.count).await;
    }

    /// Waits for an idle thread.
    pub(crate) async fn acquire(&self) -> Option<OwnedSemaphorePermit> {
        // The semaphore is never closed.
        self.free.clone().acquire_owned().await.ok()
    }

    /// Runs `work` on the idle thread of `permit`. Work that has begun runs to its end, even if the caller is dropped.
    ///
    /// # Errors
    /// It panicked.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        permit: Option<OwnedSemaphorePermit>,
        work: impl FnOnce(&mut Scratch) -> T + Send + 'static,
    ) -> Result<T, Failure> {
        let (answer, answered) = oneshot::channel();
        let task: Task = Box::new(move |scratch| {
            let _permit = permit;
            // The caller may have been dropped.
            let _ = answer.send(work(scratch));
        });
        // The threads live as long as this.
        let _ = self.tasks.send(task);
        answered
            .await
            .map_err(|_| Failure::new(Reason::Internal, "a render thread panicked; the log has the place"))
    }
}

fn run(queued: &Mutex<mpsc::Receiver<Task>>) {
    let mut scratch = Scratch::default();
    loop {
        let task = queued.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(task) = task else { return };
        if catch_unwind(AssertUnwindSafe(|| task(&mut scratch))).is_err() {
            scratch = Scratch::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::{executor::block_on, poll};

    use super::*;

    impl RenderThreads {
        async fn render<T: Send + 'static>(
            &self,
            work: impl FnOnce(&mut Scratch) -> T + Send + 'static,
        ) -> Result<T, Failure> {
            self.run(self.acquire().await, work).await
        }
    }

    #[test]
    fn work_runs_on_another_thread_and_a_panic_fails_it_alone() {
        let threads = RenderThreads::start(1).unwrap();
        let here = thread::current().id();
        assert_ne!(block_on(threads.render(|_| thread::current().id())).unwrap(), here);
        let failed = block_on(threads.render(|_| -> u32 { panic!("on purpose") }));
        assert_eq!(failed.unwrap_err().reason, Reason::Internal);
        assert_eq!(block_on(threads.render(|_| 7)).unwrap(), 7);
    }

    #[test]
    fn idle_waits_for_abandoned_renders() {
        let threads = RenderThreads::start(2).unwrap();
        let (go, wait) = mpsc::channel::<()>();
        block_on(async {
            let mut abandoned = Box::pin(threads.render(move |_| wait.recv()));
            assert!(poll!(&mut abandoned).is_pending());
            drop(abandoned);
            let mut idle = Box::pin(threads.idle());
            assert!(poll!(&mut idle).is_pending());
            go.send(()).unwrap();
            idle.await;
        });
    }

    #[test]
    fn never_more_at_once_than_threads() {
        let threads = RenderThreads::start(2).unwrap();
        let at_once = Arc::new(Mutex::new((0_u32, 0_u32)));
        let work = || {
            let at_once = at_once.clone();
            threads.render(move |_| {
                let mut counts = at_once.lock().unwrap();
                *counts = (counts.0 + 1, counts.1.max(counts.0 + 1));
                drop(counts);
                thread::yield_now();
                at_once.lock().unwrap().0 -= 1;
            })
        };
        block_on(futures::future::join_all((0..200).map(|_| work())));
        assert!((1..=2).contains(&at_once.lock().unwrap().1));
    }
}
