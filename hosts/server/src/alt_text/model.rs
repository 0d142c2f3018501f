//! The provider that the settings name.

use std::sync::Arc;

use anyhow::Context as _;
use async_trait::async_trait;
use tintype_alt_text::{
    AltTextSettings, Ask, Completion, HttpRequest, Provider,
    bedrock::Bedrock,
    openai::OpenAi,
    settings::{ApiKey, Guardrail, ProviderSettings},
};
use tintype_worker::{AwsAccess, read_secret};
use tokio::sync::OnceCell;

use crate::http_client::{HttpClient, Trust};

/// Environment variables that AWS SDKs read.
const VARIABLES: [&str; 4] =
    ["AWS_ENDPOINT_URL_BEDROCK_RUNTIME", "AWS_ENDPOINT_URL", "AWS_REGION", "AWS_DEFAULT_REGION"];

/// The provider, and a client for its endpoint. Nothing is sent yet.
///
/// # Errors
/// The endpoint's key cannot be read, or the trusted certificates cannot.
pub(super) fn open(
    settings: &AltTextSettings,
    variable: &impl Fn(&str) -> Option<String>,
) -> anyhow::Result<(Arc<dyn Provider>, HttpClient)> {
    match &settings.provider {
        ProviderSettings::OpenAi { endpoint, key } => {
            let key = match key {
                ApiKey::None => None,
                ApiKey::Variable(name) => {
                    let key = variable(name).filter(|key| !key.is_empty());
                    Some(key.with_context(|| {
                        format!("alt_text.api_key_env: environment variable {name} is not set")
                    })?)
                }
                ApiKey::File(file) => Some(read_secret("alt_text.api_key_file", file)?),
            };
            if let Some(key) = &key {
                anyhow::ensure!(
                    !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_graphic()),
                    "alt_text: the endpoint's key is empty or has other than visible ASCII characters"
                );
            }
            let client = HttpClient::new(endpoint, &Trust::System).context("alt_text.endpoint")?;
            Ok((Arc::new(OpenAi::new(endpoint, key, settings)), client))
        }
        ProviderSettings::Bedrock { region, endpoint, guardrail } => {
            let variables: Vec<_> =
                VARIABLES.iter().filter_map(|name| Some((*name, variable(name)?))).collect();
            let of_environment =
                |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, url)| url.clone());
            let endpoint = endpoint
                .clone()
                .or_else(|| VARIABLES[..2].iter().find_map(|name| of_environment(name)))
                .map(|url| url.trim_end_matches('/').to_owned());
            let address = endpoint.clone().unwrap_or_else(|| "https://aws".into());
            let client = HttpClient::new(&address, &Trust::System).context("alt_text.endpoint")?;
            let bedrock = LazyBedrock {
                region: region.clone(),
                endpoint,
                guardrail: guardrail.clone(),
                settings: settings.clone(),
                variables,
                found: OnceCell::new(),
            };
            Ok((Arc::new(bedrock), client))
        }
    }
}

/// Bedrock, whose region and credentials are searched for with the first request: that may take a while.
struct LazyBedrock {
    region: Option<String>,
    endpoint: Option<String>,
    guardrail: Option<Guardrail>,
    settings: AltTextSettings,
    variables: Vec<(&'static str, String)>,
    found: OnceCell<Bedrock>,
}

impl LazyBedrock {
    async fn find(&self) -> anyhow::Result<Bedrock> {
        let variable = |name: &str| {
            let found = self.variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| value.clone())
        };
        let access = AwsAccess::find(self.region.clone(), variable).await?;
        let (region, guardrail) = (access.region().to_owned(), self.guardrail.clone());
        Ok(Bedrock::new(&region, self.endpoint.clone(), guardrail, Arc::new(access), &self.settings))
    }
}

#[async_trait]
impl Provider for LazyBedrock {
    fn name(&self) -> &'static str {
        "bedrock"
    }

    async fn request(&self, ask: &Ask<'_>) -> Result<HttpRequest, String> {
        let found = self.found.get_or_try_init(|| self.find()).await;
        found.map_err(|error| format!("{error:#}"))?.request(ask).await
    }

    fn completion(&self, body: &[u8]) -> Result<Completion, String> {
        self.found.get().ok_or("nothing was asked")?.completion(body)
    }
}
