//! The frames of animations and the rights in metadata: a result for any bytes, within the limits, the same with every SIMD
//! level, and readable.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tintype_engine::{Fit, Gravity, Limits, Metadata, OutputFormat, Scratch, SimdLevel, Spec, probe, render};

fuzz_target!(|bytes: &[u8]| {
    let limits = Limits { pixels: 1 << 16, frames: 64, memory_bytes: 64 << 20, work: 50_000_000, ..Limits::default() };
    let spec = |format, fit| Spec {
        size: "24x16".parse().unwrap(),
        animate: format != OutputFormat::Jpeg && format != OutputFormat::Png,
        metadata: Metadata::Copyright,
        gravity: Gravity::Smart,
        sharpen: 50,
        format,
        fit,
        ..Spec::default()
    };
    let specs = [
        spec(OutputFormat::WebP, Fit::Cover),
        spec(OutputFormat::Gif, Fit::Inside),
        spec(OutputFormat::Jpeg, Fit::Cover),
        spec(OutputFormat::Png, Fit::Contain),
    ];
    let at = |level| render(bytes, &specs, &limits, &|| false, &mut Scratch::at(level));
    let rendered = at(SimdLevel::detect());
    assert_eq!(rendered, at(SimdLevel::baseline()));
    for thumbnail in rendered.into_iter().flatten() {
        let header = probe(&thumbnail.bytes).unwrap();
        assert_eq!((header.format, header.width, header.height), (thumbnail.format, thumbnail.width, thumbnail.height));
    }
});
