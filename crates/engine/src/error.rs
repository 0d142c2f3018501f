//! Errors, grouped by who must act.

/// Why a picture could not be read or rendered. The text says what was found, where, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The bytes are no picture, or of a kind this engine does not read. The sender must convert it.
    #[error("unsupported: {0}")]
    Unsupported(String),
    /// The picture is damaged. The sender must send it again.
    #[error("malformed: {0}")]
    Malformed(String),
    /// Rendering would exceed a limit. The sender must shrink it, or the operator raise the limit.
    #[error("too large: {0}")]
    TooLarge(String),
    /// The caller's `stop` said so: a time-out or a shutdown. Trying again may succeed.
    #[error("stopped: {0}")]
    Stopped(String),
    /// A fault of the engine itself. We must act.
    #[error("internal: {0}")]
    Internal(String),
}
