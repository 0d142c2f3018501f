//! WebP at full scale: a result for any bytes, the same at every SIMD level.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tintype_engine::{Limits, OutputFormat, Scratch, SimdLevel, Size, Spec, render};

fuzz_target!(|bytes: &[u8]| {
    if !bytes.starts_with(b"RIFF") {
        return;
    }
    let limits = Limits { pixels: 1 << 18, memory_bytes: 64 << 20, ..Limits::default() };
    let spec = Spec {
        size: Size { width: Some(Size::MAX), height: None },
        format: OutputFormat::Png,
        ..Spec::default()
    };
    let at = |level| render(bytes, std::slice::from_ref(&spec), &limits, &|| false, &mut Scratch::at(level));
    assert_eq!(at(SimdLevel::detect()), at(SimdLevel::baseline()));
});
