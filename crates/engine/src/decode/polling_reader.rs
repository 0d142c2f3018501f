//! The file as libraries read it: whether to stop is asked as the bytes go by, since they ask for nothing
//! else on their way.

use std::io::{BufRead, Cursor, Error, Read, Result, Seek, SeekFrom};

use crate::stop::Stop;

/// Bytes between two questions, and the most that is given at a time.
pub(super) const STEP: usize = 4 << 10;

/// A file in memory; reading fails once the caller wants to stop.
pub(super) struct Input<'a> {
    file: Cursor<&'a [u8]>,
    stop: Stop<'a>,
    /// Bytes left until it is asked again.
    left: usize,
}

impl<'a> Input<'a> {
    pub(super) fn new(bytes: &'a [u8], stop: Stop<'a>) -> Self {
        Self { file: Cursor::new(bytes), stop, left: 0 }
    }

    pub(super) fn position(&self) -> u64 {
        self.file.position()
    }

    /// Asks if it is time to, and says how much may be read before the next time.
    fn allowance(&mut self) -> Result<usize> {
        if self.left == 0 {
            self.stop.check("decoding").map_err(|_| Error::other("stopped"))?;
            self.left = STEP;
        }
        Ok(self.left)
    }
}

impl Read for Input<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let most = self.allowance()?.min(buffer.len());
        let count = self.file.read(&mut buffer[..most])?;
        self.left -= count;
        Ok(count)
    }
}

impl BufRead for Input<'_> {
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

impl Seek for Input<'_> {
    fn seek(&mut self, to: SeekFrom) -> Result<u64> {
        self.file.seek(to)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn gives_the_file_and_asks_on_the_way() {
        let file: Vec<u8> = (0..100_000_u32).map(|at| (at * 7) as u8).collect();
        let asked = Cell::new(0);
        let ask = || {
            asked.set(asked.get() + 1);
            false
        };
        let mut read = Vec::new();
        Input::new(&file, Stop(&ask)).read_to_end(&mut read).unwrap();
        assert!(read == file);
        assert!(asked.get() >= file.len() / STEP, "asked {} times", asked.get());
        asked.set(0);
        read.clear();
        let mut input = Input::new(&file, Stop(&ask));
        input.seek(SeekFrom::Start(5)).unwrap();
        while let Ok(bytes @ [_, ..]) = input.fill_buf() {
            let taken = bytes.len().div_ceil(2);
            read.extend_from_slice(&bytes[..taken]);
            input.consume(taken);
        }
        assert!(read == file[5..]);
        assert!(asked.get() >= file.len() / STEP, "asked {} times", asked.get());
    }

    #[test]
    fn fails_once_it_is_to_stop() {
        let asked = Cell::new(0);
        let ask = || {
            asked.set(asked.get() + 1);
            asked.get() > 2
        };
        let mut read = Vec::new();
        assert!(Input::new(&[1; 5 * STEP], Stop(&ask)).read_to_end(&mut read).is_err());
        assert_eq!(read.len(), 2 * STEP);
    }
}
