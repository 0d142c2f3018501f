//! A disk in memory that loses what was not synced: contents page by page, and names added to or removed from folders.
//! Its state can be copied at every sync point. By its faults it fails, fills up, reads and writes short, is slow, and
//! pretends to sync.

mod faults;
mod file_content;
mod tree;

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tintype::disk::{Disk, DiskFile, FileId, SharedDisk, Space};

use faults::{Fault, Operation};
pub use faults::{Faults, SyncTarget};
pub use tree::{Survival, Tree};

/// Called just before each sync takes effect, with a function that copies the disk.
type OnSync = Box<dyn Fn(&dyn Fn() -> Tree) + Send + Sync>;

type BeforeSync = Box<dyn FnOnce() + Send>;

struct Shared {
    root: PathBuf,
    tree: Mutex<Tree>,
    faults: Mutex<Faults>,
    on_sync: Mutex<Option<OnSync>>,
    before_next_sync: Mutex<Option<BeforeSync>>,
}

/// The disk; clones share it.
#[derive(Clone)]
pub struct SimulatedDisk(Arc<Shared>);

impl fmt::Debug for SimulatedDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SimulatedDisk({})", self.0.root.display())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl SimulatedDisk {
    /// A disk with the contents of `tree`.
    pub fn new(root: &Path, tree: Tree) -> Self {
        Self(Arc::new(Shared {
            root: root.to_owned(),
            tree: Mutex::new(tree),
            faults: Mutex::default(),
            on_sync: Mutex::default(),
            before_next_sync: Mutex::default(),
        }))
    }

    pub fn shared(&self) -> SharedDisk {
        Arc::new(self.clone())
    }

    pub fn set_faults(&self, faults: Faults) {
        *lock(&self.0.faults) = faults;
    }

    /// The number of faults since they were set.
    pub fn fault_count(&self) -> usize {
        lock(&self.0.faults).count
    }

    /// A copy of its contents.
    pub fn tree(&self) -> Tree {
        lock(&self.0.tree).clone()
    }

    /// Sets a function to call just before each sync takes effect.
    pub fn on_sync(&self, hook: impl Fn(&dyn Fn() -> Tree) + Send + Sync + 'static) {
        *lock(&self.0.on_sync) = Some(Box::new(hook));
    }

    /// Sets a function to call once, before the next sync.
    pub fn before_next_sync(&self, hook: impl FnOnce() + Send + 'static) {
        *lock(&self.0.before_next_sync) = Some(Box::new(hook));
    }

    fn fails(&self, operation: Operation) -> io::Result<()> {
        match lock(&self.0.faults).at(operation) {
            Some(Fault::Fails(error)) => Err(error),
            Some(Fault::Short) | None => Ok(()),
        }
    }

    fn fails_to_sync(&self, path: &Path) -> io::Result<()> {
        match lock(&self.0.faults).at_sync(SyncTarget::of(path, &self.0.root)) {
            Some(Fault::Fails(error)) => Err(error),
            Some(Fault::Short) | None => Ok(()),
        }
    }

    /// How many of `length` bytes the next read or write transfers.
    fn transfers(&self, operation: Operation, length: usize) -> io::Result<usize> {
        let mut faults = lock(&self.0.faults);
        match faults.at(operation) {
            Some(Fault::Fails(error)) => Err(error),
            Some(Fault::Short) if length > 1 => Ok(1 + faults.random().below(length - 1)),
            Some(Fault::Short) | None => Ok(length),
        }
    }

    /// Calls the hooks and delays the sync; returns whether it is to be done, or only pretended.
    fn before_sync(&self, path: &Path) -> bool {
        let hook = lock(&self.0.before_next_sync).take();
        if let Some(hook) = hook {
            hook();
        }
        // The lock is held during the call, so that nothing else becomes durable meanwhile.
        if let Some(hook) = &*lock(&self.0.on_sync) {
            hook(&|| self.tree());
        }
        let mut faults = lock(&self.0.faults);
        let delay = faults.sync_delay();
        let is_honest = !faults.lies.contains(&SyncTarget::of(path, &self.0.root));
        drop(faults);
        std::thread::sleep(delay);
        is_honest
    }

    fn file(&self, file: u64, path: &Path) -> Box<dyn DiskFile> {
        Box::new(SimulatedFile { disk: self.clone(), file, path: path.to_owned() })
    }
}

impl Disk for SimulatedDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.fails(Operation::Create)?;
        let file = lock(&self.0.tree).create(path)?;
        Ok(self.file(file, path))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.fails(Operation::Open)?;
        let file = lock(&self.0.tree).find(path)?;
        Ok(self.file(file, path))
    }

    fn open_or_create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.fails(Operation::Open)?;
        let mut tree = lock(&self.0.tree);
        let file = tree.find(path).or_else(|_| tree.create(path))?;
        Ok(self.file(file, path))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.fails(Operation::Rename)?;
        lock(&self.0.tree).rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.fails(Operation::Remove)?;
        lock(&self.0.tree).remove(path)
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        self.fails(Operation::Remove)?;
        lock(&self.0.tree).remove_folder(path)
    }

    fn create_folder(&self, path: &Path) -> io::Result<()> {
        self.fails(Operation::Create)?;
        lock(&self.0.tree).create_folder(path)
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        let is_honest = self.before_sync(path);
        self.fails_to_sync(path)?;
        if is_honest { lock(&self.0.tree).sync_folder(path) } else { Ok(()) }
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        self.fails(Operation::List)?;
        lock(&self.0.tree).list(path)
    }

    fn space(&self, _: &Path) -> io::Result<Space> {
        Ok(Space { free: u64::MAX, total: u64::MAX })
    }
}

#[derive(Debug)]
struct SimulatedFile {
    disk: SimulatedDisk,
    file: u64,
    path: PathBuf,
}

impl DiskFile for SimulatedFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let length = self.disk.transfers(Operation::Read, buffer.len())?;
        Ok(lock(&self.disk.0.tree).content(self.file).read(&mut buffer[..length], offset))
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let length = self.disk.transfers(Operation::Write, bytes.len())?;
        lock(&self.disk.0.tree).content_mut(self.file).write(&bytes[..length], offset);
        Ok(length)
    }

    fn length(&self) -> io::Result<u64> {
        self.disk.fails(Operation::Read)?;
        Ok(lock(&self.disk.0.tree).content(self.file).length())
    }

    fn id(&self) -> io::Result<FileId> {
        Ok(FileId { device: 0, inode: self.file })
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        if length > lock(&self.disk.0.tree).content(self.file).length() {
            self.disk.fails(Operation::Extend)?;
        }
        lock(&self.disk.0.tree).content_mut(self.file).set_length(length);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let is_honest = self.disk.before_sync(&self.path);
        if let Err(error) = self.disk.fails_to_sync(&self.path) {
            let mut faults = lock(&self.disk.0.faults);
            lock(&self.disk.0.tree).content_mut(self.file).fail_to_sync(faults.random());
            return Err(error);
        }
        if is_honest {
            lock(&self.disk.0.tree).content_mut(self.file).sync();
        }
        Ok(())
    }
}
