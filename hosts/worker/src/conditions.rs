//! Finds out at the start whether every destination honours conditions on writes.

use std::collections::BTreeSet;

use tintype_pipeline::{Store, store::StoreError, trigger::Trigger};
use tintype_stores::conditional_writes::{ConditionalWrites, probe};

/// Probes every destination. One that may not be probed is taken to ignore conditions: that way is right everywhere.
///
/// # Errors
/// A store cannot be used now; trying again may help.
pub(crate) async fn probe_all(
    store: &dyn Store,
    triggers: &[Trigger],
) -> Result<ConditionalWrites, StoreError> {
    let destinations: BTreeSet<&str> = triggers.iter().map(|trigger| trigger.destination.as_str()).collect();
    let mut all = ConditionalWrites::Honoured;
    for bucket in destinations {
        let name = format!("{:016x}", fastrand::u64(..));
        match probe(store, bucket, &name).await {
            Ok(ConditionalWrites::Honoured) => {}
            Ok(ConditionalWrites::Ignored) => {
                tracing::warn!(
                    bucket,
                    "the store ignores conditions on writes (If-None-Match, If-Match): two workers on one image are told apart \
                     by a last look after the write alone"
                );
                all = ConditionalWrites::Ignored;
            }
            Err(StoreError::Denied(why)) => {
                tracing::warn!(
                    bucket,
                    why,
                    "it could not be found out whether the store honours conditions on writes, so they are not relied on; \
                     allow writing and deleting below .tintype/"
                );
                all = ConditionalWrites::Ignored;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(all)
}
