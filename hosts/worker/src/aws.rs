//! The connection to the store, with credentials found as AWS SDKs find them: environment, profile, web identity,
//! container, instance.
//! Source: AWS, "Standardized credential providers" (AWS SDKs and Tools).

use async_trait::async_trait;
use aws_config::{BehaviorVersion, Region};
use tintype_alt_text::{bedrock::Credentials, signature::Keys};
use tintype_stores::s3::{Connection, http_client, timeouts};

use crate::settings::StoreSettings;

/// Where neither settings nor environment name one; stores other than AWS mostly accept any.
const DEFAULT_REGION: &str = "us-east-1";

/// The connection that the settings describe; `variable` looks up an environment variable. The search for credentials reads
/// files and the environment; it sends nothing yet, except where no region is set.
///
/// # Errors
/// What cannot be found, and what to do.
pub(crate) async fn connection(
    settings: &StoreSettings,
    variable: impl Fn(&str) -> Option<String>,
) -> anyhow::Result<Connection> {
    let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
    let everywhere = variable("AWS_ENDPOINT_URL");
    let s3_endpoint = (settings.endpoint.clone())
        .or_else(|| variable("AWS_ENDPOINT_URL_S3"))
        .or_else(|| everywhere.clone())
        .map(|url| url.trim_end_matches('/').to_owned());
    let region = settings.region.clone().or_else(|| variable("AWS_REGION"));
    let region = region.or_else(|| variable("AWS_DEFAULT_REGION"));
    // With credentials in the environment nothing is asked over TLS, so no certificates are loaded.
    let in_environment = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"];
    let is_static = in_environment.iter().all(|name| variable(name).is_some());
    let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
        .http_client(http_client(is_static.then_some("http://")))
        .timeout_config(timeouts());
    // A store elsewhere needs no region, so it is not searched for on the network.
    if region.is_some() || s3_endpoint.is_some() {
        loader = loader.region(Region::new(region.unwrap_or_else(|| DEFAULT_REGION.into())));
    }
    let found = loader.load().await;
    let credentials = found.credentials_provider();
    let credentials =
        credentials.ok_or_else(|| anyhow::anyhow!("no credentials for the store can be searched for"))?;
    Ok(Connection {
        region: found.region().map_or_else(|| DEFAULT_REGION.into(), ToString::to_string),
        credentials,
        path_style: settings.path_style.unwrap_or(s3_endpoint.is_some()),
        s3_endpoint,
        endpoint: everywhere,
    })
}

/// Credentials for services other than the store, found as AWS SDKs find them.
#[derive(Debug)]
pub struct AwsAccess {
    connection: Connection,
}

impl AwsAccess {
    /// Searches for them; `region` in place of that of the environment or the profile. `variable` looks up an environment
    /// variable.
    ///
    /// # Errors
    /// What cannot be found, and what to do.
    pub async fn find(
        region: Option<String>,
        variable: impl Fn(&str) -> Option<String>,
    ) -> anyhow::Result<Self> {
        let settings = StoreSettings { region, ..StoreSettings::default() };
        Ok(Self { connection: connection(&settings, variable).await? })
    }

    /// The region.
    #[must_use]
    pub fn region(&self) -> &str {
        &self.connection.region
    }
}

#[async_trait]
impl Credentials for AwsAccess {
    async fn keys(&self) -> Result<Keys, String> {
        let found = self.connection.current_credentials().await?;
        Ok(Keys {
            access_key_id: found.access_key_id().to_owned(),
            secret_access_key: found.secret_access_key().to_owned(),
            session_token: found.session_token().map(str::to_owned),
        })
    }
}
