//! Amazon Bedrock by its operation Converse: one signed POST, without an SDK.
//! Sources: AWS, "Converse" (Amazon Bedrock API Reference); "Amazon Bedrock endpoints and quotas".

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;
use serde_json::json;
use tintype_pipeline::clock::{now_ms, rfc3339};

use crate::{
    provider::{Ask, Completion, HttpRequest, Provider, Tokens, fault},
    settings::{AltTextSettings, Guardrail},
    signature::{self, Keys, Signed},
};

/// Gives the keys that are valid now.
#[async_trait]
pub trait Credentials: Send + Sync {
    /// The keys.
    ///
    /// # Errors
    /// They cannot be found or renewed, in words.
    async fn keys(&self) -> Result<Keys, String>;
}

/// A model of Bedrock.
#[derive(Clone)]
pub struct Bedrock {
    endpoint: String,
    region: String,
    credentials: Arc<dyn Credentials>,
    model: String,
    guardrail: Option<Guardrail>,
    max_tokens: u32,
    temperature: Option<f64>,
    top_p: Option<f64>,
}

impl fmt::Debug for Bedrock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bedrock")
            .field("endpoint", &self.endpoint)
            .field("model", &self.model)
            .finish_non_exhaustive()
    }
}

impl Bedrock {
    /// The model in a region; `endpoint` in place of the region's own.
    #[must_use]
    pub fn new(
        region: &str,
        endpoint: Option<String>,
        guardrail: Option<Guardrail>,
        credentials: Arc<dyn Credentials>,
        settings: &AltTextSettings,
    ) -> Self {
        let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
        Self {
            endpoint: endpoint.unwrap_or_else(|| format!("https://bedrock-runtime.{region}.{domain}")),
            region: region.to_owned(),
            credentials,
            model: settings.model.clone(),
            guardrail,
            max_tokens: settings.max_tokens,
            temperature: settings.temperature,
            top_p: settings.top_p,
        }
    }

    fn body(&self, ask: &Ask<'_>) -> String {
        let mut sampling = json!({"maxTokens": self.max_tokens});
        if let Some(temperature) = self.temperature {
            sampling["temperature"] = temperature.into();
        }
        if let Some(top_p) = self.top_p {
            sampling["topP"] = top_p.into();
        }
        let mut body = json!({
            "system": [{"text": ask.system}],
            "messages": [{"role": "user", "content": [
                {"image": {"format": "jpeg", "source": {"bytes": STANDARD.encode(ask.image)}}},
                {"text": ask.user},
            ]}],
            "inferenceConfig": sampling,
        });
        if let Some(Guardrail { id, version }) = &self.guardrail {
            body["guardrailConfig"] = json!({"guardrailIdentifier": id, "guardrailVersion": version});
        }
        body.to_string()
    }
}

/// A time of [`now_ms`] as signatures have it.
fn signed_time(ms: i64) -> String {
    let time: String = rfc3339(ms).chars().filter(|c| !matches!(c, '-' | ':')).collect();
    time.split_once('.').map_or_else(|| time.clone(), |(seconds, _)| format!("{seconds}Z"))
}

/// The host, with a port that is not the scheme's own, and the path of a URL.
fn host_and_path(url: &str) -> (&str, &str) {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let (host, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    let host = match url.split_once("://") {
        Some(("https", _)) => host.strip_suffix(":443").unwrap_or(host),
        _ => host.strip_suffix(":80").unwrap_or(host),
    };
    (host, path)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    output: Output,
    usage: Option<Usage>,
    stop_reason: Option<String>,
}

#[derive(Deserialize)]
struct Output {
    message: Message,
}

#[derive(Deserialize)]
struct Message {
    content: Vec<Content>,
}

/// A block of text; others, such as reasoning, have no such member.
#[derive(Deserialize)]
struct Content {
    text: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Usage {
    #[serde(default)]
    input_tokens: u64,
    #[serde(default)]
    output_tokens: u64,
}

#[async_trait]
impl Provider for Bedrock {
    fn name(&self) -> &'static str {
        "bedrock"
    }

    async fn request(&self, ask: &Ask<'_>) -> Result<HttpRequest, String> {
        let keys = self.credentials.keys().await?;
        let url = format!("{}/model/{}/converse", self.endpoint, signature::encoded(&self.model));
        let (host, path) = host_and_path(&url);
        let (body, time) = (self.body(ask), signed_time(now_ms()));
        let signed = Signed {
            host,
            path,
            region: &self.region,
            service: "bedrock",
            time: &time,
            body: body.as_bytes(),
        };
        let headers = signature::headers(&keys, signed);
        Ok(HttpRequest { headers, body: body.into(), url })
    }

    fn completion(&self, body: &[u8]) -> Result<Completion, String> {
        let answer: Answer = serde_json::from_slice(body)
            .map_err(|error| format!("Bedrock's answer is none of Converse: {}", fault(&error)))?;
        if answer.stop_reason.as_deref() == Some("guardrail_intervened") {
            return Err("the guardrail refused the image or its description".into());
        }
        let text = answer.output.message.content.into_iter().filter_map(|content| content.text);
        let tokens =
            answer.usage.map(|usage| Tokens { input: usage.input_tokens, output: usage.output_tokens });
        Ok(Completion { text: text.collect(), tokens })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_hosts_of_signatures() {
        assert_eq!(signed_time(1_767_323_045_678), "20260102T030405Z");
        assert_eq!(host_and_path("https://a.example:443/model/x"), ("a.example", "/model/x"));
        assert_eq!(host_and_path("http://127.0.0.1:8080/p/model/x"), ("127.0.0.1:8080", "/p/model/x"));
    }
}
