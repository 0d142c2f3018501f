//! Compares what is stored with the replies that clients received.

use std::path::Path;

use tintype::settings::Settings;
use tintype::{queue::DeadLetterFilter, storage::StoreFault};

use crate::{
    common::{IN, OUT, at},
    disk::{SimulatedDisk, Tree},
    images::Content,
    request_log::RequestLog,
    system::System,
};

/// Checks the promises to clients after a recovery.
pub struct ConsistencyCheck<'a> {
    pub settings: &'a Settings,
    pub log: &'a RequestLog,
}

fn message(fault: &StoreFault) -> String {
    fault.to_string()
}

fn describe(content: Option<Content>) -> String {
    content.map_or("nothing".into(), |content| content.to_string())
}

impl ConsistencyCheck<'_> {
    /// Opens a disk after a power cut and checks every promise: at once, after the cleanup, and after the queue has
    /// drained.
    pub fn check(&self, tree: Tree) -> Result<(), String> {
        let root: &Path = &self.settings.data;
        let disk = SimulatedDisk::new(root, tree);
        let system = System::open(disk.shared(), self.settings)
            .map_err(|error| format!("the data folder cannot be opened after the power cut: {error}"))?;
        self.sources(&system)?;
        self.events(&system)?;
        system.store.cleanup.run().map_err(|fault| message(&fault))?;
        self.no_orphaned_files(&system, &disk.tree())?;
        self.drained(&system)?;
        self.no_orphaned_files(&system, &disk.tree())
    }

    /// Drains the queue, including events that were stopped too often, then checks sources and thumbnails.
    pub fn drained(&self, system: &System) -> Result<(), String> {
        system.drain()?;
        system.redrive(Some("stopped"))?;
        system.drain()?;
        self.sources(system)?;
        self.thumbnails(system)
    }

    /// Every key holds exactly the bytes of an acceptable version.
    pub fn sources(&self, system: &System) -> Result<(), String> {
        self.log.keys().into_iter().try_for_each(|key| self.source(system, key, self.log.len()).map(drop))
    }

    /// The content of a key, checked; requests acknowledged before `since` must be visible.
    pub fn source(&self, system: &System, key: &str, since: usize) -> Result<Option<Content>, String> {
        let broken = |fault: String| format!("{key} {fault}; its requests:\n{}", self.log.describe(key));
        let bytes = system.read(&at(IN, key)).map_err(|fault| broken(format!("cannot be read: {fault}")))?;
        let acceptable = self.log.acceptable(key, since);
        let found = acceptable.iter().find(|content| content.map(Content::bytes) == bytes);
        found.copied().ok_or_else(|| {
            let expected: Vec<_> = acceptable.into_iter().map(describe).collect();
            let holds = bytes.map_or("nothing".into(), |bytes| {
                let start = String::from_utf8_lossy(&bytes[..bytes.len().min(70)]).into_owned();
                format!("{} bytes: {start:?}", bytes.len())
            });
            broken(format!("holds {holds}; expected: {}", expected.join(", or ")))
        })
    }

    /// Every source has an event in the queue, a current thumbnail, or a dead letter.
    fn events(&self, system: &System) -> Result<(), String> {
        for key in self.log.keys() {
            let place = at(IN, key);
            let Some(object) = system.store.objects.head(&place).map_err(|fault| message(&fault))? else {
                continue;
            };
            let queued = system.queue.event_of(&place).map_err(|error| error.to_string())?.is_some();
            if !queued
                && matched(system, key)
                && !self.log.may_be_purged(key)
                && !has_thumbnails(system, key, &object.etag)?
                && dead_letters(system, key, object.order)?.is_empty()
            {
                return Err(format!(
                    "{key} has neither an event nor a thumbnail:\n{}",
                    self.log.describe(key)
                ));
            }
        }
        Ok(())
    }

    /// With an empty queue every image has its thumbnail, every other source a dead letter, and a mirrored delete left no
    /// thumbnail.
    fn thumbnails(&self, system: &System) -> Result<(), String> {
        let has_outcome = |key: &&str| matched(system, key) && !self.log.may_be_purged(key);
        for key in self.log.keys().into_iter().filter(has_outcome) {
            let broken =
                |fault: String| Err(format!("{key} {fault}; its requests:\n{}", self.log.describe(key)));
            let mirrored = system.store.notifications.triggers().iter().any(|trigger| trigger.removed);
            let Some(content) = self.source(system, key, self.log.len())? else {
                if mirrored && thumbnail(system, key, 0)?.is_some() {
                    return broken("is deleted, and its thumbnail is not".into());
                }
                continue;
            };
            let object = system.store.objects.head(&at(IN, key)).map_err(|fault| message(&fault))?;
            let Some(object) = object else { return broken("has disappeared".into()) };
            let dead_letters = dead_letters(system, key, object.order)?;
            if !content.is_image {
                if dead_letters.is_empty() {
                    return broken("is no image and has no dead letter".into());
                }
                continue;
            }
            if !has_thumbnails(system, key, &object.etag)? {
                return broken(format!("has no current thumbnail; dead letters: {dead_letters:?}"));
            }
            if !dead_letters.is_empty() {
                return broken(format!("has a thumbnail, and dead letters: {dead_letters:?}"));
            }
            if let Some(Thumbnail { dimensions, .. }) = thumbnail(system, key, 0)?
                && dimensions != content.dimensions()
            {
                return broken(format!("has a thumbnail of another version's size {dimensions:?}"));
            }
        }
        Ok(())
    }

    /// The ledger refers to every file on the disk.
    pub fn no_orphaned_files(&self, system: &System, tree: &Tree) -> Result<(), String> {
        let view = system.ledger.view().map_err(|error| error.to_string())?;
        let mut referenced = 0;
        for bucket in [IN, OUT] {
            let page = tintype::storage::PageRequest { max: 10_000, ..Default::default() };
            referenced +=
                system.store.listing.page(bucket, &page).map_err(|fault| message(&fault))?.objects.len();
        }
        let mut uploads = Vec::new();
        let walked = view.walk_uploads(|id, _| {
            uploads.push(id.to_owned());
            true
        });
        walked.map_err(|error| error.to_string())?;
        for id in uploads {
            referenced += view.parts(&id).map_err(|error| error.to_string())?.len();
        }
        let objects = tree.files_below(&self.settings.data.join("objects"));
        let unfinished = tree.files_below(&self.settings.data.join("incoming"));
        if objects.len() == referenced && unfinished.is_empty() {
            return Ok(());
        }
        Err(format!(
            "the ledger refers to {referenced} files, but there are {objects:?} and, unfinished, {unfinished:?}"
        ))
    }
}

/// The ETag of a thumbnail's source, and its width and height.
struct Thumbnail {
    source_etag: String,
    dimensions: (u32, u32),
}

/// Whether a trigger matches a key.
fn matched(system: &System, key: &str) -> bool {
    system.store.notifications.triggers().iter().any(|trigger| trigger.matches(IN, key))
}

/// Whether all thumbnails of a source's current version exist.
fn has_thumbnails(system: &System, key: &str, etag: &str) -> Result<bool, String> {
    let triggers = system.store.notifications.triggers();
    let Some(trigger) = triggers.iter().find(|trigger| trigger.matches(IN, key)) else { return Ok(true) };
    for index in 0..trigger.renditions.len() {
        let thumbnail = thumbnail(system, key, index)?;
        if thumbnail.is_none_or(|thumbnail| thumbnail.source_etag != etag) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn thumbnail(system: &System, key: &str, index: usize) -> Result<Option<Thumbnail>, String> {
    let place = at(OUT, &format!("{}{key}", ["thumb_", "small_"][index]));
    let unreadable = |fault: StoreFault| format!("{place} cannot be read: {fault}");
    let Some(object) = system.store.objects.open(&place).map_err(unreadable)? else { return Ok(None) };
    let bytes = object.bytes().map_err(unreadable)?;
    let header = tintype_engine::probe(&bytes).map_err(|error| format!("{place} is torn: {error}"))?;
    let source_etag = object.record.headers.metadata.get("tintype-source-etag").cloned().unwrap_or_default();
    Ok(Some(Thumbnail { source_etag, dimensions: header.upright() }))
}

/// The dead letters of a version: of its own event, or of one queued later. A later one with the reason "missing" belongs
/// to another version, which was removed.
fn dead_letters(system: &System, key: &str, order: u64) -> Result<Vec<String>, String> {
    let filter = DeadLetterFilter { object: Some(at(IN, key)), ..DeadLetterFilter::default() };
    let dead_letters = system.queue.dead_letters(&filter).map_err(|error| error.to_string())?;
    let of_version = dead_letters
        .into_iter()
        .filter(|letter| letter.event.id == order || (letter.event.id > order && letter.reason != "missing"));
    Ok(of_version.map(|letter| format!("{}: {}", letter.reason, letter.message)).collect())
}
