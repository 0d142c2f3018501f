//! Sources of events beside any store: the port [`Broker`] with an implementation a file, and [`Intake`], which is the
//! pipeline's [`EventSource`](tintype_pipeline::EventSource) over any of them.
//!
//! A broker holds messages, each of which holds the records of one event. Every record is attempted by itself; the message
//! is settled once all of its records are. The records of a message with many become messages of their own.

mod broker;
mod dead_letter;
mod delivery;
mod fan_out;
mod intake;
#[cfg(feature = "nats")]
pub mod nats;
pub mod poll;
mod seen;
#[cfg(feature = "sqs")]
pub mod sqs;

pub use broker::{Backlog, Broker, Message};
pub use dead_letter::DeadLetter;
pub use delivery::{Exhausted, MessageDelivery};
pub use intake::{Intake, IntakeSettings};
