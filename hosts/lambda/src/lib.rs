//! The host on AWS Lambda. `main` wires it.

mod api_host;
mod batch_operations;
mod deadline;
pub mod environment;
mod function;
pub mod init_error;
pub mod invocation;
mod records;
mod report;
pub mod settings;

pub use environment::Environment;
pub use function::Function;
