//! Headers, containers and EXIF of every format, and the estimate of memory: a result for any bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tintype_engine::{Spec, estimate, probe};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(header) = probe(bytes) {
        assert!(header.width > 0 && header.height > 0);
        assert!(estimate(&header, &[Spec::default()]) > 0);
    }
});
