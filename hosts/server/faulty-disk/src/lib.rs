//! A disk with injected faults and delays, for tests and benchmarks.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tintype::disk::{Disk, DiskFile, EIO, FileId, SharedDisk, Space};

#[derive(Debug, Default)]
struct Hangs {
    /// Reads of paths that contain this.
    reads: Option<String>,
    /// All reads and syncs.
    all: bool,
    /// The number of operations that hang now.
    hanging: usize,
}

/// The faults of a disk; shared, so that they can be changed while the disk is in use.
#[derive(Debug, Default)]
pub struct Faults {
    full: AtomicBool,
    read_only: AtomicBool,
    failing_space: AtomicBool,
    free: Mutex<Option<u64>>,
    failing_reads: Mutex<Option<String>>,
    failing_syncs: Mutex<Option<(String, u64)>>,
    hangs: Mutex<Hangs>,
    resumed: Condvar,
    sync_micros: AtomicU64,
    syncs: AtomicU64,
}

impl Faults {
    /// Every write fails as on a full disk.
    pub fn set_full(&self, full: bool) {
        self.full.store(full, Ordering::SeqCst);
    }

    /// Every write fails as on a volume mounted read-only.
    pub fn set_read_only(&self, read_only: bool) {
        self.read_only.store(read_only, Ordering::SeqCst);
    }

    /// The volume does not report its space.
    pub fn fail_space(&self, fail: bool) {
        self.failing_space.store(fail, Ordering::SeqCst);
    }

    /// The volume reports this many free bytes; with `None` the real number.
    pub fn set_free(&self, free: Option<u64>) {
        *self.free.lock().unwrap_or_else(PoisonError::into_inner) = free;
    }

    /// Reads of files whose path contains `pattern` fail with EIO; with `None` no more.
    pub fn fail_reads(&self, pattern: Option<&str>) {
        *self.failing_reads.lock().unwrap_or_else(PoisonError::into_inner) = pattern.map(str::to_owned);
    }

    /// The next `times` syncs of files or folders whose path ends with `suffix` fail with an I/O error; the written data
    /// may or may not be on the disk.
    pub fn fail_syncs(&self, suffix: &str, times: u64) {
        *self.failing_syncs.lock().unwrap_or_else(PoisonError::into_inner) = Some((suffix.to_owned(), times));
    }

    /// Reads of files whose path contains `pattern` hang; with `None` no more.
    pub fn hang_reads(&self, pattern: Option<&str>) {
        self.hangs().reads = pattern.map(str::to_owned);
        self.resumed.notify_all();
    }

    /// Every operation hangs, as on a network disk without its network; with `false` no more.
    pub fn hang_all(&self, hang: bool) {
        self.hangs().all = hang;
        self.resumed.notify_all();
    }

    /// The number of operations that hang.
    pub fn hanging(&self) -> usize {
        self.hangs().hanging
    }

    fn hangs(&self) -> MutexGuard<'_, Hangs> {
        self.hangs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hang_while(&self, hang: impl Fn(&Hangs) -> bool) {
        let mut hangs = self.hangs();
        if hang(&hangs) {
            hangs.hanging += 1;
            while hang(&hangs) {
                hangs = self.resumed.wait(hangs).unwrap_or_else(PoisonError::into_inner);
            }
            hangs.hanging -= 1;
        }
    }

    /// Every sync takes this much longer.
    pub fn set_sync_cost(&self, cost: Duration) {
        self.sync_micros.store(u64::try_from(cost.as_micros()).unwrap_or(u64::MAX), Ordering::SeqCst);
    }

    /// The number of syncs of files and folders so far.
    pub fn syncs(&self) -> u64 {
        self.syncs.load(Ordering::SeqCst)
    }

    fn hang(&self) {
        self.hang_while(|hangs| hangs.all);
    }

    fn read(&self, path: &Path) -> io::Result<()> {
        let path = path.to_string_lossy();
        let matches = |pattern: &String| path.contains(pattern.as_str());
        self.hang_while(|hangs| hangs.all || hangs.reads.as_ref().is_some_and(matches));
        match &*self.failing_reads.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(pattern) if matches(pattern) => Err(io::Error::from_raw_os_error(EIO)),
            _ => Ok(()),
        }
    }

    fn write(&self) -> io::Result<()> {
        self.hang();
        if self.read_only.load(Ordering::SeqCst) {
            return Err(io::Error::new(io::ErrorKind::ReadOnlyFilesystem, "read-only file system"));
        }
        if self.full.load(Ordering::SeqCst) {
            return Err(io::Error::new(io::ErrorKind::StorageFull, "no space left on device"));
        }
        Ok(())
    }

    fn sync(&self, path: &Path) -> io::Result<()> {
        self.syncs.fetch_add(1, Ordering::SeqCst);
        self.hang();
        let cost = self.sync_micros.load(Ordering::SeqCst);
        if cost > 0 {
            std::thread::sleep(Duration::from_micros(cost));
        }
        match &mut *self.failing_syncs.lock().unwrap_or_else(PoisonError::into_inner) {
            Some((suffix, times)) if *times > 0 && path.to_string_lossy().ends_with(suffix.as_str()) => {
                *times -= 1;
                Err(io::Error::other("input/output error"))
            }
            _ => Ok(()),
        }
    }
}

/// A disk with faults around another.
#[derive(Debug)]
pub struct FaultyDisk {
    inner: SharedDisk,
    faults: Arc<Faults>,
}

impl FaultyDisk {
    /// Wraps `inner`.
    #[must_use]
    pub fn new(inner: SharedDisk, faults: Arc<Faults>) -> Self {
        Self { inner, faults }
    }

    fn file(&self, inner: Box<dyn DiskFile>, path: &Path) -> Box<dyn DiskFile> {
        Box::new(FaultyFile { inner, path: path.to_owned(), faults: self.faults.clone() })
    }
}

impl Disk for FaultyDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.faults.write()?;
        Ok(self.file(self.inner.create(path)?, path))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.faults.hang();
        Ok(self.file(self.inner.open(path)?, path))
    }

    fn open_or_create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.faults.hang();
        Ok(self.file(self.inner.open_or_create(path)?, path))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.faults.hang();
        self.inner.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.faults.hang();
        self.inner.remove(path)
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        self.faults.hang();
        self.inner.remove_folder(path)
    }

    fn create_folder(&self, path: &Path) -> io::Result<()> {
        self.faults.hang();
        self.inner.create_folder(path)
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        self.faults.sync(path)?;
        self.inner.sync_folder(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        self.faults.hang();
        self.inner.list(path)
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        self.faults.hang();
        if self.faults.failing_space.load(Ordering::SeqCst) {
            return Err(io::Error::from_raw_os_error(EIO));
        }
        let space = self.inner.space(path)?;
        let free = *self.faults.free.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Space { free: free.unwrap_or(space.free), ..space })
    }
}

#[derive(Debug)]
struct FaultyFile {
    inner: Box<dyn DiskFile>,
    path: PathBuf,
    faults: Arc<Faults>,
}

impl DiskFile for FaultyFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.faults.read(&self.path)?;
        self.inner.read_at(buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.faults.write()?;
        self.inner.write_at(bytes, offset)
    }

    fn length(&self) -> io::Result<u64> {
        self.faults.hang();
        self.inner.length()
    }

    fn id(&self) -> io::Result<FileId> {
        self.faults.hang();
        self.inner.id()
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        self.faults.hang();
        if length > self.inner.length()? {
            self.faults.write()?;
        }
        self.inner.set_length(length)
    }

    fn sync(&self) -> io::Result<()> {
        self.faults.sync(&self.path)?;
        self.inner.sync()
    }
}
