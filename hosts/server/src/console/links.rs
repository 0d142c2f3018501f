//! The addresses of pages and images.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::settings::Settings;

/// A value in a query.
pub(super) fn query(raw: &str) -> String {
    const SAFE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'/');
    utf8_percent_encode(raw, SAFE).to_string()
}

/// A path about an object.
pub(super) fn place(path: &str, bucket: &str, key: &str) -> String {
    format!("{path}?bucket={}&key={}", query(bucket), query(key))
}

/// An object's page.
pub(super) fn object(bucket: &str, key: &str) -> String {
    place("/object", bucket, key)
}

/// Where an object's retry is posted to.
pub(super) fn retry(bucket: &str, key: &str) -> String {
    place("/retry", bucket, key)
}

/// An object as a small image; another version is another address, as browsers cache it.
pub(super) fn preview(bucket: &str, key: &str, version: &str) -> String {
    format!("{}&v={}", place("/preview", bucket, key), query(version))
}

/// An object's bytes.
pub(super) fn image(bucket: &str, key: &str, version: &str) -> String {
    format!("{}&v={}", place("/picture", bucket, key), query(version))
}

/// A folder of a bucket.
pub(super) fn folder(bucket: &str, prefix: &str) -> String {
    format!("/?bucket={}&prefix={}", query(bucket), query(prefix))
}

/// Where S3 clients reach this server.
pub(super) fn s3_endpoint(settings: &Settings) -> String {
    settings.api.s3_url.clone().unwrap_or_else(|| format!("{}://{}", scheme(settings), settings.listen.s3))
}

/// Where this server's HTTP port is.
pub(super) fn http_endpoint(settings: &Settings) -> String {
    format!("{}://{}", scheme(settings), settings.listen.http)
}

/// Where this server's HTTP API is.
pub(super) fn api(settings: &Settings) -> String {
    format!("{}{}", http_endpoint(settings), settings.api.path())
}

fn scheme(settings: &Settings) -> &'static str {
    if settings.listen.tls.is_some() { "https" } else { "http" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_one_value_of_a_query() {
        assert_eq!(object("in", "a&b=\"<c>+ü.jpg"), "/object?bucket=in&key=a%26b%3D%22%3Cc%3E%2B%C3%BC.jpg");
    }
}
