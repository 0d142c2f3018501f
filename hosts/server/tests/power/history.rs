//! A random history by seed: clients upload, overwrite, delete and read, the function works, the power fails, and the
//! server starts again. A power cut is tried at every sync point.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tintype::settings::Settings;
use tintype::storage::StoreFault;
use tintype_pipeline::store::Condition;

use crate::{
    common::{IN, at, settings},
    consistency_check::ConsistencyCheck,
    disk::{Faults, SimulatedDisk, Survival, SyncTarget, Tree},
    images::Content,
    random::Random,
    request_log::{Reply, RequestLog},
    system::{Cancellation, Execution, Progress, System},
};

const KEYS: [&str; 5] = ["a.jpg", "b.jpg", "shelf/c d.jpg", "ü.jpg", "note.txt"];

/// The parameters of a history.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    pub seed: u64,
    /// Requests and attempts between two starts.
    pub steps: usize,
    /// Whether the disk fails, fills up and is slow.
    pub faulty: bool,
    /// Syncs that the disk only pretends to do.
    pub lie: Option<SyncTarget>,
    /// One of this many sync points is tried; 1: every one.
    pub one_of: usize,
}

/// What was tried.
#[derive(Debug, Default, Clone, Copy)]
pub struct Figures {
    pub histories: usize,
    pub sync_points: usize,
    pub power_cuts: usize,
    pub faults: usize,
}

impl std::ops::AddAssign for Figures {
    fn add_assign(&mut self, other: Self) {
        self.histories += other.histories;
        self.sync_points += other.sync_points;
        self.power_cuts += other.power_cuts;
        self.faults += other.faults;
    }
}

/// The state just before a sync took effect: the disk, and the length of the request log.
struct Snapshot {
    tree: Tree,
    log_length: usize,
}

struct History<'a> {
    plan: Plan,
    settings: &'a Settings,
    log: Arc<Mutex<RequestLog>>,
    figures: Figures,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs a history and tries its sync points; the error is the first broken promise, or a panic.
pub fn run(plan: Plan) -> Result<Figures, String> {
    let result = catch_unwind(AssertUnwindSafe(|| run_lives(plan))).unwrap_or_else(|panic| {
        let message = panic.downcast_ref::<&str>().copied().map(str::to_owned);
        let message = message.or_else(|| panic.downcast_ref::<String>().cloned());
        Err(format!("it panicked: {}", message.unwrap_or_default()))
    });
    result.map_err(|broken| {
        let seed = plan.seed;
        format!("{plan:?}: {broken}\nRepeat it with TINTYPE_POWER_SEED={seed} (see tests/power/main.rs)")
    })
}

fn run_lives(plan: Plan) -> Result<Figures, String> {
    let folder = tempfile::tempdir().unwrap();
    let mut random = Random::new(plan.seed);
    let mirrored = if random.permille(500) { "mirror_deletes = true" } else { "" };
    let second = if random.permille(300) {
        "[[trigger.rendition]]\nkey = \"thumb_{key}\"\n[[trigger.rendition]]\nkey = \"small_{key}\"\nsize = \"4\""
    } else {
        ""
    };
    let settings = settings(folder.path(), &format!("[[trigger]]\n{mirrored}\n{second}"));
    let figures = Figures { histories: 1, ..Figures::default() };
    let mut history = History { plan, settings: &settings, log: Arc::default(), figures };
    history.lives(&mut random)?;
    Ok(history.figures)
}

impl History<'_> {
    fn lives(&mut self, random: &mut Random) -> Result<(), String> {
        let mut tree = Tree::new(&self.settings.data);
        for life in 0..1 + random.below(3) {
            let snapshots = self.live(tree, random).map_err(|broken| format!("in life {life}, {broken}"))?;
            let at = |index: usize, count: usize| {
                format!("in life {life}, power cut at sync point {index} of {count}, ")
            };
            for (index, snapshot) in snapshots.iter().enumerate() {
                if !random.permille(1000 / self.plan.one_of) && index + 1 < snapshots.len() {
                    continue;
                }
                self.figures.sync_points += 1;
                for survival in [Survival::Nothing, Survival::Some(random.next())] {
                    self.try_cut(snapshot, survival).map_err(|broken| {
                        format!("{}{survival:?} survives: {broken}", at(index, snapshots.len()))
                    })?;
                }
            }
            // The history continues from one of the snapshots, without what came after it.
            let snapshot = &snapshots[random.below(snapshots.len())];
            let survival =
                *random.pick(&[Survival::Nothing, Survival::Some(random.clone().next()), Survival::All]);
            let log = locked(&self.log).truncated(snapshot.log_length);
            *locked(&self.log) = log;
            tree = snapshot.tree.after_cut(survival);
        }
        Ok(())
    }

    fn try_cut(&mut self, snapshot: &Snapshot, survival: Survival) -> Result<(), String> {
        self.figures.power_cuts += 1;
        let log = locked(&self.log).truncated(snapshot.log_length);
        ConsistencyCheck { settings: self.settings, log: &log }.check(snapshot.tree.after_cut(survival))
    }

    /// From a start to an orderly shutdown; returns a snapshot of every sync point.
    fn live(&mut self, tree: Tree, random: &mut Random) -> Result<Vec<Snapshot>, String> {
        let disk = SimulatedDisk::new(&self.settings.data, tree);
        let snapshots: Arc<Mutex<Vec<Snapshot>>> = Arc::default();
        let (taken, log) = (snapshots.clone(), self.log.clone());
        let take_snapshot = move |tree: &dyn Fn() -> Tree| {
            // The log's length first: it must not be newer than the disk.
            let log_length = locked(&log).len();
            let tree = tree();
            locked(&taken).push(Snapshot { tree, log_length });
        };
        disk.on_sync(take_snapshot.clone());
        if let Some(lie) = self.plan.lie {
            disk.set_faults(Faults::lying(lie));
        }
        let system = System::open(disk.shared(), self.settings)
            .map_err(|error| format!("the store cannot be opened: {error}"))?;
        if self.plan.faulty {
            disk.set_faults(Faults::mixed(random.next()));
        }
        let result = if random.permille(250) {
            self.concurrent(&system, random)
        } else {
            self.sequential(&system, random)
        };
        result?;
        if self.plan.faulty {
            self.figures.faults += disk.fault_count();
            disk.set_faults(Faults::default());
            self.recovers(&system)?;
        }
        drop(system);
        take_snapshot(&|| disk.tree());
        disk.on_sync(|_| ());
        Ok(std::mem::take(&mut *locked(&snapshots)))
    }

    /// Without faults the replies hold without a restart.
    fn recovers(&self, system: &System) -> Result<(), String> {
        let log = locked(&self.log).clone();
        let check = ConsistencyCheck { settings: self.settings, log: &log };
        check.sources(system).map_err(|broken| format!("after the faults ended, {broken}"))?;
        check.drained(system).map_err(|broken| format!("after the faults ended, {broken}"))
    }

    /// One client and one worker by turns.
    fn sequential(&self, system: &System, random: &mut Random) -> Result<(), String> {
        let mut step = Stepper { history: self, system, random, exclusive: true };
        for _ in 0..self.plan.steps {
            step.any()?;
        }
        Ok(())
    }

    /// Three clients and a worker concurrently.
    fn concurrent(&self, system: &System, random: &mut Random) -> Result<(), String> {
        let seeds: Vec<u64> = (0..4).map(|_| random.next()).collect();
        std::thread::scope(|scope| {
            let threads: Vec<_> = seeds
                .into_iter()
                .enumerate()
                .map(|(thread, seed)| {
                    scope.spawn(move || {
                        let mut random = Random::new(seed);
                        let mut step =
                            Stepper { history: self, system, random: &mut random, exclusive: false };
                        for _ in 0..self.plan.steps / 3 {
                            if thread == 0 { step.work()? } else { step.any()? }
                        }
                        Ok(())
                    })
                })
                .collect();
            threads.into_iter().try_for_each(|thread| thread.join().unwrap())
        })
    }
}

struct Stepper<'a, 'h> {
    history: &'a History<'h>,
    system: &'a System,
    random: &'a mut Random,
    /// Whether there is no concurrent stepper.
    exclusive: bool,
}

impl Stepper<'_, '_> {
    fn any(&mut self) -> Result<(), String> {
        match self.random.below(if self.exclusive { 110 } else { 68 }) {
            0..28 => self.put(),
            28..34 => return self.post(),
            34..37 => self.put_in_parts(),
            37..39 => self.abort(),
            39..46 => self.delete(1),
            46..49 => self.delete(3),
            49..57 => return self.read(),
            57..59 => drop(self.system.store.cleanup.run()),
            59..62 => drop(self.system.redrive(None)),
            62..64 => self.purge(),
            64..68 => drop(self.system.backfill()),
            _ => return self.work(),
        }
        Ok(())
    }

    fn key(&mut self) -> &'static str {
        KEYS[self.random.below(KEYS.len())]
    }

    fn content(&mut self) -> Content {
        let padding = match self.random.below(4) {
            0 => 0,
            1 => self.random.below(3000),
            _ => self.random.below(14_000),
        };
        // Few numbers, so that sometimes a version equals an earlier one.
        Content {
            number: self.random.below(40) as u32,
            padding: padding / 1000 * 1000,
            is_image: !self.random.permille(100),
        }
    }

    fn begin(&self, key: &'static str, content: Option<Content>) -> usize {
        locked(&self.history.log).begin(key, content)
    }

    fn end(&self, request: usize, result: &Result<(), StoreFault>) {
        let reply = match result {
            Ok(()) => Reply::Acknowledged,
            Err(StoreFault::InDoubt(_)) => Reply::InDoubt,
            Err(_) => Reply::Refused,
        };
        locked(&self.history.log).end(request, reply);
    }

    fn put(&mut self) {
        let (key, content) = (self.key(), self.content());
        let condition = if self.random.permille(100) { Condition::Absent } else { Condition::Any };
        let request = self.begin(key, Some(content));
        self.end(request, &self.system.put(key, &content.bytes(), condition));
    }

    /// Posts an image for its thumbnail, sometimes with a concurrent request.
    fn post(&mut self) -> Result<(), String> {
        let (key, content) = (self.key(), self.content());
        let request = self.begin(key, Some(content));
        let stored = self.execute(|system, execution| system.post(key, &content.bytes(), execution))?;
        let reply = match stored {
            true => Reply::Acknowledged,
            // The error is a text only, so on a failing disk the outcome may be in doubt.
            false if self.history.plan.faulty => Reply::InDoubt,
            false => Reply::Refused,
        };
        locked(&self.history.log).end(request, reply);
        Ok(())
    }

    fn abort(&mut self) {
        let (key, content) = (self.key(), self.content());
        drop(self.system.abort(key, &content.bytes()));
    }

    fn purge(&mut self) {
        let key = self.key();
        locked(&self.history.log).begin_purge(key);
        let purged = self.system.purge(key);
        locked(&self.history.log).end_purge(key, purged != Ok(0));
    }

    fn put_in_parts(&mut self) {
        let (key, content) = (self.key(), self.content());
        let request = self.begin(key, Some(content));
        self.end(request, &self.system.put_in_parts(key, &content.bytes()));
    }

    /// Deletes keys in one request, whose changes share commits.
    fn delete(&mut self, keys: usize) {
        let first = self.random.below(KEYS.len());
        let keys: Vec<_> = (0..keys).map(|next| KEYS[(first + next) % KEYS.len()]).collect();
        let requests: Vec<_> = keys.iter().map(|key| self.begin(key, None)).collect();
        for (request, result) in requests.into_iter().zip(self.system.delete(&keys)) {
            self.end(request, &result);
        }
    }

    fn read(&mut self) -> Result<(), String> {
        let key = self.key();
        let since = locked(&self.history.log).len();
        // The log is read after the object: requests that began meanwhile may be visible.
        let read = self.system.read(&at(IN, key));
        let log = locked(&self.history.log).clone();
        let bytes = match read {
            // A read may fail, but must not return wrong bytes.
            Err(_) if self.history.plan.faulty => return Ok(()),
            Err(fault) => return Err(format!("{key} cannot be read: {fault}\n{}", log.describe(key))),
            Ok(bytes) => bytes,
        };
        let is_acceptable =
            log.acceptable(key, since).iter().any(|content| content.map(Content::bytes) == bytes);
        if is_acceptable {
            Ok(())
        } else {
            Err(format!("a read of {key} returned wrong bytes:\n{}", log.describe(key)))
        }
    }

    /// Calls the function, sometimes with a request between its reading and its writing, and sometimes cancelled.
    fn execute<T>(&mut self, call: impl FnOnce(&System, Execution<'_>) -> T) -> T {
        let is_interrupted = self.random.permille(300);
        let cancellation = self.random.permille(200).then(|| Cancellation {
            after_requests: self.random.below(6),
            by_shutdown: self.random.permille(300),
        });
        let (history, system, exclusive) = (self.history, self.system, self.exclusive);
        let random = Mutex::new(Random::new(self.random.next()));
        let before_write = || {
            if is_interrupted {
                let mut random = locked(&random);
                let mut step = Stepper { history, system, random: &mut random, exclusive };
                if step.random.permille(700) { step.put() } else { step.delete(1) }
            }
        };
        call(system, Execution { before_write: &before_write, exclusive, cancellation })
    }

    /// One attempt of the function. If all events wait for a retry, they may be made due.
    fn work(&mut self) -> Result<(), String> {
        let progress = self.execute(System::work);
        let result = match progress {
            Ok(Progress::Waiting) if self.random.permille(500) => self.system.make_due(),
            other => other.map(drop),
        };
        match result {
            Err(error) if !self.history.plan.faulty => {
                Err(format!("an attempt could not be settled: {error}"))
            }
            _ => Ok(()),
        }
    }
}
