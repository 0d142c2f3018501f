//! Who sends a request.

use std::{fmt, sync::Arc};

/// The name of the function among principals.
pub const FUNCTION: &str = "function";

/// Whether no access key can have this name: policies or the log name another by it.
pub(super) fn is_reserved(name: &str) -> bool {
    ["anonymous", FUNCTION, "guest", "root"].contains(&name)
}

/// The sender of a request. Created only where credentials were verified, or where none are needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Principal {
    /// Unknown: no credentials were sent, or wrong ones.
    Anonymous,
    /// A client without credentials, of what the setting `api.public` opens to everybody.
    Public,
    /// A client of an API without keys that the operator has opened beyond loopback (`cli/serve`).
    Guest,
    /// A program of this machine that needs no credentials.
    LocalProgram,
    /// An API key, by its name in the settings.
    ApiKey(Arc<str>),
    /// A person logged in at the console.
    Session,
    /// The function, which reads sources and writes thumbnails.
    Function,
    /// An access key, by its id: it signed the request, or its secret was sent.
    AccessKey(Arc<str>),
}

impl Principal {
    /// The id of the access key that it is.
    #[must_use]
    pub fn access_key_id(&self) -> Option<&str> {
        match self {
            Self::AccessKey(id) => Some(id),
            _ => None,
        }
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Anonymous | Self::Public => "anonymous",
            Self::Guest => "guest",
            Self::LocalProgram => "local program",
            Self::Session => "console session",
            Self::Function => FUNCTION,
            Self::ApiKey(name) => name,
            Self::AccessKey(id) => id,
        })
    }
}
