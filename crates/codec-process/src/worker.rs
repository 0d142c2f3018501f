//! The worker: decodes one job after another, and ends once one has used up its time.

use std::io::{self, BufReader, BufWriter, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::{self, Thread};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Resource, Rlimit};
use rustix::time::{ClockId, clock_gettime};
use tintype_engine::Error;
use tintype_engine::foreign::{self, Layout, Output, Resources};

use crate::{sandbox, wire};

/// How often the time of a job is looked at.
const TICK: Duration = Duration::from_millis(20);
/// Memory beyond what decoding may take: the program, its stacks, what it received, and buffers.
const OVERHEAD: u64 = 64 << 20;
/// Addresses beyond that: files that are mapped, and reserves of the allocator.
const ADDRESSES: u64 = 1 << 30;

/// Serves the host at the other end of standard input until that closes.
pub(crate) fn run(memory_bytes: u64) -> ExitCode {
    // A panic is caught and reported as an answer.
    std::panic::set_hook(Box::new(|_| {}));
    die_first();
    limit(memory_bytes.saturating_add(OVERHEAD));
    let served = rustix::stdio::stdin().try_clone_to_owned().map(UnixStream::from).and_then(serve);
    if served.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Has the system that is out of memory end workers before their host, which starts others.
fn die_first() {
    #[cfg(target_os = "linux")]
    let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
}

/// Bounds what the process may take. Where the system refuses, the host's bounds on time remain.
fn limit(memory: u64) {
    let set = |resource, bound| {
        let bound = Some(bound);
        let _ = rustix::process::setrlimit(resource, Rlimit { current: bound, maximum: bound });
    };
    set(Resource::Data, memory);
    set(Resource::As, memory.saturating_add(ADDRESSES));
    set(Resource::Core, 0);
    set(Resource::Fsize, 0);
    set(Resource::Nofile, 64);
}

fn serve(host: UnixStream) -> io::Result<()> {
    let files = sandbox::restrict_files();
    let watch = Watch::start(host.try_clone()?)?;
    let mut from = BufReader::with_capacity(64 << 10, &host);
    if let Err(why) = sandbox::restrict_system_calls(files) {
        // The host hears it once it has sent a job, which is not decoded.
        if wire::read_request(&mut from)?.is_some() {
            let why = format!("the process that decodes could not give up its rights (seccomp): {why}");
            wire::write_error(&mut &host, &Error::Internal(why.clone()))?;
            return Err(io::Error::other(why));
        }
        return Ok(());
    }
    let fonts = Fonts::new(files);
    while let Some(request) = wire::read_request(&mut from)? {
        let job = request.job();
        let resources = fonts.of(&job);
        watch.begin(request.milliseconds);
        let mut answer =
            Answer { watch: &watch, to: BufWriter::with_capacity(256 << 10, &host), began: false };
        let decoded = foreign::decode(&job, &resources, &mut answer);
        if let Err(error) = decoded {
            watch.end();
            if answer.began {
                // The host has gone, or cannot follow.
                return Ok(());
            }
            wire::write_error(&mut answer.to, &error)?;
        }
        answer.to.flush()?;
    }
    Ok(())
}

/// Writes the result as it comes.
struct Answer<'a> {
    watch: &'a Watch,
    to: BufWriter<&'a UnixStream>,
    began: bool,
}

impl Answer<'_> {
    fn sent(result: io::Result<()>) -> Result<(), Error> {
        result.map_err(|error| Error::Stopped(error.to_string()))
    }
}

impl Output for Answer<'_> {
    fn begin(&mut self, layout: &Layout) -> Result<(), Error> {
        // All that takes time is done.
        self.watch.end();
        self.began = true;
        Self::sent(wire::write_layout(&mut self.to, layout))
    }

    fn stripe(&mut self, stripe: &[u8]) -> Result<(), Error> {
        Self::sent(self.to.write_all(stripe))
    }
}

/// Ends the process once a job has used up its time, or the host has gone.
struct Watch {
    /// The CPU time of the process at which it ends; `None` while there is no job.
    deadline: Arc<Mutex<Option<Duration>>>,
    thread: Thread,
}

impl Watch {
    fn start(host: UnixStream) -> io::Result<Self> {
        let deadline = Arc::new(Mutex::new(None));
        let watched = deadline.clone();
        let (started, has_started) = mpsc::channel();
        let watch = move || {
            let _ = started.send(());
            loop {
                // Held while it reports, so that no answer begins meanwhile.
                let deadline = watched.lock().unwrap_or_else(PoisonError::into_inner);
                let Some(due) = *deadline else {
                    drop(deadline);
                    thread::park();
                    continue;
                };
                if has_gone(&host) {
                    std::process::exit(0);
                }
                if cpu_time() >= due {
                    let why = "decoding took longer than an image of this size and format may take; simplify or convert it";
                    let _ = wire::write_error(&mut &host, &Error::TooLarge(why.into()));
                    std::process::exit(0);
                }
                drop(deadline);
                thread::sleep(TICK);
            }
        };
        let thread = thread::Builder::new().name("watch".into()).stack_size(128 << 10).spawn(watch)?;
        // A thread that starts makes system calls of its own, and the C library ends the program if they are refused.
        let _ = has_started.recv();
        Ok(Self { deadline, thread: thread.thread().clone() })
    }

    fn begin(&self, milliseconds: u32) {
        let due = cpu_time() + Duration::from_millis(milliseconds.into());
        *self.deadline.lock().unwrap_or_else(PoisonError::into_inner) = Some(due);
        self.thread.unpark();
    }

    fn end(&self) {
        *self.deadline.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// The CPU time of this process.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

fn has_gone(host: &UnixStream) -> bool {
    let mut sockets = [PollFd::from_borrowed_fd(host.as_fd(), PollFlags::empty())];
    let polled = rustix::event::poll(&mut sockets, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }));
    polled.is_ok() && sockets[0].revents().intersects(PollFlags::HUP | PollFlags::ERR)
}

/// The fonts of the system, loaded for the first drawing that has text.
#[cfg_attr(not(feature = "svg"), allow(dead_code))]
struct Fonts {
    files: sandbox::Files,
    #[cfg(feature = "svg")]
    system: std::cell::OnceCell<foreign::Fonts>,
}

impl Fonts {
    fn new(files: sandbox::Files) -> Self {
        Self {
            files,
            #[cfg(feature = "svg")]
            system: std::cell::OnceCell::new(),
        }
    }

    #[cfg(feature = "svg")]
    fn of(&self, job: &foreign::Job<'_>) -> Resources {
        let is_text = || memchr::memmem::find(job.data, b"text").is_some();
        if job.library != foreign::Library::Svg || self.files != sandbox::Files::FontsOnly || !is_text() {
            return Resources::default();
        }
        let load = || {
            foreign::Fonts::with(|database| {
                sandbox::FONT_FOLDERS.iter().for_each(|folder| database.load_fonts_dir(folder));
            })
        };
        Resources { fonts: self.system.get_or_init(load).clone() }
    }

    #[cfg(not(feature = "svg"))]
    #[allow(clippy::unused_self, reason = "with fonts it is used")]
    fn of(&self, _: &foreign::Job<'_>) -> Resources {
        Resources::default()
    }
}
