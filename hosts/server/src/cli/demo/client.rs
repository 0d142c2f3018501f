//! The demo's S3 client: presigned requests, like any other client's.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, StatusCode};
use rusty_s3::{Bucket, Credentials, S3Action as _, UrlStyle};
use tintype_pipeline::trigger::Trigger;

use super::{
    sample_images::SampleImage,
    table::{Row, Thumbnail},
};
use crate::{
    http_client::{HttpClient, Trust},
    server::Server,
};

/// Presigned URLs are valid for this long.
const VALIDITY: Duration = Duration::from_secs(600);
/// Between two polls for a thumbnail.
const POLL_INTERVAL: Duration = Duration::from_millis(1);

/// A client of the server's endpoint.
pub(super) struct DemoClient {
    http: HttpClient,
    source: Bucket,
    destination: Bucket,
    credentials: Credentials,
    trigger: Trigger,
}

impl DemoClient {
    pub(super) fn new(server: &Server) -> anyhow::Result<Self> {
        let trigger = server
            .settings
            .default_trigger()
            .ok_or_else(|| anyhow::anyhow!("the settings have no trigger"))?;
        let (scheme, trust) = match &server.settings.listen.tls {
            Some(files) => ("https", Trust::File(files.certificate.clone())),
            None => ("http", Trust::System),
        };
        let endpoint: url::Url = format!("{scheme}://{}", server.s3).parse()?;
        let bucket = |name: &str| Bucket::new(endpoint.clone(), UrlStyle::Path, name.to_owned(), "us-east-1");
        Ok(Self {
            trigger: trigger.clone(),
            http: HttpClient::new(endpoint.as_str(), &trust)?,
            source: bucket(&trigger.bucket)?,
            destination: bucket(&trigger.destination)?,
            credentials: Credentials::new(
                server.credentials.access_key_id.clone(),
                server.credentials.secret_access_key(),
            ),
        })
    }

    /// The key of an image's first thumbnail.
    ///
    /// # Errors
    /// The settings' first trigger does not match the image.
    pub(super) fn thumbnail_key(&self, image: &SampleImage) -> anyhow::Result<String> {
        let rendition = self
            .trigger
            .renditions
            .first()
            .filter(|_| self.trigger.matches(&self.trigger.bucket, &image.key));
        let rendition = rendition.ok_or_else(|| {
            anyhow::anyhow!(
                "the settings' first trigger does not match the sample {}; run the demo without them",
                image.key
            )
        })?;
        let to = rendition.spec.resolve(image.format);
        let key = rendition.key.render(&image.key, rendition.spec.size, image.format, to);
        key.map_err(|error| anyhow::anyhow!("the thumbnail's key would have {} bytes", error.bytes))
    }

    /// Deletes what an earlier demo stored of an image, so that its thumbnail is rendered again.
    pub(super) async fn delete(&self, image: &SampleImage) -> anyhow::Result<()> {
        for (bucket, key) in [(&self.source, &image.key), (&self.destination, &self.thumbnail_key(image)?)] {
            let url = bucket.delete_object(Some(&self.credentials), key).sign(VALIDITY);
            let answer = self.http.send(Method::DELETE, url.as_str(), "", Bytes::new()).await?;
            anyhow::ensure!(answer.status.is_success(), "deleting {key}: {}", answer.status);
        }
        Ok(())
    }

    /// Uploads an image and waits for its thumbnail.
    pub(super) async fn upload(&self, image: SampleImage, patience: Duration) -> Row {
        let thumbnail_key = self.thumbnail_key(&image).unwrap_or_default();
        let thumbnail = self.upload_and_wait(&image, &thumbnail_key, patience).await;
        Row { key: image.key, thumbnail_key, what: image.what, thumbnail }
    }

    async fn upload_and_wait(
        &self,
        image: &SampleImage,
        thumbnail_key: &str,
        patience: Duration,
    ) -> anyhow::Result<Thumbnail> {
        let put = self.source.put_object(Some(&self.credentials), &image.key).sign(VALIDITY);
        let answer =
            self.http.send(Method::PUT, put.as_str(), image.format.media_type(), image.bytes.clone()).await?;
        anyhow::ensure!(
            answer.status.is_success(),
            "the upload was refused: {} {}",
            answer.status,
            String::from_utf8_lossy(&answer.body)
        );
        let acknowledged = Instant::now();
        let get = self.destination.get_object(Some(&self.credentials), thumbnail_key).sign(VALIDITY);
        loop {
            let answer = self.http.send(Method::GET, get.as_str(), "", Bytes::new()).await?;
            if answer.status.is_success() {
                let after = acknowledged.elapsed();
                let header = tintype_engine::probe(&answer.body)?;
                let (width, height) = header.upright();
                return Ok(Thumbnail { width, height, bytes: answer.body.len(), after });
            }
            anyhow::ensure!(
                answer.status == StatusCode::NOT_FOUND,
                "reading the thumbnail: {}",
                answer.status
            );
            anyhow::ensure!(acknowledged.elapsed() < patience, "no thumbnail after {} s", patience.as_secs());
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }
}
