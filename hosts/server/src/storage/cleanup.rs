//! What unfinished work of an earlier run left on disk, removed in the background after the start.

use tintype_pipeline::store::Location;

use super::{
    DiskStore, StoreFault,
    folder::FOLDER_BITS,
    is_folder_of_objects, number,
    object_file::{self, Story, Unreadable},
};
use crate::{disk::is_wrong_type, ledger::Pending};

/// Puts under way at once are far fewer than this, so a file nothing mentions is at most so much older
/// than the last order of its run.
pub(crate) const REACH: u64 = 1 << 13;

/// From which order on leftovers of a run lie that committed `last` at last.
pub(super) fn reach(last: u64) -> u64 {
    last.saturating_sub(REACH)
}

impl DiskStore {
    /// Removes temporary files of earlier runs, files in the trash, and files that were published but
    /// never committed. Files of this run are not touched, so it may run beside everything else.
    ///
    /// # Errors
    /// Ledger or disk cannot be read. Files that cannot be removed are logged and left; whatever is left is
    /// tried again after the next start.
    pub fn clean_up(&self) -> Result<(), StoreFault> {
        for name in self.disk.list(&self.folder.incoming())? {
            if u64::from_str_radix(&name, 16).is_ok_and(|order| order < self.first_order) {
                let _ = self.remove_file(&self.folder.incoming().join(name));
            }
        }
        let trash = self.ledger.view()?.trash()?;
        self.unlink(&trash.into_iter().filter(|order| *order < self.first_order).collect::<Vec<_>>());

        self.remove_empty_folders()?;
        let Some(unclean) = self.ledger.view()?.unclean()? else { return Ok(()) };
        let oldest = self.folder.object_folder(unclean);
        let (mut all_gone, mut removed) = (true, 0_u64);
        let oldest = oldest.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let mut folders = self.disk.list(&self.folder.objects())?;
        folders.retain(|name| is_folder_of_objects(name) && *name >= oldest);
        for folder in folders {
            let folder = self.folder.objects().join(&folder);
            for name in self.disk.list(&folder)? {
                let path = folder.join(&name);
                let order = u64::from_str_radix(&name, 16);
                if order.is_ok_and(|order| order < self.first_order) {
                    let is_mentioned = self.is_mentioned(&path)?;
                    let is_gone = !is_mentioned && self.remove_file(&path);
                    removed += u64::from(is_gone);
                    all_gone &= is_mentioned || is_gone;
                }
            }
            // Also for what an earlier run removed: only then no power cut brings it back.
            self.disk.sync_folder(&folder)?;
        }
        if removed > 0 {
            tracing::info!(
                files = removed,
                "files of uploads that an earlier run had not finished are removed"
            );
        }
        if !all_gone {
            return Ok(());
        }
        // What this run has left so far is for the cleaning after the next start.
        let leftovers = self.leftovers.clone();
        let pending = self.ledger.submit(Vec::new(), move |changes| {
            Ok::<_, StoreFault>(changes.set_unclean(leftovers.cleaned())?)
        });
        pending.wait()
    }

    /// Removes folders of objects that hold none any more. This run's files lie in later ones.
    fn remove_empty_folders(&self) -> Result<(), StoreFault> {
        let first = self.first_order >> FOLDER_BITS;
        let mut any = false;
        for name in self.disk.list(&self.folder.objects())? {
            let is_earlier = number(&name).is_some_and(|number| number < first);
            if is_folder_of_objects(&name) && is_earlier {
                // Most are not empty, which the disk says for less than listing them costs.
                any |= self.disk.remove_folder(&self.folder.objects().join(&name)).is_ok();
            }
        }
        if any {
            self.disk.sync_folder(&self.folder.objects())?;
        }
        Ok(())
    }

    /// Whether the ledger mentions an object file. One whose head is damaged counts as mentioned: it is not for
    /// a cleaner to judge damage.
    fn is_mentioned(&self, path: &std::path::Path) -> Result<bool, StoreFault> {
        let file = match self.disk.open(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound || is_wrong_type(&error) => {
                return Ok(true);
            }
            opened => opened?,
        };
        let story = match object_file::read(file.as_ref()) {
            Ok(story) => story,
            Err(Unreadable::Damaged(_)) => return Ok(true),
            Err(Unreadable::Disk(error)) => return Err(error.into()),
        };
        let Story { bucket, key, part, record } = story;
        let view = self.ledger.view()?;
        if let Some((upload, number)) = part {
            return Ok(view.part(&upload, number)?.is_some_and(|part| part.order == record.order));
        }
        let Ok(key) = crate::ledger::listed_key(&key) else { return Ok(true) };
        let current = view.object(&Location { bucket, key })?;
        Ok(current.is_some_and(|current| current.order == record.order))
    }

    fn remove_file(&self, path: &std::path::Path) -> bool {
        match self.disk.remove(path) {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "a leftover file could not be removed");
                false
            }
        }
    }

    /// A file of this run is left for the cleaning after a later start, which need not have it in reach. Nobody waits for
    /// that: if it is not written down, a leftover may stay.
    pub(super) fn remember_leftover(&self, order: u64) {
        self.leftovers.stays(order);
        let _ = self.look_back_to(order);
    }

    /// Has the cleaning after the next start look as far back as to a file that is not published yet, until
    /// [`Self::is_settled`].
    pub(super) fn keep_in_reach(&self, order: u64) -> Pending<(), StoreFault> {
        self.leftovers.is_passed(order);
        self.look_back_to(order)
    }

    /// The cleaning need not look for a file any more that was kept in its reach. Nobody waits for that: it would only look
    /// further back than it had to.
    pub(super) fn is_settled(&self, order: u64) {
        self.leftovers.is_settled(order);
        let leftovers = self.leftovers.clone();
        let _ = self.ledger.submit(Vec::new(), move |changes| match leftovers.of_this_run_alone() {
            Some(unclean) => changes.set_unclean(unclean),
            None => Ok(()),
        });
    }

    fn look_back_to(&self, order: u64) -> Pending<(), StoreFault> {
        self.ledger.submit(Vec::new(), move |changes| {
            Ok(changes.set_unclean(Some(changes.unclean()?.unwrap_or(u64::MAX).min(order)))?)
        })
    }
}
