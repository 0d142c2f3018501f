//! Endpoint and credentials of S3.
//! Source: AWS, "Service-specific endpoints" (AWS SDKs).

use aws_credential_types::{
    Credentials,
    provider::{ProvideCredentials as _, SharedCredentialsProvider},
};

/// Endpoints and credentials of S3 and other AWS services.
#[derive(Debug, Clone)]
pub struct Connection {
    /// The region.
    pub region: String,
    /// What returns the credentials that sign every request. Its debug output has no secret.
    pub credentials: SharedCredentialsProvider,
    /// The endpoint of S3, if not at AWS.
    pub s3_endpoint: Option<String>,
    /// Whether the bucket is in the path of URLs, not in their host names.
    pub path_style: bool,
    /// The endpoint of other services, if not at AWS.
    pub endpoint: Option<String>,
}

impl Connection {
    /// From environment variables, named as for AWS SDKs; `variable` looks one up and returns `None` for empty ones.
    ///
    /// # Errors
    /// The first that is missing or unusable, and what to do.
    pub fn from_environment(variable: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let required = |name: &str| {
            variable(name).ok_or_else(|| {
                format!("environment variable {name} is missing; Lambda sets it, elsewhere set it by hand")
            })
        };
        let credentials = Credentials::from_keys(
            required("AWS_ACCESS_KEY_ID")?,
            required("AWS_SECRET_ACCESS_KEY")?,
            variable("AWS_SESSION_TOKEN"),
        );
        let everywhere = endpoint("AWS_ENDPOINT_URL", variable("AWS_ENDPOINT_URL"))?;
        let s3_endpoint =
            endpoint("AWS_ENDPOINT_URL_S3", variable("AWS_ENDPOINT_URL_S3"))?.or_else(|| everywhere.clone());
        Ok(Self {
            region: variable("AWS_REGION").map_or_else(|| required("AWS_DEFAULT_REGION"), Ok)?,
            credentials: SharedCredentialsProvider::new(credentials),
            // Custom endpoints rarely have a host name for each bucket.
            path_style: s3_endpoint.is_some(),
            s3_endpoint,
            endpoint: everywhere,
        })
    }

    /// The credentials that are valid now.
    ///
    /// # Errors
    /// They cannot be found or renewed.
    pub async fn current_credentials(&self) -> Result<Credentials, String> {
        let found = self.credentials.provide_credentials().await;
        found.map_err(|error| format!("no credentials for the store: {}", super::chain(&error)))
    }

    /// The URL of a bucket.
    #[must_use]
    pub fn bucket_url(&self, bucket: &str) -> String {
        let region = &self.region;
        let suffix = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
        match &self.s3_endpoint {
            Some(endpoint) if self.path_style => format!("{endpoint}/{bucket}"),
            Some(endpoint) => match endpoint.split_once("://") {
                Some((scheme, host)) => format!("{scheme}://{bucket}.{host}"),
                None => format!("{endpoint}/{bucket}"),
            },
            // The wildcard certificate covers no bucket name with dots.
            None if bucket.contains('.') => format!("https://s3.{region}.{suffix}/{bucket}"),
            None => format!("https://{bucket}.s3.{region}.{suffix}"),
        }
    }
}

fn endpoint(name: &str, url: Option<String>) -> Result<Option<String>, String> {
    match url {
        Some(url) if !url.starts_with("http://") && !url.starts_with("https://") => Err(format!(
            "environment variable {name}: \"{url}\" is no endpoint; write one like \"https://s3.eu-central-1.amazonaws.com\""
        )),
        url => Ok(url.map(|url| url.trim_end_matches('/').to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection(more: &[(&str, &str)]) -> Result<Connection, String> {
        let base = [
            ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"),
            ("AWS_SECRET_ACCESS_KEY", "very secret"),
            ("AWS_SESSION_TOKEN", "a token"),
            ("AWS_REGION", "eu-central-1"),
        ];
        Connection::from_environment(|name| {
            let given = more.iter().chain(&base).find(|(known, _)| *known == name);
            given.map(|(_, value)| (*value).to_owned()).filter(|value| !value.is_empty())
        })
    }

    #[test]
    fn endpoints_are_read_as_the_sdks_do() {
        let aws = connection(&[]).unwrap();
        assert_eq!((aws.s3_endpoint, aws.endpoint), (None, None));
        let aws = connection(&[("AWS_ENDPOINT_URL", "http://a:1/")]).unwrap();
        assert_eq!(
            (aws.s3_endpoint.as_deref(), aws.endpoint.as_deref()),
            (Some("http://a:1"), Some("http://a:1"))
        );
        let both = [("AWS_ENDPOINT_URL", "http://a:1"), ("AWS_ENDPOINT_URL_S3", "http://b:2")];
        let aws = connection(&both).unwrap();
        assert_eq!(
            (aws.s3_endpoint.as_deref(), aws.endpoint.as_deref()),
            (Some("http://b:2"), Some("http://a:1"))
        );
        assert!(connection(&[("AWS_ENDPOINT_URL_S3", "b:2")]).unwrap_err().contains("AWS_ENDPOINT_URL_S3"));
    }

    #[test]
    fn buckets_have_urls() {
        let url = |more: &[(&str, &str)], bucket| connection(more).unwrap().bucket_url(bucket);
        assert_eq!(url(&[], "in"), "https://in.s3.eu-central-1.amazonaws.com");
        assert_eq!(url(&[], "in.put"), "https://s3.eu-central-1.amazonaws.com/in.put");
        assert_eq!(url(&[("AWS_REGION", "cn-north-1")], "in"), "https://in.s3.cn-north-1.amazonaws.com.cn");
        assert_eq!(url(&[("AWS_ENDPOINT_URL_S3", "http://b:2/")], "in"), "http://b:2/in");
    }

    #[test]
    fn secrets_are_not_printed() {
        let printed = format!("{:?}", connection(&[]).unwrap());
        assert!(!printed.contains("very secret") && !printed.contains("a token"), "{printed}");
        assert!(printed.contains("AKIDEXAMPLE"));
    }

    #[test]
    fn the_missing_variable_is_named() {
        assert!(connection(&[("AWS_ACCESS_KEY_ID", "")]).unwrap_err().contains("AWS_ACCESS_KEY_ID"));
    }
}
