//! An image in, a description out: asks, checks the answer, and asks once more by a stricter prompt.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use crate::{
    answer::{Invalid, LONGEST_ANSWER, Rules, parse},
    prompt::{self, Prompt},
    provider::{
        Ask, Completion, HttpAnswer, Provider, Tokens, Transport, TransportError, bounded, error_message,
    },
    settings::AltTextSettings,
};

/// The longest answer over HTTP that is read: the text as JSON escapes it, and what is around it.
const LONGEST_BODY: usize = 8 * LONGEST_ANSWER;
/// The longest wait that a provider may ask for.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);
/// What the image is assumed to have taken where the provider does not say.
const ASSUMED_INPUT: u64 = 1000;

/// A description.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// By language.
    pub alt: BTreeMap<String, String>,
    /// What it took.
    pub tokens: Tokens,
    /// Requests.
    pub requests: u32,
}

/// Why there is no description.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The provider takes nothing now: it cannot be reached, is overloaded, or is not what the settings say.
    Provider {
        /// In words.
        message: String,
        /// How long it asks to be left alone.
        retry_after: Option<Duration>,
        /// What was used up all the same.
        tokens: Tokens,
    },
    /// It has not answered in time: whose fault that is only others can tell.
    Silent {
        /// In words.
        message: String,
        /// What may have been used up.
        tokens: Tokens,
        /// Requests.
        requests: u32,
    },
    /// It has no description of this image.
    Image {
        /// In words, none of them the model's.
        message: String,
        /// What was used up all the same.
        tokens: Tokens,
        /// Requests.
        requests: u32,
    },
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Provider { message, .. } | Self::Silent { message, .. } | Self::Image { message, .. }) =
            self;
        f.write_str(message)
    }
}

/// Describes images by one model.
pub struct Describer {
    provider: Arc<dyn Provider>,
    transport: Arc<dyn Transport>,
    settings: AltTextSettings,
    system: String,
}

impl fmt::Debug for Describer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Describer").field("model", &self.settings.model).finish_non_exhaustive()
    }
}

impl Describer {
    /// By the model of the settings.
    #[must_use]
    pub fn new(
        provider: Arc<dyn Provider>,
        transport: Arc<dyn Transport>,
        settings: AltTextSettings,
    ) -> Self {
        let system = prompt::system(&settings);
        Self { provider, transport, settings, system }
    }

    /// The settings.
    #[must_use]
    pub const fn settings(&self) -> &AltTextSettings {
        &self.settings
    }

    /// The provider's name.
    #[must_use]
    pub fn provider(&self) -> &'static str {
        self.provider.name()
    }

    /// Describes a JPEG.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn describe(&self, image: &[u8]) -> Result<Description, Failure> {
        let mut tokens = Tokens::default();
        let first = match self.ask(image, Prompt::First, &mut tokens).await? {
            Ok(alt) => return Ok(Description { alt, tokens, requests: 1 }),
            Err(invalid) => invalid.to_string(),
        };
        match self.ask(image, Prompt::Stricter(&first), &mut tokens).await? {
            Ok(alt) => Ok(Description { alt, tokens, requests: 2 }),
            Err(invalid) => Err(Failure::Image {
                message: format!("the model's answer cannot be used, even to a stricter prompt: {invalid}"),
                tokens,
                requests: 2,
            }),
        }
    }

    async fn ask(
        &self,
        image: &[u8],
        prompt: Prompt<'_>,
        tokens: &mut Tokens,
    ) -> Result<Result<BTreeMap<String, String>, Invalid>, Failure> {
        let away = |message: String, tokens: Tokens| {
            let message = bounded(&message);
            Failure::Provider { message, retry_after: None, tokens }
        };
        let requests = if prompt == Prompt::First { 1 } else { 2 };
        let user = prompt::user(prompt);
        let ask = Ask { system: &self.system, user: &user, image };
        let sent = loop {
            let request = self.provider.request(&ask).await.map_err(|message| away(message, *tokens))?;
            let sent = self.transport.send(request, LONGEST_BODY, self.settings.timeout).await;
            // A model that takes not all parameters says so, and has used up nothing.
            let is_adapted =
                matches!(&sent, Ok(answer) if answer.status == 400 && self.provider.adapts(&answer.body));
            if !is_adapted {
                break sent;
            }
        };
        let of_image = |message: String, tokens: Tokens| {
            let message = bounded(&message);
            Failure::Image { message, tokens, requests }
        };
        let answer = match sent {
            Ok(answer) => answer,
            Err(TransportError::TimedOut) => {
                // It may have been worked on all the same.
                *tokens = tokens.and(self.assumed(""));
                let seconds = self.settings.timeout.as_secs();
                let message = format!("the model has not answered within alt_text.timeout_s, {seconds} s");
                return Err(Failure::Silent { message, tokens: *tokens, requests });
            }
            Err(TransportError::TooLong) => {
                *tokens = tokens.and(self.assumed(""));
                return Err(of_image("the provider's answer is too long".into(), *tokens));
            }
            Err(TransportError::Unreachable(why)) => {
                return Err(away(format!("the model's provider cannot be reached: {why}"), *tokens));
            }
        };
        if let Some(failure) = refused(&answer, self.provider.secret(), *tokens, requests) {
            return Err(failure);
        }
        let Completion { text, tokens: used } = match self.provider.completion(&answer.body) {
            Ok(completion) => completion,
            Err(message) => {
                *tokens = tokens.and(self.assumed(""));
                return Err(of_image(message, *tokens));
            }
        };
        *tokens = tokens.and(used.unwrap_or_else(|| self.assumed(&text)));
        let rules = Rules { languages: &self.settings.languages, max_chars: self.settings.max_chars };
        Ok(parse(&text, rules))
    }

    /// What a request has taken, where nobody says so: a token is some four bytes.
    fn assumed(&self, text: &str) -> Tokens {
        let of = |bytes: usize| bytes as u64 / 4;
        Tokens { input: ASSUMED_INPUT + of(self.system.len()), output: of(text.len()) }
    }
}

/// What a status means: those that are about what was sent are the image's, all others the provider's.
fn refused(answer: &HttpAnswer, secret: Option<&str>, tokens: Tokens, requests: u32) -> Option<Failure> {
    let HttpAnswer { status, retry_after, body } = answer;
    let message = || match error_message(body, secret) {
        text if text.is_empty() => format!("the model's provider answers {status}"),
        text => bounded(&format!("the model's provider answers {status}: {text}")),
    };
    match status {
        200..=299 => None,
        // 408 and 424: Bedrock's words for a model that took too long, or failed, at this image.
        400 | 408 | 409 | 413 | 415 | 422 | 424 | 500 => {
            Some(Failure::Image { message: message(), tokens, requests })
        }
        _ => {
            let seconds = retry_after.as_ref().and_then(|text| text.trim().parse::<u64>().ok());
            let retry_after = seconds.map(|seconds| Duration::from_secs(seconds).min(LONGEST_WAIT));
            Some(Failure::Provider { message: message(), retry_after, tokens })
        }
    }
}
