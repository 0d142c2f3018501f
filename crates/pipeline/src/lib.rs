//! The Thumbnails function: an event in, thumbnails out, an outcome back.
//!
//! Settings → for each record: decode the key, match the trigger, refuse loops, skip what is already
//! made, read, render all, write, report. Its only port is [`store::Store`]; what calls it, retries it and
//! counts it is the host's.

pub mod budget;
pub mod clock;
pub mod event;
pub mod fingerprint;
pub mod hex;
pub mod inspect;
pub mod naming;
pub mod outcome;
pub mod receive;
pub mod settings;
pub mod spelling;
mod stopwatch;
pub mod store;
mod target;
pub mod thumbnails;
pub mod trigger;

pub use inspect::Inspection;
pub use outcome::{Failure, Ignored, Outcome, Reason, RenditionReport, Report};
pub use receive::Picture;
pub use store::{Location, ObjectKey, Store};
pub use target::{current_thumbnails, format_by_name, is_thumbnail_of, source_of};
pub use thumbnails::{Call, Thumbnails};
