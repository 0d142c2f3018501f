//! A random history by seed: clients upload, overwrite, delete and read, the function works, the power goes,
//! everything starts again. Every sync point is a moment at which the power may go: each is tried.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tintype::settings::Settings;
use tintype::storage::StoreFault;
use tintype_pipeline::store::Condition;

use crate::{
    checker::Recovered,
    clients::{Log, Told},
    common::{IN, at, settings},
    disk::{Faults, SimulatedDisk, Survival, Synced, Tree},
    pictures::Content,
    random::Random,
    world::{Manner, Stops, Worked, World},
};

const KEYS: [&str; 5] = ["a.jpg", "b.jpg", "shelf/c d.jpg", "ü.jpg", "note.txt"];

/// What a history is made of.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    pub seed: u64,
    /// Things clients do, and attempts of the function, between two starts.
    pub steps: usize,
    /// The disk fails, fills up and dawdles.
    pub faulty: bool,
    /// Syncs the disk only claims to do.
    pub lie: Option<Synced>,
    /// Of how many sync points one is tried; 1: every one.
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

/// A moment just before a sync took effect: what the disk held, and how much clients had been told.
struct Moment {
    tree: Tree,
    known: usize,
}

struct History<'a> {
    plan: Plan,
    settings: &'a Settings,
    log: Arc<Mutex<Log>>,
    figures: Figures,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs a history and tries its sync points; the error is the first promise found broken. A panic is one.
pub fn run(plan: Plan) -> Result<Figures, String> {
    let told = catch_unwind(AssertUnwindSafe(|| told(plan))).unwrap_or_else(|panic| {
        let words = panic.downcast_ref::<&str>().copied().map(str::to_owned);
        let words = words.or_else(|| panic.downcast_ref::<String>().cloned());
        Err(format!("it panicked: {}", words.unwrap_or_default()))
    });
    told.map_err(|broken| {
        let seed = plan.seed;
        format!("{plan:?}: {broken}\nTry it again with TINTYPE_POWER_SEED={seed} (see tests/power/main.rs)")
    })
}

fn told(plan: Plan) -> Result<Figures, String> {
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
            let moments = self.live(tree, random).map_err(|broken| format!("in life {life}, {broken}"))?;
            let at =
                |moment: usize, of: usize| format!("in life {life}, cut at sync point {moment} of {of}, ");
            for (index, moment) in moments.iter().enumerate() {
                if !random.permille(1000 / self.plan.one_of) && index + 1 < moments.len() {
                    continue;
                }
                self.figures.sync_points += 1;
                for survival in [Survival::Nothing, Survival::Some(random.next())] {
                    self.try_cut(moment, survival).map_err(|broken| {
                        format!("{}{survival:?} survives: {broken}", at(index, moments.len()))
                    })?;
                }
            }
            // It goes on from one of these moments; what came after it never was.
            let moment = &moments[random.below(moments.len())];
            let survival =
                *random.pick(&[Survival::Nothing, Survival::Some(random.clone().next()), Survival::All]);
            let cut = locked(&self.log).cut_at(moment.known);
            *locked(&self.log) = cut;
            tree = moment.tree.after_cut(survival);
        }
        Ok(())
    }

    fn try_cut(&mut self, moment: &Moment, survival: Survival) -> Result<(), String> {
        self.figures.power_cuts += 1;
        let log = locked(&self.log).cut_at(moment.known);
        Recovered { settings: self.settings, log: &log }.check(moment.tree.after_cut(survival))
    }

    /// From a start to an orderly end; answers every moment at which the power might have gone.
    fn live(&mut self, tree: Tree, random: &mut Random) -> Result<Vec<Moment>, String> {
        let disk = SimulatedDisk::holding(&self.settings.data, tree);
        let moments: Arc<Mutex<Vec<Moment>>> = Arc::default();
        let (seen, log) = (moments.clone(), self.log.clone());
        let look = move |tree: &dyn Fn() -> Tree| {
            // What is known first: it must not be newer than what the disk holds.
            let known = locked(&log).len();
            let tree = tree();
            locked(&seen).push(Moment { tree, known });
        };
        disk.on_sync(look.clone());
        if let Some(lie) = self.plan.lie {
            disk.set_faults(Faults::lying(lie));
        }
        let world = World::open(disk.shared(), self.settings)
            .map_err(|error| format!("the store cannot be opened: {error}"))?;
        if self.plan.faulty {
            disk.set_faults(Faults::mixed(random.next()));
        }
        let result =
            if random.permille(250) { self.at_once(&world, random) } else { self.in_turn(&world, random) };
        result?;
        if self.plan.faulty {
            self.figures.faults += disk.faults_happened();
            disk.set_faults(Faults::default());
            self.recovers(&world)?;
        }
        drop(world);
        look(&|| disk.tree());
        disk.on_sync(|_| ());
        Ok(std::mem::take(&mut *locked(&moments)))
    }

    /// The disk is well again: without a restart, everything is as it was told.
    fn recovers(&self, world: &World) -> Result<(), String> {
        let log = locked(&self.log).clone();
        let recovered = Recovered { settings: self.settings, log: &log };
        recovered.sources(world).map_err(|broken| format!("once the disk was well again, {broken}"))?;
        recovered.drained(world).map_err(|broken| format!("once the disk was well again, {broken}"))
    }

    /// One client and one worker by turns.
    fn in_turn(&self, world: &World, random: &mut Random) -> Result<(), String> {
        let mut step = Stepper { history: self, world, random, alone: true };
        for _ in 0..self.plan.steps {
            step.any()?;
        }
        Ok(())
    }

    /// Three clients and a worker at the same time.
    fn at_once(&self, world: &World, random: &mut Random) -> Result<(), String> {
        let seeds: Vec<u64> = (0..4).map(|_| random.next()).collect();
        std::thread::scope(|scope| {
            let threads: Vec<_> = seeds
                .into_iter()
                .enumerate()
                .map(|(thread, seed)| {
                    scope.spawn(move || {
                        let mut random = Random::new(seed);
                        let mut step = Stepper { history: self, world, random: &mut random, alone: false };
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
    world: &'a World,
    random: &'a mut Random,
    /// Whether nobody does anything at the same time.
    alone: bool,
}

impl Stepper<'_, '_> {
    fn any(&mut self) -> Result<(), String> {
        match self.random.below(if self.alone { 110 } else { 68 }) {
            0..28 => self.put(),
            28..34 => return self.post(),
            34..37 => self.put_in_parts(),
            37..39 => self.abort(),
            39..46 => self.delete(1),
            46..49 => self.delete(3),
            49..57 => return self.read(),
            57..59 => drop(self.world.store.cleanup.run()),
            59..62 => drop(self.world.redrive(None)),
            62..64 => self.purge(),
            64..68 => drop(self.world.backfill()),
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
        // Few numbers: now and then a version is as one before it.
        Content {
            number: self.random.below(40) as u32,
            padding: padding / 1000 * 1000,
            good: !self.random.permille(100),
        }
    }

    fn asks(&self, key: &'static str, wanted: Option<Content>) -> usize {
        locked(&self.history.log).begin(key, wanted)
    }

    fn is_told(&self, begun: usize, answer: &Result<(), StoreFault>) {
        let told = match answer {
            Ok(()) => Told::Acknowledged,
            Err(StoreFault::InDoubt(_)) => Told::InDoubt,
            Err(_) => Told::Refused,
        };
        locked(&self.history.log).end(begun, told);
    }

    fn put(&mut self) {
        let (key, content) = (self.key(), self.content());
        let condition = if self.random.permille(100) { Condition::Absent } else { Condition::Any };
        let begun = self.asks(key, Some(content));
        self.is_told(begun, &self.world.put(key, &content.bytes(), condition));
    }

    /// An image that comes with the request for its thumbnail; at times clients do something meanwhile.
    fn post(&mut self) -> Result<(), String> {
        let (key, content) = (self.key(), self.content());
        let begun = self.asks(key, Some(content));
        let stored = self.meanwhile(|world, manner| world.post(key, &content.bytes(), manner))?;
        let told = match stored {
            true => Told::Acknowledged,
            // Why is told in words, by which a disk that fails may leave it in doubt.
            false if self.history.plan.faulty => Told::InDoubt,
            false => Told::Refused,
        };
        locked(&self.history.log).end(begun, told);
        Ok(())
    }

    fn abort(&mut self) {
        let (key, content) = (self.key(), self.content());
        drop(self.world.abort(key, &content.bytes()));
    }

    /// What was given up of a key is thrown away: from then on nothing tells of it.
    fn purge(&mut self) {
        let key = self.key();
        locked(&self.history.log).begin_purge(key);
        let purged = self.world.purge(key);
        locked(&self.history.log).end_purge(key, purged != Ok(0));
    }

    fn put_in_parts(&mut self) {
        let (key, content) = (self.key(), self.content());
        let begun = self.asks(key, Some(content));
        self.is_told(begun, &self.world.put_in_parts(key, &content.bytes()));
    }

    /// Deletes keys in one request, whose commits are shared.
    fn delete(&mut self, keys: usize) {
        let first = self.random.below(KEYS.len());
        let keys: Vec<_> = (0..keys).map(|next| KEYS[(first + next) % KEYS.len()]).collect();
        let begun: Vec<_> = keys.iter().map(|key| self.asks(key, None)).collect();
        for (begun, answer) in begun.into_iter().zip(self.world.delete(&keys)) {
            self.is_told(begun, &answer);
        }
    }

    fn read(&mut self) -> Result<(), String> {
        let key = self.key();
        let since = locked(&self.history.log).len();
        // Reading comes before the log is looked at: what began meanwhile may show.
        let read = self.world.read(&at(IN, key));
        let log = locked(&self.history.log).clone();
        let bytes = match read {
            // It may fail; what it answers must be right all the same.
            Err(_) if self.history.plan.faulty => return Ok(()),
            Err(fault) => return Err(format!("{key} cannot be read: {fault}\n{}", log.story(key))),
            Ok(bytes) => bytes,
        };
        let right = log.acceptable(key, since).iter().any(|content| content.map(Content::bytes) == bytes);
        if right { Ok(()) } else { Err(format!("{key} was read wrongly:\n{}", log.story(key))) }
    }

    /// Calls the function; at times clients do something between its reading and its writing, and at times it is
    /// stopped.
    fn meanwhile<T>(&mut self, call: impl FnOnce(&World, Manner<'_>) -> T) -> T {
        let interrupted = self.random.permille(300);
        let stops = self
            .random
            .permille(200)
            .then(|| Stops { asked: self.random.below(6), by_shutdown: self.random.permille(300) });
        let (history, world, alone) = (self.history, self.world, self.alone);
        let random = Mutex::new(Random::new(self.random.next()));
        let meanwhile = || {
            if interrupted {
                let mut random = locked(&random);
                let mut step = Stepper { history, world, random: &mut random, alone };
                if step.random.permille(700) { step.put() } else { step.delete(1) }
            }
        };
        call(world, Manner { meanwhile: &meanwhile, alone, stops })
    }

    /// One attempt of the function. Where all events wait for their next one, time may pass.
    fn work(&mut self) -> Result<(), String> {
        let worked = self.meanwhile(World::work);
        let done = match worked {
            Ok(Worked::Waiting) if self.random.permille(500) => self.world.make_due(),
            other => other.map(drop),
        };
        match done {
            Err(error) if !self.history.plan.faulty => {
                Err(format!("an attempt could not be settled: {error}"))
            }
            _ => Ok(()),
        }
    }
}
