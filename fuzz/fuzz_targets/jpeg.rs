//! JPEG at full scale, then our encoder: a result for any bytes, the same at every SIMD level.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tintype_engine::{Effort, Limits, OutputFormat, Scratch, SimdLevel, Size, Spec, render};

fuzz_target!(|bytes: &[u8]| {
    if !bytes.starts_with(&[0xff, 0xd8]) {
        return;
    }
    let limits = Limits {
        pixels: 1 << 16,
        memory_bytes: 32 << 20,
        tolerant: bytes.len() % 2 == 1,
        tolerant_share: 0.1,
        ..Limits::default()
    };
    let efforts = [Effort::Fast, Effort::Balanced, Effort::Best];
    let spec = Spec {
        size: Size { width: Some(Size::MAX), height: None },
        format: OutputFormat::Jpeg,
        effort: efforts[bytes.len() / 2 % 3],
        ..Spec::default()
    };
    let at = |level| render(bytes, std::slice::from_ref(&spec), &limits, &|| false, &mut Scratch::at(level));
    assert_eq!(at(SimdLevel::detect()), at(SimdLevel::baseline()));
});
