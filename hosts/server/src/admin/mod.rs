//! What operators ask of a running server and have it do, as typed requests and answers: one file each. Commands send
//! them over HTTP; the console calls the same functions and renders the answers.
//!
//! Fields are snake_case, times are milliseconds since 1970 (`…_ms`).

mod access_keys;
mod alt_texts;
mod answer;
mod backfill;
mod backfills;
mod backup;
mod dead_letters;
mod delete;
mod download;
mod fields;
mod gallery;
mod image_facts;
mod image_preview;
mod logs;
mod measurements;
mod metrics;
mod next_steps;
mod notifications;
mod object_status;
mod operations;
mod orphans;
mod request;
mod results;
mod retry;
mod small_preview;
mod summary;
mod try_render;
mod upload;
mod visible_rows;

use std::{sync::Arc, time::Duration};

pub use access_keys::{KeyAction, KeyActionAnswer, KeyActionRequest, KeyEntry, KeyList, KeysRequest};
pub use alt_texts::{
    AltText, AltTextDay, AltTextRequest, AltTexts, AltTextsRequest, DescribeMissingAnswer,
    DescribeMissingRequest,
};
pub use answer::{Refusal, to_json};
use axum::{
    Json,
    extract::State,
    http::Method,
    response::{IntoResponse as _, Response},
    routing::{MethodFilter, MethodRouter, get, on, post},
};
pub use backfill::{BackfillPage, BackfillRequest, Cursor};
use backfills::BackfillJob;
pub use backfills::{
    BackfillAction, BackfillActionRequest, BackfillProgress, BackfillState, BackfillsAnswer, BackfillsRequest,
};
pub use backup::{BackupAction, BackupRequest, BackupStatus};
pub use dead_letters::{
    All, DeadLetterAction, DeadLetterActionRequest, DeadLetterCount, DeadLetterList, DeadLettersRequest,
};
pub use delete::{DeleteAnswer, DeleteRequest};
use download::DownloadRequest;
#[cfg(fuzzing)]
pub(crate) use fields::decode;
pub use fields::{Fields, encode};
pub use gallery::{
    BucketList, BucketSummary, BucketsRequest, GalleryFilter, GalleryImage, GalleryPage, GalleryRequest,
};
pub use image_facts::ImageFacts;
use image_preview::{ImagePreviewRequest, PREVIEWS};
pub use logs::LogsRequest;
pub use measurements::{LambdaCost, Measurements};
pub use metrics::{MetricAnswer, MetricRequest, parse_time};
pub use notifications::{NotificationList, NotificationTarget, NotificationsRequest};
pub use object_status::{ObjectStatus, StatusRequest, StoredObject, StoredThumbnail};
pub use operations::{Operations, OperationsRequest, SettingInForce};
pub use orphans::{Orphan, OrphansPage, OrphansRequest};
pub use request::{Handle, PagedRequest, Request};
pub use results::{Results, ResultsRequest};
pub use retry::{RetryAnswer, RetryRequest};
use small_preview::{PreviewCache, PreviewRequest};
pub use summary::{Summary, SummaryRequest};
use tintype_api::{Access, BodyLimit, Permission, Route, RouteLimits, RoutePath};
use tintype_pipeline::{Location, ObjectKey, suffixes::image_extensions, trigger::Trigger};
use tokio::sync::Semaphore;
use try_render::RenderRequest;
pub use upload::{ExistingObject, UploadAnswer, UploadCheckAnswer, UploadCheckRequest, UploadRequest};

use crate::{
    auth::{AccessKeys, Action, Visibility, caller},
    dispatch::Dispatcher,
    history::History,
    queue::Queue,
    request_id,
    settings::Settings,
    storage::Storage,
};
pub use crate::{
    history::{Entry, Period, ReportLine, Settlement, is_upload_cause, query::Statistic},
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
    keys: Arc<AccessKeys>,
    dispatcher: Arc<Dispatcher>,
    previews: Arc<Semaphore>,
    preview_cache: PreviewCache,
    backfill_job: Arc<BackfillJob>,
    pages: Arc<Semaphore>,
}

/// Pages that are read from the disk at once.
const PAGES: usize = 16;
/// For one of them; a disk that has not answered by then hangs.
const PAGE_TIMEOUT: Duration = Duration::from_secs(5);

impl Admin {
    /// Over the server's parts.
    #[must_use]
    pub fn new(
        settings: &Settings,
        store: Arc<Storage>,
        queue: Arc<Queue>,
        history: Arc<History>,
        keys: Arc<AccessKeys>,
        dispatcher: Arc<Dispatcher>,
    ) -> Self {
        let [previews, pages] = [PREVIEWS, PAGES].map(|permits| Arc::new(Semaphore::new(permits)));
        let backfill_job = Arc::<BackfillJob>::default();
        let observed = backfill_job.clone();
        history.set_observer(move |entry| observed.ended(entry));
        Self {
            parts: Arc::new(Parts {
                settings: settings.clone(),
                store,
                queue,
                history,
                keys,
                dispatcher,
                previews,
                preview_cache: PreviewCache::new(),
                backfill_job,
                pages,
            }),
        }
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
            json::<BackupRequest>(),
            json::<BackfillsRequest>(),
            json::<BackfillActionRequest>(),
            json::<OperationsRequest>(),
            json::<OrphansRequest>(),
            json::<ResultsRequest>(),
            json::<MetricRequest>(),
            json::<GalleryRequest>(),
            json::<BucketsRequest>(),
            json::<SummaryRequest>(),
            json::<NotificationsRequest>(),
            json::<DeleteRequest>(),
            json::<UploadCheckRequest>(),
            json::<AltTextsRequest>(),
            json::<DescribeMissingRequest>(),
            json::<AltTextRequest>(),
            json::<KeysRequest>(),
            json::<KeyActionRequest>(),
            row::<LogsRequest>(get(logs::lines)),
            row::<ImagePreviewRequest>(get(image_preview::image)),
            row::<PreviewRequest>(get(small_preview::preview)),
            row::<RenderRequest>(get(try_render::render)),
            row::<DownloadRequest>(get(download::download)),
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
        let work = request_id::carried(caller::carried(move || work(&admin)));
        tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| {
            tracing::error!(%error, "a request panicked");
            Err(Refusal::unavailable("a fault of the server; it is in the log"))
        })
    }

    /// The same for a page that is to be answered even if the disk hangs: within a few seconds, with few threads.
    ///
    /// # Errors
    /// As for [`Self::blocking`]; 503 if it takes too long.
    pub async fn blocking_briefly<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        let answered = async {
            let permit = self.parts.pages.clone().acquire_owned().await;
            // The thread returns the permit: it may hang for longer than anybody waits.
            self.blocking(move |admin| {
                let _permit = permit;
                work(admin)
            })
            .await
        };
        tokio::time::timeout(PAGE_TIMEOUT, answered).await.unwrap_or_else(|_| {
            Err(Refusal::unavailable(format!(
                "the data folder has not answered for {} s; /readyz has more",
                PAGE_TIMEOUT.as_secs()
            )))
        })
    }

    /// The triggers in force.
    #[must_use]
    pub fn triggers(&self) -> Arc<Vec<Trigger>> {
        self.parts.store.notifications.triggers()
    }

    /// Those of which whoever asks sees something.
    #[must_use]
    pub fn visible_triggers(&self) -> Arc<Vec<Trigger>> {
        let (triggers, visibility) = (self.triggers(), Visibility::current());
        if visibility.is_whole() {
            return triggers;
        }
        // A policy may name keys by their end, which says nothing of where they are.
        let shows_an_end = |trigger: &Trigger| {
            let shows =
                |end: &str| visibility.shows_key(&trigger.bucket, &format!("{}{end}", trigger.prefix));
            match trigger.suffixes.in_s3() {
                Some(ends) => ends.iter().any(|end| shows(end)),
                None => image_extensions().any(|extension| shows(&format!(".{extension}"))),
            }
        };
        let is_shown = |trigger: &&Trigger| {
            visibility.shows_prefix(&trigger.bucket, &trigger.prefix) || shows_an_end(trigger)
        };
        Arc::new(triggers.iter().filter(is_shown).cloned().collect())
    }

    /// The bucket of the first trigger that whoever asks sees.
    fn default_bucket(&self) -> Option<String> {
        let first = self.parts.settings.default_trigger()?;
        let visibility = Visibility::current();
        if visibility.shows_bucket(&first.bucket) {
            return Some(first.bucket.clone());
        }
        let triggers = self.triggers();
        let mut buckets = triggers.iter().map(|trigger| &trigger.bucket);
        buckets.find(|bucket| visibility.shows_bucket(bucket)).cloned()
    }

    /// The object that a request names; without a bucket in that of the first trigger.
    fn location(&self, bucket: Option<&str>, key: &str) -> Result<Location, Refusal> {
        let bucket = bucket.map(str::to_owned).or_else(|| self.default_bucket());
        let bucket = bucket.ok_or_else(|| {
            Refusal::invalid("there is no trigger whose bucket is meant by default; name a bucket")
        })?;
        Ok(Location { bucket, key: ObjectKey::new(key).map_err(Refusal::invalid)? })
    }

    /// The same of one whose name and status are asked for.
    ///
    /// # Errors
    /// Whoever asks does not see it: 403, whether it exists or not.
    fn visible_location(&self, bucket: Option<&str>, key: &str) -> Result<Location, Refusal> {
        let at = self.location(bucket, key)?;
        if !Visibility::current().shows(&at) {
            // It may not get it either, which is logged.
            caller::authorize(Action::GetObject, &at).map_err(Refusal::forbidden)?;
        }
        Ok(at)
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
