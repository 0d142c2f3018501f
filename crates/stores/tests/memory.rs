//! The in-memory store does what every store must do.

use tintype_stores::{MemoryStore, conformance};

#[tokio::test]
async fn conforms() {
    conformance::run(&MemoryStore::with_buckets(&[conformance::SOURCE, conformance::DESTINATION])).await;
}
