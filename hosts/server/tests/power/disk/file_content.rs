//! A file's bytes, as programs read them and as they are durable.

use std::{collections::BTreeMap, sync::Arc};

use crate::random::Random;

const PAGE: usize = 4096;
/// A disk writes sectors atomically.
const SECTOR: usize = 512;

/// Bytes in pages; pages that were never written are zeros.
#[derive(Debug, Clone, Default)]
struct Bytes {
    length: u64,
    pages: BTreeMap<u64, Arc<[u8; PAGE]>>,
}

impl Bytes {
    /// Copies the bytes there are; returns their number.
    fn read(&self, buffer: &mut [u8], offset: u64) -> usize {
        let available = usize::try_from(self.length.saturating_sub(offset)).unwrap().min(buffer.len());
        let mut done = 0;
        while done < available {
            let (page, within) = position(offset + done as u64);
            let count = (PAGE - within).min(available - done);
            let target = &mut buffer[done..done + count];
            match self.pages.get(&page) {
                Some(bytes) => target.copy_from_slice(&bytes[within..within + count]),
                None => target.fill(0),
            }
            done += count;
        }
        available
    }

    fn write(&mut self, bytes: &[u8], offset: u64) {
        let mut done = 0;
        while done < bytes.len() {
            let (page, within) = position(offset + done as u64);
            let count = (PAGE - within).min(bytes.len() - done);
            let target = Arc::make_mut(self.pages.entry(page).or_insert_with(|| Arc::new([0; PAGE])));
            target[within..within + count].copy_from_slice(&bytes[done..done + count]);
            done += count;
        }
        self.length = self.length.max(offset + bytes.len() as u64);
    }

    fn set_length(&mut self, length: u64) {
        if length < self.length {
            let (page, within) = position(length);
            self.pages.split_off(&(page + 1));
            if let Some(bytes) = self.pages.get_mut(&page) {
                Arc::make_mut(bytes)[within..].fill(0);
            }
        }
        self.length = length;
    }

    fn apply(&mut self, change: &Change) {
        match change {
            Change::Write { offset, bytes } => self.write(bytes, *offset),
            Change::Length(length) => self.set_length(*length),
        }
    }

    /// Applies a random part: of each page nothing, some first sectors, or all.
    fn apply_some(&mut self, change: &Change, random: &mut Random) {
        match change {
            Change::Write { offset, bytes } => {
                let mut done = 0;
                while done < bytes.len() {
                    let (_, within) = position(offset + done as u64);
                    let count = (PAGE - within).min(bytes.len() - done);
                    let written = match random.below(5) {
                        0 | 1 => 0,
                        // A torn write ends at a sector's end.
                        2 => (random.below(PAGE / SECTOR) * SECTOR).saturating_sub(within).min(count),
                        _ => count,
                    };
                    if written > 0 {
                        self.write(&bytes[done..done + written], offset + done as u64);
                    }
                    done += count;
                }
            }
            Change::Length(length) => {
                if random.permille(500) {
                    self.set_length(*length);
                }
            }
        }
    }
}

fn position(offset: u64) -> (u64, usize) {
    (offset / PAGE as u64, (offset % PAGE as u64) as usize)
}

#[derive(Debug, Clone)]
enum Change {
    Write { offset: u64, bytes: Arc<[u8]> },
    Length(u64),
}

/// A file's contents.
#[derive(Debug, Clone, Default)]
pub(super) struct FileContent {
    durable: Bytes,
    visible: Bytes,
    /// The changes that a sync would make durable.
    pending: Vec<Change>,
}

impl FileContent {
    pub(super) fn length(&self) -> u64 {
        self.visible.length
    }

    pub(super) fn read(&self, buffer: &mut [u8], offset: u64) -> usize {
        self.visible.read(buffer, offset)
    }

    pub(super) fn write(&mut self, bytes: &[u8], offset: u64) {
        self.change(Change::Write { offset, bytes: bytes.into() });
    }

    pub(super) fn set_length(&mut self, length: u64) {
        self.change(Change::Length(length));
    }

    fn change(&mut self, change: Change) {
        self.visible.apply(&change);
        self.pending.push(change);
    }

    pub(super) fn sync(&mut self) {
        for change in self.pending.drain(..) {
            self.durable.apply(&change);
        }
    }

    /// A failed sync makes a random part durable. The rest stays readable, but counts as clean, so that no later sync
    /// writes it, as on Linux.
    pub(super) fn fail_to_sync(&mut self, random: &mut Random) {
        for change in std::mem::take(&mut self.pending) {
            self.durable.apply_some(&change, random);
        }
    }

    /// Loses everything that was not synced.
    pub(super) fn lose_unsynced(&mut self) {
        self.pending.clear();
        self.visible = self.durable.clone();
    }

    /// Loses a random part of what was not synced.
    pub(super) fn lose_some_unsynced(&mut self, random: &mut Random) {
        self.fail_to_sync(random);
        self.lose_unsynced();
    }
}
