//! The S3 client, and the configuration it shares with clients of other services. Credentials are passed in: searching
//! for them would slow cold starts on Lambda.

use std::time::Duration;

use aws_sdk_s3::config::{
    BehaviorVersion, Region, SharedHttpClient, StalledStreamProtectionConfig, retry::RetryConfig,
    timeout::TimeoutConfig,
};
use aws_smithy_http_client::{
    Builder,
    tls::{Provider, rustls_provider::CryptoMode},
};

use super::Connection;

/// Within a region a connection takes milliseconds.
const CONNECT: Duration = Duration::from_secs(2);
/// Until the first byte of a response.
const READ: Duration = Duration::from_secs(20);
/// The first attempt and two retries, the default of the SDKs.
pub const ATTEMPTS: u32 = 3;

/// The client of S3.
pub(super) fn s3(aws: &Connection) -> aws_sdk_s3::Client {
    let endpoint = aws.s3_endpoint.as_deref();
    let mut config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new(aws.region.clone()))
        .credentials_provider(aws.credentials.clone())
        .http_client(http_client(endpoint))
        .timeout_config(timeouts())
        .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS))
        .stalled_stream_protection(StalledStreamProtectionConfig::enabled().build())
        .force_path_style(aws.path_style);
    config.set_endpoint_url(aws.s3_endpoint.clone());
    aws_sdk_s3::Client::from_conf(config.build())
}

/// Time-outs of every client.
#[must_use]
pub fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder().connect_timeout(CONNECT).read_timeout(READ).build()
}

/// Plain HTTP for an `http://` endpoint: then no certificates are loaded.
#[must_use]
pub fn http_client(endpoint: Option<&str>) -> SharedHttpClient {
    if endpoint.is_some_and(|endpoint| endpoint.starts_with("http://")) {
        return Builder::new().build_http();
    }
    Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https()
}
