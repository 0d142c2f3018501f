//! Every decoder, from sniffing to the thumbnail: no panic, no more memory than the limits allow.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tintype_engine::{Limits, Scratch, Spec, probe, render};

fuzz_target!(|bytes: &[u8]| {
    let limits = Limits {
        source_bytes: 1 << 20,
        pixels: 4_000_000,
        frames: 16,
        memory_bytes: 64 << 20,
        tolerant: bytes.len() % 2 == 1,
        ..Limits::default()
    };
    let header = probe(bytes);
    let rendered = render(bytes, &[Spec::default()], &limits, &|| false, &mut Scratch::default());
    // What was rendered had a header that could be read.
    assert!(rendered.is_err() || header.is_ok());
});
