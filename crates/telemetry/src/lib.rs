//! Measurements and logs of the hosts: counters and histograms, requests by route, log set-up, and renderers
//! ([`render`]). Counts the pipeline's reports; the pipeline does not depend on it.

pub mod logging;
pub mod metrics;
pub mod process;
pub mod render;
pub mod requests;
