//! A file for libraries that have no hook to stop them: `stop` is polled as they read.

use std::io::{BufRead, Cursor, Error, Read, Result, Seek, SeekFrom};

use crate::stop::Stop;

/// Bytes between polls, and the most that one read returns.
pub(super) const STEP: usize = 4 << 10;

/// A file in memory; reading fails once `stop` returns true.
pub(super) struct PollingReader<'a> {
    file: Cursor<&'a [u8]>,
    stop: Stop<'a>,
    /// Bytes left until the next poll.
    left: usize,
}

impl<'a> PollingReader<'a> {
    pub(super) fn new(bytes: &'a [u8], stop: Stop<'a>) -> Self {
        Self { file: Cursor::new(bytes), stop, left: 0 }
    }

    pub(super) fn position(&self) -> u64 {
        self.file.position()
    }

    /// Polls `stop` if it is due; returns how much may be read before the next poll.
    fn allowance(&mut self) -> Result<usize> {
        if self.left == 0 {
            self.stop.check("decoding").map_err(|_| Error::other("stopped"))?;
            self.left = STEP;
        }
        Ok(self.left)
    }
}

impl Read for PollingReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let most = self.allowance()?.min(buffer.len());
        let count = self.file.read(&mut buffer[..most])?;
        self.left -= count;
        Ok(count)
    }
}

impl BufRead for PollingReader<'_> {
    fn fill_buf(&mut self) -> Result<&[u8]> {
        let most = self.allowance()?;
        let rest = self.file.fill_buf()?;
        Ok(&rest[..most.min(rest.len())])
    }

    fn consume(&mut self, count: usize) {
        self.left = self.left.saturating_sub(count);
        self.file.consume(count);
    }
}

impl Seek for PollingReader<'_> {
    fn seek(&mut self, to: SeekFrom) -> Result<u64> {
        self.file.seek(to)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn returns_the_file_and_polls_as_it_is_read() {
        let file: Vec<u8> = (0..100_000_u32).map(|at| (at * 7) as u8).collect();
        let polls = Cell::new(0);
        let poll = || {
            polls.set(polls.get() + 1);
            false
        };
        let mut read = Vec::new();
        PollingReader::new(&file, Stop(&poll)).read_to_end(&mut read).unwrap();
        assert!(read == file);
        assert!(polls.get() >= file.len() / STEP, "polled {} times", polls.get());
        polls.set(0);
        read.clear();
        let mut input = PollingReader::new(&file, Stop(&poll));
        input.seek(SeekFrom::Start(5)).unwrap();
        while let Ok(bytes @ [_, ..]) = input.fill_buf() {
            let taken = bytes.len().div_ceil(2);
            read.extend_from_slice(&bytes[..taken]);
            input.consume(taken);
        }
        assert!(read == file[5..]);
        assert!(polls.get() >= file.len() / STEP, "polled {} times", polls.get());
    }

    #[test]
    fn fails_once_stop_returns_true() {
        let polls = Cell::new(0);
        let poll = || {
            polls.set(polls.get() + 1);
            polls.get() > 2
        };
        let mut read = Vec::new();
        assert!(PollingReader::new(&[1; 5 * STEP], Stop(&poll)).read_to_end(&mut read).is_err());
        assert_eq!(read.len(), 2 * STEP);
    }
}
