//! The in-memory store passes the conformance suite.

use tintype_stores::{MemoryStore, conformance};

#[tokio::test]
async fn conforms() {
    conformance::run(&MemoryStore::with_buckets(&[conformance::SOURCE, conformance::DESTINATION])).await;
}
