//! Ids of requests.

use std::future::Future;

tokio::task_local! {
    /// The id of the request being served.
    static CURRENT: String;
}

/// Serves a request under an id.
pub async fn serve<F: Future>(id: String, work: F) -> F::Output {
    CURRENT.scope(id, work).await
}

/// The id of the request being served, known on the task that serves it; elsewhere a new one.
#[must_use]
pub fn current() -> String {
    CURRENT.try_with(Clone::clone).unwrap_or_else(|_| request_id())
}

/// A new id, shaped like the UUIDs that Lambda gives (RFC 9562, version 4).
#[must_use]
pub fn request_id() -> String {
    let mut random = [0_u8; 16];
    if getrandom::fill(&mut random).is_err() {
        // Without randomness ids may repeat; nothing but the reading of logs depends on them.
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        random.copy_from_slice(&now.as_nanos().to_le_bytes());
    }
    random[6] = random[6] & 0x0F | 0x40;
    random[8] = random[8] & 0x3F | 0x80;
    let hex: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}
