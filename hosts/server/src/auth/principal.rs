//! Who sends a request.

use std::{fmt, sync::Arc};

/// The sender of a request. Created only where credentials were verified, or where none are needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Principal {
    /// Unknown: no credentials were sent, or wrong ones.
    Anonymous,
    /// A client of an API without keys that the operator has opened beyond loopback (`cli/serve`).
    Guest,
    /// A program of this machine that needs no credentials.
    LocalProgram,
    /// An API key, by its name in the settings.
    ApiKey(Arc<str>),
    /// A person logged in at the console.
    Session,
    /// An access key, by its id: it signed the request, or its secret was sent.
    AccessKey(Arc<str>),
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Anonymous => "anonymous",
            Self::Guest => "guest",
            Self::LocalProgram => "local program",
            Self::Session => "console session",
            Self::ApiKey(name) => name,
            Self::AccessKey(id) => id,
        })
    }
}
