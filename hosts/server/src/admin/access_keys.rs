//! `/keys`: access keys are listed, added, given another secret, and removed.

use axum::http::Method;
use serde::{Deserialize, Serialize};
use tintype_api::Permission;

use super::{Admin, Handle, Refusal, Request};
use crate::auth::{KeyError, Rights, caller};

/// All access keys but the root key.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KeysRequest {}

/// The keys by name.
#[derive(Debug, Serialize, Deserialize)]
pub struct KeyList {
    /// One each.
    pub keys: Vec<KeyEntry>,
}

/// An access key but for its secrets.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct KeyEntry {
    /// Its name.
    pub name: String,
    /// The ids of its secrets, the older one first.
    pub access_key_ids: Vec<String>,
    /// Rights in the short form.
    pub allow: Vec<String>,
    /// Rights by a preset.
    pub preset: Option<String>,
    /// Rights as a policy in JSON.
    pub policy: Option<String>,
    /// Bytes it may upload in a day (UTC); `None`: any number.
    pub daily_bytes: Option<u64>,
    /// Bytes it has uploaded today.
    pub uploaded_today: u64,
    /// When it was added; `None`: it is in the settings.
    pub created_ms: Option<i64>,
    /// When it was last used; `None`: never.
    pub last_used_ms: Option<i64>,
    /// Its rights cannot be read, as those of a later version: it is of no use, and all else of it is not known.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_unreadable: bool,
}

/// Does something with an access key.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyActionRequest {
    /// What is done.
    pub action: KeyAction,
    /// With the key of this name.
    pub name: String,
    /// Of a new key: rights in the short form.
    #[serde(default)]
    pub allow: Vec<String>,
    /// … rights by a preset.
    #[serde(default)]
    pub preset: Option<String>,
    /// … rights as a policy in JSON.
    #[serde(default)]
    pub policy: Option<String>,
    /// … bytes it may upload in a day (UTC).
    #[serde(default)]
    pub daily_bytes: Option<u64>,
}

/// What is done with a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyAction {
    /// It is added.
    Add,
    /// It gets a second id and secret; the first remain valid.
    Rotate,
    /// The older id and secret become invalid.
    FinishRotation,
    /// It is removed.
    Remove,
}

impl KeyAction {
    /// As it is written and logged.
    const fn name(self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::Rotate => "rotate",
            Self::FinishRotation => "finish_rotation",
            Self::Remove => "remove",
        }
    }
}

/// What was done. `Debug` shows no secret.
#[derive(Serialize, Deserialize)]
pub struct KeyActionAnswer {
    /// The key's name.
    pub name: String,
    /// The id that is new, or remains.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access_key_id: Option<String>,
    /// The secret that is new: nobody is shown it again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_access_key: Option<String>,
}

impl std::fmt::Debug for KeyActionAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyActionAnswer").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Request for KeysRequest {
    const METHOD: Method = Method::GET;
    const PATH: &'static str = "/keys";
    const PERMISSION: Permission = Permission::Keys;
    type Answer = KeyList;
}

impl Handle for KeysRequest {
    fn handle(self, admin: &Admin) -> Result<KeyList, Refusal> {
        let keys = admin.parts.keys.list();
        let entry = |key: &crate::auth::AccessKey| {
            let Rights { allow, preset, policy, daily_bytes } = key.rights.clone();
            KeyEntry {
                name: key.name.clone(),
                access_key_ids: key.ids.clone(),
                allow,
                preset,
                policy,
                daily_bytes,
                uploaded_today: key.uploaded_today(),
                created_ms: key.created_ms,
                last_used_ms: key.last_used_ms(),
                is_unreadable: false,
            }
        };
        let unreadable = admin.parts.keys.unreadable().into_iter();
        let unreadable = unreadable.map(|name| KeyEntry { name, is_unreadable: true, ..KeyEntry::default() });
        let mut keys: Vec<_> = keys.iter().map(|key| entry(key)).chain(unreadable).collect();
        keys.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(KeyList { keys })
    }
}

impl Request for KeyActionRequest {
    const METHOD: Method = Method::POST;
    const PATH: &'static str = KeysRequest::PATH;
    const PERMISSION: Permission = Permission::Keys;
    type Answer = KeyActionAnswer;
}

impl Handle for KeyActionRequest {
    fn handle(self, admin: &Admin) -> Result<KeyActionAnswer, Refusal> {
        let keys = &admin.parts.keys;
        let Self { action, name, allow, preset, policy, daily_bytes } = self;
        let rights = Rights { allow, preset, policy, daily_bytes };
        if action != KeyAction::Add && rights != Rights::default() {
            return Err(Refusal::invalid("rights are given to a key when it is added"));
        }
        let (id, secret) = match action {
            KeyAction::Add => keys.add(&name, rights).map(pair),
            KeyAction::Rotate => keys.rotate(&name).map(pair),
            KeyAction::FinishRotation => keys.finish_rotation(&name).map(|id| (Some(id), None)),
            KeyAction::Remove => keys.remove(&name).map(|()| (None, None)),
        }
        .map_err(refusal)?;
        if let Some(caller) = caller::current() {
            caller.log_key_change(action.name(), &name);
        }
        Ok(KeyActionAnswer { name, access_key_id: id, secret_access_key: secret })
    }
}

fn pair(pair: crate::auth::Credentials) -> (Option<String>, Option<String>) {
    let secret = pair.secret_access_key().to_owned();
    (Some(pair.access_key_id), Some(secret))
}

fn refusal(error: KeyError) -> Refusal {
    let text = error.to_string();
    match error {
        KeyError::Invalid(_) | KeyError::OfSettings(_) => Refusal::invalid(text),
        KeyError::Taken(_) => Refusal::conflict(text),
        KeyError::Unknown(_) => Refusal::not_found(text),
        KeyError::Store(_) | KeyError::Unavailable(_) => Refusal::unavailable(text),
    }
}
