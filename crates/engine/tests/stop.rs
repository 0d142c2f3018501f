//! A render ends soon after `stop` returns true. Polls are counted, not timed.

mod support;

use std::cell::Cell;

use support::*;
use tintype_engine::{Effort, Error, Limits, OutputFormat, Scratch, Spec, render};

/// Number of polls of a render, and its result if `stop` returns true from the `limit`th on.
fn count_polls(bytes: &[u8], spec: &Spec, limit: usize) -> (usize, Result<(), Error>) {
    let polls = Cell::new(0);
    let stop = || {
        polls.set(polls.get() + 1);
        polls.get() >= limit
    };
    let limits = Limits { tolerant: true, tolerant_share: 0.0, ..Limits::default() };
    let rendered = render(bytes, std::slice::from_ref(spec), &limits, &stop, &mut Scratch::default());
    (polls.get(), rendered.map(drop))
}

#[test]
fn every_format_polls_every_sixteen_rows() {
    let (width, height) = (200, 800);
    for (name, bytes) in every_format(&texture(width, height), width, height) {
        for effort in [Effort::Balanced, Effort::Best] {
            let spec =
                Spec { size: "x800".parse().unwrap(), format: OutputFormat::Jpeg, effort, ..Spec::default() };
            let (times, rendered) = count_polls(&bytes, &spec, usize::MAX);
            assert_eq!(rendered, Ok(()), "{name}");
            // Once as rows are resampled, once as they are encoded.
            assert!(times >= height / 16 * 2, "{name}: polled {times} times");
            for limit in (1..=times).step_by(1 + times / 7) {
                let (times, rendered) = count_polls(&bytes, &spec, limit);
                assert!(
                    matches!(rendered, Err(Error::Stopped(_))),
                    "{name}, time {limit} of {times}: {rendered:?}"
                );
                // A row that counts as corrupt may still be filled in.
                assert!(times <= limit + 1, "{name}: polled again after it returned true");
            }
        }
    }
}

/// Declares a GIF as interlaced, which changes only the order of its rows.
fn interlaced(gif: &[u8], width: usize) -> Vec<u8> {
    let descriptor = [b",\0\0\0\0".as_slice(), &(width as u16).to_le_bytes()].concat();
    let at = gif.windows(descriptor.len()).position(|bytes| bytes == descriptor).unwrap();
    let mut gif = gif.to_vec();
    gif[at + 9] |= 0x40;
    gif
}

#[test]
fn libraries_that_decode_whole_frames_are_stopped_as_they_read() {
    let (width, height) = (301, 400);
    // Noise, so that no file is short.
    let noise = |at: u32| (at.wrapping_mul(2_654_435_761) ^ at.wrapping_mul(40_503) >> 7) as u8;
    let rgb: Vec<u8> = (0..width * height * 3).map(|at| noise(at as u32)).collect();
    let rgba: Vec<u8> = rgb.chunks(3).flat_map(|p| [p[0], p[1], p[2], 255]).collect();
    for (name, bytes) in [
        ("bmp", bmp(&rgb, width, height)),
        ("tiff", tiff::<tiff::encoder::colortype::RGB8>(&rgb, width, height)),
        ("lossless webp", webp_lossless(&rgba, width, height)),
        ("interlaced gif", interlaced(&gif(&rgb, width, height, 1), width)),
    ] {
        let (times, rendered) = count_polls(&bytes, &Spec::default(), usize::MAX);
        assert_eq!(rendered, Ok(()), "{name}");
        let least = bytes.len() / 8192;
        assert!(times >= least, "{name}: polled {times} times in {} bytes", bytes.len());
        for limit in (1..=times).step_by(1 + times / 9) {
            let (_, rendered) = count_polls(&bytes, &Spec::default(), limit);
            assert!(
                matches!(rendered, Err(Error::Stopped(_))),
                "{name}, time {limit} of {times}: {rendered:?}"
            );
        }
    }
}
