//! Containers and headers of the formats whose coded images others decode: with made-up pixels, a result for any bytes.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use tintype_engine::foreign::{Job, Layout, Library, Output, Samples};
use tintype_engine::{Error, ForeignDecoder, Limits, Spec, Thumbnailer, probe};

/// Answers as the data says, at the size that the file declares.
#[derive(Debug)]
struct MadeUp;

impl ForeignDecoder for MadeUp {
    fn decode(&self, job: &Job<'_>, _: &dyn Fn() -> bool, output: &mut dyn Output) -> Result<(), Error> {
        let choice = job.data.first().copied().unwrap_or(0);
        let samples = match (job.library, choice & 3) {
            (Library::Svg, _) => Samples::Interleaved(4),
            (Library::JpegXl, channels) => Samples::Interleaved(channels + 1),
            (_, 0) => Samples::Gray,
            (_, 1) => Samples::Planes420,
            (_, 2) => Samples::Planes422,
            (_, _) => Samples::Planes444,
        };
        let bits = if job.library == Library::Svg { 8 } else { [8, 10, 12, 16][usize::from(choice >> 2 & 3)] };
        let points = (choice & 16 != 0).then_some([1, 13, choice >> 5, 1]);
        let layout = Layout {
            width: job.width,
            height: job.height,
            samples,
            bits,
            code_points: points,
            profile: Vec::new(),
        };
        assert!(layout.is_valid());
        output.begin(&layout)?;
        let stripe: Vec<u8> = (0..layout.stripe_bytes()).map(|at| (at as u8).wrapping_mul(choice)).collect();
        (0..layout.stripes()).try_for_each(|_| output.stripe(&stripe))
    }
}

fuzz_target!(|bytes: &[u8]| {
    let limits = Limits { pixels: 1 << 20, memory_bytes: 64 << 20, ..Limits::default() };
    let mut thumbnailer = Thumbnailer::new().limits(limits).foreign_decoder(Arc::new(MadeUp));
    let rendered = thumbnailer.render(bytes, &[Spec::default()]);
    assert!(rendered.is_err() || probe(bytes).is_ok());
});
