//! The S3 client, and what clients of sibling services share with it. Credentials are given, not searched for,
//! which a cold start would pay for.

use std::time::Duration;

use aws_credential_types::Credentials as SdkCredentials;
use aws_sdk_s3::config::{
    BehaviorVersion, Region, SharedHttpClient, StalledStreamProtectionConfig, retry::RetryConfig,
    timeout::TimeoutConfig,
};
use aws_smithy_http_client::{
    Builder,
    tls::{Provider, rustls_provider::CryptoMode},
};

use super::Connection;

/// Within a region a connection takes a millisecond or two.
const CONNECT: Duration = Duration::from_secs(2);
/// Until the first byte of an answer.
const READ: Duration = Duration::from_secs(20);
/// The first call and two more, as the SDKs do.
pub const ATTEMPTS: u32 = 3;

/// The client of S3.
pub(super) fn s3(aws: &Connection) -> aws_sdk_s3::Client {
    let endpoint = aws.s3_endpoint.as_deref();
    let mut config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new(aws.region.clone()))
        .credentials_provider(aws.sdk_credentials())
        .http_client(http_client(endpoint))
        .timeout_config(timeouts())
        .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS))
        .stalled_stream_protection(StalledStreamProtectionConfig::enabled().build())
        // What stands in for S3 knows no host name for each bucket.
        .force_path_style(endpoint.is_some());
    config.set_endpoint_url(aws.s3_endpoint.clone());
    aws_sdk_s3::Client::from_conf(config.build())
}

impl Connection {
    /// The credentials as the SDK's clients take them.
    #[must_use]
    pub fn sdk_credentials(&self) -> SdkCredentials {
        let keys = &self.credentials;
        SdkCredentials::from_keys(&keys.access_key_id, &keys.secret_access_key, keys.session_token.clone())
    }
}

/// Time-outs of every client.
#[must_use]
pub fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder().connect_timeout(CONNECT).read_timeout(READ).build()
}

/// Plain HTTP where an endpoint says so: then no certificates are read.
#[must_use]
pub fn http_client(endpoint: Option<&str>) -> SharedHttpClient {
    if endpoint.is_some_and(|endpoint| endpoint.starts_with("http://")) {
        return Builder::new().build_http();
    }
    Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https()
}
