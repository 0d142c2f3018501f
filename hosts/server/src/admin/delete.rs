//! `/delete`: objects are deleted.

use axum::http::Method;
use serde::{Deserialize, Serialize};
use tintype_api::Permission;

use super::{Admin, Handle, Refusal, Request};
use crate::{
    auth::{Action, caller},
    request_id,
    storage::Cause,
};

/// Keys in one request.
const MAX_KEYS: usize = 1000;

/// Deletes objects of one bucket.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeleteRequest {
    /// Their bucket; none: that of the first trigger.
    pub bucket: Option<String>,
    /// Their keys.
    #[serde(rename = "key")]
    pub keys: Vec<String>,
}

/// What was deleted.
#[derive(Debug, Serialize, Deserialize)]
pub struct DeleteAnswer {
    /// How many objects were; others were not there.
    pub deleted: usize,
}

impl Request for DeleteRequest {
    const METHOD: Method = Method::POST;
    const PATH: &'static str = "/delete";
    const PERMISSION: Permission = Permission::Write;
    type Answer = DeleteAnswer;
}

impl Handle for DeleteRequest {
    fn handle(self, admin: &Admin) -> Result<DeleteAnswer, Refusal> {
        if self.keys.is_empty() || self.keys.len() > MAX_KEYS {
            return Err(Refusal::invalid(format!("{} keys; name 1 to {MAX_KEYS} by key=", self.keys.len())));
        }
        // All or nothing, as far as it is known beforehand.
        let mut objects = Vec::new();
        for key in &self.keys {
            let at = admin.location(self.bucket.as_deref(), key)?;
            caller::authorize(Action::DeleteObject, &at).map_err(Refusal::forbidden)?;
            objects.push((at, None));
        }
        let cause = Cause::new("ObjectRemoved:Delete", request_id::current()).with_key(caller::access_key());
        let mut deleted = 0;
        for was_there in admin.parts.store.objects.delete_all(objects, &cause) {
            deleted += usize::from(was_there?);
        }
        Ok(DeleteAnswer { deleted })
    }
}
