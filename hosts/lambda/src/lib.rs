//! The host on AWS Lambda: events in, the function's thumbnails out. `main` wires it.

mod api_host;
pub mod clients;
mod dead_letters;
mod deadline;
pub mod environment;
mod faults;
mod function;
pub mod init_error;
pub mod invocation;
mod records;
mod report;
mod s3_store;
pub mod settings;

pub use environment::Environment;
pub use function::Function;
pub use s3_store::S3Store;
