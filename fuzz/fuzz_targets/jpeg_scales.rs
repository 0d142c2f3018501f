//! JPEG at each reduced scale: a result for any bytes, the same at every SIMD level.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tintype_engine::{Filter, Limits, OutputFormat, Scratch, SimdLevel, Size, Spec, probe, render};

fuzz_target!(|bytes: &[u8]| {
    if !bytes.starts_with(&[0xff, 0xd8]) {
        return;
    }
    let Ok(header) = probe(bytes) else { return };
    let limits = Limits {
        pixels: 1 << 20,
        memory_bytes: 32 << 20,
        tolerant: bytes.len() % 2 == 1,
        tolerant_share: 0.1,
        ..Limits::default()
    };
    // Reductions that leave about three reduced samples a pixel at 8/8, 4/8, 2/8 and 1/8.
    for reduction in [3, 6, 12, 24] {
        let spec = Spec {
            size: Size { width: Some((header.upright().0 / reduction).max(1)), height: None },
            format: OutputFormat::Png,
            filter: Filter::Box,
            ..Spec::default()
        };
        let at =
            |level| render(bytes, std::slice::from_ref(&spec), &limits, &|| false, &mut Scratch::at(level));
        assert_eq!(at(SimdLevel::detect()), at(SimdLevel::baseline()));
    }
});
