//! `/alt-texts`: how describing images goes and what it costs, and those that have no description; `/alt-text`: the
//! description of one image, to be edited or written again.

use std::collections::BTreeMap;

use axum::http::Method;
use serde::{Deserialize, Serialize};
use tintype_alt_text::{
    Day,
    answer::{LONGEST_TEXT, is_language, plain},
    budget::dollars,
};
use tintype_api::Permission;
use tintype_pipeline::{Location, clock::rfc3339};

use super::{Admin, Handle, Refusal, Request};
use crate::{
    auth::{Action, caller},
    request_id,
    storage::{Cause, StoredAltText},
};

/// Days in one answer.
const DAYS: usize = 30;
/// Languages of one image.
const MAX_LANGUAGES: usize = 20;
/// Events that are looked through for those of one object.
const MAX_LOOKED_AT: u64 = 1000;
/// Milliseconds of a day.
const DAY_MS: i64 = 86_400_000;

/// How describing images goes.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AltTextsRequest {}

/// The state of describing.
#[derive(Debug, Serialize, Deserialize)]
pub struct AltTexts {
    /// The model; none: nothing describes images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Images that wait.
    pub waiting: u64,
    /// Since when the provider takes nothing, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failing_since_ms: Option<i64>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// Until when nothing is asked because a budget is used up, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub out_of_budget_until_ms: Option<i64>,
    /// The tokens of a day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tokens_per_day: Option<u64>,
    /// What the last days took, oldest first; those without a request are left out.
    pub days: Vec<AltTextDay>,
}

/// What one day took.
#[derive(Debug, Serialize, Deserialize)]
pub struct AltTextDay {
    /// The day (UTC), as ISO 8601 has it.
    pub day: String,
    /// Requests, images, tokens.
    #[serde(flatten)]
    pub used: Day,
    /// What that cost by the prices of the settings.
    pub dollars: f64,
}

impl Request for AltTextsRequest {
    const METHOD: Method = Method::GET;
    const PATH: &'static str = "/alt-texts";
    const PERMISSION: Permission = Permission::Read;
    type Answer = AltTexts;
}

impl Handle for AltTextsRequest {
    fn handle(self, admin: &Admin) -> Result<AltTexts, Refusal> {
        let settings = admin.parts.settings.alt_text.as_ref();
        let queue = &admin.parts.store.alt_texts.queue;
        let price = settings.map(|settings| settings.price).unwrap_or_default();
        let day = |(day, used): (i64, Day)| AltTextDay {
            day: rfc3339(day.saturating_mul(DAY_MS)).chars().take(10).collect(),
            dollars: dollars(used.tokens, price),
            used,
        };
        let days = queue.usage(DAYS)?.into_iter().map(day).collect();
        let waiting = queue.waiting()?;
        let progress = queue.progress();
        Ok(AltTexts {
            model: settings.map(|settings| settings.model.clone()),
            waiting,
            failing_since_ms: progress.failing_since_ms,
            last_error: progress.last_error.clone(),
            out_of_budget_until_ms: progress.out_of_budget_until_ms,
            max_tokens_per_day: settings.map(|settings| settings.max_tokens_per_day),
            days,
        })
    }
}

/// Has the model describe images that have current thumbnails and no description, as many as one request looks at.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DescribeMissingRequest {
    /// Their bucket; none: that of the first trigger.
    pub bucket: Option<String>,
    /// What their keys begin with.
    pub prefix: Option<String>,
    /// After this key: where the request before ended.
    pub after: Option<String>,
}

/// How many images wait now.
#[derive(Debug, Serialize, Deserialize)]
pub struct DescribeMissingAnswer {
    /// How many were enqueued.
    pub queued: usize,
    /// Where to go on; none: this was the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

impl Request for DescribeMissingRequest {
    const METHOD: Method = Method::POST;
    const PATH: &'static str = "/alt-texts";
    const PERMISSION: Permission = Permission::Admin;
    type Answer = DescribeMissingAnswer;
}

impl Handle for DescribeMissingRequest {
    fn handle(self, admin: &Admin) -> Result<DescribeMissingAnswer, Refusal> {
        let store = &admin.parts.store;
        if !store.alt_texts.queue.is_on() {
            return Err(Refusal::conflict("nothing describes images here: set alt_text.provider"));
        }
        let bucket = admin.bucket(self.bucket.as_deref())?;
        let (prefix, after) = (self.prefix.unwrap_or_default(), self.after.unwrap_or_default());
        let cause = Cause::new("AltText", request_id::current());
        let (queued, next) = store.alt_texts.describe_missing(
            &store.backfill,
            &store.listing,
            &bucket,
            &prefix,
            after,
            &cause,
        )?;
        Ok(DescribeMissingAnswer { queued, next })
    }
}

/// Writes the description of an image by hand, or has the model write it again.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AltTextRequest {
    /// The image's bucket; none: that of the first trigger.
    pub bucket: Option<String>,
    /// The image's key.
    pub key: String,
    /// `edit` (also by default) or `describe`.
    pub action: Option<String>,
    /// The languages of `text`, in its order.
    pub language: Vec<String>,
    /// The texts; an empty one is removed.
    pub text: Vec<String>,
}

/// The description of an image.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AltText {
    /// The sidecar's bucket; none: there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bucket: Option<String>,
    /// The sidecar's key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// By language.
    pub alt: BTreeMap<String, String>,
    /// Whether a person wrote it.
    pub edited: bool,
    /// Whether that was for an earlier version of the image.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub earlier: bool,
    /// The model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// When it was written, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub written: Option<String>,
    /// Whether it waits to be described.
    pub waiting: bool,
    /// Why no model described it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
}

impl Request for AltTextRequest {
    const METHOD: Method = Method::POST;
    const PATH: &'static str = "/alt-text";
    const PERMISSION: Permission = Permission::Write;
    type Answer = AltText;
}

impl Handle for AltTextRequest {
    fn handle(self, admin: &Admin) -> Result<AltText, Refusal> {
        let at = admin.location(self.bucket.as_deref(), &self.key)?;
        let store = &admin.parts.store;
        let subject = store.alt_texts.subject_of(&store.backfill, &at)?.ok_or_else(|| {
            Refusal::not_found(
                "there is no such image, or it has no current thumbnail: a description stands beside one",
            )
        })?;
        caller::authorize(Action::GetObject, &at).map_err(Refusal::forbidden)?;
        caller::authorize(Action::PutObject, &subject.sidecar).map_err(Refusal::forbidden)?;
        if store.alt_texts.is_foreign(&subject)? {
            return Err(Refusal::conflict(format!(
                "the object {} is no description; remove it first",
                subject.sidecar
            )));
        }
        match self.action.as_deref() {
            None | Some("edit") => {
                let alt = texts(&self.language, &self.text)?;
                store.alt_texts.edit(&subject, alt)?;
            }
            Some("describe") if !store.alt_texts.queue.is_on() => {
                return Err(Refusal::conflict("nothing describes images here: set alt_text.provider"));
            }
            Some("describe") => {
                caller::authorize(Action::DeleteObject, &subject.sidecar).map_err(Refusal::forbidden)?;
                let cause = Cause::new("ObjectRemoved:Delete", request_id::current());
                store.alt_texts.describe_again(&subject, &cause.with_key(caller::access_key()))?;
            }
            Some(other) => {
                return Err(Refusal::invalid(format!("action \"{other}\" is not edit or describe")));
            }
        }
        let sidecar = store.alt_texts.at(&subject.sidecar)?;
        Ok(admin.alt_text(&at, sidecar)?.unwrap_or_else(AltText::none))
    }
}

/// A person's texts by language, as plain as a model's.
fn texts(languages: &[String], texts: &[String]) -> Result<BTreeMap<String, String>, Refusal> {
    if languages.len() != texts.len() || texts.is_empty() || texts.len() > MAX_LANGUAGES {
        return Err(Refusal::invalid(format!(
            "{} languages and {} texts; name as many of one as of the other, 1 to {MAX_LANGUAGES}",
            languages.len(),
            texts.len()
        )));
    }
    let mut alt = BTreeMap::new();
    for (language, text) in languages.iter().zip(texts) {
        if !is_language(language) {
            return Err(Refusal::invalid(format!(
                "\"{language}\" is no language's tag; write one like \"en\""
            )));
        }
        if text.trim().is_empty() {
            continue;
        }
        let text = plain(text, LONGEST_TEXT).map_err(|why| {
            Refusal::invalid(format!("the text for \"{language}\" {why}; write plain text"))
        })?;
        alt.insert(language.clone(), text);
    }
    Ok(alt)
}

impl AltText {
    /// Of an image that has none.
    const fn none() -> Self {
        Self {
            bucket: None,
            key: None,
            alt: BTreeMap::new(),
            edited: false,
            earlier: false,
            model: None,
            written: None,
            waiting: false,
            failed: None,
        }
    }
}

impl Admin {
    /// The description of an image as pages show it, given its sidecar; `None`: there is none, and none is to come.
    pub(super) fn alt_text(
        &self,
        at: &Location,
        sidecar: Option<StoredAltText>,
    ) -> Result<Option<AltText>, Refusal> {
        if let Some(StoredAltText { at, sidecar, is_earlier }) = sidecar {
            return Ok(Some(AltText {
                bucket: Some(at.bucket),
                key: Some(at.key.to_string()),
                alt: sidecar.alt,
                edited: sidecar.edited,
                earlier: is_earlier,
                model: sidecar.model,
                written: sidecar.written,
                ..AltText::none()
            }));
        }
        let queue = &self.parts.store.alt_texts.queue;
        if !queue.is_on() {
            return Ok(None);
        }
        // Where very many wait it is not known of one.
        let waiting = queue.waiting()? <= MAX_LOOKED_AT && !queue.of(at)?.is_empty();
        Ok(Some(AltText { waiting, ..AltText::none() }))
    }
}
