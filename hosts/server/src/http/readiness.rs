//! `GET /readyz`: whether the data folder can be used. One check at a time, at most every few seconds, serves all requests, so
//! that a request costs nothing and a disk that hangs blocks one thread.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{http::StatusCode, response::Response};
use tintype_api::message;
use tokio::{sync::watch, time::Instant};

use crate::storage::Storage;

/// A check begins at most this often: each writes a block and syncs it.
const INTERVAL: Duration = Duration::from_secs(5);
/// A disk that has not answered by then is not ready.
const TIMEOUT: Duration = Duration::from_secs(5);

/// What is wrong, for people.
type Verdict = Result<(), String>;

/// The latest check, shared by all requests.
#[derive(Debug, Default)]
pub(super) struct Readiness(Mutex<Option<Check>>);

#[derive(Debug, Clone)]
struct Check {
    begun: Instant,
    /// `None` while it runs.
    verdict: watch::Receiver<Option<Verdict>>,
}

impl Check {
    fn begin(store: Arc<Storage>, was_ready: bool) -> Self {
        let (sender, verdict) = watch::channel(None);
        let begun = Instant::now();
        tokio::spawn(async move {
            let mut check = tokio::task::spawn_blocking(move || store.health.check());
            let in_time = tokio::time::timeout_at(begun + TIMEOUT, &mut check).await;
            let (ended, was_ready) = if let Ok(ended) = in_time {
                (ended, was_ready)
            } else {
                tracing::warn!(why = hangs(begun), "not ready");
                (check.await, false)
            };
            // A check that panicked has no verdict.
            let Ok(found) = ended else { return };
            let found = found.map_err(|fault| fault.to_string());
            match &found {
                Err(why) if was_ready => tracing::warn!(%why, "not ready"),
                Ok(()) if !was_ready => tracing::info!("ready again"),
                _ => {}
            }
            sender.send_replace(Some(found));
        });
        Self { begun, verdict }
    }

    /// Whether another may begin. A check that panicked has ended without a verdict.
    fn may_be_replaced(&self) -> bool {
        let ended = self.verdict.borrow().is_some() || self.verdict.has_changed().is_err();
        ended && self.begun.elapsed() >= INTERVAL
    }

    async fn verdict(mut self) -> Verdict {
        let ended = self.verdict.wait_for(Option::is_some);
        match tokio::time::timeout_at(self.begun + TIMEOUT, ended).await {
            Ok(Ok(verdict)) => verdict.clone().unwrap_or(Ok(())),
            Ok(Err(_)) => Err("the check of the data folder failed; the log has more".into()),
            Err(_) => Err(hangs(self.begun)),
        }
    }
}

fn hangs(since: Instant) -> String {
    format!(
        "the volume of the data folder has not answered for {} s: look at the disk, or at the network it is reached by",
        since.elapsed().as_secs()
    )
}

impl Readiness {
    /// 200, or 503 with what is wrong and what to do.
    pub(super) async fn answer(&self, store: &Arc<Storage>) -> Response {
        let check = self.current(store);
        match check.verdict().await {
            Ok(()) => message(StatusCode::OK, "ready"),
            Err(why) => message(StatusCode::SERVICE_UNAVAILABLE, why),
        }
    }

    /// The check under way, the latest one, or a new one if that is too old.
    fn current(&self, store: &Arc<Storage>) -> Check {
        let mut latest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &*latest {
            Some(check) if !check.may_be_replaced() => check.clone(),
            before => {
                let was_ready =
                    before.as_ref().is_none_or(|check| matches!(*check.verdict.borrow(), Some(Ok(()))));
                latest.insert(Check::begin(store.clone(), was_ready)).clone()
            }
        }
    }
}
