//! What was rendered for requests and is no thumbnail of the settings: files on disk within a bound, named by all that
//! they depend on, so that none is ever stale. They can be deleted at any time, and survive a restart; nothing is lost
//! with them, so that nothing is synced, and a torn file is found by its checksum.

use std::{
    io,
    num::Wrapping,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use lru::LruCache;
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;

use crate::disk::SharedDisk;

/// The beginning of every file: what it is, and the version of its format.
const MAGIC: &[u8; 8] = b"tintypr1";
/// Bytes before the image: the beginning, and a checksum of name and image.
const HEAD: usize = MAGIC.len() + 32;
/// Bytes that a file takes at least, and is rounded up to.
const BLOCK: u64 = 4096;
/// Files that are written at once; what comes while so many are is not cached.
const MOST_WRITES: usize = 64;
/// The prefix of the names of files being written.
const TEMPORARY: &str = "tmp-";

/// What a result is stored under.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RenderedKey([u8; 32]);

impl RenderedKey {
    /// Of all that the result depends on.
    #[must_use]
    pub fn new(parts: &[&str]) -> Self {
        let mut digest = Sha256::new();
        for part in parts {
            digest.update((part.len() as u64).to_le_bytes());
            digest.update(part);
        }
        Self(digest.finalize().into())
    }

    /// From a file's name.
    fn from_name(name: &str) -> Option<Self> {
        let (pairs, rest) = name.as_bytes().as_chunks::<2>();
        let mut key = [0; 32];
        if !rest.is_empty() || pairs.len() != key.len() {
            return None;
        }
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        for (byte, [high, low]) in key.iter_mut().zip(pairs) {
            *byte = digit(*high)? << 4 | digit(*low)?;
        }
        Some(Self(key)).filter(|key| key.name() == name)
    }

    fn name(self) -> String {
        tintype_pipeline::hex::encode(&self.0)
    }
}

/// The cache; whoever has a clone of its `Arc` shares it.
#[derive(Debug)]
pub struct RenderedCache {
    disk: SharedDisk,
    folder: PathBuf,
    state: Mutex<State>,
    writes: Arc<Semaphore>,
    temporary_files: AtomicU64,
}

#[derive(Debug)]
struct State {
    max_bytes: u64,
    /// Bytes on disk of each file, the least recently used first.
    files: LruCache<RenderedKey, u64>,
    bytes: u64,
    /// Whether `files` has those of earlier runs, too.
    is_complete: bool,
}

impl RenderedCache {
    /// The cache in a folder, which is created when it is needed. Files of earlier runs are found at once, and counted
    /// after [`Self::count`].
    #[must_use]
    pub fn new(disk: SharedDisk, folder: PathBuf, max_bytes: u64) -> Arc<Self> {
        let state = State { max_bytes, files: LruCache::unbounded(), bytes: 0, is_complete: false };
        Arc::new(Self {
            disk,
            folder,
            state: Mutex::new(state),
            writes: Arc::new(Semaphore::new(MOST_WRITES)),
            temporary_files: AtomicU64::new(0),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads a result; `None` if it is not cached.
    pub async fn get(self: &Arc<Self>, key: RenderedKey) -> Option<Bytes> {
        {
            let mut state = self.state();
            let is_known = state.files.get(&key).is_some();
            if state.max_bytes == 0 || state.is_complete && !is_known {
                return None;
            }
        }
        let cache = self.clone();
        tokio::task::spawn_blocking(move || cache.read(key)).await.ok().flatten()
    }

    /// Caches a result, in the background.
    pub fn put(self: &Arc<Self>, key: RenderedKey, bytes: Bytes) {
        if size_on_disk(bytes.len()) > self.state().max_bytes {
            return;
        }
        let Ok(permit) = self.writes.clone().try_acquire_owned() else { return };
        let cache = self.clone();
        tokio::task::spawn_blocking(move || {
            cache.write(key, &bytes);
            drop(permit);
        });
    }

    /// Changes the bound; what exceeds it is deleted.
    pub fn bound(&self, max_bytes: u64) {
        self.state().max_bytes = max_bytes;
        self.evict();
    }

    /// Counts the files of earlier runs, and deletes what exceeds the bound. Blocks.
    pub fn count(&self) {
        let mut found = Vec::new();
        for folder in self.disk.list(&self.folder).unwrap_or_default() {
            let path = self.folder.join(&folder);
            if folder.starts_with(TEMPORARY) {
                self.remove(&path);
                continue;
            }
            for name in self.disk.list(&path).unwrap_or_default() {
                let file = path.join(&name);
                let length = self.disk.open(&file).and_then(|file| file.length());
                match (RenderedKey::from_name(&name), length) {
                    (Some(key), Ok(length)) => found.push((key, size_on_disk(length as usize))),
                    _ => self.remove(&file),
                }
            }
        }
        {
            let mut state = self.state();
            for (key, bytes) in found {
                if !state.files.contains(&key) {
                    state.files.put(key, bytes);
                    // Whatever was used since the start is used more recently.
                    state.files.demote(&key);
                    state.bytes += bytes;
                }
            }
            state.is_complete = true;
        }
        self.evict();
    }

    fn path(&self, key: RenderedKey) -> PathBuf {
        let name = key.name();
        self.folder.join(&name[..2]).join(name)
    }

    fn read(&self, key: RenderedKey) -> Option<Bytes> {
        let path = self.path(key);
        match self.read_file(key, &path) {
            Ok(bytes) => {
                self.insert(key, bytes.len());
                Some(bytes)
            }
            Err(error) => {
                if error.kind() != io::ErrorKind::NotFound {
                    tracing::warn!(path = %path.display(), %error, "a cached image cannot be read; it is rendered again");
                    self.remove(&path);
                }
                self.state().forget(key);
                None
            }
        }
    }

    fn read_file(&self, key: RenderedKey, path: &Path) -> io::Result<Bytes> {
        let file = self.disk.open(path)?;
        let length = usize::try_from(file.length()?).unwrap_or(usize::MAX);
        let corrupt = || io::Error::new(io::ErrorKind::InvalidData, "it is corrupt");
        if length < HEAD || length as u64 > self.state().max_bytes {
            return Err(corrupt());
        }
        let mut content = vec![0; length];
        file.read_exact_at(&mut content, 0)?;
        let content = Bytes::from(content);
        let bytes = content.slice(HEAD..);
        if content[..HEAD] != head(key, &bytes) {
            return Err(corrupt());
        }
        Ok(bytes)
    }

    fn write(&self, key: RenderedKey, bytes: &Bytes) {
        let number = Wrapping(self.temporary_files.fetch_add(1, Ordering::Relaxed));
        let temporary = self.folder.join(format!("{TEMPORARY}{number}"));
        let path = self.path(key);
        let write = || -> io::Result<()> {
            self.disk.create_folder(path.parent().unwrap_or(&self.folder))?;
            let file = self.disk.create(&temporary)?;
            file.write_all_at(&head(key, bytes), 0)?;
            file.write_all_at(bytes, HEAD as u64)?;
            drop(file);
            self.disk.rename(&temporary, &path)
        };
        match write() {
            Ok(()) => {
                self.insert(key, bytes.len());
                self.evict();
            }
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "an image could not be cached; it is rendered again when it is asked for");
                self.remove(&temporary);
            }
        }
    }

    /// Counts a file as used now.
    fn insert(&self, key: RenderedKey, length: usize) {
        let mut state = self.state();
        state.forget(key);
        let bytes = size_on_disk(length);
        state.bytes += bytes;
        state.files.put(key, bytes);
    }

    /// Deletes the least recently used files until the rest is within the bound.
    fn evict(&self) {
        loop {
            let evicted = {
                let mut state = self.state();
                if state.bytes <= state.max_bytes {
                    return;
                }
                let Some((key, bytes)) = state.files.pop_lru() else { return };
                state.bytes -= bytes;
                key
            };
            self.remove(&self.path(evicted));
        }
    }

    fn remove(&self, path: &Path) {
        match self.disk.remove(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(path = %path.display(), %error, "a cached image could not be deleted");
            }
            _ => {}
        }
    }
}

impl State {
    fn forget(&mut self, key: RenderedKey) {
        if let Some(bytes) = self.files.pop(&key) {
            self.bytes -= bytes;
        }
    }
}

/// What precedes the image in its file.
fn head(key: RenderedKey, bytes: &[u8]) -> [u8; HEAD] {
    let mut head = [0; HEAD];
    head[..MAGIC.len()].copy_from_slice(MAGIC);
    let digest = Sha256::new().chain_update(key.0).chain_update(bytes).finalize();
    head[MAGIC.len()..].copy_from_slice(&digest);
    head
}

/// Bytes of the blocks of a file with an image of this length.
fn size_on_disk(length: usize) -> u64 {
    (length as u64 + HEAD as u64).next_multiple_of(BLOCK)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::RealDisk;

    fn cache(folder: &Path, max_bytes: u64) -> Arc<RenderedCache> {
        RenderedCache::new(Arc::new(RealDisk), folder.join("rendered"), max_bytes)
    }

    fn key(number: u32) -> RenderedKey {
        RenderedKey::new(&["in", "a.jpg", &number.to_string()])
    }

    fn image(number: u32) -> Bytes {
        vec![number as u8; 10_000].into()
    }

    fn files(cache: &RenderedCache) -> usize {
        let folders = cache.disk.list(&cache.folder).unwrap_or_default();
        folders
            .iter()
            .map(|folder| cache.disk.list(&cache.folder.join(folder)).unwrap_or_default().len())
            .sum()
    }

    #[test]
    fn parts_of_a_key_do_not_run_together() {
        assert_ne!(RenderedKey::new(&["ab", "c"]), RenderedKey::new(&["a", "bc"]));
        assert_eq!(RenderedKey::from_name(&key(1).name()), Some(key(1)));
        for wrong in
            [key(1).name().to_uppercase(), key(1).name()[2..].to_owned(), "x".repeat(64), String::new()]
        {
            assert_eq!(RenderedKey::from_name(&wrong), None, "{wrong}");
        }
    }

    #[test]
    fn files_are_bounded_and_the_least_recently_used_is_deleted_first() {
        let folder = tempfile::tempdir().unwrap();
        let cache = cache(folder.path(), 5 * size_on_disk(10_000));
        for number in 0..20 {
            cache.write(key(number), &image(number));
            assert_eq!(cache.read(key(0)), Some(image(0)));
            assert!(files(&cache) <= 5 && cache.state().bytes <= 5 * size_on_disk(10_000));
        }
        assert_eq!(cache.read(key(1)), None);
        assert_eq!(cache.read(key(19)), Some(image(19)));
        cache.bound(0);
        assert_eq!((files(&cache), cache.read(key(0))), (0, None));
    }

    #[test]
    fn files_survive_a_restart_and_are_counted() {
        let folder = tempfile::tempdir().unwrap();
        let before = cache(folder.path(), 1 << 20);
        for number in 0..5 {
            before.write(key(number), &image(number));
        }
        std::fs::write(before.folder.join("tmp-0"), "torn").unwrap();
        let after = cache(folder.path(), 3 * size_on_disk(10_000));
        assert_eq!(after.read(key(4)), Some(image(4)), "before it is counted");
        after.count();
        assert_eq!((files(&after), after.state().files.len()), (3, 3));
        assert_eq!(after.read(key(4)), Some(image(4)), "used last");
        assert!(!after.folder.join("tmp-0").exists());
    }

    #[test]
    fn a_corrupt_file_is_deleted() {
        let folder = tempfile::tempdir().unwrap();
        let cache = cache(folder.path(), 1 << 20);
        let path = cache.path(key(1));
        cache.write(key(1), &Bytes::from_static(b"an image"));
        let whole = std::fs::read(&path).unwrap();
        for cut in 0..whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            assert_eq!((cache.read(key(1)), path.exists()), (None, false), "{cut}");
        }
        for at in 0..whole.len() {
            let mut wrong = whole.clone();
            wrong[at] ^= 1;
            std::fs::write(&path, wrong).unwrap();
            assert_eq!((cache.read(key(1)), path.exists()), (None, false), "{at}");
        }
        // Another's.
        cache.write(key(2), &Bytes::from_static(b"another"));
        std::fs::rename(cache.path(key(2)), &path)
            .or_else(|_| {
                std::fs::create_dir_all(path.parent().unwrap())
                    .and_then(|()| std::fs::rename(cache.path(key(2)), &path))
            })
            .unwrap();
        assert_eq!(cache.read(key(1)), None);
        assert_eq!(cache.read(key(2)), None);
        assert_eq!(cache.state().bytes, 0);
    }
}
