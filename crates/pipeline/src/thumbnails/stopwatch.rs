//! Measures the stages of the engine, which has no clock of its own.

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

use tintype_engine::{Error, ForeignDecoder, Host, Limits, Scratch, Spec, Stage, Thumbnail, render_on};

use crate::outcome::Stages;

/// Renders, and adds the time of each stage to `stages`.
pub(crate) fn render(
    foreign: &dyn ForeignDecoder,
    bytes: &[u8],
    specs: &[Spec],
    limits: &Limits,
    stop: &dyn Fn() -> bool,
    scratch: &mut Scratch,
    stages: &mut Stages,
) -> Result<Vec<Thumbnail>, Error> {
    let watch = Stopwatch::start();
    let host = Host { stop, mark: &|stage| watch.mark(stage), foreign };
    let result = render_on(host, bytes, specs, limits, scratch);
    watch.stop(stages);
    result
}

/// The time of each stage of one render; stages may alternate.
#[derive(Debug)]
struct Stopwatch {
    since: Cell<(Stage, Instant)>,
    spent: [Cell<Duration>; 3],
}

impl Stopwatch {
    /// Starts with decoding.
    fn start() -> Self {
        Self {
            since: Cell::new((Stage::Decode, Instant::now())),
            spent: std::array::from_fn(|_| Cell::default()),
        }
    }

    /// A stage begins; the previous one ends.
    fn mark(&self, stage: Stage) {
        let now = Instant::now();
        let (before, since) = self.since.replace((stage, now));
        let spent = &self.spent[before as usize];
        spent.set(spent.get() + now.duration_since(since));
    }

    /// Ends the last stage and adds all of them.
    fn stop(self, stages: &mut Stages) {
        self.mark(Stage::Encode);
        stages.decode += self.spent[Stage::Decode as usize].get();
        stages.resample += self.spent[Stage::Resample as usize].get();
        stages.encode += self.spent[Stage::Encode as usize].get();
    }
}
