//! Queries and forms of operators' requests: whatever is sent is a request that encodes to itself, or is refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tintype::{
    admin::{BackupRequest, DeadLettersRequest, LogsRequest, StatusRequest},
    fuzzing::operator_fields,
};

fuzz_target!(|text: &str| {
    operator_fields::<BackupRequest>(text);
    operator_fields::<DeadLettersRequest>(text);
    operator_fields::<LogsRequest>(text);
    operator_fields::<StatusRequest>(text);
});
