//! Tintype on one machine: an S3 endpoint, a durable queue, the function, an HTTP API.
//!
//! One folder each, lowest first: [`disk`], [`ledger`], [`store`], [`repair`], [`queue`], [`invoker`], then what faces
//! outwards: [`s3`], [`gateway`], [`cli`]. `tests/tidy.rs` holds who may depend on whom.

pub mod cli;
pub mod credentials;
pub mod disk;
#[cfg(fuzzing)]
pub mod fuzzing;
pub mod gateway;
pub mod http_client;
pub mod instruments;
pub mod invoker;
pub mod ledger;
pub mod listen;
pub mod page;
pub mod queue;
pub mod repair;
pub mod request_id;
pub mod s3;
pub mod sandbox;
pub mod server;
pub mod settings;
pub mod steady_clock;
pub mod store;
