//! The queue beside a model of it: random commands, and after each the same events, attempts and dead letters
//! in both. Where the queue may choose, the model takes its choice, if it was allowed.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use proptest::prelude::*;
use tintype::settings::Settings;
use tintype::{
    ledger::{LedgerError, Tries},
    queue::{DeadLetterFilter, EventRecord, Lease, Next, Queue},
};
use tintype_pipeline::{
    Disposition, Failure, Ignored, Outcome, Reason, RetryPolicy, event::Kind, store::Condition,
};

use crate::{
    common::{IN, at, finish, settings},
    disk::{SimulatedDisk, Survival, Tree},
    world::World,
};

const KEYS: [&str; 2] = ["a.jpg", "b.jpg"];
const RETRIES: u32 = 2;
/// Attempts that may end with the program itself.
const MAX_CRASHES: u32 = 5;

#[derive(Debug, Clone)]
enum Command {
    Put(usize),
    Delete(usize),
    Lease,
    /// How the attempt in a slot ends.
    Finish(usize, Ending),
    Crash {
        power: bool,
    },
    Redrive,
    Purge,
}

#[derive(Debug, Clone, Copy)]
enum Ending {
    Done,
    Retry,
    Away,
    Released,
    Dead,
    /// Without being settled, as after a panic.
    Dropped,
}

fn command() -> impl Strategy<Value = Command> {
    use Ending::{Away, Dead, Done, Dropped, Released, Retry};
    let ending = prop_oneof![
        2 => Just(Done), 8 => Just(Retry), 1 => Just(Away), 1 => Just(Released), 1 => Just(Dead), 1 => Just(Dropped)
    ];
    prop_oneof![
        4 => (0..KEYS.len()).prop_map(Command::Put),
        2 => (0..KEYS.len()).prop_map(Command::Delete),
        10 => Just(Command::Lease),
        8 => (0..3_usize, ending).prop_map(|(slot, ending)| Command::Finish(slot, ending)),
        3 => any::<bool>().prop_map(|power| Command::Crash { power }),
        1 => Just(Command::Redrive),
        1 => Just(Command::Purge),
    ]
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Event {
    key: &'static str,
    removed: bool,
    etag: String,
    failed: u32,
    /// Attempts begun whose end nobody told, by the run that is under way and by those before.
    open: u32,
    open_before: u32,
    /// Put off for a second: the queue may or may not have it due.
    away: bool,
    /// The version of its object when it was leased last: what an attempt is about, whichever version the
    /// event is of.
    seen: Option<String>,
}

impl Event {
    fn identity(&self) -> (&'static str, bool, &str) {
        (self.key, self.removed, &self.etag)
    }

    fn is(&self, record: &EventRecord) -> bool {
        self.identity() == (record.key.as_str(), record.removed, record.etag.as_str())
    }
}

#[derive(Debug, Default)]
struct Model {
    /// The ETag of each object.
    objects: std::collections::BTreeMap<&'static str, String>,
    events: Vec<Event>,
    /// Of each key the creation, and the removal, that was queued last, as long as it is queued.
    newest: std::collections::BTreeMap<(&'static str, bool), Event>,
    leased: Vec<Event>,
    alone: bool,
    dead: Vec<(Event, &'static str)>,
    /// Versions whose event was handled to its end.
    handled: BTreeSet<String>,
}

impl Model {
    fn queue(&mut self, key: &'static str, removed: bool, etag: String) {
        let event = Event { key, removed, etag, failed: 0, open: 0, open_before: 0, away: false, seen: None };
        let newest = self
            .newest
            .get(&(key, removed))
            .and_then(|newest| self.events.iter().position(|event| event.identity() == newest.identity()));
        if let Some(old) = newest
            && self.events[old].failed + self.events[old].open + self.events[old].open_before == 0
        {
            self.events.remove(old);
        }
        self.newest.insert((key, removed), event.clone());
        self.events.push(event);
    }

    fn find(&mut self, event: &Event) -> &mut Event {
        self.events.iter_mut().find(|other| other.identity() == event.identity()).unwrap()
    }

    fn remove(&mut self, event: &Event) -> Event {
        let at = self.events.iter().position(|other| other.identity() == event.identity()).unwrap();
        let kind = (event.key, event.removed);
        if self.newest.get(&kind).is_some_and(|newest| newest.identity() == event.identity()) {
            self.newest.remove(&kind);
        }
        self.events.remove(at)
    }

    /// Events that may be leased now.
    fn available(&self) -> Vec<&Event> {
        let free = |event: &&Event| self.leased.iter().all(|leased| leased.key != event.key);
        self.events.iter().filter(free).collect()
    }

    fn dies(&mut self, event: &Event, reason: &'static str) {
        let dead = self.remove(event);
        self.handled.extend(event.seen.clone());
        self.dead.push((dead, reason));
    }
}

struct Pair {
    settings: Settings,
    disk: SimulatedDisk,
    world: Option<World>,
    queue: Option<Arc<Queue>>,
    leases: Vec<Lease>,
    model: Model,
    versions: u32,
}

impl Pair {
    fn start(settings: Settings) -> Self {
        let disk = SimulatedDisk::holding(&settings.data, Tree::new(&settings.data));
        let mut pair = Self {
            settings,
            disk,
            world: None,
            queue: None,
            leases: Vec::new(),
            model: Model::default(),
            versions: 0,
        };
        pair.open();
        pair
    }

    fn open(&mut self) {
        let world = World::open(self.disk.shared(), &self.settings).unwrap();
        let policy = RetryPolicy { retries: RETRIES, delays: vec![Duration::ZERO] };
        let max_age = Duration::from_secs(3600);
        self.queue = Some(Queue::new(world.enqueuer.clone(), policy, max_age));
        self.world = Some(world);
    }

    fn world(&self) -> &World {
        self.world.as_ref().unwrap()
    }

    fn queue(&self) -> &Arc<Queue> {
        self.queue.as_ref().unwrap()
    }

    /// What was submitted and not waited for is done.
    fn flush(&self) {
        let nothing = self.world().ledger.submit(Vec::new(), |_| Ok::<_, LedgerError>(()));
        nothing.wait().unwrap();
    }

    fn apply(&mut self, command: &Command) {
        match command {
            Command::Put(key) => {
                let key = KEYS[*key];
                self.versions += 1;
                self.world().put(key, self.versions.to_string().as_bytes(), Condition::Any).unwrap();
                let etag = self.world().store.objects.head(&at(IN, key)).unwrap().unwrap().etag;
                self.model.objects.insert(key, etag.clone());
                self.model.queue(key, false, etag);
            }
            Command::Delete(key) => {
                let key = KEYS[*key];
                self.world().delete(&[key]).remove(0).unwrap();
                if let Some(etag) = self.model.objects.remove(key) {
                    self.model.queue(key, true, etag);
                }
            }
            Command::Lease => self.lease(),
            Command::Finish(slot, ending) => {
                if !self.leases.is_empty() {
                    let slot = slot % self.leases.len();
                    self.finish(slot, *ending);
                }
            }
            Command::Crash { power } => self.crash(*power),
            Command::Redrive => {
                let done = self.queue().redrive(&DeadLetterFilter::default()).unwrap();
                let dead = std::mem::take(&mut self.model.dead);
                assert_eq!(done, dead.len());
                self.redriven(dead.into_iter().map(|(event, _)| event).collect());
            }
            Command::Purge => {
                assert_eq!(self.queue().purge(&DeadLetterFilter::default()).unwrap(), self.model.dead.len());
                self.model.dead.clear();
            }
        }
        self.flush();
        self.compare();
    }

    /// Dead letters are events again. In which order is the queue's choice, so which of one key supersedes
    /// the other is taken from it.
    fn redriven(&mut self, dead: Vec<Event>) {
        self.flush();
        let records = self.records();
        for event in dead {
            if let Some(record) = records.iter().find(|record| event.is(record)) {
                assert_eq!((record.started, record.failed), (0, 0));
            } else {
                // Superseded by another of its object, which is there.
                let kind = (event.key, event.removed);
                assert!(records.iter().any(|record| (record.key.as_str(), record.removed) == kind));
            }
        }
        let fresh: Vec<Event> = records
            .iter()
            .map(|record| {
                let known = self.model.events.iter().find(|event| event.is(record)).cloned();
                known.unwrap_or_else(|| Event {
                    key: KEYS.into_iter().find(|key| *key == record.key).unwrap(),
                    removed: record.removed,
                    etag: record.etag.clone(),
                    failed: 0,
                    open: 0,
                    open_before: 0,
                    away: false,
                    seen: None,
                })
            })
            .collect();
        // Nothing that was queued is lost, unless superseded before it was begun.
        for event in &self.model.events {
            let kept = fresh.iter().any(|other| other.identity() == event.identity());
            assert!(kept || event.failed + event.open + event.open_before == 0);
        }
        self.model.events = fresh;
        self.model.newest.clear();
        let view = self.world().ledger.view().unwrap();
        let mut newest = Vec::new();
        for (key, removed) in KEYS.into_iter().flat_map(|key| [(key, false), (key, true)]) {
            let kind = if removed { Kind::Removed } else { Kind::Created };
            if let Some(id) = view.queue().waiting_event(&at(IN, key), kind).unwrap()
                && let Some(record) = view.queue().event(id).unwrap()
                && let Some(event) = self.model.events.iter().find(|event| event.is(&record))
            {
                newest.push(((key, removed), event.clone()));
            }
        }
        drop(view);
        self.model.newest.extend(newest);
    }

    fn lease(&mut self) {
        let next = self.queue().lease().unwrap();
        let model = &mut self.model;
        match next {
            Next::Lease(lease) => {
                assert!(!model.alone, "while one is worked on alone, there is no other");
                let found = model.available().into_iter().find(|event| event.is(&lease.event)).cloned();
                let event = found.unwrap_or_else(|| panic!("{:?} was not to be had", lease.event));
                assert!(event.open_before < MAX_CRASHES);
                assert!(event.open_before == 0 || model.leased.is_empty());
                model.alone = event.open_before > 0;
                let queued = model.find(&event);
                // Of attempts that nobody told the end of, a run counts one.
                queued.open = 1;
                queued.away = false;
                let mut queued = queued.clone();
                queued.seen = model.objects.get(queued.key).cloned();
                model.leased.push(queued);
                self.leases.push(*lease);
            }
            Next::DeadLetter(letter) => {
                let found = model.available().into_iter().find(|event| event.is(&letter.event)).cloned();
                let mut event = found.unwrap();
                event.seen = model.objects.get(event.key).cloned();
                assert!(event.open_before >= MAX_CRASHES && letter.reason == "crashed", "{letter:?}");
                model.dies(&event, "crashed");
            }
            Next::Wait(_) => {
                assert!(model.events.iter().any(|event| event.away));
                assert!(model.available().iter().all(|event| event.away));
            }
            Next::Empty => {
                let under_suspicion = |event: &&Event| event.open_before > 0 && !model.leased.is_empty();
                let available = model.available();
                assert!(
                    model.alone || available.is_empty() || available.iter().any(under_suspicion),
                    "{available:?} could be had"
                );
            }
        }
    }

    fn finish(&mut self, slot: usize, ending: Ending) {
        let lease = self.leases.remove(slot);
        let event = self.model.leased.remove(slot);
        self.model.alone = false;
        let queue = self.queue().clone();
        let end = |reason, message: &str, is_shutdown| {
            finish(&queue, &lease, Outcome::Failed(Failure::new(reason, message)), is_shutdown)
        };
        match ending {
            Ending::Done => {
                let done = Outcome::Ignored(Ignored::NoTrigger);
                assert_eq!(finish(&queue, &lease, done, false), Disposition::Ack);
                self.model.remove(&event);
                self.model.handled.extend(event.seen);
            }
            Ending::Retry => {
                let settled = end(Reason::Stopped, "it took too long", false);
                let queued = self.model.find(&event);
                queued.failed += 1;
                queued.open -= 1;
                if queued.failed > RETRIES {
                    assert_eq!(settled, Disposition::DeadLetter(Reason::Stopped), "retries are bounded");
                    self.model.dies(&event, "stopped");
                } else {
                    assert!(matches!(settled, Disposition::RetryAfter(_)));
                }
            }
            Ending::Away => {
                assert!(matches!(end(Reason::Unavailable, "no space", false), Disposition::Defer(_)));
                let queued = self.model.find(&event);
                queued.open -= 1;
                queued.away = true;
                self.put_back(&event);
            }
            Ending::Released => {
                assert_eq!(end(Reason::Stopped, "the end", true), Disposition::Defer(Duration::ZERO));
                self.model.find(&event).open -= 1;
                self.put_back(&event);
            }
            Ending::Dead => {
                let dead = Disposition::DeadLetter(Reason::Malformed);
                assert_eq!(end(Reason::Malformed, "torn", false), dead);
                let queued = self.model.find(&event);
                queued.failed += 1;
                queued.open -= 1;
                self.model.dies(&event, "malformed");
            }
            Ending::Dropped => {}
        }
    }

    /// An attempt does not count. If none does, and one of its kind was queued meanwhile, one of the two is left.
    fn put_back(&mut self, event: &Event) {
        let is_begun = |event: &Event| event.failed + event.open + event.open_before > 0;
        let newest = self.model.newest.get(&(event.key, event.removed)).cloned();
        let Some(newest) = newest.filter(|newest| newest.identity() != event.identity()) else { return };
        let newest = self.model.find(&newest).clone();
        if is_begun(self.model.find(event)) || is_begun(&newest) {
            return;
        }
        let records = self.records();
        let [event_stays, newest_stays] =
            [event, &newest].map(|one| records.iter().any(|record| one.is(record)));
        assert!(event_stays != newest_stays, "one of two that were not begun is superseded");
        if event_stays {
            self.model.remove(&newest);
            let stays = self.model.find(event).clone();
            self.model.newest.insert((stays.key, stays.removed), stays);
        } else {
            self.model.remove(event);
        }
    }

    /// Everything ends without a word and starts again from what is on disk.
    fn crash(&mut self, power: bool) {
        self.flush();
        let survival = if power { Survival::Nothing } else { Survival::All };
        let tree = self.disk.tree().after_cut(survival);
        self.leases.clear();
        self.queue = None;
        self.world = None;
        self.disk = SimulatedDisk::holding(&self.settings.data, tree);
        self.open();
        self.model.leased.clear();
        self.model.alone = false;
        for event in &mut self.model.events {
            event.open_before += std::mem::take(&mut event.open);
        }
    }

    fn records(&self) -> Vec<EventRecord> {
        let view = self.world().ledger.view().unwrap();
        let mut ids = Vec::new();
        for tries in Tries::ALL {
            view.queue()
                .walk_due(tries, i64::MIN, |_, id| {
                    ids.push(id);
                    true
                })
                .unwrap();
        }
        ids.into_iter().map(|id| view.queue().event(id).unwrap().unwrap()).collect()
    }

    fn compare(&self) {
        let records = self.records();
        assert_eq!(records.len() as u64, self.queue().depth().unwrap());
        assert_eq!(records.len(), self.model.events.len(), "{records:?}\n{:?}", self.model.events);
        for event in &self.model.events {
            let record = records.iter().find(|record| event.is(record)).unwrap();
            let begun = event.failed + event.open + event.open_before;
            assert_eq!((record.failed, record.started), (event.failed, begun), "{record:?}");
        }
        let letters = self.queue().dead_letters(&DeadLetterFilter::default()).unwrap();
        assert_eq!(letters.len(), self.model.dead.len());
        for (event, reason) in &self.model.dead {
            let letter = letters.iter().find(|letter| event.is(&letter.event)).unwrap();
            assert_eq!((letter.reason.as_str(), letter.event.failed), (*reason, event.failed));
        }
        for (key, removed) in KEYS.into_iter().flat_map(|key| [(key, false), (key, true)]) {
            let not_begun = records
                .iter()
                .filter(|record| (record.key.as_str(), record.removed, record.started) == (key, removed, 0));
            assert!(not_begun.count() <= 1, "{records:?}");
        }
        // No acknowledged upload without its event, until that was handled.
        for (key, etag) in &self.model.objects {
            let queued = records.iter().any(|record| record.key == *key && !record.removed);
            assert!(queued || self.model.handled.contains(etag), "{key} has no event");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_queue_does_as_its_model(commands in prop::collection::vec(command(), 1..80)) {
        let folder = tempfile::tempdir().unwrap();
        let mut pair = Pair::start(settings(folder.path(), "[[trigger]]\nmirror_deletes = true"));
        for command in &commands {
            pair.apply(command);
        }
    }
}
