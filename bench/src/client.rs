//! The S3 client for every server: presigned requests over persistent connections.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode};
use rusty_s3::{Bucket, Credentials, S3Action as _, UrlStyle};
use tintype::http_client::HttpClient;

const VALIDITY: Duration = Duration::from_secs(3600);

#[derive(Clone)]
pub(crate) struct Client {
    http: HttpClient,
    bucket: Bucket,
    credentials: Credentials,
}

impl Client {
    pub(crate) fn new(address: &str, bucket: &str, key: &str, secret: &str) -> anyhow::Result<Self> {
        let endpoint: url::Url = format!("http://{address}").parse()?;
        Ok(Self {
            http: HttpClient::default(),
            bucket: Bucket::new(endpoint, UrlStyle::Path, bucket.to_owned(), "us-east-1")?,
            credentials: Credentials::new(key, secret),
        })
    }

    /// The same server, another bucket.
    pub(crate) fn with_bucket(&self, bucket: &str) -> anyhow::Result<Self> {
        let endpoint = self.bucket.base_url().join("/")?;
        Ok(Self {
            bucket: Bucket::new(endpoint, UrlStyle::Path, bucket.to_owned(), "us-east-1")?,
            ..self.clone()
        })
    }

    pub(crate) async fn create_bucket(&self) -> anyhow::Result<()> {
        let url = self.bucket.create_bucket(&self.credentials).sign(VALIDITY);
        let answer = self.http.send(Method::PUT, url.as_str(), "", Bytes::new()).await?;
        anyhow::ensure!(
            answer.status.is_success() || answer.status == StatusCode::CONFLICT,
            "{}",
            answer.status
        );
        Ok(())
    }

    pub(crate) async fn put(&self, key: &str, bytes: Bytes) -> anyhow::Result<()> {
        let url = self.bucket.put_object(Some(&self.credentials), key).sign(VALIDITY);
        let answer = self.http.send(Method::PUT, url.as_str(), "image/jpeg", bytes).await?;
        let text = String::from_utf8_lossy(&answer.body);
        anyhow::ensure!(answer.status.is_success(), "put {key}: {} {text}", answer.status);
        Ok(())
    }

    pub(crate) async fn delete(&self, key: &str) -> anyhow::Result<()> {
        let url = self.bucket.delete_object(Some(&self.credentials), key).sign(VALIDITY);
        let answer = self.http.send(Method::DELETE, url.as_str(), "", Bytes::new()).await?;
        anyhow::ensure!(answer.status.is_success(), "delete {key}: {}", answer.status);
        Ok(())
    }

    /// The object's bytes; `None` if there is no object.
    pub(crate) async fn get(&self, key: &str) -> anyhow::Result<Option<Bytes>> {
        let url = self.bucket.get_object(Some(&self.credentials), key).sign(VALIDITY);
        let answer = self.http.send(Method::GET, url.as_str(), "", Bytes::new()).await?;
        match answer.status {
            StatusCode::OK => Ok(Some(answer.body)),
            StatusCode::NOT_FOUND => Ok(None),
            other => anyhow::bail!("get {key}: {other}"),
        }
    }
}
