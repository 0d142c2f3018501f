//! One record: fetch, render, commit. An event in, thumbnails out, an outcome back.
//!
//! For each record: decode the key, match the trigger, refuse loops, check the destination, read, render, write,
//! report. The ports are [`Store`] for objects, [`EventSource`] and [`Delivery`] for events, and [`Step`] for
//! what follows; invocation and metrics belong to the hosts.

pub mod budget;
pub mod clock;
mod cpu;
pub mod delivery;
pub mod disposition;
pub mod event;
pub mod fingerprint;
pub mod hex;
pub mod inspection;
pub mod naming;
pub mod outcome;

mod render_threads;
pub mod settings;
pub mod spelling;
pub mod step;
pub mod stop;
pub mod store;
pub mod suffixes;
mod target;
pub mod thumbnails;
pub mod trigger;
mod unmatched;
pub mod upload;

pub use delivery::{Committed, Conclusion, Delivery, EventSource};
pub use disposition::{Attempts, Disposition, RetryPolicy};
pub use inspection::{Inspection, ThumbnailStatus};
pub use outcome::{Failure, Ignored, Outcome, Reason, RenditionReport, Report};
pub use step::Step;
pub use stop::Stop;
pub use store::{Location, ObjectKey, Store};
pub use suffixes::Suffixes;
pub use target::{current_thumbnails, format_by_name, is_first_thumbnail_of, is_thumbnail_of, source_of};
pub use thumbnails::{Attempt, Call, Renderer, Thumbnails};
pub use unmatched::Unmatched;
pub use upload::RenderedImage;
