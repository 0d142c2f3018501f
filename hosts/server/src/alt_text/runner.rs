//! The task that describes: takes events that are due, as many at once as the settings allow, and leaves a provider alone
//! that takes nothing.

use std::{
    collections::{HashMap, HashSet},
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::FutureExt as _;
use tintype_alt_text::{Budget, Day, Describer, Sidecar, Wait};
use tintype_pipeline::{RetryPolicy, clock::now_ms};
use tokio::{task::JoinSet, time::Instant};
use tokio_util::sync::CancellationToken;

use super::attempt::Verdict;
use crate::{
    dispatch::Dispatcher,
    history::History,
    queue::{Described, EventRecord, Queue},
    storage::Storage,
};

/// The queue is looked at at least this often: a redriven dead letter wakes nobody here.
const INTERVAL: Duration = Duration::from_secs(2);
/// The longest wait for a budget before it is looked at again: the clock may be set.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// So many images in a row at which the provider is silent are not at fault themselves.
const SILENT: usize = 3;

/// What describing needs.
pub(super) struct Runner {
    pub(super) store: Arc<Storage>,
    pub(super) queue: Arc<Queue>,
    pub(super) dispatcher: Arc<Dispatcher>,
    pub(super) history: Arc<History>,
    pub(super) describer: Describer,
    pub(super) budget: Mutex<Budget>,
    pub(super) policy: RetryPolicy,
    /// An event older than this is a dead letter where the provider is still away.
    pub(super) max_age: Duration,
    /// For rendering what is sent.
    pub(super) render_timeout: Duration,
    /// What is sent is rendered one after another: the workers are for thumbnails.
    pub(super) rendering: tokio::sync::Mutex<()>,
    /// Descriptions that could not be stored, by event: they are paid for.
    pub(super) unstored: Mutex<HashMap<u64, (Sidecar, Day)>>,
    pub(super) stopping: CancellationToken,
}

/// While the provider takes nothing: one event at a time tries it.
#[derive(Default)]
struct Pause {
    failed: u32,
    until: Option<Instant>,
    /// The events at which the provider was silent since it last answered.
    silent: HashSet<u64>,
}

impl Pause {
    fn most(&self, now: Instant, concurrency: usize) -> usize {
        match self.until {
            None => concurrency,
            Some(until) if until <= now => 1,
            Some(_) => 0,
        }
    }

    /// Begins or prolongs it; returns for how long. Attempts that were under way together fail together.
    fn begin(&mut self, began: Instant, now: Instant, retry_after: Option<Duration>) -> Duration {
        if self.until.is_none_or(|until| until <= began) {
            let backoff = RetryPolicy::backoff(self.failed);
            self.failed = self.failed.saturating_add(1);
            self.until =
                Some(now + retry_after.map_or(backoff, |asked| asked.max(Duration::from_millis(100))));
        } else if let Some(asked) = retry_after {
            self.until = self.until.max(Some(now + asked));
        }
        self.until.map_or(Duration::ZERO, |until| until.saturating_duration_since(now))
    }

    /// The provider was silent at an event; returns whether that is the provider's fault. One image may be tried in vain as
    /// often as it likes.
    fn silent(&mut self, event: u64) -> bool {
        self.silent.insert(event);
        self.until.is_some() || self.silent.len() >= SILENT
    }
}

/// An attempt that has ended.
struct Ended {
    event: EventRecord,
    began: Instant,
    verdict: Verdict,
}

impl Runner {
    pub(super) async fn run(self: Arc<Self>) {
        let mut under_way: JoinSet<Ended> = JoinSet::new();
        let mut held = HashSet::new();
        let mut pause = Pause::default();
        // When an event was first put off, in milliseconds since 1970: to wait for a budget is nobody's failure.
        let mut put_off = HashMap::new();
        let mut not_before: Option<Instant> = None;
        while !self.stopping.is_cancelled() {
            let now = Instant::now();
            not_before = not_before.filter(|then| *then > now);
            let concurrency = self.describer.settings().concurrency;
            let most = if not_before.is_some() { 0 } else { pause.most(now, concurrency) };
            let mut next = now + INTERVAL;
            if under_way.len() < most {
                let (due, first_of_others) = self.due(most + held.len()).await;
                let room = most - under_way.len();
                let mut free = due;
                free.retain(|event| !held.contains(&event.id));
                for event in free.into_iter().take(room) {
                    held.insert(event.id);
                    let me = self.clone();
                    under_way.spawn(async move {
                        let attempt = AssertUnwindSafe(me.attempt(&event)).catch_unwind().await;
                        // A panic is in the log.
                        let verdict = attempt.unwrap_or(Verdict::NotNow(INTERVAL));
                        Ended { event, began: now, verdict }
                    });
                }
                next = first_of_others.map_or(next, |due| next.min(now + due));
            }
            let waits = [not_before, pause.until].into_iter().flatten().filter(|then| *then > now);
            let next = waits.min().map_or(next, |then| then.min(next)).max(now + Duration::from_millis(5));
            tokio::select! {
                Some(ended) = under_way.join_next(), if !under_way.is_empty() => {
                    if let Ok(ended) = ended {
                        held.remove(&ended.event.id);
                        self.ended(ended, &mut pause, &mut put_off, &mut not_before).await;
                    }
                }
                () = self.store.alt_texts.queue.woken() => {}
                () = tokio::time::sleep_until(next) => {}
                () = self.stopping.cancelled() => {}
            }
        }
    }

    /// The events that are due, and how long until the first of the others is.
    async fn due(self: &Arc<Self>, most: usize) -> (Vec<EventRecord>, Option<Duration>) {
        let me = self.clone();
        let read = tokio::task::spawn_blocking(move || me.store.alt_texts.queue.due(most)).await;
        match read {
            Ok(Ok((due, next_ms))) => {
                let wait = |ms: i64| Duration::from_millis(u64::try_from(ms - now_ms()).unwrap_or(0));
                (due, next_ms.map(wait))
            }
            Ok(Err(error)) => {
                tracing::warn!(%error, "images that wait to be described could not be read");
                (Vec::new(), None)
            }
            Err(_) => (Vec::new(), None),
        }
    }

    async fn ended(
        self: &Arc<Self>,
        Ended { event, began, verdict }: Ended,
        pause: &mut Pause,
        put_off: &mut HashMap<u64, i64>,
        not_before: &mut Option<Instant>,
    ) {
        let now = Instant::now();
        let mut later = |delay: Duration| *not_before = (*not_before).max(Some(now + delay));
        let verdict = match verdict {
            Verdict::Silent { message, used } if pause.silent(event.id) => {
                Verdict::Away { message, retry_after: None, used }
            }
            // That it was asked is no answer.
            Verdict::Silent { message, used } => match self.failed(&event, message, used).await {
                Verdict::Settled { .. } => Verdict::Settled { answered: false },
                other => other,
            },
            other => other,
        };
        match verdict {
            Verdict::Settled { answered: false } => {
                put_off.remove(&event.id);
            }
            Verdict::Settled { answered: true } => {
                put_off.remove(&event.id);
                pause.silent.clear();
                if pause.until.is_none_or(|until| until <= began) {
                    *pause = Pause::default();
                }
                let mut progress = self.store.alt_texts.queue.progress();
                // Others may have begun before the budget was used up.
                if progress.out_of_budget_until_ms.is_some_and(|until_ms| until_ms <= now_ms()) {
                    progress.out_of_budget_until_ms = None;
                }
                progress.last_error = None;
                if progress.failing_since_ms.take().is_some() {
                    tracing::info!("the model's provider answers again");
                }
            }
            // There are none of those by now.
            Verdict::Silent { .. } => {}
            Verdict::NotNow(delay) => later(delay),
            Verdict::OutOf(wait) => {
                let (Wait::Minute(left) | Wait::Day(left)) = wait;
                later(left.min(LONGEST_WAIT));
                let mut progress = self.store.alt_texts.queue.progress();
                let until_ms = now_ms() + i64::try_from(left.as_millis()).unwrap_or(0);
                let was_out = progress.out_of_budget_until_ms.replace(until_ms).is_some();
                if !was_out && matches!(wait, Wait::Day(_)) {
                    tracing::warn!(
                        "alt_text.max_tokens_per_day is used up; images are described again from midnight UTC on"
                    );
                }
            }
            Verdict::Away { message, retry_after, used } => {
                self.count(false, used);
                let delay = pause.begin(began, now, retry_after);
                let is_first = {
                    let mut progress = self.store.alt_texts.queue.progress();
                    progress.last_error = Some(message.clone());
                    let is_first = progress.failing_since_ms.is_none();
                    progress.failing_since_ms.get_or_insert_with(now_ms);
                    is_first
                };
                if is_first {
                    tracing::warn!(
                        why = message,
                        "the model's provider takes nothing; it is asked again later"
                    );
                }
                let since_ms = *put_off.entry(event.id).or_insert_with(now_ms);
                if self.put_off(Described { event: event.clone(), used }, since_ms, delay, message).await {
                    put_off.remove(&event.id);
                }
            }
        }
    }

    /// Has an event wait while the provider is away; one that has been put off for too long is a dead letter. Returns
    /// whether it is.
    async fn put_off(
        self: &Arc<Self>,
        described: Described,
        since_ms: i64,
        delay: Duration,
        message: String,
    ) -> bool {
        let age_ms = now_ms().saturating_sub(since_ms);
        let is_old = Duration::from_millis(u64::try_from(age_ms).unwrap_or(0)) > self.max_age;
        let me = self.clone();
        let put_off = tokio::task::spawn_blocking(move || {
            let queue = &me.store.alt_texts.queue;
            if !is_old {
                return queue.retry(described, delay, message, false);
            }
            me.history.event_dropped();
            queue.dead_letter(described, message)
        });
        if let Ok(Err(error)) = put_off.await {
            tracing::warn!(%error, "an event of alt text could not be written");
        }
        is_old
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provider_that_takes_nothing_is_tried_by_one_event_at_a_time() {
        let mut pause = Pause::default();
        let began = Instant::now();
        assert_eq!(pause.most(began, 4), 4);
        let now = began + Duration::from_secs(1);
        assert_eq!(pause.begin(began, now, None), Duration::from_secs(1));
        // It was under way, too.
        assert_eq!(pause.begin(began, now, None), Duration::from_secs(1));
        assert_eq!(pause.most(now, 4), 0);
        let later = now + Duration::from_secs(1);
        assert_eq!(pause.most(later, 4), 1);
        assert_eq!(pause.begin(later, later, None), Duration::from_secs(2));
        let asked = later + Duration::from_secs(2);
        assert_eq!(pause.begin(asked, asked, Some(Duration::from_secs(30))), Duration::from_secs(30));
    }

    #[test]
    fn silence_at_several_images_is_the_providers() {
        let mut pause = Pause::default();
        // One image, however often.
        assert!((0..5).all(|_| !pause.silent(1)));
        assert!(!pause.silent(2));
        assert!(pause.silent(3));
        let mut pause = Pause::default();
        let now = Instant::now();
        pause.begin(now, now, None);
        assert!(pause.silent(1), "no pause ends by silence");
    }
}
