//! An image that comes with the request for its thumbnails.

use tintype_engine::Spec;
use tintype_pipeline::{Failure, Picture, clock::now_ms, store::Arrival};

use super::{
    Invoker, Refused,
    attempt::{Of, Told},
    worker,
};
use crate::{
    instruments::Entry,
    request_id,
    store::{ArrivingStore, Cause},
};

/// S3's name for what happens.
const POSTED: &str = "ObjectCreated:Post";

impl Invoker {
    /// Stores an image with its thumbnails and answers one of `spec`. What is refused leaves nothing behind,
    /// neither an object nor a result.
    ///
    /// # Errors
    /// See [`Refused`]; inside, why it is refused.
    pub async fn receive(&self, arrival: Arrival, spec: Spec) -> Result<Result<Picture, Failure>, Refused> {
        let request_id = request_id::current();
        self.request(Of::Picture, Told::FailedAs("Receive"), move |desk| {
            let began_ms = now_ms();
            let cause = Cause { event: POSTED, request_id: request_id.clone() };
            let store = ArrivingStore::new(&desk.shared.store, &arrival, cause);
            let receiving = desk.shared.thumbnails.receive(&mut desk.call, &store, &arrival, &spec);
            let (report, picture) = futures::executor::block_on(receiving)?;
            worker::started(began_ms, &request_id, &arrival.at, 1);
            desk.shared.instruments.report(&report, None);
            let entry =
                Entry { request_id, cause: POSTED.into(), ..Entry::of(&report, &arrival.at, now_ms()) };
            worker::ended(desk.shared, entry);
            Ok(picture)
        })
        .await
    }
}
