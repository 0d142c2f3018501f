//! `/dead-letters`: listed, redriven, purged.

use axum::http::Method;
use serde::{Deserialize, Serialize};
use tintype_api::Permission;

use super::{Admin, Handle, PagedRequest, Refusal, Request, visible_rows};
use crate::{
    auth::Visibility,
    queue::{DeadLetter, DeadLetterFilter, DeadLetterPage, DeadLetterSummary, reason},
};

/// Ids in one request.
const MAX_IDS: usize = 10_000;

/// The next page of the dead letters that meet every condition given.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeadLettersRequest {
    /// Of this class of failure.
    pub reason: Option<String>,
    /// Of keys that begin so.
    pub prefix: Option<String>,
    /// Of keys that hold this text.
    pub text: Option<String>,
    /// With these ids; then there is one page.
    #[serde(rename = "id")]
    pub ids: Vec<u64>,
    /// With ids below this one: where the page before ended.
    pub before: Option<u64>,
    /// All: as if no condition were given.
    pub all: Option<All>,
}

/// A page of dead letters.
#[derive(Debug, Serialize, Deserialize)]
pub struct DeadLetterList {
    /// Those of the latest uploads first.
    pub dead_letters: Vec<DeadLetter>,
    /// The id below which the next page begins; `None`: this was the last.
    pub next: Option<u64>,
    /// That some are about to be dropped for their age or number.
    pub warning: Option<String>,
}

/// Does something with the dead letters that meet every condition given.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeadLetterActionRequest {
    /// What is done.
    pub action: DeadLetterAction,
    /// Of this class of failure.
    #[serde(default)]
    pub reason: Option<String>,
    /// Of keys that begin so.
    #[serde(default)]
    pub prefix: Option<String>,
    /// Of keys that hold this text.
    #[serde(default)]
    pub text: Option<String>,
    /// With these ids; if there are none, `all` must be given.
    #[serde(default, rename = "id")]
    pub ids: Vec<u64>,
    /// All that meet the other conditions.
    #[serde(default)]
    pub all: Option<All>,
}

/// What is done with dead letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeadLetterAction {
    /// Their events are enqueued again, as new.
    Redrive,
    /// They are deleted.
    Purge,
}

/// All that pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum All {
    /// The one value.
    #[serde(rename = "1")]
    Yes,
}

/// What was done.
#[derive(Debug, Serialize, Deserialize)]
pub struct DeadLetterCount {
    /// As requested.
    pub action: DeadLetterAction,
    /// With how many.
    pub count: usize,
}

impl Request for DeadLettersRequest {
    const METHOD: Method = Method::GET;
    const PATH: &'static str = "/dead-letters";
    const PERMISSION: Permission = Permission::Read;
    const FORMER_NAMES: &'static [(&'static str, &'static str)] = &[("/dead_letters", "deadLetters")];
    type Answer = DeadLetterList;
}

impl PagedRequest for DeadLettersRequest {
    fn next(&self, answer: &DeadLetterList) -> Option<Self> {
        Some(Self { before: Some(answer.next?), ..self.clone() })
    }
}

impl DeadLettersRequest {
    fn filter(self) -> Result<DeadLetterFilter, Refusal> {
        let ids = if self.all.is_some() { Vec::new() } else { self.ids };
        filter(ids, self.reason.as_deref(), self.prefix, self.text)
    }

    /// How many there are of each reason and that meet the conditions, and the newest `limit` of these.
    ///
    /// # Errors
    /// The request is invalid, or the ledger cannot be read.
    pub fn summary(self, admin: &Admin, limit: usize) -> Result<DeadLetterSummary, Refusal> {
        let visibility = Visibility::current();
        let mut summary = admin.parts.queue.summary(&self.filter()?, limit, shown(&visibility))?;
        summary.newest = visible(&visibility, summary.newest);
        Ok(summary)
    }
}

impl Handle for DeadLettersRequest {
    fn handle(self, admin: &Admin) -> Result<DeadLetterList, Refusal> {
        let queue = &admin.parts.queue;
        let before = self.before.unwrap_or(u64::MAX);
        let filter = self.filter()?;
        let visibility = Visibility::current();
        let DeadLetterPage { mut dead_letters, next } = match filter.ids {
            Some(_) => DeadLetterPage { dead_letters: queue.dead_letters(&filter)?, next: None },
            None => queue.dead_letters_below(before, &filter, shown(&visibility))?,
        };
        dead_letters.retain(shown(&visibility));
        let dead_letters = visible(&visibility, dead_letters);
        Ok(DeadLetterList { dead_letters, next, warning: admin.dead_letter_warning() })
    }
}

impl Request for DeadLetterActionRequest {
    const METHOD: Method = Method::POST;
    const PATH: &'static str = DeadLettersRequest::PATH;
    const PERMISSION: Permission = Permission::Admin;
    type Answer = DeadLetterCount;
}

impl Handle for DeadLetterActionRequest {
    fn handle(self, admin: &Admin) -> Result<DeadLetterCount, Refusal> {
        match (self.all, self.ids.is_empty()) {
            (None, true) => {
                return Err(Refusal::invalid("choose dead letters first, or take all that are shown"));
            }
            (Some(All::Yes), false) => {
                return Err(Refusal::invalid("give id or all=1, not both (nothing was done)"));
            }
            _ => {}
        }
        let filter = filter(self.ids, self.reason.as_deref(), self.prefix, self.text)?;
        let count = match self.action {
            DeadLetterAction::Redrive => admin.parts.queue.redrive(&filter)?,
            DeadLetterAction::Purge => admin.parts.queue.purge(&filter)?,
        };
        Ok(DeadLetterCount { action: self.action, count })
    }
}

impl Admin {
    /// That dead letters are about to be dropped for their age or number.
    #[must_use]
    pub fn dead_letter_warning(&self) -> Option<String> {
        self.parts.queue.dead_letter_warning()
    }
}

/// Whether a dead letter is of an object that is shown.
fn shown(visibility: &Visibility) -> impl Fn(&DeadLetter) -> bool {
    let shows = visibility.shows_keys();
    move |dead_letter| shows(&dead_letter.event.bucket, &dead_letter.event.key)
}

/// Dead letters as they are shown.
fn visible(visibility: &Visibility, dead_letters: Vec<DeadLetter>) -> Vec<DeadLetter> {
    dead_letters.into_iter().map(|one| visible_rows::dead_letter(visibility, one)).collect()
}

fn filter(
    mut ids: Vec<u64>,
    named: Option<&str>,
    prefix: Option<String>,
    text: Option<String>,
) -> Result<DeadLetterFilter, Refusal> {
    if ids.len() > MAX_IDS {
        return Err(Refusal::invalid(format!("{} ids at once; at most {MAX_IDS}", ids.len())));
    }
    ids.sort_unstable();
    ids.dedup();
    let reason = named.map(reason).transpose().map_err(Refusal::invalid)?.map(str::to_owned);
    Ok(DeadLetterFilter { ids: (!ids.is_empty()).then_some(ids), object: None, reason, prefix, text })
}
