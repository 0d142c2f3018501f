//! Chat completions with the image as a data URL: OpenAI, Ollama, llama.cpp, vLLM and others.
//! Source: OpenAI, "API Reference: Create chat completion".

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;
use serde_json::json;

use crate::{
    provider::{Ask, Completion, HttpRequest, Provider, Tokens, error_text, fault},
    settings::AltTextSettings,
};

/// An endpoint of chat completions. `Debug` shows no key.
#[derive(Clone)]
pub struct OpenAi {
    url: String,
    key: Option<String>,
    model: String,
    max_tokens: u32,
    temperature: Option<f64>,
    top_p: Option<f64>,
    /// Whether the model wants the bound by its newer name, and whether it takes no temperature: known once it refuses.
    is_newer: Arc<AtomicBool>,
    has_no_temperature: Arc<AtomicBool>,
}

impl fmt::Debug for OpenAi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenAi").field("url", &self.url).field("model", &self.model).finish_non_exhaustive()
    }
}

impl OpenAi {
    /// The endpoint with this base URL and key.
    #[must_use]
    pub fn new(endpoint: &str, key: Option<String>, settings: &AltTextSettings) -> Self {
        Self {
            url: format!("{endpoint}/chat/completions"),
            key,
            model: settings.model.clone(),
            max_tokens: settings.max_tokens,
            temperature: settings.temperature,
            top_p: settings.top_p,
            is_newer: Arc::default(),
            has_no_temperature: Arc::default(),
        }
    }
}

#[derive(Deserialize)]
struct Answer {
    choices: Vec<Choice>,
    usage: Option<Usage>,
}

#[derive(Deserialize)]
struct Choice {
    message: Message,
}

#[derive(Deserialize)]
struct Message {
    content: Option<String>,
    refusal: Option<String>,
}

#[derive(Deserialize)]
struct Usage {
    #[serde(default)]
    prompt_tokens: u64,
    #[serde(default)]
    completion_tokens: u64,
}

#[async_trait]
impl Provider for OpenAi {
    fn name(&self) -> &'static str {
        "openai"
    }

    async fn request(&self, ask: &Ask<'_>) -> Result<HttpRequest, String> {
        let image = format!("data:image/jpeg;base64,{}", STANDARD.encode(ask.image));
        let mut body = json!({
            "model": self.model,
            "messages": [
                {"role": "system", "content": ask.system},
                {"role": "user", "content": [
                    {"type": "text", "text": ask.user},
                    {"type": "image_url", "image_url": {"url": image}},
                ]},
            ],
        });
        let is_newer = self.is_newer.load(Ordering::Relaxed);
        let bound = if is_newer { "max_completion_tokens" } else { "max_tokens" };
        body[bound] = self.max_tokens.into();
        let takes_temperature = !self.has_no_temperature.load(Ordering::Relaxed);
        if let Some(temperature) = self.temperature.filter(|_| takes_temperature) {
            body["temperature"] = temperature.into();
        }
        if let Some(top_p) = self.top_p {
            body["top_p"] = top_p.into();
        }
        let mut headers = vec![("content-type", "application/json".to_owned())];
        headers.extend(self.key.as_ref().map(|key| ("authorization", format!("Bearer {key}"))));
        Ok(HttpRequest { url: self.url.clone(), headers, body: body.to_string().into() })
    }

    fn completion(&self, body: &[u8]) -> Result<Completion, String> {
        let answer: Answer = serde_json::from_slice(body)
            .map_err(|error| format!("the endpoint's answer is no chat completion: {}", fault(&error)))?;
        let choice = answer.choices.into_iter().next().ok_or("the endpoint's answer has no choice")?;
        let tokens =
            answer.usage.map(|usage| Tokens { input: usage.prompt_tokens, output: usage.completion_tokens });
        // A refusal is no JSON: it is found invalid as any other text.
        let text = choice.message.content.or(choice.message.refusal).unwrap_or_default();
        Ok(Completion { text, tokens })
    }

    fn secret(&self) -> Option<&str> {
        self.key.as_deref()
    }

    fn adapts(&self, refusal: &[u8]) -> bool {
        let text = error_text(refusal);
        // Each once: a model that refuses the other name, too, means something else.
        if text.contains("max_completion_tokens") {
            return !self.is_newer.swap(true, Ordering::Relaxed);
        }
        text.contains("temperature")
            && self.temperature.is_some()
            && !self.has_no_temperature.swap(true, Ordering::Relaxed)
    }
}
