//! Starting and ending workers.

use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use crate::ARGUMENT;

/// Roles, as the second argument.
pub(crate) const WORKER: &str = "worker";
pub(crate) const SUPERVISOR: &str = "supervisor";

/// A worker that runs.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) id: u32,
    pub(crate) socket: UnixStream,
}

/// Starts and ends workers.
pub(crate) trait Spawner: Send + Sync {
    fn spawn(&self) -> io::Result<Worker>;

    /// Kills a worker and waits for its end: the signal that it died of, if it was one.
    ///
    /// # Errors
    /// Whoever started it has gone.
    fn end(&self, id: u32) -> io::Result<Option<i32>>;
}

/// Workers that are child processes of this one.
#[derive(Debug)]
pub(crate) struct Children {
    memory_bytes: u64,
    running: Mutex<HashMap<u32, Child>>,
}

impl Children {
    /// Each with so much memory.
    pub(crate) fn new(memory_bytes: u64) -> Self {
        Self { memory_bytes, running: Mutex::default() }
    }
}

impl Spawner for Children {
    fn spawn(&self) -> io::Result<Worker> {
        let (socket, theirs) = UnixStream::pair()?;
        let child = program(WORKER, self.memory_bytes, theirs)?;
        let id = child.id();
        self.running.lock().unwrap_or_else(PoisonError::into_inner).insert(id, child);
        Ok(Worker { id, socket })
    }

    fn end(&self, id: u32) -> io::Result<Option<i32>> {
        let child = self.running.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        let Some(mut child) = child else { return Ok(None) };
        // One that has ended already keeps its status.
        let _ = child.kill();
        Ok(child.wait()?.signal())
    }
}

impl Drop for Children {
    fn drop(&mut self) {
        let running = self.running.get_mut().unwrap_or_else(PoisonError::into_inner);
        for child in running.values_mut() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Starts this program in a role, with `socket` as its standard input, and with nothing else of this process.
pub(crate) fn program(role: &str, memory_bytes: u64, socket: UnixStream) -> io::Result<Child> {
    // Also where the file was replaced meanwhile.
    let program = if cfg!(target_os = "linux") { "/proc/self/exe".into() } else { std::env::current_exe()? };
    Command::new(program)
        .arg0("tintype")
        .args([ARGUMENT, role, &memory_bytes.to_string()])
        .env_clear()
        // Large buffers go back to the system once they are free.
        .envs([("MALLOC_ARENA_MAX", "1"), ("MALLOC_MMAP_THRESHOLD_", "1048576")])
        .current_dir("/")
        .stdin(Stdio::from(OwnedFd::from(socket)))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // Ctrl-C is for the host, which finishes what is under way.
        .process_group(0)
        .spawn()
}
