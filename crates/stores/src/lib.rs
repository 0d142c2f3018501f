//! Implementations of the port [`Store`](tintype_pipeline::Store) that need no server, one file or folder each, and
//! the suite `conformance` that every implementation must pass, here and in hosts.

pub mod conditional_writes;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod memory;
#[cfg(feature = "s3")]
pub mod s3;

pub use memory::MemoryStore;
#[cfg(feature = "s3")]
pub use s3::S3Store;
