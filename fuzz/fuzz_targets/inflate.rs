//! Decompression against the crate miniz_oxide: the same bytes, in whatever parts they are supplied and requested.
//! Built with `--cfg fuzzing`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::{DecompressorOxide, decompress, inflate_flags};
use tintype_engine::{SimdLevel, fuzzing};

const LIMIT: usize = 1 << 18;

fuzz_target!(|bytes: &[u8]| {
    let [part, piece, stream @ ..] = bytes else { return };
    let (part, piece) = (1 + usize::from(*part) * 64, 1 + usize::from(*piece) * 300);
    let ours = fuzzing::inflate(SimdLevel::detect(), stream, part, piece, LIMIT);
    let others = fuzzing::inflate(SimdLevel::baseline(), stream, usize::MAX, 4096, LIMIT);
    // After the limit, faults further on may or may not have been met.
    let enough = |output: &Result<Vec<u8>, String>| output.as_ref().is_ok_and(|bytes| bytes.len() > LIMIT);
    if !enough(&ours) && !enough(&others) {
        assert!(ours == others, "{ours:?}, {others:?}");
    }
    let mut output = vec![0; LIMIT];
    let flags = inflate_flags::TINFL_FLAG_PARSE_ZLIB_HEADER
        | inflate_flags::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF
        | inflate_flags::TINFL_FLAG_IGNORE_ADLER32;
    let (status, _, length) = decompress(&mut DecompressorOxide::new(), stream, &mut output, 0, flags);
    match (status, ours) {
        (TINFLStatus::Done, Ok(ours)) => assert!(ours == output[..length], "other bytes"),
        (TINFLStatus::Done, Err(why)) => panic!("{why}"),
        (TINFLStatus::Failed, Ok(ours)) if ours.len() <= LIMIT => {
            panic!("{} bytes of an invalid stream", ours.len())
        }
        _ => {}
    }
});
