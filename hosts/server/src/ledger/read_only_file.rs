//! redb on a file that is not changed: writes go to memory and are dropped.

use std::{
    collections::{HashMap, hash_map::Entry},
    io,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::disk::DiskFile;

const BLOCK: usize = 4096;

/// A database file that is never written.
#[derive(Debug)]
pub(super) struct ReadOnlyFile {
    file: Box<dyn DiskFile>,
    file_length: u64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    length: u64,
    /// Blocks that were written, by their number.
    written: HashMap<u64, Box<[u8; BLOCK]>>,
}

impl ReadOnlyFile {
    pub(super) fn new(file: Box<dyn DiskFile>) -> io::Result<Self> {
        let file_length = file.length()?;
        let state = State { length: file_length, written: HashMap::new() };
        Ok(Self { file, file_length, state: Mutex::new(state) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A block as the file has it, with zeros beyond its end.
    fn block_of_file(&self, number: u64) -> io::Result<Box<[u8; BLOCK]>> {
        let mut block = Box::new([0; BLOCK]);
        let start = number * BLOCK as u64;
        let there = self.file_length.saturating_sub(start).min(BLOCK as u64) as usize;
        self.file.read_exact_at(&mut block[..there], start)?;
        Ok(block)
    }
}

/// The parts of a span that lie in one block each: block, offset in it, offset in the span, length.
fn blocks(offset: u64, length: usize) -> impl Iterator<Item = (u64, usize, usize, usize)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        if done == length {
            return None;
        }
        let at = offset + done as u64;
        let within = (at % BLOCK as u64) as usize;
        let part = (BLOCK - within).min(length - done);
        done += part;
        Some((at / BLOCK as u64, within, done - part, part))
    })
}

impl redb::StorageBackend for ReadOnlyFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.state().length)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.state();
        if offset.saturating_add(out.len() as u64) > state.length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        for (number, within, at, length) in blocks(offset, out.len()) {
            let part = &mut out[at..at + length];
            match state.written.get(&number) {
                Some(block) => part.copy_from_slice(&block[within..within + length]),
                None => part.copy_from_slice(&self.block_of_file(number)?[within..within + length]),
            }
        }
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let mut state = self.state();
        // What is cut off reads as zeros should the file grow again.
        let within = length.div_ceil(BLOCK as u64);
        if length < state.length {
            state.written.retain(|number, _| *number < within);
            if length < self.file_length {
                return Err(io::Error::other("the file would have to be cut"));
            }
        }
        state.length = length;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = self.state();
        for (number, within, at, length) in blocks(offset, data.len()) {
            let block = match state.written.entry(number) {
                Entry::Occupied(there) => there.into_mut(),
                Entry::Vacant(free) => free.insert(self.block_of_file(number)?),
            };
            block[within..within + length].copy_from_slice(&data[at..at + length]);
        }
        Ok(())
    }
}
