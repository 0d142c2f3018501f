//! TIFF, GIF and BMP, whose signature is set first: a result for any bytes, within the limits, the same with every
//! SIMD level.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tintype_engine::{Limits, OutputFormat, Scratch, SimdLevel, Spec, render};

const SIGNATURES: [&[u8]; 6] = [b"II*\0", b"MM\0*", b"II+\0\x08\0\0\0", b"GIF89a", b"BM", b"BM"];

fuzz_target!(|bytes: &[u8]| {
    let Some((choice, file)) = bytes.split_first() else { return };
    let signature = SIGNATURES[usize::from(*choice) % SIGNATURES.len()];
    let mut file = file.to_vec();
    if file.len() < signature.len() {
        return;
    }
    file[..signature.len()].copy_from_slice(signature);
    let tolerant = choice & 0x80 != 0;
    let limits = Limits { pixels: 1 << 18, memory_bytes: 64 << 20, work: 100_000_000, tolerant, ..Limits::default() };
    let spec = Spec { format: OutputFormat::Png, ..Spec::default() };
    let at = |level| render(&file, std::slice::from_ref(&spec), &limits, &|| false, &mut Scratch::at(level));
    assert_eq!(at(SimdLevel::detect()), at(SimdLevel::baseline()));
});
