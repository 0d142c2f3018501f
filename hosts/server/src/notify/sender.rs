//! The task of one target: reads its rows of the outbox, sends them, and removes those that were confirmed.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures::FutureExt as _;
use tintype_pipeline::RetryPolicy;
use tokio::{task::JoinSet, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{
    message::Purge,
    target::{Failure, Target},
    window::Window,
};
use crate::{
    history::History,
    storage::{Outbox, OutboxLane, OutboxRecord, StoreFault},
};

/// Events sent at once, each of another object.
const CONCURRENCY: usize = 16;
/// For what is under way when the server ends.
const GRACE: Duration = Duration::from_secs(3);
/// Between looks at how many wait, and after a failure of the disk.
const INTERVAL: Duration = Duration::from_secs(2);

/// Sends the events of one section.
pub(super) struct Sender {
    pub(super) outbox: Arc<Outbox>,
    pub(super) lane: Arc<OutboxLane>,
    pub(super) target: Target,
    /// The target in logs.
    pub(super) shown: String,
    pub(super) purge: Purge,
    pub(super) policy: RetryPolicy,
    pub(super) history: Arc<History>,
    pub(super) stopping: CancellationToken,
}

/// An attempt that has ended.
struct Ended {
    number: u64,
    record: OutboxRecord,
    began: Instant,
    sent: Result<(), Failure>,
}

/// The wait after `failed` earlier failures: those of the settings, then twice the one before, up to five minutes.
fn delay(policy: &RetryPolicy, failed: u32) -> Duration {
    let of_settings = policy.delays.get(failed as usize).copied();
    of_settings.unwrap_or_else(|| RetryPolicy::backoff(failed).max(policy.delay(failed)))
}

/// While a target takes nothing: one event at a time tries it.
#[derive(Default)]
struct Pause {
    failed: u32,
    until: Option<Instant>,
}

impl Pause {
    /// How many events may be under way now.
    fn most(&self, now: Instant) -> usize {
        match self.until {
            None => CONCURRENCY,
            Some(until) if until <= now => 1,
            Some(_) => 0,
        }
    }

    /// Whether an attempt that began then says how the target is now: those that were under way when another failed do not.
    fn is_over_at(&self, began: Instant) -> bool {
        self.until.is_none_or(|until| until <= began)
    }

    /// The target answered an attempt.
    fn answered(&mut self, began: Instant) {
        if self.is_over_at(began) {
            *self = Self::default();
        }
    }

    /// The target took nothing; `delay` is given how often it failed before.
    fn failed(&mut self, began: Instant, now: Instant, delay: impl Fn(u32) -> Duration) {
        // Those that were under way together fail together.
        if self.is_over_at(began) {
            self.until = Some(now + delay(self.failed));
            self.failed = self.failed.saturating_add(1);
        }
    }
}

impl Sender {
    pub(super) async fn run(self) {
        let me = Arc::new(self);
        let (mut window, mut pause) = (Window::default(), Pause::default());
        let mut under_way: JoinSet<Ended> = JoinSet::new();
        let mut confirmed = Vec::new();
        let (mut is_all_read, mut is_near_full) = (false, false);
        let mut end = None;
        // After a failure: then, and until then nothing is sent.
        let mut next_removal: Option<Instant> = None;
        let mut looks = tokio::time::interval(INTERVAL);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            if next_removal.is_none_or(|next| next <= Instant::now()) {
                let is_removed = me.remove(&mut confirmed).await;
                next_removal = (!is_removed).then(|| Instant::now() + INTERVAL);
            }
            // What was read may be of objects that are held up.
            while !is_all_read && window.room() > 0 && !me.stopping.is_cancelled() {
                is_all_read = me.read(&mut window).await;
            }
            let is_stopping = me.stopping.is_cancelled();
            let now = Instant::now();
            // What is sent while nothing can be removed would be sent again after a restart.
            while !is_stopping
                && next_removal.is_none()
                && under_way.len() < pause.most(now)
                && let Some((number, record)) = window.take(now)
            {
                let me = me.clone();
                under_way.spawn(async move { me.attempt(number, record, now).await });
            }
            if is_stopping {
                let end = *end.get_or_insert(now + GRACE);
                if under_way.is_empty() || end <= now {
                    break;
                }
            }
            let due = [pause.until, window.next_due(), next_removal, end];
            let due = due.into_iter().flatten().filter(|due| *due > now).min();
            tokio::select! {
                Some(ended) = under_way.join_next(), if !under_way.is_empty() => {
                    if let Ok(ended) = ended {
                        me.settle(ended, &mut window, &mut pause, &mut confirmed);
                    }
                    // Together with those that have ended, too: one commit.
                    while let Some(Ok(ended)) = under_way.try_join_next() {
                        me.settle(ended, &mut window, &mut pause, &mut confirmed);
                    }
                }
                () = me.lane.woken() => is_all_read = false,
                () = tokio::time::sleep_until(due.unwrap_or(now)), if due.is_some() => {}
                _ = looks.tick() => {
                    me.trim(&mut window, &mut is_near_full).await;
                    is_all_read = false;
                }
                () = me.stopping.cancelled(), if !is_stopping => {}
            }
        }
        me.remove(&mut confirmed).await;
    }

    async fn attempt(&self, number: u64, record: OutboxRecord, began: Instant) -> Ended {
        let section = &self.lane.section.name;
        // The body, too: a row that never ends would hold up its object until the next start.
        let sent = async {
            let body = self.purge.body(section, number, &record).to_string();
            self.target.send(section, number, &record, body).await
        };
        let sent = AssertUnwindSafe(sent).catch_unwind().await;
        let sent = sent.unwrap_or_else(|_| Err(Failure::Target("a fault of this program".into())));
        Ended { number, record, began, sent }
    }

    fn settle(
        &self,
        Ended { number, record, began, sent }: Ended,
        window: &mut Window,
        pause: &mut Pause,
        confirmed: &mut Vec<u64>,
    ) {
        let now = Instant::now();
        let is_dropped = !window.holds(number);
        match sent {
            Ok(()) => {
                self.history.notification_sent();
                pause.answered(began);
                if self.lane.sent() {
                    tracing::info!(notify = self.lane.section.name, to = self.shown, "events are sent again");
                }
                window.confirmed(number);
                confirmed.push(number);
            }
            Err(failure) => {
                self.history.notification_failed();
                let is_first = self.lane.failed(failure.to_string());
                let wait = |failed: u32| delay(&self.policy, failed);
                match &failure {
                    Failure::Target(_) => pause.failed(began, now, wait),
                    Failure::Event(_) => pause.answered(began),
                }
                // The target may fail for this event alone: others go first.
                window.failed(number, now, wait);
                if is_first || matches!(failure, Failure::Event(_)) {
                    tracing::warn!(
                        notify = self.lane.section.name,
                        to = self.shown,
                        bucket = record.bucket,
                        key = record.key,
                        why = %failure,
                        "an event could not be sent; it is sent again later"
                    );
                }
            }
        }
        if is_dropped {
            window.ended(&record);
        }
    }

    /// Reads rows as far as there is room; returns whether those are all.
    async fn read(&self, window: &mut Window) -> bool {
        let (after, room) = (window.last, window.room());
        match self.blocking(move |outbox, name| outbox.rows(name, after, room)).await {
            Ok(rows) => {
                let is_all = rows.len() < room;
                window.add(rows);
                is_all
            }
            Err(error) => {
                tracing::warn!(%error, notify = self.lane.section.name, "events to be sent could not be read");
                // Again with the next look.
                true
            }
        }
    }

    /// Removes confirmed rows; what cannot be removed stays in the list. Returns whether all are removed.
    async fn remove(&self, confirmed: &mut Vec<u64>) -> bool {
        if confirmed.is_empty() {
            return true;
        }
        let numbers = confirmed.clone();
        match self.blocking(move |outbox, name| outbox.remove(name, numbers)).await {
            Ok(()) => confirmed.clear(),
            Err(error) => {
                tracing::warn!(%error, notify = self.lane.section.name, "sent events could not be removed; they are sent again after a restart");
            }
        }
        confirmed.is_empty()
    }

    async fn trim(&self, window: &mut Window, is_near_full: &mut bool) {
        let section = self.lane.section.clone();
        let (name, most) = (&self.lane.section.name, section.max_waiting);
        match self.blocking(move |outbox, _| outbox.trim(&section)).await {
            Ok((dropped, left)) => {
                window.dropped(&dropped);
                if !dropped.is_empty() {
                    self.history.notifications_dropped(dropped.len() as u64);
                    tracing::error!(
                        notify = name,
                        to = self.shown,
                        count = dropped.len(),
                        "more events wait to be sent than notify.max_waiting; the oldest were dropped and are never sent"
                    );
                }
                let was_near_full = std::mem::replace(is_near_full, left * 5 > most * 4);
                if *is_near_full && !was_near_full {
                    tracing::warn!(
                        notify = name,
                        to = self.shown,
                        waiting = left,
                        max_waiting = most,
                        "more than 80 % of notify.max_waiting events wait to be sent; beyond it the oldest are dropped"
                    );
                }
            }
            Err(error) => {
                tracing::warn!(%error, notify = name, "events that wait to be sent could not be counted");
            }
        }
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Outbox, &str) -> Result<T, StoreFault> + Send + 'static,
    ) -> Result<T, StoreFault> {
        let (outbox, lane) = (self.outbox.clone(), self.lane.clone());
        let done = tokio::task::spawn_blocking(move || work(&outbox, &lane.section.name)).await;
        done.unwrap_or_else(|_| Err(StoreFault::Unavailable("a fault of this program".into())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_those_of_the_settings_and_grow_from_there() {
        let seconds = |delays: &[u64], failed| {
            let delays = delays.iter().map(|seconds| Duration::from_secs(*seconds)).collect();
            delay(&RetryPolicy { retries: 2, delays }, failed).as_secs()
        };
        assert_eq!(
            [0, 1, 2, 3, 4, 9, 99].map(|failed| seconds(&[1, 10], failed)),
            [1, 10, 10, 10, 16, 300, 300]
        );
        assert_eq!(seconds(&[600], 5), 600);
        assert_eq!(seconds(&[], 0), 1);
    }

    #[test]
    fn only_what_began_after_a_pause_ends_or_extends_it() {
        let (mut pause, start) = (Pause::default(), Instant::now());
        let after = |seconds| start + Duration::from_secs(seconds);
        let wait = |failed: u32| Duration::from_secs(10 * (u64::from(failed) + 1));
        pause.failed(start, after(1), wait);
        assert_eq!((pause.failed, pause.until), (1, Some(after(11))));
        // They were under way together with the first.
        pause.answered(start);
        pause.failed(start, after(2), wait);
        pause.failed(start, after(30), wait);
        assert_eq!((pause.failed, pause.until), (1, Some(after(11))));
        assert_eq!([10, 11].map(|seconds| pause.most(after(seconds))), [0, 1]);
        pause.failed(after(11), after(12), wait);
        assert_eq!((pause.failed, pause.until), (2, Some(after(32))));
        pause.answered(after(32));
        assert_eq!((pause.failed, pause.most(after(32))), (0, CONCURRENCY));
    }
}
