//! The supervisor: starts and ends workers for a host that may not. It reads single requests of that host and nothing else.

use std::io::{self, IoSlice, IoSliceMut, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, ExitCode};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags,
};

use crate::children::{Children, SUPERVISOR, Spawner, Worker, program};

/// A request is one of these, its number, and the number of a worker: 0 for a new one.
const SPAWN: u8 = b'S';
const END: u8 = b'E';
const REQUEST_BYTES: usize = 9;
/// An answer is the number of the request, and that of the worker, with its socket, or the signal that it died of. 0 is none.
const ANSWER_BYTES: usize = 8;
/// How long the supervisor may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The host's end.
#[derive(Debug)]
pub(crate) struct Supervisor {
    connection: Mutex<Connection>,
    _process: Child,
}

impl Supervisor {
    /// Starts it; its workers have so much memory each.
    pub(crate) fn start(memory_bytes: u64) -> io::Result<Self> {
        let (socket, theirs) = UnixStream::pair()?;
        let connection = Mutex::new(Connection::new(socket)?);
        let process = program(SUPERVISOR, memory_bytes, theirs)?;
        Ok(Self { connection, _process: process })
    }
}

impl Spawner for Supervisor {
    fn spawn(&self) -> io::Result<Worker> {
        let mut connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = connection.ask(SPAWN, 0)?;
        if let Some(socket) = answer.passed {
            return Ok(Worker { id: answer.value, socket: socket.into() });
        }
        if answer.value != 0 {
            // There was no descriptor left for its socket.
            connection.send(END, answer.value)?;
        }
        Err(io::Error::other("the supervisor of the codec processes could not start one"))
    }

    fn end(&self, id: u32) -> io::Result<Option<i32>> {
        let answer = self.connection.lock().unwrap_or_else(PoisonError::into_inner).ask(END, id)?;
        Ok(i32::try_from(answer.value).ok().filter(|&signal| signal != 0))
    }
}

/// Asks a supervisor, one request at a time.
#[derive(Debug)]
struct Connection {
    socket: UnixStream,
    /// Of the last request.
    number: u32,
}

struct Answer {
    number: u32,
    value: u32,
    passed: Option<OwnedFd>,
}

impl Connection {
    fn new(socket: UnixStream) -> io::Result<Self> {
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { socket, number: 0 })
    }

    /// Sends a request without waiting for its answer.
    fn send(&mut self, kind: u8, id: u32) -> io::Result<()> {
        self.number = self.number.wrapping_add(1);
        let mut request = vec![kind];
        request.extend(self.number.to_le_bytes());
        request.extend(id.to_le_bytes());
        self.socket.write_all(&request)
    }

    /// Sends a request and waits for its answer. Answers that nobody waited for any more are discarded, and workers that came
    /// with them ended.
    fn ask(&mut self, kind: u8, id: u32) -> io::Result<Answer> {
        self.send(kind, id)?;
        let number = self.number;
        loop {
            let answer = self.receive()?;
            if answer.number == number {
                return Ok(answer);
            }
            if let Some(socket) = answer.passed {
                drop(socket);
                self.send(END, answer.value)?;
            }
        }
    }

    fn receive(&self) -> io::Result<Answer> {
        let mut bytes = [0; ANSWER_BYTES];
        let mut filled = 0;
        let mut passed: Option<OwnedFd> = None;
        while filled < bytes.len() {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut ancillary = RecvAncillaryBuffer::new(&mut space);
            let received = rustix::net::recvmsg(
                self.socket.as_fd(),
                &mut [IoSliceMut::new(&mut bytes[filled..])],
                &mut ancillary,
                RecvFlags::CMSG_CLOEXEC,
            );
            let received = match received {
                Ok(received) => received.bytes,
                Err(Errno::INTR) => continue,
                Err(error) => {
                    if filled > 0 {
                        // The rest of this answer would be taken for the next one.
                        let _ = self.socket.shutdown(Shutdown::Both);
                    }
                    return Err(error.into());
                }
            };
            if received == 0 {
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "the supervisor of the codec processes has ended; restart the server",
                ));
            }
            for message in ancillary.drain() {
                if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                    passed = descriptors.last().or(passed);
                }
            }
            filled += received;
        }
        let [a, b, c, d, value @ ..] = bytes;
        Ok(Answer { number: u32::from_le_bytes([a, b, c, d]), value: u32::from_le_bytes(value), passed })
    }
}

/// The process: serves the host at the other end of its standard input until that closes, and ends its workers then.
pub(crate) fn run(memory_bytes: u64) -> ExitCode {
    let served = rustix::stdio::stdin().try_clone_to_owned().map(UnixStream::from).and_then(|mut host| {
        let children = Children::new(memory_bytes);
        loop {
            let mut request = [0; REQUEST_BYTES];
            match host.read_exact(&mut request) {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
                read => read?,
            }
            let [kind, a, b, c, d, id @ ..] = request;
            let number = u32::from_le_bytes([a, b, c, d]);
            match kind {
                SPAWN => match children.spawn() {
                    Ok(worker) => answer(&host, number, worker.id, Some(&worker.socket))?,
                    Err(_) => answer(&host, number, 0, None)?,
                },
                END => {
                    let signal = children.end(u32::from_le_bytes(id)).ok().flatten();
                    let signal = signal.and_then(|signal| u32::try_from(signal).ok()).unwrap_or(0);
                    answer(&host, number, signal, None)?;
                }
                _ => return Err(io::Error::from(io::ErrorKind::InvalidData)),
            }
        }
    });
    if served.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn answer(host: &UnixStream, number: u32, value: u32, passed: Option<&UnixStream>) -> io::Result<()> {
    let mut bytes = number.to_le_bytes().to_vec();
    bytes.extend(value.to_le_bytes());
    let descriptors: Vec<_> = passed.into_iter().map(|socket| socket.as_fd()).collect();
    loop {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() {
            ancillary.push(SendAncillaryMessage::ScmRights(&descriptors));
        }
        let bytes = [IoSlice::new(&bytes)];
        match rustix::net::sendmsg(host.as_fd(), &bytes, &mut ancillary, SendFlags::NOSIGNAL) {
            Err(Errno::INTR) => {}
            Ok(sent) if sent < ANSWER_BYTES => return Err(io::ErrorKind::WriteZero.into()),
            sent => return sent.map(drop).map_err(io::Error::from),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_that_nobody_waits_for_are_discarded_with_their_workers() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let mut connection = Connection::new(ours).unwrap();
        let (worker, mut other_end) = UnixStream::pair().unwrap();
        // Answers to requests that nobody waits for any more: a worker, and the end of one.
        answer(&theirs, u32::MAX, 77, Some(&worker)).unwrap();
        answer(&theirs, 0, 9, None).unwrap();
        answer(&theirs, 1, 6, None).unwrap();
        drop(worker);
        let answer = connection.ask(END, 5).unwrap();
        assert_eq!((answer.number, answer.value, answer.passed.is_none()), (1, 6, true));
        assert_eq!(other_end.read(&mut [0]).unwrap(), 0, "the worker's socket is closed");
        let mut requests = [0; 2 * REQUEST_BYTES];
        theirs.read_exact(&mut requests).unwrap();
        assert_eq!(requests, [b'E', 1, 0, 0, 0, 5, 0, 0, 0, b'E', 2, 0, 0, 0, 77, 0, 0, 0]);
    }

    #[test]
    fn a_supervisor_that_has_ended_is_an_error() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let mut connection = Connection::new(ours).unwrap();
        // Half an answer.
        (&theirs).write_all(&[1, 0, 0, 0]).unwrap();
        theirs.shutdown(Shutdown::Write).unwrap();
        let ended = connection.ask(SPAWN, 0).map(|answer| answer.value);
        assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        drop(theirs);
        let ended = connection.ask(SPAWN, 0).map(|answer| answer.value);
        assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }
}
