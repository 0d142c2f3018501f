//! The queue and a model of it: after each random command both have the same events, attempts and dead letters. Where
//! the queue may choose, the model checks that the choice is allowed, and follows it.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use proptest::prelude::*;
use tintype::settings::Settings;
use tintype::{
    ledger::{LedgerError, Place},
    queue::{DeadLetterFilter, EventRecord, Lease, Next, Queue},
};
use tintype_pipeline::{
    Disposition, Failure, Ignored, Outcome, Reason, RetryPolicy, event::Kind, store::Condition,
};

use crate::{
    common::{IN, at, finish, settings},
    disk::{SimulatedDisk, Survival, Tree},
    system::System,
};

const KEYS: [&str; 2] = ["a.jpg", "b.jpg"];
const RETRIES: u32 = 2;
/// Attempts that may end by a crash of the server.
const MAX_CRASHES: u32 = 5;

#[derive(Debug, Clone)]
enum Command {
    Put(usize),
    Delete(usize),
    Lease,
    /// Ends the attempt in a slot.
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
    Deferred,
    Released,
    DeadLetter,
    /// Not settled, as after a panic.
    Dropped,
}

fn command() -> impl Strategy<Value = Command> {
    use Ending::{DeadLetter, Deferred, Done, Dropped, Released, Retry};
    let ending = prop_oneof![
        2 => Just(Done), 8 => Just(Retry), 1 => Just(Deferred), 1 => Just(Released), 1 => Just(DeadLetter),
        1 => Just(Dropped)
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
    /// Attempts that were started and not settled, by the current process and by earlier ones.
    open: u32,
    open_before: u32,
    /// Deferred for a second: it may or may not be due.
    deferred: bool,
    /// The object's version at the last lease, which the attempt processes, whatever the event's version.
    version: Option<String>,
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
    /// The newest creation and the newest removal of each key, while queued.
    newest: std::collections::BTreeMap<(&'static str, bool), Event>,
    leased: Vec<Event>,
    /// Whether the leased event excludes other leases, as it may have crashed the server.
    exclusive: bool,
    dead: Vec<(Event, &'static str)>,
    /// Versions whose event was processed to its end.
    handled: BTreeSet<String>,
    /// The event of each key that ended last: its dead letter is closed by the next change of the object.
    ended: std::collections::BTreeMap<&'static str, Event>,
}

impl Model {
    fn queue(&mut self, key: &'static str, removed: bool, etag: String) {
        let event =
            Event { key, removed, etag, failed: 0, open: 0, open_before: 0, deferred: false, version: None };
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

    /// Events that may be leased.
    fn available(&self) -> Vec<&Event> {
        let free = |event: &&Event| self.leased.iter().all(|leased| leased.key != event.key);
        self.events.iter().filter(free).collect()
    }

    fn dead_letter(&mut self, event: &Event, reason: &'static str) {
        let dead = self.remove(event);
        self.handled.extend(event.version.clone());
        self.ended.insert(event.key, dead.clone());
        self.dead.push((dead, reason));
    }

    /// An object is replaced or removed.
    fn change(&mut self, key: &str) {
        if let Some(ended) = self.ended.get(key) {
            let ended = ended.identity();
            self.dead.retain(|(event, _)| event.identity() != ended);
        }
    }
}

struct Pair {
    settings: Settings,
    disk: SimulatedDisk,
    system: Option<System>,
    queue: Option<Arc<Queue>>,
    leases: Vec<Lease>,
    model: Model,
    versions: u32,
}

impl Pair {
    fn start(settings: Settings) -> Self {
        let disk = SimulatedDisk::new(&settings.data, Tree::new(&settings.data));
        let mut pair = Self {
            settings,
            disk,
            system: None,
            queue: None,
            leases: Vec::new(),
            model: Model::default(),
            versions: 0,
        };
        pair.open();
        pair
    }

    fn open(&mut self) {
        let system = System::open(self.disk.shared(), &self.settings).unwrap();
        let policy = RetryPolicy { retries: RETRIES, delays: vec![Duration::ZERO] };
        let max_age = Duration::from_secs(3600);
        self.queue = Some(Queue::new(system.enqueuer.clone(), policy, max_age));
        self.system = Some(system);
    }

    fn system(&self) -> &System {
        self.system.as_ref().unwrap()
    }

    fn queue(&self) -> &Arc<Queue> {
        self.queue.as_ref().unwrap()
    }

    /// Waits until everything submitted is committed.
    fn flush(&self) {
        let nothing = self.system().ledger.submit(Vec::new(), |_| Ok::<_, LedgerError>(()));
        nothing.wait().unwrap();
    }

    fn apply(&mut self, command: &Command) {
        match command {
            Command::Put(key) => {
                let key = KEYS[*key];
                self.versions += 1;
                self.system().put(key, self.versions.to_string().as_bytes(), Condition::Any).unwrap();
                let etag = self.system().store.objects.head(&at(IN, key)).unwrap().unwrap().etag;
                self.model.objects.insert(key, etag.clone());
                self.model.change(key);
                self.model.queue(key, false, etag);
            }
            Command::Delete(key) => {
                let key = KEYS[*key];
                self.system().delete(&[key]).remove(0).unwrap();
                if let Some(etag) = self.model.objects.remove(key) {
                    self.model.change(key);
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

    /// Dead letters become events again. The queue chooses their order, and so which event of a key supersedes another;
    /// the model follows it.
    fn redriven(&mut self, dead: Vec<Event>) {
        self.flush();
        let records = self.records();
        for event in dead {
            if let Some(record) = records.iter().find(|record| event.is(record)) {
                assert_eq!((record.started, record.failed), (0, 0));
            } else {
                // Superseded by another event of its object.
                let kind = (event.key, event.removed);
                assert!(records.iter().any(|record| (record.key.as_str(), record.removed) == kind));
            }
        }
        let events: Vec<Event> = records
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
                    deferred: false,
                    version: None,
                })
            })
            .collect();
        // No queued event is lost, unless it was superseded before its first attempt.
        for event in &self.model.events {
            let is_queued = events.iter().any(|other| other.identity() == event.identity());
            assert!(is_queued || event.failed + event.open + event.open_before == 0);
        }
        self.model.events = events;
        self.model.newest.clear();
        let view = self.system().ledger.view().unwrap();
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
                assert!(!model.exclusive, "an exclusive lease allows no other");
                let found = model.available().into_iter().find(|event| event.is(&lease.event)).cloned();
                let event = found.unwrap_or_else(|| panic!("{:?} was not available", lease.event));
                assert!(event.open_before < MAX_CRASHES);
                assert!(event.open_before == 0 || model.leased.is_empty());
                model.exclusive = event.open_before > 0;
                let queued = model.find(&event);
                // Of unsettled attempts each process counts one.
                queued.open = 1;
                queued.deferred = false;
                let mut queued = queued.clone();
                queued.version = model.objects.get(queued.key).cloned();
                model.leased.push(queued);
                self.leases.push(*lease);
            }
            Next::DeadLetter(letter, _) => {
                let found = model.available().into_iter().find(|event| event.is(&letter.event)).cloned();
                let mut event = found.unwrap();
                event.version = model.objects.get(event.key).cloned();
                assert!(event.open_before >= MAX_CRASHES && letter.reason == "crashed", "{letter:?}");
                model.dead_letter(&event, "crashed");
            }
            Next::Wait(_) => {
                assert!(model.events.iter().any(|event| event.deferred));
                assert!(model.available().iter().all(|event| event.deferred));
            }
            Next::Empty => {
                let needs_exclusive = |event: &&Event| event.open_before > 0 && !model.leased.is_empty();
                let available = model.available();
                assert!(
                    model.exclusive || available.is_empty() || available.iter().any(needs_exclusive),
                    "{available:?} were available"
                );
            }
        }
    }

    fn finish(&mut self, slot: usize, ending: Ending) {
        let lease = self.leases.remove(slot);
        let event = self.model.leased.remove(slot);
        self.model.exclusive = false;
        let queue = self.queue().clone();
        let end = |reason, message: &str, is_shutdown| {
            finish(&queue, &lease, Outcome::Failed(Failure::new(reason, message)), is_shutdown)
        };
        match ending {
            Ending::Done => {
                let done = Outcome::Ignored(Ignored::NoTrigger);
                assert_eq!(finish(&queue, &lease, done, false), Disposition::Ack);
                let done = self.model.remove(&event);
                self.model.ended.insert(done.key, done);
                self.model.handled.extend(event.version);
            }
            Ending::Retry => {
                let settled = end(Reason::Internal, "a fault", false);
                let queued = self.model.find(&event);
                queued.failed += 1;
                queued.open -= 1;
                if queued.failed > RETRIES {
                    assert_eq!(settled, Disposition::DeadLetter(Reason::Internal), "retries are bounded");
                    self.model.dead_letter(&event, "internal");
                } else {
                    assert!(matches!(settled, Disposition::RetryAfter(_)));
                }
            }
            Ending::Deferred => {
                assert!(matches!(end(Reason::Unavailable, "no space", false), Disposition::Defer(_)));
                let queued = self.model.find(&event);
                queued.open -= 1;
                queued.deferred = true;
                self.put_back(&event);
            }
            Ending::Released => {
                assert_eq!(end(Reason::Stopped, "the end", true), Disposition::Defer(Duration::ZERO));
                self.model.find(&event).open -= 1;
                self.put_back(&event);
            }
            Ending::DeadLetter => {
                let dead_letter = Disposition::DeadLetter(Reason::Malformed);
                assert_eq!(end(Reason::Malformed, "torn", false), dead_letter);
                let queued = self.model.find(&event);
                queued.failed += 1;
                queued.open -= 1;
                self.model.dead_letter(&event, "malformed");
            }
            Ending::Dropped => {}
        }
    }

    /// An attempt that does not count was released. If the event then has no attempts, and one of its kind was queued
    /// meanwhile that has none either, one of the two remains.
    fn put_back(&mut self, event: &Event) {
        let has_attempts = |event: &Event| event.failed + event.open + event.open_before > 0;
        let newest = self.model.newest.get(&(event.key, event.removed)).cloned();
        let Some(newest) = newest.filter(|newest| newest.identity() != event.identity()) else { return };
        let newest = self.model.find(&newest).clone();
        if has_attempts(self.model.find(event)) || has_attempts(&newest) {
            return;
        }
        let records = self.records();
        let [event_remains, newest_remains] =
            [event, &newest].map(|one| records.iter().any(|record| one.is(record)));
        assert!(event_remains != newest_remains, "one of two without attempts is superseded");
        if event_remains {
            self.model.remove(&newest);
            let remaining = self.model.find(event).clone();
            self.model.newest.insert((remaining.key, remaining.removed), remaining);
        } else {
            self.model.remove(event);
        }
    }

    /// Everything ends without a shutdown and starts again from the disk.
    fn crash(&mut self, power: bool) {
        self.flush();
        let survival = if power { Survival::Nothing } else { Survival::All };
        let tree = self.disk.tree().after_cut(survival);
        self.leases.clear();
        self.queue = None;
        self.system = None;
        self.disk = SimulatedDisk::new(&self.settings.data, tree);
        self.open();
        self.model.leased.clear();
        self.model.exclusive = false;
        for event in &mut self.model.events {
            event.open_before += std::mem::take(&mut event.open);
        }
    }

    fn records(&self) -> Vec<EventRecord> {
        let view = self.system().ledger.view().unwrap();
        let mut ids = Vec::new();
        for place in Place::ALL {
            view.queue()
                .walk_events(place, i64::MIN, |_, id| {
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
            let attempts = event.failed + event.open + event.open_before;
            assert_eq!((record.failed, record.started), (event.failed, attempts), "{record:?}");
        }
        let dead_letters = self.queue().dead_letters(&DeadLetterFilter::default()).unwrap();
        assert_eq!(dead_letters.len(), self.model.dead.len());
        for (event, reason) in &self.model.dead {
            let letter = dead_letters.iter().find(|letter| event.is(&letter.event)).unwrap();
            assert_eq!((letter.reason.as_str(), letter.event.failed), (*reason, event.failed));
        }
        for (key, removed) in KEYS.into_iter().flat_map(|key| [(key, false), (key, true)]) {
            let without_attempts = records
                .iter()
                .filter(|record| (record.key.as_str(), record.removed, record.started) == (key, removed, 0));
            assert!(without_attempts.count() <= 1, "{records:?}");
        }
        // Every acknowledged upload has its event until that is handled.
        for (key, etag) in &self.model.objects {
            let queued = records.iter().any(|record| record.key == *key && !record.removed);
            assert!(queued || self.model.handled.contains(etag), "{key} has no event");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_queue_behaves_as_its_model(commands in prop::collection::vec(command(), 1..80)) {
        let folder = tempfile::tempdir().unwrap();
        let mut pair = Pair::start(settings(folder.path(), "[[trigger]]\nmirror_deletes = true"));
        for command in &commands {
            pair.apply(command);
        }
    }
}
