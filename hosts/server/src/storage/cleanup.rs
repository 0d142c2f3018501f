//! What unfinished work of an earlier run left on disk, removed in the background after the start.

use std::{path::Path, sync::Arc};

use tintype_pipeline::store::Location;

use super::{
    StoreFault,
    files::Files,
    folder::FOLDER_BITS,
    integrity::{is_folder_of_objects, number},
    object_file::{self, Header, Unreadable},
    publication::Publisher,
};
use crate::{disk::is_wrong_type, ledger::listed_key};

/// Puts under way at once are far fewer than this, so a file that the ledger does not reference is at most so much
/// older than the last order of its run.
pub(super) const SCAN_WINDOW: u64 = 1 << 13;

/// The first order that orphaned files of a run can have whose last commit was `last`.
pub(super) const fn oldest_orphan(last: u64) -> u64 {
    last.saturating_sub(SCAN_WINDOW)
}

/// Removes what earlier runs left.
#[derive(Debug)]
pub struct Cleanup {
    publisher: Arc<Publisher>,
}

impl Cleanup {
    pub(super) const fn new(publisher: Arc<Publisher>) -> Self {
        Self { publisher }
    }

    fn files(&self) -> &Files {
        &self.publisher.files
    }

    /// Removes temporary files of earlier runs, files in the trash, and files that were published but
    /// never committed. Files of this run are not touched, so it may run beside everything else.
    ///
    /// # Errors
    /// Ledger or disk cannot be read. Files that cannot be removed are logged and left; whatever is left is
    /// tried again after the next start.
    pub fn run(&self) -> Result<(), StoreFault> {
        let Files { disk, folder, orders, .. } = self.files();
        for name in disk.list(&folder.incoming())? {
            if number(&name).is_some_and(|order| orders.is_earlier(order)) {
                let _ = self.remove_file(&folder.incoming().join(name));
            }
        }
        let ledger = &self.publisher.ledger;
        let trash = ledger.view()?.trash()?;
        let trash: Vec<u64> = trash.into_iter().filter(|order| orders.is_earlier(*order)).collect();
        self.publisher.unlink(&trash);

        self.remove_empty_folders()?;
        let Some(unclean) = ledger.view()?.unclean()? else { return Ok(()) };
        let oldest = folder.object_folder(unclean);
        let (mut all_gone, mut removed) = (true, 0_u64);
        let oldest = oldest.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let mut below = disk.list(&folder.objects())?;
        below.retain(|name| is_folder_of_objects(name) && *name >= oldest);
        for name in below {
            let objects = folder.objects().join(&name);
            for name in disk.list(&objects)? {
                let path = objects.join(&name);
                if number(&name).is_some_and(|order| orders.is_earlier(order)) {
                    let is_referenced = self.is_referenced(&path)?;
                    // In this order: a backup that begins after the look does not need the file.
                    let is_needed = is_referenced || self.publisher.lease.is_held();
                    let is_gone = !is_needed && self.remove_file(&path);
                    removed += u64::from(is_gone);
                    all_gone &= is_referenced || is_gone;
                }
            }
            // Also for what an earlier run removed: only then no power cut brings it back.
            disk.sync_folder(&objects)?;
        }
        if removed > 0 {
            tracing::info!(files = removed, "files of unfinished uploads of an earlier run were removed");
        }
        if all_gone { self.publisher.orphaned.cleaned().wait() } else { Ok(()) }
    }

    /// Removes folders of objects that hold none any more. This run's files lie in later ones.
    fn remove_empty_folders(&self) -> Result<(), StoreFault> {
        let Files { disk, folder, orders, .. } = self.files();
        let first = orders.first() >> FOLDER_BITS;
        let mut any = false;
        for name in disk.list(&folder.objects())? {
            let is_earlier = number(&name).is_some_and(|number| number < first);
            if is_folder_of_objects(&name) && is_earlier {
                // Most are not empty; trying costs less than listing them.
                any |= disk.remove_folder(&folder.objects().join(&name)).is_ok();
            }
        }
        if any {
            disk.sync_folder(&folder.objects())?;
        }
        Ok(())
    }

    /// Whether the ledger references an object file. One whose head is corrupt counts as referenced: `check` reports it.
    fn is_referenced(&self, path: &Path) -> Result<bool, StoreFault> {
        let file = match self.files().disk.open(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound || is_wrong_type(&error) => {
                return Ok(true);
            }
            opened => opened?,
        };
        let header = match object_file::read(file.as_ref()) {
            Ok(header) => header,
            Err(Unreadable::Corrupt(_)) => return Ok(true),
            Err(Unreadable::Disk(error)) => return Err(error.into()),
        };
        let Header { bucket, key, part, record } = header;
        let view = self.publisher.ledger.view()?;
        if let Some((upload, number)) = part {
            return Ok(view.part(&upload, number)?.is_some_and(|part| part.order == record.order));
        }
        let Ok(key) = listed_key(&key) else { return Ok(true) };
        let current = view.object(&Location { bucket, key })?;
        Ok(current.is_some_and(|current| current.order == record.order))
    }

    fn remove_file(&self, path: &Path) -> bool {
        match self.files().disk.remove(path) {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "an orphaned file could not be removed");
                false
            }
        }
    }
}
