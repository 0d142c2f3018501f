//! Folders and files, as programs see them and after a power cut.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::file_content::FileContent;
use crate::random::Random;

/// Which of the changes not synced survive a power cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Survival {
    /// None.
    Nothing,
    /// A random part by this seed, page by page and name by name; pages may be torn.
    Some(u64),
    /// All: only the program died.
    All,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Entry {
    File(u64),
    Folder,
}

/// A name that was added or removed (`entry` is `None`) and not synced yet.
#[derive(Debug, Clone)]
struct Change {
    name: String,
    entry: Option<Entry>,
    /// For a name removed by a rename: the new one.
    moved_to: Option<(PathBuf, String)>,
}

#[derive(Debug, Clone, Default)]
struct Folder {
    durable: BTreeMap<String, Entry>,
    visible: BTreeMap<String, Entry>,
    pending: Vec<Change>,
}

impl Folder {
    fn change(&mut self, change: Change) {
        apply(&mut self.visible, &change);
        self.pending.push(change);
    }
}

fn apply(names: &mut BTreeMap<String, Entry>, change: &Change) {
    match change.entry {
        Some(entry) => drop(names.insert(change.name.clone(), entry)),
        None => drop(names.remove(&change.name)),
    }
}

/// A file system below one folder. Clones share unchanged parts.
#[derive(Debug, Clone)]
pub struct Tree {
    root: PathBuf,
    folders: BTreeMap<PathBuf, Arc<Folder>>,
    files: BTreeMap<u64, Arc<FileContent>>,
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
    /// An empty file system.
    pub fn new(root: &Path) -> Self {
        let folders = BTreeMap::from([(root.to_owned(), Arc::default())]);
        Self { root: root.to_owned(), folders, files: BTreeMap::new(), next: 0 }
    }

    fn folder(&mut self, path: &Path) -> io::Result<&mut Folder> {
        self.folders.get_mut(path).map(Arc::make_mut).ok_or_else(|| not_found(path))
    }

    pub(super) fn find(&self, path: &Path) -> io::Result<u64> {
        let (folder, name) = split(path);
        match self.folders.get(&folder).and_then(|folder| folder.visible.get(&name)) {
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
        let added = Change { name: to_name.clone(), entry: Some(Entry::File(file)), moved_to: None };
        self.folder(&to_folder)?.change(added);
        let (from_folder, name) = split(from);
        let removed = Change { name, entry: None, moved_to: Some((to_folder, to_name)) };
        self.folder(&from_folder)?.change(removed);
        Ok(())
    }

    pub(super) fn remove(&mut self, path: &Path) -> io::Result<()> {
        self.find(path)?;
        let (folder, name) = split(path);
        self.folder(&folder)?.change(Change { name, entry: None, moved_to: None });
        Ok(())
    }

    /// Its durable contents are retained: a power cut may restore them.
    pub(super) fn remove_folder(&mut self, path: &Path) -> io::Result<()> {
        if !self.folder(path)?.visible.is_empty() {
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
        folder.durable = folder.visible.clone();
        folder.pending.clear();
        Ok(())
    }

    pub(super) fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let folder = self.folders.get(path).ok_or_else(|| not_found(path))?;
        Ok(folder.visible.keys().cloned().collect())
    }

    pub(super) fn content(&self, file: u64) -> &FileContent {
        &self.files[&file]
    }

    pub(super) fn content_mut(&mut self, file: u64) -> &mut FileContent {
        Arc::make_mut(self.files.get_mut(&file).unwrap())
    }

    /// The file system after a restart of the machine (or, with [`Survival::All`], the program).
    pub fn after_cut(&self, survival: Survival) -> Self {
        let mut after = self.clone();
        let mut random = match survival {
            Survival::All => return after,
            Survival::Nothing => None,
            Survival::Some(seed) => Some(Random::new(seed)),
        };
        after.lose_unsynced_names(random.as_mut());
        after.remove_unreachable();
        for content in after.files.values_mut() {
            match &mut random {
                None => Arc::make_mut(content).lose_unsynced(),
                Some(random) => Arc::make_mut(content).lose_some_unsynced(random),
            }
        }
        after
    }

    /// Loses the names that were not synced, or with `random` some of them. A renamed file retains at least one of its
    /// names.
    fn lose_unsynced_names(&mut self, mut random: Option<&mut Random>) {
        let mut removed = Vec::new();
        for (path, folder) in &mut self.folders {
            let folder = Arc::make_mut(folder);
            for change in std::mem::take(&mut folder.pending) {
                if random.as_mut().is_some_and(|random| random.permille(500)) {
                    match change.moved_to {
                        Some(to) => removed.push((path.clone(), change.name, to)),
                        None => apply(&mut folder.durable, &change),
                    }
                }
            }
            folder.visible = folder.durable.clone();
        }
        for (path, name, (to_folder, to_name)) in removed {
            let at = |folders: &BTreeMap<PathBuf, Arc<Folder>>, folder: &Path, name: &str| {
                folders.get(folder).and_then(|folder| folder.visible.get(name).copied())
            };
            let old = at(&self.folders, &path, &name);
            if old.is_some() && old == at(&self.folders, &to_folder, &to_name) {
                let folder = Arc::make_mut(self.folders.get_mut(&path).unwrap());
                folder.visible.remove(&name);
                folder.durable.remove(&name);
            }
        }
    }

    fn remove_unreachable(&mut self) {
        let (mut folders, mut files) = (BTreeSet::new(), BTreeSet::new());
        let mut left = vec![self.root.clone()];
        while let Some(path) = left.pop() {
            for (name, entry) in &self.folders[&path].visible {
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

    /// The paths of the files below a folder.
    pub fn files_below(&self, path: &Path) -> Vec<PathBuf> {
        let below = self.folders.iter().filter(|(folder, _)| folder.starts_with(path));
        below
            .flat_map(|(path, folder)| {
                let files = folder.visible.iter().filter(|(_, entry)| matches!(entry, Entry::File(_)));
                files.map(|(name, _)| path.join(name))
            })
            .collect()
    }
}
