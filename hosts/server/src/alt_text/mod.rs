//! Has a model describe images once their thumbnails are stored. Events wait in a queue of their own, and no worker of the
//! function waits for a model: one renders what is sent, while the function has nothing else to do.
//!
//! | File | What |
//! |---|---|
//! | `runner` | one task: takes events that are due, within concurrency, budgets and pauses |
//! | `attempt` | an attempt at one event, from the event to the stored sidecar |
//! | `model` | the provider that the settings name |
//! | `transport` | the HTTP client as the crate's port |

mod attempt;
mod model;
mod runner;
mod transport;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tintype_alt_text::{AltTextSettings, Budget, Describer};
use tintype_pipeline::{RetryPolicy, clock::now_ms};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{dispatch::Dispatcher, history::History, queue::Queue, settings::Settings, storage::Storage};
use runner::Runner;

/// For attempts under way when the server ends: they are begun again after the next start.
const GRACE: Duration = Duration::from_secs(2);

/// The work of describing, of a running server; where the settings name no model there is none.
#[derive(Debug)]
pub struct Describing {
    tasks: TaskTracker,
    stopping: CancellationToken,
}

/// Reads the key that the settings name.
///
/// # Errors
/// It cannot be read, or cannot be used.
pub fn check(settings: &AltTextSettings, variable: impl Fn(&str) -> Option<String>) -> anyhow::Result<()> {
    model::open(settings, &variable).map(drop)
}

impl Describing {
    /// Begins to describe, if the settings name a model; `variable` looks up an environment variable.
    ///
    /// # Errors
    /// The key of the model's endpoint cannot be read, or the day's use not be known.
    pub fn start(
        settings: &Settings,
        store: &Arc<Storage>,
        queue: &Arc<Queue>,
        dispatcher: &Arc<Dispatcher>,
        history: &Arc<History>,
        variable: impl Fn(&str) -> Option<String>,
    ) -> anyhow::Result<Self> {
        let (tasks, stopping) = (TaskTracker::new(), CancellationToken::new());
        if let Some(alt_text) = &settings.alt_text {
            let (provider, client) = model::open(alt_text, &variable)?;
            let transport = Arc::new(transport::HttpTransport(client));
            // A restart must not renew the day's budget.
            let used = store.alt_texts.queue.today()?;
            let runner = Runner {
                store: store.clone(),
                queue: queue.clone(),
                dispatcher: dispatcher.clone(),
                history: history.clone(),
                describer: Describer::new(provider, transport, alt_text.clone()),
                budget: Mutex::new(Budget::new(alt_text, now_ms(), used)),
                policy: RetryPolicy {
                    retries: settings.function.retries,
                    delays: settings.function.retry_delays.clone(),
                },
                max_age: settings.function.max_event_age,
                render_timeout: settings.function.timeout,
                rendering: tokio::sync::Mutex::new(()),
                unstored: Mutex::default(),
                stopping: stopping.clone(),
            };
            tasks.spawn(Arc::new(runner).run());
            let store = store.clone();
            tasks.spawn_blocking(move || match store.alt_texts.reindex() {
                Ok(0) => {}
                Ok(count) => tracing::info!(count, "descriptions were indexed again for the search"),
                Err(error) => tracing::warn!(%error, "descriptions could not be indexed for the search"),
            });
        }
        tasks.close();
        Ok(Self { tasks, stopping })
    }

    /// Begins no more attempts and abandons those under way: they are due again after the next start.
    pub async fn stop(self) {
        self.stopping.cancel();
        let _ = tokio::time::timeout(GRACE, self.tasks.wait()).await;
    }
}
