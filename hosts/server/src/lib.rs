//! Tintype on one machine: an S3 endpoint, a durable queue, the function, an HTTP API.
//!
//! One folder each, lowest first: [`disk`], [`ledger`], [`queue`], [`storage`], [`dispatch`], [`history`], [`auth`],
//! [`notify`] and [`alt_text`], then what faces outwards: [`s3`], [`http`], [`admin`], [`console`], [`listen`], [`sandbox`], [`cli`]. `tests/tidy.rs` checks
//! who may use whom.

pub mod admin;
pub mod alt_text;
pub mod auth;
pub mod cli;
pub mod console;
pub mod disk;
pub mod dispatch;
#[cfg(fuzzing)]
pub mod fuzzing;
pub mod history;
pub mod http;
pub mod http_client;
pub mod ledger;
pub mod listen;
pub mod notify;
pub mod queue;
pub mod rendered_cache;
pub mod request_id;
pub mod s3;
pub mod sandbox;
pub mod server;
pub mod settings;
pub mod steady_clock;
pub mod storage;
