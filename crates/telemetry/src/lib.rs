//! What the hosts measure and log: counters and histograms, requests by route, the set-up of the log, and what
//! renders all of it for others ([`render`]). Counts the pipeline's reports; the pipeline knows nothing of it.

pub mod logging;
pub mod metrics;
pub mod render;
pub mod requests;
