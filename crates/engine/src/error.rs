//! Errors, grouped by who must act.

/// Why an image could not be read or rendered. The message names what was found, where, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The bytes are not an image, or of an unsupported format or variant. The sender must convert it.
    #[error("unsupported: {0}")]
    Unsupported(String),
    /// The file is corrupt. The sender must send it again.
    #[error("malformed: {0}")]
    Malformed(String),
    /// Rendering would exceed a limit. The sender must shrink it, or the operator raise the limit.
    #[error("too large: {0}")]
    TooLarge(String),
    /// `stop` returned true: a time-out or a shutdown. A retry may succeed.
    #[error("stopped: {0}")]
    Stopped(String),
    /// What decodes the format cannot be reached now, whatever the image. A retry may succeed.
    #[error("unavailable: {0}")]
    Unavailable(String),
    /// A fault of the engine itself, to be fixed here.
    #[error("internal: {0}")]
    Internal(String),
}
