//! The section `alt_text`: which model describes images, how it is asked, and what it may cost.

use std::{fmt, path::PathBuf, time::Duration};

use serde::Deserialize;
use tintype_pipeline::settings::{Check, SettingsError};

use crate::answer::{LONGEST_TEXT, is_language};

/// Which model describes images, how it is asked, and what it may cost.
#[derive(Debug, Clone, PartialEq)]
pub struct AltTextSettings {
    /// Where the model is.
    pub provider: ProviderSettings,
    /// Its name there; of Bedrock a model's id, or an inference profile's id or ARN.
    pub model: String,
    /// What a description is to be like, in place of the built-in words.
    pub prompt: Option<String>,
    /// The languages, as BCP 47 tags: one description each.
    pub languages: Vec<String>,
    /// The longest description, in characters.
    pub max_chars: usize,
    /// The most tokens of one answer.
    pub max_tokens: u32,
    /// How much chance there is in an answer.
    pub temperature: Option<f64>,
    /// Which share of the likely tokens an answer is drawn from.
    pub top_p: Option<f64>,
    /// For an answer.
    pub timeout: Duration,
    /// Requests under way at once.
    pub concurrency: usize,
    /// Requests in a minute.
    pub max_per_minute: u32,
    /// Tokens in a day (UTC), of requests and answers.
    pub max_tokens_per_day: u64,
    /// What tokens cost.
    pub price: Price,
}

/// What tokens cost, in dollars a million; 0: not known.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Price {
    /// Those of requests.
    pub input: f64,
    /// Those of answers.
    pub output: f64,
}

/// Where a model is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProviderSettings {
    /// An endpoint of chat completions, as OpenAI, Ollama, llama.cpp and vLLM have them.
    OpenAi {
        /// Its base URL, up to `/v1`.
        endpoint: String,
        /// Where its key is.
        key: ApiKey,
    },
    /// Amazon Bedrock. Credentials are found as AWS SDKs find them.
    Bedrock {
        /// The region; `None`: as the environment or the profile has it.
        region: Option<String>,
        /// The endpoint; `None`: that of the region.
        endpoint: Option<String>,
        /// A guardrail.
        guardrail: Option<Guardrail>,
    },
}

/// Where the key of an endpoint is. It is read at the start, and never shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ApiKey {
    /// There is none.
    #[default]
    None,
    /// In this environment variable.
    Variable(String),
    /// In this file.
    File(PathBuf),
}

/// A guardrail of Bedrock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guardrail {
    /// Its id or ARN.
    pub id: String,
    /// Its version, or `DRAFT`.
    pub version: String,
}

/// The section as written.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "struct AltText")]
pub struct AltTextSection {
    provider: Option<String>,
    endpoint: Option<String>,
    api_key_env: Option<String>,
    api_key_file: Option<String>,
    region: Option<String>,
    guardrail: Option<String>,
    guardrail_version: Option<String>,
    model: Option<String>,
    prompt: Option<String>,
    languages: Option<Vec<String>>,
    max_chars: Option<usize>,
    max_tokens: Option<u32>,
    temperature: Option<f64>,
    top_p: Option<f64>,
    timeout_s: Option<u64>,
    concurrency: Option<usize>,
    max_per_minute: Option<u32>,
    max_tokens_per_day: Option<u64>,
    input_price: Option<f64>,
    output_price: Option<f64>,
}

impl fmt::Debug for AltTextSection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AltText").field("provider", &self.provider).finish_non_exhaustive()
    }
}

impl AltTextSection {
    /// Validates the section; `None`: nothing describes images.
    ///
    /// # Errors
    /// The first setting that is unusable.
    pub fn validate(self, check: &Check) -> Result<Option<AltTextSettings>, SettingsError> {
        let Some(provider) = self.provider(check)? else { return Ok(None) };
        let Some(model) = self.model.filter(|model| !model.trim().is_empty()) else {
            return check.fail("alt_text.model", "which model describes the images? Write its name");
        };
        let languages = self.languages.unwrap_or_else(|| vec!["en".into()]);
        if languages.is_empty() || languages.len() > 10 {
            let words = format!("{} languages; write 1 to 10, such as [\"en\"]", languages.len());
            return check.fail("alt_text.languages", words);
        }
        for (index, language) in languages.iter().enumerate() {
            if !is_language(language) || languages[..index].contains(language) {
                let words = format!(
                    "\"{language}\" is no language's tag, or is there twice; write ones like \"en\", \"pt-BR\""
                );
                return check.fail("alt_text.languages", words);
            }
        }
        if self.prompt.as_ref().is_some_and(|prompt| prompt.trim().is_empty() || prompt.len() > 4000) {
            return check.fail("alt_text.prompt", "write 1 to 4000 bytes, or leave it out");
        }
        let of = |name: &str| format!("alt_text.{name}");
        let share = |name: &str, value: Option<f64>, high: f64| {
            value.map(|value| check.within(&of(name), value, 0.0, high)).transpose()
        };
        let price = |name: &str, value: Option<f64>| check.within(&of(name), value.unwrap_or(0.0), 0.0, 1e6);
        Ok(Some(AltTextSettings {
            provider,
            model: model.trim().to_owned(),
            prompt: self.prompt,
            languages,
            max_chars: check.within(&of("max_chars"), self.max_chars.unwrap_or(250), 20, LONGEST_TEXT)?,
            max_tokens: check.within(&of("max_tokens"), self.max_tokens.unwrap_or(300), 16, 100_000)?,
            temperature: Some(share("temperature", self.temperature, 2.0)?.unwrap_or(0.2)),
            top_p: share("top_p", self.top_p, 1.0)?,
            timeout: Duration::from_secs(check.within(
                &of("timeout_s"),
                self.timeout_s.unwrap_or(60),
                1,
                900,
            )?),
            concurrency: check.within(&of("concurrency"), self.concurrency.unwrap_or(2), 1, 64)?,
            max_per_minute: check.within(
                &of("max_per_minute"),
                self.max_per_minute.unwrap_or(60),
                1,
                100_000,
            )?,
            max_tokens_per_day: self.max_tokens_per_day.unwrap_or(1_000_000),
            price: Price {
                input: price("input_price", self.input_price)?,
                output: price("output_price", self.output_price)?,
            },
        }))
    }

    fn provider(&self, check: &Check) -> Result<Option<ProviderSettings>, SettingsError> {
        let endpoint = self.endpoint.as_ref().map(|url| url.trim_end_matches('/').to_owned());
        if let Some(url) = endpoint.as_ref().filter(|url| !is_url(url)) {
            let words = format!("\"{url}\" is no endpoint; write one like \"http://127.0.0.1:11434/v1\"");
            return check.fail("alt_text.endpoint", words);
        }
        let refuse = |name: &str, is_written: bool, why: &str| match is_written {
            true => check.fail(&format!("alt_text.{name}"), why),
            false => Ok(()),
        };
        match self.provider.as_deref() {
            None | Some("") => Ok(None),
            Some("openai") => {
                let why = "it is for provider = \"bedrock\" alone";
                refuse("region", self.region.is_some(), why)?;
                refuse("guardrail", self.guardrail.is_some(), why)?;
                refuse("guardrail_version", self.guardrail_version.is_some(), why)?;
                let named = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
                let key = match (named(&self.api_key_env), named(&self.api_key_file)) {
                    (None, None) => ApiKey::None,
                    (Some(name), None) => ApiKey::Variable(name),
                    (None, Some(file)) => ApiKey::File(file.into()),
                    (Some(_), Some(_)) => {
                        let words = "it is also named by alt_text.api_key_env; write one of the two";
                        return check.fail("alt_text.api_key_file", words);
                    }
                };
                let Some(endpoint) = endpoint else {
                    let words = "where is the model? Write the base URL of its chat completions, such as \
                                 \"http://127.0.0.1:11434/v1\"";
                    return check.fail("alt_text.endpoint", words);
                };
                Ok(Some(ProviderSettings::OpenAi { endpoint, key }))
            }
            Some("bedrock") => {
                let why =
                    "it is for provider = \"openai\" alone; credentials are found as AWS SDKs find them";
                let is_written = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
                refuse("api_key_env", is_written(&self.api_key_env), why)?;
                refuse("api_key_file", is_written(&self.api_key_file), why)?;
                let version = self.guardrail_version.clone();
                let guardrail = match (&self.guardrail, version) {
                    (None, None) => None,
                    (Some(id), version) => {
                        Some(Guardrail { id: id.clone(), version: version.unwrap_or_else(|| "DRAFT".into()) })
                    }
                    (None, Some(_)) => {
                        return check.fail("alt_text.guardrail_version", "name the guardrail, too");
                    }
                };
                Ok(Some(ProviderSettings::Bedrock { region: self.region.clone(), endpoint, guardrail }))
            }
            Some(other) => check.fail("alt_text.provider", format!("\"{other}\" is not openai or bedrock")),
        }
    }
}

/// A scheme, a host, perhaps a path.
fn is_url(url: &str) -> bool {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    rest.is_some_and(|rest| {
        let is_plain = rest.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#@\"<>\\".contains(&byte));
        is_plain && !rest.is_empty() && !rest.starts_with(['/', ':'])
    })
}

#[cfg(test)]
mod tests {
    use tintype_pipeline::settings::{Foreign, Sources};

    use super::*;

    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct File {
        alt_text: AltTextSection,
    }

    fn load(text: &str) -> Result<Option<AltTextSettings>, SettingsError> {
        let text = format!("[alt_text]\n{text}");
        let sources = Sources { file: Some(("tintype.toml".into(), text)), ..Sources::default() };
        let (file, check) = sources.read::<File>(Foreign::default())?;
        file.alt_text.validate(&check)
    }

    #[test]
    fn without_a_provider_nothing_describes() {
        assert_eq!(load("").unwrap(), None);
        assert_eq!(load("provider = \"\"\nmodel = \"m\"").unwrap(), None);
    }

    #[test]
    fn defaults_are_bounded() {
        let file = "provider = \"openai\"\nendpoint = \"http://127.0.0.1:11434/v1/\"\nmodel = \"llava\"";
        let settings = load(file).unwrap().unwrap();
        let endpoint = "http://127.0.0.1:11434/v1".to_owned();
        assert_eq!(settings.provider, ProviderSettings::OpenAi { endpoint, key: ApiKey::None });
        assert_eq!((settings.max_per_minute, settings.max_tokens_per_day), (60, 1_000_000));
        assert_eq!((settings.temperature, settings.top_p), (Some(0.2), None));
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let openai = "provider = \"openai\"\nendpoint = \"http://a/v1\"\nmodel = \"m\"\n";
        let bedrock = "provider = \"bedrock\"\nmodel = \"m\"\n";
        for (file, part) in [
            ("provider = \"other\"".to_owned(), "alt_text.provider"),
            ("provider = \"openai\"\nmodel = \"m\"".into(), "alt_text.endpoint"),
            ("provider = \"openai\"\nendpoint = \"a\"".into(), "alt_text.endpoint"),
            ("provider = \"openai\"\nendpoint = \"http://u@a\"".into(), "alt_text.endpoint"),
            ("provider = \"bedrock\"".into(), "alt_text.model"),
            (format!("{openai}region = \"eu-west-1\""), "alt_text.region"),
            (format!("{openai}api_key_env = \"A\"\napi_key_file = \"b\""), "alt_text.api_key_file"),
            (format!("{openai}languages = []"), "alt_text.languages"),
            (format!("{openai}languages = [\"english\"]"), "alt_text.languages"),
            (format!("{openai}languages = [\"en\", \"en\"]"), "alt_text.languages"),
            (format!("{openai}temperature = 2.5"), "alt_text.temperature"),
            (format!("{openai}max_chars = 5"), "alt_text.max_chars"),
            (format!("{openai}timeout_s = 0"), "alt_text.timeout_s"),
            (format!("{openai}prompt = \" \""), "alt_text.prompt"),
            (format!("{bedrock}api_key_env = \"A\""), "alt_text.api_key_env"),
            (format!("{bedrock}guardrail_version = \"1\""), "alt_text.guardrail_version"),
        ] {
            let error = load(&file).unwrap_err().to_string();
            assert!(error.contains(part), "{file}: {error}");
        }
    }
}
