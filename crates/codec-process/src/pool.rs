//! The host's side: hands jobs to workers, one at a time each, and replaces those that fail.

use std::io::{self, BufReader, Read, Write};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tintype_engine::foreign::{Job, Layout, Output};
use tintype_engine::{Error, ForeignDecoder};

use crate::children::{Children, Spawner, Worker};
use crate::supervisor::Supervisor;
use crate::wire;

/// How often `stop` is polled while a worker computes.
const TICK: Duration = Duration::from_millis(10);
/// CPU time of any image, and how much work (as in `Header::work`) there is a second for what is beyond it. Half of that is what
/// the slowest of the decoders manages.
const BASE_TIME: Duration = Duration::from_millis(1500);
const WORK_A_SECOND: u64 = 25_000_000;
/// The least that a job has of the former, of an image that takes many.
const MIN_SHARE: Duration = Duration::from_millis(20);
/// Time that passes may be so many times the CPU time, on a machine that is busy, and more: then the worker is killed.
const BUSY: u32 = 10;
const SLACK: Duration = Duration::from_secs(10);
/// Memory of a worker that is its own: the program's data, stacks and buffers.
const WORKER: u64 = 8 << 20;
/// Workers that wait for jobs; others end.
const MAX_IDLE: usize = 16;

/// Decodes in workers that are started as they are needed. As many run at once as there are threads that decode.
pub struct CodecProcesses {
    spawner: Box<dyn Spawner>,
    idle: Mutex<Vec<Worker>>,
}

impl std::fmt::Debug for CodecProcesses {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CodecProcesses").finish_non_exhaustive()
    }
}

/// How an exchange with a worker failed.
enum Failure {
    /// The worker has gone, or answers what it never would.
    Broken,
    /// The worker is still at it, or its answer was not read to its end.
    Abandoned(Error),
}

impl From<io::Error> for Failure {
    fn from(_: io::Error) -> Self {
        Self::Broken
    }
}

impl CodecProcesses {
    /// Workers as child processes, of which each may take `memory_bytes` to decode.
    #[must_use]
    pub fn new(memory_bytes: u64) -> Self {
        Self::by(Children::new(memory_bytes))
    }

    /// As [`Self::new`], with a supervisor that starts them: for a process that will not be allowed to. It is started at once.
    ///
    /// # Errors
    /// The system refuses a process.
    pub fn supervised(memory_bytes: u64) -> io::Result<Self> {
        Ok(Self::by(Supervisor::start(memory_bytes)?))
    }

    fn by(spawner: impl Spawner + 'static) -> Self {
        Self { spawner: Box::new(spawner), idle: Mutex::default() }
    }

    fn take(&self) -> Option<Worker> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    fn spawn(&self) -> Result<Worker, Error> {
        self.spawner.spawn().map_err(|error| {
            Error::Unavailable(format!("the process that decodes this format cannot be started: {error}"))
        })
    }

    fn give_back(&self, worker: Worker) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < MAX_IDLE {
            idle.push(worker);
        } else {
            drop(idle);
            let _ = self.spawner.end(worker.id);
        }
    }

    /// The error of a job whose worker has gone.
    fn cause(&self, worker: &Worker) -> Error {
        const ABORTED: i32 = 6;
        match self.spawner.end(worker.id) {
            // What is left of a failed allocation.
            Ok(Some(ABORTED)) => Error::TooLarge(
                "decoding takes more memory than function.memory_mb allows, or than there is".into(),
            ),
            Ok(Some(signal)) => Error::Internal(format!("the decoder crashed (signal {signal})")),
            Ok(None) => Error::Internal("the process that decodes ended before its answer".into()),
            Err(error) => {
                Error::Unavailable(format!("the process that decodes this format has gone: {error}"))
            }
        }
    }
}

impl ForeignDecoder for CodecProcesses {
    fn decode(&self, job: &Job<'_>, stop: &dyn Fn() -> bool, output: &mut dyn Output) -> Result<(), Error> {
        // One that waited may have been ended meanwhile, by whoever needs memory: then another is started.
        if let Some(worker) = self.take() {
            let mut began = false;
            match exchange(&worker, job, stop, output, &mut began) {
                Ok(result) => {
                    self.give_back(worker);
                    return result;
                }
                Err(Failure::Abandoned(error)) => {
                    let _ = self.spawner.end(worker.id);
                    return Err(error);
                }
                Err(Failure::Broken) => {
                    let cause = self.cause(&worker);
                    if began {
                        return Err(cause);
                    }
                }
            }
        }
        let worker = self.spawn()?;
        match exchange(&worker, job, stop, output, &mut false) {
            Ok(result) => {
                self.give_back(worker);
                result
            }
            Err(Failure::Abandoned(error)) => {
                let _ = self.spawner.end(worker.id);
                Err(error)
            }
            Err(Failure::Broken) => Err(self.cause(&worker)),
        }
    }

    fn overhead(&self, source_bytes: u64) -> u64 {
        WORKER.saturating_add(source_bytes)
    }
}

impl Drop for CodecProcesses {
    fn drop(&mut self) {
        for worker in self.idle.get_mut().unwrap_or_else(PoisonError::into_inner).drain(..) {
            let _ = self.spawner.end(worker.id);
        }
    }
}

/// One job: `began` is set once the worker has begun to answer with an image.
fn exchange(
    worker: &Worker,
    job: &Job<'_>,
    stop: &dyn Fn() -> bool,
    output: &mut dyn Output,
    began: &mut bool,
) -> Result<Result<(), Error>, Failure> {
    let base = (BASE_TIME / job.share.max(1)).max(MIN_SHARE);
    let time = base + Duration::from_millis(job.work.saturating_mul(1000) / WORK_A_SECOND);
    let milliseconds = u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
    worker.socket.set_read_timeout(Some(TICK))?;
    worker.socket.set_write_timeout(Some(TICK))?;
    let end = Instant::now() + time.saturating_mul(BUSY) + SLACK;
    let patient = || Patient { socket: &worker.socket, stop, end, gave_up: std::cell::RefCell::new(None) };
    let mut to = patient();
    let sent = wire::write_request(&mut to, job, milliseconds);
    to.gave_up.take().map_or(Ok(()), |error| Err(Failure::Abandoned(error)))?;
    sent?;
    let mut from = BufReader::with_capacity(128 << 10, patient());
    let answer = wire::read_answer(&mut from);
    from.get_ref().gave_up.take().map_or(Ok(()), |error| Err(Failure::Abandoned(error)))?;
    let layout: Layout = match answer? {
        Ok(layout) => layout,
        Err(error) => return Ok(Err(error)),
    };
    *began = true;
    output.begin(&layout).map_err(Failure::Abandoned)?;
    let mut stripe = vec![0; layout.stripe_bytes()];
    for _ in 0..layout.stripes() {
        let read = from.read_exact(&mut stripe);
        from.get_ref().gave_up.take().map_or(Ok(()), |error| Err(Failure::Abandoned(error)))?;
        read?;
        output.stripe(&stripe).map_err(Failure::Abandoned)?;
    }
    Ok(Ok(()))
}

/// Reads and writes until it is to stop, or a deadline.
struct Patient<'a> {
    socket: &'a std::os::unix::net::UnixStream,
    stop: &'a dyn Fn() -> bool,
    end: Instant,
    /// Why it did not go on.
    gave_up: std::cell::RefCell<Option<Error>>,
}

impl Patient<'_> {
    /// Repeats an attempt that only timed out.
    fn attempt(&self, mut attempt: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
        loop {
            match attempt() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                ended => return ended,
            }
            let error = if (self.stop)() {
                Error::Stopped("the render was stopped while decoding; it can be tried again".into())
            } else if Instant::now() >= self.end {
                Error::Stopped("decoding took too long; it can be tried again".into())
            } else {
                continue;
            };
            *self.gave_up.borrow_mut() = Some(error);
            return Err(io::ErrorKind::TimedOut.into());
        }
    }
}

impl Read for Patient<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut socket = self.socket;
        self.attempt(|| socket.read(buffer))
    }
}

impl Write for Patient<'_> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let mut socket = self.socket;
        self.attempt(|| socket.write(buffer))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
