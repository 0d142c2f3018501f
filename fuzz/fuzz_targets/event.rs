//! Events of every shape: any bytes give records or an error.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tintype_pipeline::event::{Event, MOST_RECORDS, form_encoded, parse};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(Event::Records(parts)) = parse(bytes, "bucket", MOST_RECORDS) {
        assert!(parts.len() <= MOST_RECORDS);
        for record in parts.into_iter().filter_map(|part| part.record.ok()) {
            assert!((1..=1024).contains(&record.key.as_str().len()));
            let _ = form_encoded(record.key.as_str());
        }
    }
});
