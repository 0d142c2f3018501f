//! The in-memory store does what every store must do.

use tintype_pipeline::store::{conformance, memory::MemoryStore};

#[tokio::test]
async fn conforms() {
    conformance::run(&MemoryStore::with_buckets(&[conformance::SOURCE, conformance::DESTINATION])).await;
}
