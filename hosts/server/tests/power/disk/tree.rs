//! Folders and files: what programs see, and what a power cut leaves of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::content::Content;
use crate::random::Random;

/// What becomes of what was not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Survival {
    /// All of it is lost.
    Nothing,
    /// Chance decides, page by page and name by name; pages may be torn.
    Some(u64),
    /// None of it is lost: only the program died.
    All,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Entry {
    File(u64),
    Folder,
}

/// A name given or taken away, not synced yet.
#[derive(Debug, Clone)]
struct Change {
    name: String,
    entry: Option<Entry>,
    /// For a name taken away by a rename: where the file went.
    moved_to: Option<(PathBuf, String)>,
}

#[derive(Debug, Clone, Default)]
struct Folder {
    durable: BTreeMap<String, Entry>,
    seen: BTreeMap<String, Entry>,
    pending: Vec<Change>,
}

impl Folder {
    fn change(&mut self, change: Change) {
        apply(&mut self.seen, &change);
        self.pending.push(change);
    }
}

fn apply(names: &mut BTreeMap<String, Entry>, change: &Change) {
    match change.entry {
        Some(entry) => drop(names.insert(change.name.clone(), entry)),
        None => drop(names.remove(&change.name)),
    }
}

/// A file system below one folder. Cloning it is cheap: what is alike is shared.
#[derive(Debug, Clone)]
pub struct Tree {
    root: PathBuf,
    folders: BTreeMap<PathBuf, Arc<Folder>>,
    files: BTreeMap<u64, Arc<Content>>,
    next: u64,
}

fn not_found(path: &Path) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("{} does not exist", path.display()))
}

fn split(path: &Path) -> (PathBuf, String) {
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    (path.parent().unwrap().to_owned(), name)
}

impl Tree {
    /// An empty file system: one folder.
    pub fn new(root: &Path) -> Self {
        let folders = BTreeMap::from([(root.to_owned(), Arc::default())]);
        Self { root: root.to_owned(), folders, files: BTreeMap::new(), next: 0 }
    }

    fn folder(&mut self, path: &Path) -> io::Result<&mut Folder> {
        self.folders.get_mut(path).map(Arc::make_mut).ok_or_else(|| not_found(path))
    }

    pub(super) fn find(&self, path: &Path) -> io::Result<u64> {
        let (folder, name) = split(path);
        match self.folders.get(&folder).and_then(|folder| folder.seen.get(&name)) {
            Some(Entry::File(file)) => Ok(*file),
            _ => Err(not_found(path)),
        }
    }

    pub(super) fn create(&mut self, path: &Path) -> io::Result<u64> {
        if self.find(path).is_ok() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let (folder, name) = split(path);
        let file = self.next;
        self.folder(&folder)?.change(Change { name, entry: Some(Entry::File(file)), moved_to: None });
        self.next += 1;
        self.files.insert(file, Arc::default());
        Ok(file)
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let file = self.find(from)?;
        let (to_folder, to_name) = split(to);
        let given = Change { name: to_name.clone(), entry: Some(Entry::File(file)), moved_to: None };
        self.folder(&to_folder)?.change(given);
        let (from_folder, name) = split(from);
        let taken = Change { name, entry: None, moved_to: Some((to_folder, to_name)) };
        self.folder(&from_folder)?.change(taken);
        Ok(())
    }

    pub(super) fn remove(&mut self, path: &Path) -> io::Result<()> {
        self.find(path)?;
        let (folder, name) = split(path);
        self.folder(&folder)?.change(Change { name, entry: None, moved_to: None });
        Ok(())
    }

    /// What it held durably stays known: a power cut may bring it back.
    pub(super) fn remove_folder(&mut self, path: &Path) -> io::Result<()> {
        if !self.folder(path)?.seen.is_empty() {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        let (above, name) = split(path);
        self.folder(&above)?.change(Change { name, entry: None, moved_to: None });
        Ok(())
    }

    pub(super) fn create_folder(&mut self, path: &Path) -> io::Result<()> {
        if self.folders.contains_key(path) {
            return Ok(());
        }
        let (above, name) = split(path);
        if !path.starts_with(&self.root) {
            return Err(not_found(path));
        }
        self.create_folder(&above)?;
        self.folder(&above)?.change(Change { name, entry: Some(Entry::Folder), moved_to: None });
        self.folders.insert(path.to_owned(), Arc::default());
        Ok(())
    }

    pub(super) fn sync_folder(&mut self, path: &Path) -> io::Result<()> {
        let folder = self.folder(path)?;
        folder.durable = folder.seen.clone();
        folder.pending.clear();
        Ok(())
    }

    pub(super) fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let folder = self.folders.get(path).ok_or_else(|| not_found(path))?;
        Ok(folder.seen.keys().cloned().collect())
    }

    pub(super) fn content(&self, file: u64) -> &Content {
        &self.files[&file]
    }

    pub(super) fn content_mut(&mut self, file: u64) -> &mut Content {
        Arc::make_mut(self.files.get_mut(&file).unwrap())
    }

    /// What is there when the machine (or, with [`Survival::All`], the program) starts again.
    pub fn after_cut(&self, survival: Survival) -> Self {
        let mut after = self.clone();
        let mut random = match survival {
            Survival::All => return after,
            Survival::Nothing => None,
            Survival::Some(seed) => Some(Random::new(seed)),
        };
        after.settle_names(random.as_mut());
        after.forget_unreachable();
        for content in after.files.values_mut() {
            match &mut random {
                None => Arc::make_mut(content).forget(),
                Some(random) => Arc::make_mut(content).forget_some(random),
            }
        }
        after
    }

    /// Leaves of each folder what was synced and, with `random`, what chance made durable before. A file
    /// that was renamed keeps at least one of its names.
    fn settle_names(&mut self, mut random: Option<&mut Random>) {
        let mut taken = Vec::new();
        for (path, folder) in &mut self.folders {
            let folder = Arc::make_mut(folder);
            for change in std::mem::take(&mut folder.pending) {
                if random.as_mut().is_some_and(|random| random.permille(500)) {
                    match change.moved_to {
                        Some(to) => taken.push((path.clone(), change.name, to)),
                        None => apply(&mut folder.durable, &change),
                    }
                }
            }
            folder.seen = folder.durable.clone();
        }
        for (path, name, (to_folder, to_name)) in taken {
            let at = |folders: &BTreeMap<PathBuf, Arc<Folder>>, folder: &Path, name: &str| {
                folders.get(folder).and_then(|folder| folder.seen.get(name).copied())
            };
            let old = at(&self.folders, &path, &name);
            if old.is_some() && old == at(&self.folders, &to_folder, &to_name) {
                let folder = Arc::make_mut(self.folders.get_mut(&path).unwrap());
                folder.seen.remove(&name);
                folder.durable.remove(&name);
            }
        }
    }

    fn forget_unreachable(&mut self) {
        let (mut folders, mut files) = (BTreeSet::new(), BTreeSet::new());
        let mut left = vec![self.root.clone()];
        while let Some(path) = left.pop() {
            for (name, entry) in &self.folders[&path].seen {
                match entry {
                    Entry::File(file) => drop(files.insert(*file)),
                    Entry::Folder => left.push(path.join(name)),
                }
            }
            folders.insert(path);
        }
        self.folders.retain(|path, _| folders.contains(path));
        self.files.retain(|file, _| files.contains(file));
    }

    /// Names of the files below a folder.
    pub fn files_below(&self, path: &Path) -> Vec<PathBuf> {
        let below = self.folders.iter().filter(|(folder, _)| folder.starts_with(path));
        below
            .flat_map(|(path, folder)| {
                let files = folder.seen.iter().filter(|(_, entry)| matches!(entry, Entry::File(_)));
                files.map(|(name, _)| path.join(name))
            })
            .collect()
    }
}
