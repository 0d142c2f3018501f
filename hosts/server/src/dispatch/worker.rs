//! A worker: a thread that polls the calls, waits for the disk and renders. Requests and events take turns, so that
//! neither starves the other.

use std::{panic::AssertUnwindSafe, sync::Arc};

use futures::FutureExt as _;
use tintype_pipeline::EventSource as _;

use super::{Shared, delivery::DiskDelivery, events, pending_requests::Task};

enum Job {
    Request(Task),
    Event(DiskDelivery),
}

/// Works until the drain begins, and then on the requests that are there.
pub(super) async fn run(shared: Arc<Shared>) {
    let mut request_first = true;
    while let Some(job) = next(&shared, request_first).await {
        request_first = matches!(job, Job::Event(_));
        let worked = match job {
            Job::Request(task) => AssertUnwindSafe(task).catch_unwind().await,
            Job::Event(delivery) => AssertUnwindSafe(events::handle(&shared, delivery)).catch_unwind().await,
        };
        if worked.is_err() {
            tracing::error!("{} panicked", if request_first { "an event" } else { "a request" });
            events::wait_out(&shared).await;
        }
    }
}

/// The next thing to do; `None` once everything is drained.
async fn next(shared: &Shared, request_first: bool) -> Option<Job> {
    if request_first && let Some(task) = shared.requests.try_next() {
        return Some(Job::Request(task));
    }
    let event = async {
        loop {
            if let Ok(found) = AssertUnwindSafe(shared.source.next()).catch_unwind().await {
                // The queue on disk has no errors but those that it waits out.
                return found.ok().flatten().map(Job::Event);
            }
            tracing::error!("taking an event panicked");
            events::wait_out(shared).await;
        }
    };
    let request = async { Some(Job::Request(shared.requests.next().await)) };
    // The queue is looked at before this worker waits for requests: none is given to one that is busy with that.
    let job = tokio::select! { biased; job = event => job, job = request => job };
    job.or_else(|| shared.requests.try_next().map(Job::Request))
}
