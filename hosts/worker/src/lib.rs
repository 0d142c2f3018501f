//! The function beside any S3 store: events from a broker, objects in the store, no state of its own. Any number of
//! workers share one source. `hosts/server`'s command line starts it and serves its routes.

mod attempts;
mod aws;
mod backend;
mod backfill;
mod conditions;
pub mod publish;
mod reporter;
mod routes;
mod settings;
mod source;
mod worker;

pub use aws::AwsAccess;
pub use backfill::{Backfill, BackfillSettings, Checkpoint};
pub use settings::{
    Logins, Source, StoreSection, StoreSettings, WorkerSection, WorkerSettings, is_nats_name,
};
pub use source::read_secret;
pub use worker::{Bounds, Configuration, Worker};
