//! The section `storage`: what holds of every bucket.

use serde::Deserialize;
use tintype_policy::PublicAccessBlock;

/// What holds of every bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Storage {
    /// Whether nothing of a bucket can be public, unless its PublicAccessBlock was changed.
    pub block_public_access: bool,
    /// Whether whoever operates the server says that its disk is encrypted.
    pub encrypted_at_rest: bool,
}

impl Storage {
    /// The PublicAccessBlock of a bucket whose own was never changed.
    #[must_use]
    pub fn default_block(self) -> PublicAccessBlock {
        if self.block_public_access { PublicAccessBlock::ALL } else { PublicAccessBlock::default() }
    }
}

/// The section as written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "struct Storage")]
pub(super) struct StorageSection {
    block_public_access: Option<bool>,
    encrypted_at_rest: Option<bool>,
}

impl StorageSection {
    pub(super) fn validate(self) -> Storage {
        Storage {
            block_public_access: self.block_public_access.unwrap_or(true),
            encrypted_at_rest: self.encrypted_at_rest.unwrap_or(false),
        }
    }
}
