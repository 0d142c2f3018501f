//! Compares what clients were told with what is there.

use std::path::Path;

use tintype::settings::Settings;
use tintype::{queue::DeadLetterFilter, storage::StoreFault};

use crate::{
    clients::Log,
    common::{IN, OUT, at},
    disk::{SimulatedDisk, Tree},
    pictures::Content,
    world::World,
};

/// A store opened after a power cut, and what clients were told before it.
pub struct Recovered<'a> {
    pub settings: &'a Settings,
    pub log: &'a Log,
}

fn words(fault: &StoreFault) -> String {
    fault.to_string()
}

fn named(content: Option<Content>) -> String {
    content.map_or("nothing".into(), |content| content.to_string())
}

impl Recovered<'_> {
    /// Opens what is on the disk and checks every promise: before anything else happens, after the cleaning,
    /// and after the queue has drained.
    pub fn check(&self, tree: Tree) -> Result<(), String> {
        let root: &Path = &self.settings.data;
        let disk = SimulatedDisk::holding(root, tree);
        let world = World::open(disk.shared(), self.settings)
            .map_err(|error| format!("what the power cut left cannot be opened: {error}"))?;
        self.sources(&world)?;
        self.nothing_is_forgotten(&world)?;
        world.store.cleanup.run().map_err(|fault| words(&fault))?;
        self.no_leftovers(&world, &disk.tree())?;
        self.drained(&world)?;
        self.no_leftovers(&world, &disk.tree())
    }

    /// Drains the queue, what was stopped too often included, then checks sources and thumbnails.
    pub fn drained(&self, world: &World) -> Result<(), String> {
        world.drain()?;
        world.redrive(Some("stopped"))?;
        world.drain()?;
        self.sources(world)?;
        self.thumbnails(world)
    }

    /// Every key holds exactly the bytes of a version that it may hold.
    pub fn sources(&self, world: &World) -> Result<(), String> {
        self.log.keys().into_iter().try_for_each(|key| self.source(world, key, self.log.len()).map(drop))
    }

    /// What a key holds, checked; requests acknowledged before `since` must show.
    pub fn source(&self, world: &World, key: &str, since: usize) -> Result<Option<Content>, String> {
        let broken = |what: String| format!("{key} {what}; its requests:\n{}", self.log.story(key));
        let bytes = world.read(&at(IN, key)).map_err(|fault| broken(format!("cannot be read: {fault}")))?;
        let acceptable = self.log.acceptable(key, since);
        let found = acceptable.iter().find(|content| content.map(Content::bytes) == bytes);
        found.copied().ok_or_else(|| {
            let expected: Vec<_> = acceptable.into_iter().map(named).collect();
            let holds = bytes.map_or("nothing".into(), |bytes| {
                let start = String::from_utf8_lossy(&bytes[..bytes.len().min(70)]).into_owned();
                format!("{} bytes: {start:?}", bytes.len())
            });
            broken(format!("holds {holds}; expected: {}", expected.join(", or ")))
        })
    }

    /// Every source has an event in the queue, a current thumbnail, or a dead letter.
    fn nothing_is_forgotten(&self, world: &World) -> Result<(), String> {
        for key in self.log.keys() {
            let place = at(IN, key);
            let Some(object) = world.store.objects.head(&place).map_err(|fault| words(&fault))? else {
                continue;
            };
            let queued = world.queue.event_of(&place).map_err(|error| error.to_string())?.is_some();
            if !queued
                && matched(world, key)
                && !self.log.may_be_purged(key)
                && !has_thumbnails(world, key, &object.etag)?
                && dead_letters(world, key, object.order)?.is_empty()
            {
                return Err(format!("{key} has neither an event nor a thumbnail:\n{}", self.log.story(key)));
            }
        }
        Ok(())
    }

    /// The queue is empty: every picture has its thumbnail, everything else its dead letter, and a mirrored
    /// delete left nothing.
    fn thumbnails(&self, world: &World) -> Result<(), String> {
        let told_of = |key: &&str| matched(world, key) && !self.log.may_be_purged(key);
        for key in self.log.keys().into_iter().filter(told_of) {
            let broken = |what: String| Err(format!("{key} {what}; its requests:\n{}", self.log.story(key)));
            let mirrored = world.store.notifications.triggers().iter().any(|trigger| trigger.removed);
            let Some(content) = self.source(world, key, self.log.len())? else {
                if mirrored && thumbnail(world, key, 0)?.is_some() {
                    return broken("is deleted, and its thumbnail is not".into());
                }
                continue;
            };
            let object = world.store.objects.head(&at(IN, key)).map_err(|fault| words(&fault))?;
            let Some(object) = object else { return broken("is gone again".into()) };
            let letters = dead_letters(world, key, object.order)?;
            if !content.good {
                if letters.is_empty() {
                    return broken("is no picture and has no dead letter".into());
                }
                continue;
            }
            if !has_thumbnails(world, key, &object.etag)? {
                return broken(format!("has no current thumbnail; dead letters: {letters:?}"));
            }
            if !letters.is_empty() {
                return broken(format!("has a thumbnail, and dead letters: {letters:?}"));
            }
            if let Some(Thumbnail { sides, .. }) = thumbnail(world, key, 0)?
                && sides != content.sides()
            {
                return broken(format!("has a thumbnail of {sides:?}, which another version would have"));
            }
        }
        Ok(())
    }

    /// Nothing is on disk that the ledger does not mention.
    pub fn no_leftovers(&self, world: &World, tree: &Tree) -> Result<(), String> {
        let view = world.ledger.view().map_err(|error| error.to_string())?;
        let mut mentioned = 0;
        for bucket in [IN, OUT] {
            let page = tintype::storage::PageRequest { max: 10_000, ..Default::default() };
            mentioned +=
                world.store.listing.page(bucket, &page).map_err(|fault| words(&fault))?.objects.len();
        }
        let mut uploads = Vec::new();
        let walked = view.walk_uploads(|id, _| {
            uploads.push(id.to_owned());
            true
        });
        walked.map_err(|error| error.to_string())?;
        for id in uploads {
            mentioned += view.parts(&id).map_err(|error| error.to_string())?.len();
        }
        let objects = tree.files_below(&self.settings.data.join("objects"));
        let unfinished = tree.files_below(&self.settings.data.join("incoming"));
        if objects.len() == mentioned && unfinished.is_empty() {
            return Ok(());
        }
        Err(format!(
            "the ledger mentions {mentioned} files, but there are {objects:?} and, unfinished, {unfinished:?}"
        ))
    }
}

/// What a thumbnail was made from, by ETag, and its width and height.
struct Thumbnail {
    of: String,
    sides: (u32, u32),
}

/// Whether a trigger wants a key.
fn matched(world: &World, key: &str) -> bool {
    world.store.notifications.triggers().iter().any(|trigger| trigger.matches(IN, key))
}

/// Whether a thumbnail of a source's current version is there, under every name it should have.
fn has_thumbnails(world: &World, key: &str, etag: &str) -> Result<bool, String> {
    let triggers = world.store.notifications.triggers();
    let Some(trigger) = triggers.iter().find(|trigger| trigger.matches(IN, key)) else { return Ok(true) };
    for index in 0..trigger.renditions.len() {
        let thumbnail = thumbnail(world, key, index)?;
        if thumbnail.is_none_or(|thumbnail| thumbnail.of != etag) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn thumbnail(world: &World, key: &str, index: usize) -> Result<Option<Thumbnail>, String> {
    let place = at(OUT, &format!("{}{key}", ["thumb_", "small_"][index]));
    let unreadable = |fault: StoreFault| format!("{place} cannot be read: {fault}");
    let Some(object) = world.store.objects.open(&place).map_err(unreadable)? else { return Ok(None) };
    let bytes = object.bytes().map_err(unreadable)?;
    let header = tintype_engine::probe(&bytes).map_err(|error| format!("{place} is torn: {error}"))?;
    let of = object.record.headers.metadata.get("tintype-source-etag").cloned().unwrap_or_default();
    Ok(Some(Thumbnail { of, sides: header.upright() }))
}

/// The reasons for which a version was given up, whether by its own event or by one that was queued for it later. One
/// that found nothing is of another version, which was removed.
fn dead_letters(world: &World, key: &str, order: u64) -> Result<Vec<String>, String> {
    let filter = DeadLetterFilter { object: Some(at(IN, key)), ..DeadLetterFilter::default() };
    let letters = world.queue.dead_letters(&filter).map_err(|error| error.to_string())?;
    let of_this = letters
        .into_iter()
        .filter(|letter| letter.event.id == order || (letter.event.id > order && letter.reason != "missing"));
    Ok(of_this.map(|letter| format!("{}: {}", letter.reason, letter.message)).collect())
}
