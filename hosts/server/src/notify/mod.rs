//! Sends the events of buckets to the targets of the settings: NATS JetStream, SQS, a webhook.
//!
//! | File | What |
//! |---|---|
//! | `sender` | one task a target: reads the outbox, sends, removes what was confirmed |
//! | `window` | which of the rows at hand may be sent now: in order for each object |
//! | `target` | a target: connecting, sending, and what a refusal means |
//! | `message` | an event as S3 has it, and what caches are to purge |

mod message;
mod sender;
mod target;
mod window;

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use tintype_api::settings::ApiSettings;
use tintype_pipeline::RetryPolicy;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    history::History,
    settings::{Notify, Settings},
    storage::{OutboxSection, Storage},
};
pub use target::check;

use message::Purge;

/// The settings of the API as they are now, which say at which URLs images are.
pub type LiveApi = Arc<ArcSwap<ApiSettings>>;

/// The senders of a running server.
#[derive(Debug)]
pub struct Senders {
    tasks: TaskTracker,
    stopping: CancellationToken,
}

/// What the sections of the settings have the outbox record.
#[must_use]
pub fn outbox_sections(notify: &[Notify]) -> Vec<OutboxSection> {
    let section = |notify: &Notify| OutboxSection {
        name: notify.name.clone(),
        bucket: notify.bucket.clone(),
        prefix: notify.prefix.clone(),
        created: notify.events.created,
        overwritten: notify.events.overwritten,
        removed: notify.events.removed,
        max_waiting: notify.max_waiting,
    };
    notify.iter().map(section).collect()
}

impl Senders {
    /// Starts a task for each target; `variable` looks up an environment variable, in which AWS SDKs find credentials.
    ///
    /// # Errors
    /// A file of the settings cannot be read.
    pub fn start(
        settings: &Settings,
        api: &LiveApi,
        store: &Arc<Storage>,
        history: &Arc<History>,
        variable: impl Fn(&str) -> Option<String>,
    ) -> anyhow::Result<Self> {
        let (tasks, stopping) = (TaskTracker::new(), CancellationToken::new());
        let policy = RetryPolicy {
            retries: settings.function.retries,
            delays: settings.function.retry_delays.clone(),
        };
        let lanes = store.outbox.lanes();
        for notify in &settings.notify {
            check(notify)?;
            let Some(lane) = lanes.iter().find(|lane| lane.section.name == notify.name) else { continue };
            let sender = sender::Sender {
                outbox: store.outbox.clone(),
                lane: lane.clone(),
                target: target::Target::new(notify, aws_variables(&variable))?,
                shown: notify.target.to_string(),
                purge: Purge::new(api.clone(), notify, store.notifications.clone()),
                policy: policy.clone(),
                history: history.clone(),
                stopping: stopping.clone(),
            };
            tasks.spawn(sender.run());
        }
        let (outbox, unknown) = (store.outbox.clone(), history.clone());
        tasks.spawn_blocking(move || match outbox.drop_unknown() {
            Ok(dropped) => {
                for (name, count) in dropped {
                    unknown.notifications_dropped(count);
                    tracing::error!(
                        notify = name,
                        count,
                        "events waited to be sent for a [[notify]] that the settings have no more; they were dropped"
                    );
                }
            }
            Err(error) => tracing::warn!(%error, "events of a former [[notify]] could not be dropped"),
        });
        tasks.close();
        Ok(Self { tasks, stopping })
    }

    /// Sends no more, and waits until what is under way has ended, or `grace` is over: it is sent again after the next start.
    pub async fn stop(self, grace: Duration) {
        self.stopping.cancel();
        if tokio::time::timeout(grace, self.tasks.wait()).await.is_err() {
            tracing::warn!(
                "a target of [[notify]] has not answered; what it was sent is sent again after the next start"
            );
        }
    }
}

/// Environment variables as they are now, of those that AWS SDKs read.
fn aws_variables(variable: &impl Fn(&str) -> Option<String>) -> Vec<(String, String)> {
    let names = ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_REGION", "AWS_DEFAULT_REGION"];
    names.into_iter().filter_map(|name| Some((name.to_owned(), variable(name)?))).collect()
}
