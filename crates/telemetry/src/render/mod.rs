//! Measurements and traces in the forms that other systems read.

pub mod emf;
pub mod otlp;
pub mod prometheus;
