//! Measurements and traces in the formats of other systems.

pub mod emf;
pub mod otlp;
pub mod prometheus;
