//! What operators ask of a running server and have it do, as typed requests and answers: one file each. Commands send
//! them over HTTP; the console calls the same functions and renders the answers.
//!
//! Fields are snake_case, times are milliseconds since 1970 (`…_ms`).

mod answer;
mod backfill;
mod dead_letters;
mod fields;
mod image_preview;
mod logs;
mod measurements;
mod metrics;
mod next_steps;
mod object_status;
mod orphans;
mod request;
mod results;
mod retry;
mod upload;

use std::sync::Arc;

pub use answer::{Refusal, to_json};
use axum::{
    Json,
    extract::State,
    http::Method,
    response::{IntoResponse as _, Response},
    routing::{MethodFilter, MethodRouter, get, on, post},
};
pub use backfill::{BackfillPage, BackfillRequest, Cursor};
pub use dead_letters::{
    All, DeadLetterAction, DeadLetterActionRequest, DeadLetterCount, DeadLetterList, DeadLettersRequest,
};
#[cfg(fuzzing)]
pub(crate) use fields::decode;
pub use fields::{Fields, encode};
use image_preview::{ImagePreviewRequest, PREVIEWS};
pub use logs::LogsRequest;
pub use measurements::{LambdaCost, Measurements};
pub use metrics::{MetricAnswer, MetricRequest, parse_time};
pub use object_status::{ObjectStatus, StatusRequest, StoredObject, StoredThumbnail};
pub use orphans::{Orphan, OrphansPage, OrphansRequest};
pub use request::{Handle, PagedRequest, Request};
pub use results::{Results, ResultsRequest};
pub use retry::{RetryAnswer, RetryRequest};
use tintype_api::{Access, BodyLimit, Permission, Route, RouteLimits, RoutePath};
use tintype_pipeline::{Location, ObjectKey, trigger::Trigger};
use tokio::sync::Semaphore;
pub use upload::{UploadAnswer, UploadRequest};

use crate::{history::History, queue::Queue, settings::Settings, storage::Storage};
pub use crate::{
    history::{Entry, Period, ReportLine, Settlement, query::Statistic},
    queue::{DeadLetter, DeadLetterSummary, EventRecord, ResultRecord},
};

/// Answers the requests of operators; cheap to clone.
#[derive(Clone)]
pub struct Admin {
    parts: Arc<Parts>,
}

struct Parts {
    settings: Settings,
    store: Arc<Storage>,
    queue: Arc<Queue>,
    history: Arc<History>,
    previews: Arc<Semaphore>,
}

impl Admin {
    /// Over the server's parts.
    #[must_use]
    pub fn new(settings: &Settings, store: Arc<Storage>, queue: Arc<Queue>, history: Arc<History>) -> Self {
        let previews = Arc::new(Semaphore::new(PREVIEWS));
        Self { parts: Arc::new(Parts { settings: settings.clone(), store, queue, history, previews }) }
    }

    /// The routes: a request is added here. Who may send it is checked by whoever serves them.
    #[must_use]
    pub fn routes(&self) -> Vec<Route<MethodRouter>> {
        let rows = [
            json::<StatusRequest>(),
            json::<RetryRequest>(),
            json::<DeadLettersRequest>(),
            json::<DeadLetterActionRequest>(),
            json::<BackfillRequest>(),
            json::<OrphansRequest>(),
            json::<ResultsRequest>(),
            json::<MetricRequest>(),
            row::<LogsRequest>(get(logs::lines)),
            row::<ImagePreviewRequest>(get(image_preview::image)),
            Route {
                limits: RouteLimits { body: BodyLimit::Streamed, ..RouteLimits::default() },
                ..row::<UploadRequest>(post(upload::upload))
            },
            Route {
                is_logged: false,
                ..Route::new(
                    Method::GET,
                    RoutePath::Root("/metrics"),
                    Access::Login(Permission::Read),
                    get(metrics::prometheus),
                )
            },
        ];
        rows.into_iter().map(|row| row.map(|handler| handler.with_state(self.clone()))).collect()
    }

    /// Runs `work` on a thread that may wait for the disk.
    ///
    /// # Errors
    /// Those of `work`; 503 if it panics.
    pub async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        let admin = self.clone();
        tokio::task::spawn_blocking(move || work(&admin)).await.unwrap_or_else(|error| {
            tracing::error!(%error, "a request panicked");
            Err(Refusal::unavailable("a fault of the server; it is in the log"))
        })
    }

    /// The triggers in force.
    #[must_use]
    pub fn triggers(&self) -> Arc<Vec<Trigger>> {
        self.parts.store.notifications.triggers()
    }

    /// The object that a request names; without a bucket in that of the first trigger.
    fn location(&self, bucket: Option<&str>, key: &str) -> Result<Location, Refusal> {
        let default = || self.parts.settings.default_trigger().map(|trigger| trigger.bucket.as_str());
        let bucket = bucket
            .or_else(default)
            .ok_or_else(|| Refusal::invalid("the settings have no trigger; name a bucket"))?;
        Ok(Location { bucket: bucket.to_owned(), key: ObjectKey::new(key).map_err(Refusal::invalid)? })
    }
}

fn row<R: Request>(handler: MethodRouter<Admin>) -> Route<MethodRouter<Admin>> {
    Route::new(R::METHOD, RoutePath::Root(R::PATH), Access::Login(R::PERMISSION), handler)
}

fn json<R: Handle>() -> Route<MethodRouter<Admin>> {
    // Every request's method is one that the filter knows.
    row::<R>(on(MethodFilter::try_from(R::METHOD).unwrap_or(MethodFilter::GET), answer_json::<R>))
}

async fn answer_json<R: Handle>(State(admin): State<Admin>, Fields(request): Fields<R>) -> Response {
    match admin.blocking(|admin| Ok(to_json::<R>(&request.handle(admin)?))).await {
        Ok(json) => (R::STATUS, Json(json)).into_response(),
        Err(refusal) => refusal.into_response(),
    }
}
