//! Alt text: a description of each image by a model that people choose, for screen readers and for search.
//!
//! | File | What |
//! |---|---|
//! | `settings` | the section `[alt_text]` |
//! | `prompt` | what the model is asked, and the fingerprint of it |
//! | `provider` | the port to models: a request out, an answer back; and the port [`Transport`] that carries them |
//! | `openai`, `bedrock`, `signature` | chat completions; Converse with a signature of AWS |
//! | `answer` | what an answer must be: JSON, plain text, bounded, in the languages asked for |
//! | `describer` | an image in, a description out, with one retry by a stricter prompt |
//! | `budget` | requests a minute, tokens a day |
//! | `sidecar` | the document beside a thumbnail |
//!
//! Nothing here opens a connection or reads a clock on its own account, and no answer makes it panic. Hosts bring the
//! transport, credentials and times.

pub mod answer;
pub mod bedrock;
pub mod budget;
mod describer;
pub mod openai;
mod prompt;
mod provider;
pub mod settings;
pub mod sidecar;
pub mod signature;

pub use answer::{Invalid, Rules};
pub use budget::{Budget, Day, Wait};
pub use describer::{Describer, Description, Failure};
pub use prompt::{Prompt, recipe};
pub use provider::{Ask, Completion, HttpAnswer, HttpRequest, Provider, Tokens, Transport, TransportError};
pub use settings::{AltTextSection, AltTextSettings};
pub use sidecar::{FINGERPRINT, Sidecar, fingerprint, sidecar_of};
