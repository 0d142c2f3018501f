//! Animations drawn in code, rendered, and read by other decoders.

use std::io::Cursor;

use image_webp::WebPDecoder;

use crate::{Error, Format, Limits, OutputFormat, Scratch, Spec, Thumbnail, render};

const RED: [u8; 3] = [220, 30, 30];
const BLUE: [u8; 3] = [30, 30, 220];

/// A frame of a test: its place, colour index, how long it is shown and its disposal.
type Drawn = ((u16, u16, u16, u16), u8, u16, gif::DisposalMethod);

/// A GIF of 40x20 with the colours white, red, blue and transparent.
fn gif(frames: &[Drawn], repeat: Option<gif::Repeat>) -> Vec<u8> {
    let mut file = Vec::new();
    let palette = [[255, 255, 255], RED, BLUE, [0, 0, 0]].concat();
    let mut encoder = gif::Encoder::new(&mut file, 40, 20, &palette).unwrap();
    if let Some(repeat) = repeat {
        encoder.set_repeat(repeat).unwrap();
    }
    for ((left, top, width, height), index, delay, dispose) in frames {
        let frame = gif::Frame {
            left: *left,
            top: *top,
            width: *width,
            height: *height,
            delay: *delay,
            dispose: *dispose,
            transparent: Some(3),
            buffer: vec![*index; usize::from(*width) * usize::from(*height)].into(),
            ..gif::Frame::default()
        };
        encoder.write_frame(&frame).unwrap();
    }
    drop(encoder);
    file
}

fn rendered(file: &[u8], spec: &Spec) -> Result<Thumbnail, Error> {
    let specs = std::slice::from_ref(spec);
    render(file, specs, &Limits::default(), &|| false, &mut Scratch::default()).map(|mut all| all.remove(0))
}

fn animated(format: OutputFormat) -> Spec {
    let background = "transparent".parse().unwrap();
    Spec { animate: true, format, quality: 95, background, ..Spec::default() }
}

/// The frames of an animated WebP in RGBA, each with its duration; and how often it is played.
fn webp_frames(file: &[u8]) -> (Vec<(Vec<u8>, u32)>, u32) {
    let mut decoder = WebPDecoder::new(Cursor::new(file)).unwrap();
    assert!(decoder.is_animated());
    let plays = match decoder.loop_count() {
        image_webp::LoopCount::Forever => 0,
        image_webp::LoopCount::Times(times) => u32::from(times.get()),
    };
    let mut frames = Vec::new();
    for _ in 0..decoder.num_frames() {
        let mut buffer = vec![0; decoder.output_buffer_size().unwrap()];
        let duration = decoder.read_frame(&mut buffer).unwrap();
        let rgba = if decoder.has_alpha() {
            buffer
        } else {
            buffer.as_chunks::<3>().0.iter().flat_map(|&[r, g, b]| [r, g, b, 255]).collect()
        };
        frames.push((rgba, duration));
    }
    (frames, plays)
}

/// The same of a GIF, drawn on a canvas that every frame of ours covers or changes in part.
fn gif_frames(file: &[u8]) -> (Vec<(Vec<u8>, u32)>, Option<u16>) {
    let mut options = gif::DecodeOptions::new();
    options.set_color_output(gif::ColorOutput::RGBA);
    let mut decoder = options.read_info(Cursor::new(file)).unwrap();
    let width = usize::from(decoder.width());
    let mut canvas = vec![0; width * usize::from(decoder.height()) * 4];
    let mut frames = Vec::new();
    while let Some(frame) = decoder.read_next_frame().unwrap() {
        for (y, row) in frame.buffer.chunks_exact(usize::from(frame.width) * 4).enumerate() {
            let at = ((usize::from(frame.top) + y) * width + usize::from(frame.left)) * 4;
            for (target, pixel) in
                canvas[at..][..row.len()].as_chunks_mut::<4>().0.iter_mut().zip(row.as_chunks::<4>().0)
            {
                if pixel[3] > 0 {
                    *target = *pixel;
                }
            }
        }
        let delay = u32::from(frame.delay) * 10;
        frames.push((canvas.clone(), delay));
        if frame.dispose == gif::DisposalMethod::Background {
            canvas.fill(0);
        }
    }
    let repeat = match decoder.repeat() {
        gif::Repeat::Infinite => Some(0),
        gif::Repeat::Finite(times) => Some(times),
    };
    (frames, repeat)
}

fn pixel(rgba: &[u8], width: usize, x: usize, y: usize) -> [u8; 4] {
    rgba[(y * width + x) * 4..][..4].try_into().unwrap()
}

#[track_caller]
fn assert_near(found: [u8; 4], [r, g, b]: [u8; 3]) {
    let far = found.iter().zip([r, g, b, 255]).any(|(a, b)| a.abs_diff(b) > 24);
    assert!(!far, "{found:?} is not {:?}", [r, g, b]);
}

#[test]
fn disposal_timing_and_loops_survive() {
    use gif::DisposalMethod::{Background, Keep, Previous};
    let whole = (0, 0, 40, 20);
    let source = gif(
        &[
            (whole, 0, 10, Keep),
            ((0, 0, 20, 20), 1, 25, Previous),
            ((20, 0, 20, 20), 2, 30, Background),
            ((0, 0, 4, 4), 3, 1, Keep),
        ],
        Some(gif::Repeat::Finite(2)),
    );
    let check = |frames: &[(Vec<u8>, u32)]| {
        let at = |frame: usize, x: usize| pixel(&frames[frame].0, 40, x, 10);
        let white = [255; 3];
        assert_near(at(0, 8), white);
        assert_near(at(1, 8), RED);
        assert_near(at(1, 32), white);
        assert_near(at(2, 8), white);
        assert_near(at(2, 32), BLUE);
        assert_near(at(3, 8), white);
        // Restored to the background, which is transparent.
        frames.iter().map(|(_, delay)| *delay).collect::<Vec<_>>()
    };
    let webp = rendered(&source, &animated(OutputFormat::WebP)).unwrap();
    assert_eq!((webp.format, webp.width, webp.height, webp.note.as_deref()), (Format::WebP, 40, 20, None));
    let (frames, plays) = webp_frames(&webp.bytes);
    // The shortest delays are shown for a tenth of a second.
    assert_eq!((check(&frames), plays), (vec![100, 250, 300, 100], 3));
    assert_eq!(pixel(&frames[3].0, 40, 32, 10)[3], 0);
    let same = rendered(&source, &animated(OutputFormat::Same)).unwrap();
    assert_eq!(same.format, Format::Gif);
    let (frames, repeat) = gif_frames(&same.bytes);
    assert_eq!((check(&frames), repeat), (vec![100, 250, 300, 100], Some(2)));
}

#[test]
fn what_becomes_transparent_later_is_so_in_a_gif() {
    use gif::DisposalMethod::{Background, Keep};
    let source = gif(
        &[
            ((0, 0, 40, 20), 0, 10, Keep),
            ((0, 0, 20, 20), 1, 10, Background),
            ((30, 10, 6, 6), 2, 10, Keep),
            ((34, 14, 2, 2), 1, 10, Keep),
        ],
        None,
    );
    let (frames, _) = gif_frames(&rendered(&source, &animated(OutputFormat::Gif)).unwrap().bytes);
    let at = |frame: usize, x: usize, y: usize| pixel(&frames[frame].0, 40, x, y);
    assert_eq!(frames.len(), 4);
    for (frame, left) in [(0, [255; 3]), (1, RED)] {
        assert_near(at(frame, 8, 10), left);
        assert_near(at(frame, 32, 2), [255; 3]);
    }
    for frame in [2, 3] {
        assert_eq!(at(frame, 8, 10)[3], 0);
        assert_near(at(frame, 32, 2), [255; 3]);
        assert_near(at(frame, 31, 11), BLUE);
    }
}

#[test]
fn equal_frames_become_one_and_only_changes_are_written() {
    use gif::DisposalMethod::Keep;
    let source = gif(
        &[((0, 0, 40, 20), 1, 10, Keep), ((0, 0, 1, 1), 3, 20, Keep), ((30, 10, 6, 6), 2, 30, Keep)],
        Some(gif::Repeat::Infinite),
    );
    let webp = rendered(&source, &animated(OutputFormat::WebP)).unwrap();
    let (frames, plays) = webp_frames(&webp.bytes);
    assert_eq!((frames.iter().map(|frame| frame.1).collect::<Vec<_>>(), plays), (vec![300, 300], 0));
    assert_near(pixel(&frames[1].0, 40, 33, 13), BLUE);
    assert_near(pixel(&frames[1].0, 40, 10, 10), RED);
    // The second frame is not the whole canvas.
    let second = memchr::memmem::find_iter(&webp.bytes, b"ANMF").nth(1).unwrap();
    let side = |at: usize| u32::from(webp.bytes[second + at]) + 1;
    assert!(side(14) <= 10 && side(17) <= 10, "{}x{}", side(14), side(17));
}

#[test]
fn animated_webp_and_png_are_read() {
    let source = gif(
        &[
            ((0, 0, 40, 20), 1, 10, gif::DisposalMethod::Keep),
            ((10, 4, 20, 12), 2, 20, gif::DisposalMethod::Keep),
        ],
        Some(gif::Repeat::Infinite),
    );
    let webp = rendered(&source, &animated(OutputFormat::WebP)).unwrap();
    let again =
        rendered(&webp.bytes, &Spec { size: "20x10".parse().unwrap(), ..animated(OutputFormat::Same) })
            .unwrap();
    assert_eq!(again.format, Format::WebP);
    let (frames, _) = webp_frames(&again.bytes);
    assert_eq!(frames.iter().map(|frame| frame.1).collect::<Vec<_>>(), [100, 200]);
    assert_near(pixel(&frames[1].0, 20, 10, 5), BLUE);
    assert_near(pixel(&frames[1].0, 20, 1, 1), RED);

    let mut png = Vec::new();
    let mut encoder = png::Encoder::new(&mut png, 40, 20);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_animated(2, 4).unwrap();
    encoder.set_frame_delay(1, 20).unwrap();
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(&RED.repeat(800)).unwrap();
    writer.set_frame_dimension(20, 12).unwrap();
    writer.set_frame_position(10, 4).unwrap();
    writer.set_frame_delay(1, 4).unwrap();
    writer.write_image_data(&BLUE.repeat(240)).unwrap();
    writer.finish().unwrap();
    let webp = rendered(&png, &animated(OutputFormat::WebP)).unwrap();
    let (frames, plays) = webp_frames(&webp.bytes);
    assert_eq!((frames.iter().map(|frame| frame.1).collect::<Vec<_>>(), plays), (vec![50, 250], 4));
    assert_near(pixel(&frames[1].0, 40, 20, 10), BLUE);
    assert_near(pixel(&frames[1].0, 40, 1, 1), RED);
    // By its name alone it is a PNG, which is written still.
    assert_eq!(rendered(&png, &animated(OutputFormat::Same)).unwrap().format, Format::Png);
    for length in (0..png.len()).step_by(3) {
        let _ = rendered(&png[..length], &animated(OutputFormat::WebP));
    }
}

#[test]
fn too_much_is_the_first_frame_with_a_note() {
    let frames = vec![((0, 0, 40, 20), 1, 10, gif::DisposalMethod::Keep); 30];
    let source = gif(&frames, None);
    let with = |limits: Limits| {
        let specs = [animated(OutputFormat::WebP), Spec { animate: false, ..animated(OutputFormat::WebP) }];
        let mut all = render(&source, &specs, &limits, &|| false, &mut Scratch::default()).unwrap();
        assert_eq!(all[1].note, None);
        all.remove(0)
    };
    assert_eq!(with(Limits::default()).note, None);
    for (limits, why) in [
        (Limits { frames: 29, ..Limits::default() }, "more than 29 frames"),
        (Limits { work: 100_000, ..Limits::default() }, "30 frames take"),
    ] {
        let still = with(limits);
        let note = still.note.unwrap();
        assert!(note.starts_with("the first frame alone: ") && note.contains(why), "{note}");
        assert!(!WebPDecoder::new(Cursor::new(&still.bytes)).unwrap().is_animated());
    }
}

#[test]
fn cut_and_corrupt_animations_end_early() {
    let source = gif(
        &[
            ((0, 0, 40, 20), 1, 10, gif::DisposalMethod::Keep),
            ((0, 0, 40, 20), 2, 10, gif::DisposalMethod::Keep),
            ((0, 0, 40, 20), 0, 10, gif::DisposalMethod::Keep),
        ],
        None,
    );
    let mut seen = std::collections::BTreeSet::new();
    for length in 0..source.len() {
        if let Ok(thumbnail) = rendered(&source[..length], &animated(OutputFormat::WebP)) {
            let decoder = WebPDecoder::new(Cursor::new(&thumbnail.bytes)).unwrap();
            seen.insert(decoder.num_frames());
        }
        let mut flipped = source.clone();
        flipped[length] ^= 0x11;
        let _ = rendered(&flipped, &animated(OutputFormat::Gif));
    }
    assert!(seen.contains(&2), "{seen:?}");
}

#[test]
fn stills_are_written_as_gif() {
    let source = gif(&[((0, 0, 40, 20), 1, 0, gif::DisposalMethod::Keep)], None);
    let spec = Spec { size: "10x10".parse().unwrap(), ..animated(OutputFormat::Gif) };
    for spec in [spec.clone(), Spec { animate: false, ..spec }] {
        let still = rendered(&source, &spec).unwrap();
        assert_eq!((still.format, still.width, still.height), (Format::Gif, 10, 5));
        let (frames, _) = gif_frames(&still.bytes);
        assert_eq!(frames.len(), 1);
        assert_near(pixel(&frames[0].0, 10, 5, 2), RED);
    }
}
