//! The states of a bucket, its events and two calls of the function, and every step from each.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, PoisonError},
};

use stateright::{Model, Property};
use tintype_pipeline::{Thumbnails, store::Location, trigger::Trigger};

use crate::replay::{Answer, Delivered, Ending, Next, OUT, ObjectState, Request, Version, next, source};

/// Retries after the first attempt, as Lambda has them.
const RETRIES: u8 = 2;

/// What clients do to the source, in order: put a version, or delete it.
pub type Script = Vec<Option<Version>>;

/// Which deliveries of an upload write the destination before they look at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WritesFirst {
    /// None, as over a store on this machine.
    Never,
    /// Those that are not retries, as of queues that count.
    FirstAttempts,
    /// All, as of Lambda's retries, which do not differ from first attempts.
    Always,
}

/// The model.
pub struct Interleavings {
    pub function: Thumbnails,
    pub triggers: Vec<Trigger>,
    pub scripts: Vec<Script>,
    /// Which deliveries write the destination before they look at it.
    pub writes_first: WritesFirst,
    /// Calls that may end at any point without a report.
    pub crashes: u8,
    /// Events delivered twice.
    pub duplicates: u8,
    /// Requests whose responses are lost.
    pub lost: u8,
    /// The next request of a call after these responses.
    pub known: Mutex<HashMap<(Delivered, Vec<Answer>), Next>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Event {
    removed: bool,
    attempts: u8,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Worker {
    event: Event,
    answers: Vec<Answer>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct State {
    /// The remaining operations of clients, next last.
    script: Script,
    deletes: bool,
    objects: BTreeMap<Location, ObjectState>,
    /// In no order: any may be delivered next.
    events: Vec<Event>,
    workers: Vec<Worker>,
    dead: Vec<String>,
    crashes: u8,
    duplicates: u8,
    lost: u8,
    conflict: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    Client,
    Deliver(usize),
    DeliverTwice(usize),
    Answer(usize),
    LoseAnswer(usize),
    Crash(usize),
}

fn etag(version: Version) -> String {
    format!("{version:?}")
}

impl Interleavings {
    fn next(&self, worker: &Worker) -> Next {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let is_first = match self.writes_first {
            WritesFirst::Never => false,
            WritesFirst::FirstAttempts => worker.event.attempts == 0,
            WritesFirst::Always => true,
        };
        let delivered = Delivered { removed: worker.event.removed, is_first };
        known
            .entry((delivered, worker.answers.clone()))
            .or_insert_with(|| next(&self.function, &self.triggers, delivered, &worker.answers))
            .clone()
    }

    fn mirrored(&self) -> bool {
        self.triggers[0].removed
    }

    /// Whether every thumbnail is of the current source.
    fn is_right(&self, state: &State) -> bool {
        let thumbnails: Vec<&ObjectState> =
            state.objects.iter().filter(|(at, _)| at.bucket == OUT).map(|(_, known)| known).collect();
        match state.objects.get(&source()) {
            Some(current) => {
                thumbnails.len() == self.triggers[0].renditions.len()
                    && thumbnails.iter().all(|known| known.metadata["tintype-source-etag"] == current.etag)
            }
            None => !self.mirrored() || thumbnails.is_empty(),
        }
    }

    /// Settles an attempt that failed.
    fn retry_or_dead_letter(event: Event, why: &str, state: &mut State) {
        if event.attempts < RETRIES {
            state.events.push(Event { attempts: event.attempts + 1, ..event });
            state.events.sort();
        } else {
            state.dead.push(format!("retries after {why}"));
        }
    }
}

fn act(objects: &mut BTreeMap<Location, ObjectState>, request: Request) -> Answer {
    let holds =
        |objects: &BTreeMap<Location, ObjectState>, at: &Location, absent, matches: &Option<String>| {
            let current = objects.get(at).map(|known| &known.etag);
            !(absent && current.is_some()) && matches.as_ref().is_none_or(|etag| current == Some(etag))
        };
    match request {
        Request::Head(at) | Request::Get(at) => Answer::Found(objects.get(&at).cloned()),
        Request::Put { at, absent, matches, object } => {
            if !holds(objects, &at, absent, &matches) {
                return Answer::Refused;
            }
            objects.insert(at, object);
            Answer::Done
        }
        Request::Delete { at, matches } => {
            if objects.contains_key(&at) && !holds(objects, &at, false, &matches) {
                return Answer::Refused;
            }
            objects.remove(&at);
            Answer::Done
        }
    }
}

impl Model for Interleavings {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        let start = |script: &Script| State {
            deletes: script.contains(&None),
            script: script.iter().rev().copied().collect(),
            objects: BTreeMap::new(),
            events: Vec::new(),
            workers: Vec::new(),
            dead: Vec::new(),
            crashes: self.crashes,
            duplicates: self.duplicates,
            lost: self.lost,
            conflict: false,
        };
        self.scripts.iter().map(start).collect()
    }

    fn actions(&self, state: &State, steps: &mut Vec<Step>) {
        if !state.script.is_empty() {
            steps.push(Step::Client);
        }
        if state.workers.len() < 2 {
            for (index, event) in state.events.iter().enumerate() {
                // Equal events are interchangeable.
                if index == 0 || state.events[index - 1] != *event {
                    steps.push(Step::Deliver(index));
                    if state.duplicates > 0 {
                        steps.push(Step::DeliverTwice(index));
                    }
                }
            }
        }
        for (index, worker) in state.workers.iter().enumerate() {
            if index > 0 && state.workers[index - 1] == *worker {
                continue;
            }
            steps.push(Step::Answer(index));
            if state.lost > 0 && matches!(self.next(worker), Next::Request(_)) {
                steps.push(Step::LoseAnswer(index));
            }
            if state.crashes > 0 {
                steps.push(Step::Crash(index));
            }
        }
    }

    fn next_state(&self, last: &State, step: Step) -> Option<State> {
        let mut state = last.clone();
        match step {
            Step::Client => {
                let version = state.script.pop()?;
                match version {
                    Some(version) => {
                        let known = ObjectState {
                            etag: etag(version),
                            metadata: BTreeMap::new(),
                            version: Some(version),
                        };
                        state.objects.insert(source(), known);
                    }
                    None => drop(state.objects.remove(&source())),
                }
                if version.is_some() || self.mirrored() {
                    state.events.push(Event { removed: version.is_none(), attempts: 0 });
                    state.events.sort();
                }
            }
            Step::Deliver(index) => {
                let event = state.events.remove(index);
                state.workers.push(Worker { event, answers: Vec::new() });
            }
            Step::DeliverTwice(index) => {
                state.duplicates -= 1;
                let event = state.events[index].clone();
                state.workers.push(Worker { event, answers: Vec::new() });
            }
            Step::Answer(index) => match self.next(&state.workers[index]) {
                Next::Request(request) => {
                    let answer = act(&mut state.objects, request);
                    state.conflict |= answer == Answer::Refused;
                    state.workers[index].answers.push(answer);
                }
                Next::Ends(ending) => {
                    let worker = state.workers.remove(index);
                    match ending {
                        Ending::Done => {}
                        Ending::Permanent(why) => state.dead.push(why),
                        Ending::Transient(why) => Self::retry_or_dead_letter(worker.event, &why, &mut state),
                    }
                }
            },
            Step::LoseAnswer(index) => {
                state.lost -= 1;
                if let Next::Request(request) = self.next(&state.workers[index]) {
                    act(&mut state.objects, request);
                    state.workers[index].answers.push(Answer::Lost);
                }
            }
            Step::Crash(index) => {
                state.crashes -= 1;
                let worker = state.workers.remove(index);
                Self::retry_or_dead_letter(worker.event, "a crash", &mut state);
            }
        }
        // Workers are interchangeable.
        state.workers.sort_by_key(|worker| {
            (worker.event.clone(), worker.answers.len(), format!("{:?}", worker.answers))
        });
        state.dead.sort();
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        fn settled(state: &State) -> bool {
            state.script.is_empty() && state.events.is_empty() && state.workers.is_empty()
        }
        vec![
            Property::always(
                "once all is done, every thumbnail is of the newest version",
                |model: &Self, state: &State| !settled(state) || model.is_right(state),
            ),
            Property::always("dead letters are exact", |_, state: &State| {
                state.dead.iter().all(|why| why == "missing" && state.deletes)
            }),
            Property::always("attempts are bounded", |_, state: &State| {
                state
                    .workers
                    .iter()
                    .all(|worker| worker.event.attempts <= RETRIES && worker.answers.len() < 60)
            }),
            Property::sometimes("everything is done", |_, state: &State| settled(state)),
            Property::sometimes("a condition did not hold", |_, state: &State| state.conflict),
        ]
    }
}
