//! A render ends soon after the caller says so. Counted, not timed: how often it is asked.

mod support;

use std::cell::Cell;

use support::*;
use tintype_engine::{Effort, Error, Limits, OutputFormat, Scratch, Spec, render};

/// How often a render asks, and its end if it is told to stop the `limit`th time.
fn asked(bytes: &[u8], spec: &Spec, limit: usize) -> (usize, Result<(), Error>) {
    let asked = Cell::new(0);
    let stop = || {
        asked.set(asked.get() + 1);
        asked.get() >= limit
    };
    let limits = Limits { tolerant: true, tolerant_share: 0.0, ..Limits::default() };
    let made = render(bytes, std::slice::from_ref(spec), &limits, &stop, &mut Scratch::default());
    (asked.get(), made.map(drop))
}

#[test]
fn every_format_asks_every_sixteen_rows() {
    let (width, height) = (200, 800);
    for (name, bytes) in every_format(&texture(width, height), width, height) {
        for effort in [Effort::Balanced, Effort::Best] {
            let spec =
                Spec { size: "x800".parse().unwrap(), format: OutputFormat::Jpeg, effort, ..Spec::default() };
            let (times, made) = asked(&bytes, &spec, usize::MAX);
            assert_eq!(made, Ok(()), "{name}");
            // Once as rows are resampled, once as they are encoded.
            assert!(times >= height / 16 * 2, "{name}: asked {times} times");
            for limit in (1..=times).step_by(1 + times / 7) {
                let (times, made) = asked(&bytes, &spec, limit);
                assert!(matches!(made, Err(Error::Stopped(_))), "{name}, time {limit} of {times}: {made:?}");
                // A row that counts as damaged may still be filled up.
                assert!(times <= limit + 1, "{name}: asked on after it was told to stop");
            }
        }
    }
}

/// Interlaced, from the rows of one that is not: only the order differs that a reader gives them.
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
    // Every row has its own noise, so that no file is short.
    let noise = |at: u32| (at.wrapping_mul(2_654_435_761) ^ at.wrapping_mul(40_503) >> 7) as u8;
    let rgb: Vec<u8> = (0..width * height * 3).map(|at| noise(at as u32)).collect();
    let rgba: Vec<u8> = rgb.chunks(3).flat_map(|p| [p[0], p[1], p[2], 255]).collect();
    for (name, bytes) in [
        ("bmp", bmp(&rgb, width, height)),
        ("tiff", tiff::<tiff::encoder::colortype::RGB8>(&rgb, width, height)),
        ("lossless webp", webp_lossless(&rgba, width, height)),
        ("interlaced gif", interlaced(&gif(&rgb, width, height, 1), width)),
    ] {
        let (times, made) = asked(&bytes, &Spec::default(), usize::MAX);
        assert_eq!(made, Ok(()), "{name}");
        let least = bytes.len() / 8192;
        assert!(times >= least, "{name}: asked {times} times in {} bytes", bytes.len());
        for limit in (1..=times).step_by(1 + times / 9) {
            let (_, made) = asked(&bytes, &Spec::default(), limit);
            assert!(matches!(made, Err(Error::Stopped(_))), "{name}, time {limit} of {times}: {made:?}");
        }
    }
}
