//! Animations: every frame is decoded, drawn on the canvas, and rendered like a still image.

mod compositor;
mod frame_pixels;
mod writer;

use crate::codec::{self, Context, Decoded};
use crate::error::Error;
use crate::finish::{Encoder, Finish, Shared};
use crate::header::{Format, Header};
use crate::limits::Limits;
use crate::pixels::{Grid, Image16, Model, Row, RowSink};
use crate::placeholder::Placeholder;
use crate::plan::{self, Plan, Reduction};
use crate::resample::{Buffers, MultiResampler};
use crate::rights::{self, Rights};
use crate::spec::{Metadata, OutputFormat, Spec, Thumbnail};
use crate::stage::Stage;
use crate::stop::Stop;
use crate::{Host, Scratch, composed, sniff};
use compositor::Compositor;
pub(crate) use writer::Area;
use writer::Writer;

/// An animation whose frames are not decoded yet.
pub(crate) struct Animation<'a> {
    /// How often it is played; 0: without end.
    pub(crate) plays: u32,
    /// At least one.
    pub(crate) frames: Vec<Frame<'a>>,
    /// Bytes that are read again for each frame.
    pub(crate) shared_bytes: u64,
    /// Bytes that the largest frame is copied to before it is decoded.
    pub(crate) copied_bytes: u64,
}

/// One frame: a part of the canvas, and for how long it is shown.
pub(crate) struct Frame<'a> {
    pub(crate) left: usize,
    pub(crate) top: usize,
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) delay_ms: u32,
    pub(crate) disposal: Disposal,
    /// Whether it is blended over what is there; otherwise it replaces it.
    pub(crate) is_blended: bool,
    /// Decodes it, as an image of its size.
    pub(crate) decode: Box<DecodeFrame<'a>>,
}

/// Decodes a frame into rows.
pub(crate) type DecodeFrame<'a> =
    dyn Fn(&Context<'_>, &mut dyn RowSink, &mut Scratch) -> Result<Decoded, Error> + 'a;

/// What happens to a frame's part of the canvas before the next one is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Disposal {
    /// Nothing.
    Keep,
    /// It becomes transparent.
    Clear,
    /// It becomes what it was before.
    Restore,
}

/// Work of a pixel of a frame, in samples: decoding, drawing and resampling; and of one of its thumbnail: what is done
/// after that, and encoding.
const WORK: u64 = 8;
/// Work of any frame of a thumbnail, however small.
const FRAME_WORK: u64 = 1 << 16;
/// Work of a byte of the file, or one that is read again.
const BYTE_WORK: u64 = 16;

/// Bytes that decoding and drawing frames takes besides a still image.
pub(crate) fn memory(header: &Header) -> u64 {
    // The canvas, what is restored, a frame, a row of it in the decoder; and lists of frames.
    header.pixels().saturating_mul(16).saturating_add(1 << 20)
}

/// The largest file of any animation, in bytes.
const LARGEST_FILE: u64 = 24 << 20;

/// The largest file of an animation, in bytes: one for each of the pixels that it may have, as the source is bounded.
pub(crate) fn largest(header: &Header, plan: &Plan) -> u64 {
    let canvas = u128::from(plan.canvas.0) * u128::from(plan.canvas.1);
    let pixels = u128::from(Limits::ANIMATION_PIXELS) * canvas / u128::from(header.pixels().max(1));
    u64::try_from(pixels).unwrap_or(u64::MAX).saturating_add(1 << 16).min(LARGEST_FILE)
}

/// Renders specs of which some are to be animated; the others as still images.
pub(crate) fn render(
    host: Host<'_>,
    bytes: &[u8],
    specs: &[Spec],
    limits: &Limits,
    scratch: &mut Scratch,
    encoder: &Encoder<'_>,
) -> Result<Vec<Thumbnail>, Error> {
    specs.iter().try_for_each(Spec::validate)?;
    limits.check_source(bytes)?;
    let header = sniff::sniff(bytes)?.open(bytes)?.details.header;
    let moves = |spec: &Spec| {
        spec.animate && header.animated && matches!(spec.resolve(header.format), Format::WebP | Format::Gif)
    };
    let still = |specs: &[Spec], scratch: &mut Scratch| {
        let thumbnail = |image, format, spec: &Spec| encoder.thumbnail(&image, format, spec);
        composed(host, bytes, specs, limits, scratch, thumbnail)
    };
    let (animated, stills): (Vec<Spec>, Vec<Spec>) = specs.iter().cloned().partition(moves);
    if animated.is_empty() {
        return still(specs, scratch);
    }
    let moving = Moving { host, bytes, header: &header, specs: &animated, limits, encoder };
    let (rendered, note) = match moving.render(scratch)? {
        Ok(thumbnails) => (thumbnails, None),
        Err(note) => {
            // In the same format, without what an animation takes.
            let first = |spec: &Spec| {
                let format = OutputFormat::of(spec.resolve(header.format)).unwrap_or(spec.format);
                Spec { animate: false, avif: false, format, ..spec.clone() }
            };
            let firsts: Vec<Spec> = animated.iter().map(first).collect();
            (still(&firsts, scratch)?, Some(note))
        }
    };
    let mut animated = rendered.into_iter().map(|mut thumbnail| {
        thumbnail.note = thumbnail.note.take().or_else(|| note.clone());
        thumbnail
    });
    let stills = if stills.is_empty() { Vec::new() } else { still(&stills, scratch)? };
    let mut stills = stills.into_iter();
    let next = |spec: &Spec| if moves(spec) { animated.next() } else { stills.next() };
    let all: Option<Vec<Thumbnail>> = specs.iter().map(next).collect();
    all.ok_or_else(|| Error::Internal("no thumbnail for a spec".into()))
}

/// An animation to be rendered.
struct Moving<'a> {
    host: Host<'a>,
    bytes: &'a [u8],
    header: &'a Header,
    specs: &'a [Spec],
    limits: &'a Limits,
    encoder: &'a Encoder<'a>,
}

impl Moving<'_> {
    /// The animated thumbnails, or why the first frame alone is rendered.
    fn render(&self, scratch: &mut Scratch) -> Result<Result<Vec<Thumbnail>, String>, Error> {
        let most = self.limits.frames as usize;
        let Some(animation) = codec::frames(self.bytes, self.header, most)? else {
            return Ok(Err(format!(
                "the first frame alone: animations of {} are not read",
                self.header.format
            )));
        };
        let (_, plans) = plan::plans(self.header, self.specs);
        if let Err(note) = self.check(&animation, &plans) {
            return Ok(Err(note));
        }
        let needed = crate::estimate(self.header, self.specs).saturating_add(animation.copied_bytes);
        if needed > self.limits.memory_bytes {
            return Ok(Err("the first frame alone: an animation takes more than function.memory_mb".into()));
        }
        let mut buffers = std::mem::take(&mut scratch.resampling);
        let rendered = self.frames(&animation, &plans, scratch, &mut buffers);
        scratch.resampling = buffers;
        scratch.trim();
        rendered
    }

    /// Checks the limits; the frames first, as of more than are allowed no more are known.
    fn check(&self, animation: &Animation<'_>, plans: &[Plan]) -> Result<(), String> {
        // The first frame alone is refused for these.
        if self.header.pixels() > self.limits.pixels || self.header.work > self.limits.work {
            return Err("the first frame alone: it is beyond limits.pixels or limits.work".into());
        }
        let frames = animation.frames.len() as u64;
        if frames > u64::from(self.limits.frames) {
            let most = self.limits.frames;
            return Err(format!(
                "the first frame alone: more than {most} frames, the limit of limits.frames"
            ));
        }
        let most = Limits::ANIMATION_PIXELS;
        let pixels = plans.iter().map(largest_image).max().unwrap_or(0).max(self.header.pixels());
        if frames.saturating_mul(pixels) > most {
            let (width, height) = (self.header.width, self.header.height);
            return Err(format!(
                "the first frame alone: {frames} frames of {width}x{height} are more than {} megapixels",
                most / 1_000_000
            ));
        }
        let by_plan = |plan: &Plan| largest_image(plan).saturating_mul(WORK).saturating_add(FRAME_WORK);
        let of_plans = plans.iter().map(by_plan).fold(0, u64::saturating_add);
        let by_frame = self.header.pixels().saturating_mul(WORK).saturating_add(of_plans);
        let bytes = frames.saturating_mul(animation.shared_bytes).saturating_add(self.bytes.len() as u64);
        let work = frames.saturating_mul(by_frame).saturating_add(bytes.saturating_mul(BYTE_WORK));
        if work > self.limits.work {
            return Err(format!(
                "the first frame alone: {frames} frames take {} megasamples, more than the {} of limits.work",
                work.div_ceil(1_000_000),
                self.limits.work / 1_000_000
            ));
        }
        Ok(())
    }

    fn frames(
        &self,
        animation: &Animation<'_>,
        plans: &[Plan],
        scratch: &mut Scratch,
        buffers: &mut Buffers,
    ) -> Result<Result<Vec<Thumbnail>, String>, Error> {
        let Host { stop, mark, foreign } = self.host;
        let stop = Stop(stop);
        let level = scratch.level;
        let context = Context { limits: self.limits, reduction: Reduction::NONE, level, stop, foreign };
        let canvas = (self.header.width as usize, self.header.height as usize);
        let mut compositor = Compositor::new(canvas.0, canvas.1);
        let (mut profile, mut is_gray, mut note) = (None, false, None);
        let mut shared: Vec<Shared> = plans.iter().map(|_| Shared::default()).collect();
        let mut writers: Vec<(Writer, Option<Placeholder>)> = Vec::with_capacity(plans.len());
        for (spec, plan) in self.specs.iter().zip(plans) {
            let format = spec.resolve(self.header.format);
            let writer = Writer::new(format, plan.canvas, spec.quality, animation.plays);
            writers.push((writer, None));
        }
        for (number, frame) in animation.frames.iter().enumerate() {
            mark(Stage::Decode);
            let decoded = frame_pixels::decode(frame, canvas, &context, scratch);
            stop.check("decoding")?;
            let pixels = match decoded {
                Ok(pixels) => {
                    if number == 0 {
                        (profile, is_gray) = (pixels.profile, pixels.is_gray);
                    }
                    pixels.rgba
                }
                // What follows a corrupt frame is as good as cut off; of the first nothing could be shown.
                Err(_) if number > 0 => {
                    let all = animation.frames.len();
                    note = Some(format!("the first {number} of {all} frames: the next one is corrupt"));
                    break;
                }
                Err(error) => return Err(error),
            };
            compositor.draw(frame, &pixels);
            mark(Stage::Resample);
            let images = resampled(&compositor, is_gray, self.header, plans, &context, buffers)?;
            mark(Stage::Encode);
            let mut finish = Finish {
                orientation: self.header.orientation,
                profile: profile.as_deref(),
                level,
                stop,
                transforms: &mut scratch.transforms,
                buffers: &mut *buffers,
            };
            for (index, image) in images.into_iter().enumerate() {
                let (plan, spec, (writer, placeholder)) =
                    (&plans[index], &self.specs[index], &mut writers[index]);
                let image = finish.image(image, plan, spec, writer.format(), &mut shared[index])?;
                placeholder.get_or_insert_with(|| Placeholder::of(&image));
                writer.frame(&image, frame.delay_ms)?;
                if writer.length() as u64 > largest(self.header, plan) {
                    return Ok(Err("the first frame alone: the animation would be too large a file".into()));
                }
            }
            compositor.dispose(frame);
        }
        let none = Rights::default();
        let mut thumbnails = Vec::with_capacity(writers.len());
        for ((writer, placeholder), spec) in writers.into_iter().zip(self.specs) {
            let (format, (width, height)) = (writer.format(), writer.canvas());
            let rights = if spec.metadata == Metadata::Copyright { &self.encoder.rights } else { &none };
            let bytes = rights::embedded(writer.finish()?, format, (width, height), rights);
            let placeholder =
                placeholder.ok_or_else(|| Error::Internal("an animation of no frame".into()))?;
            thumbnails.push(Thumbnail { bytes, format, width, height, placeholder, note: note.clone() });
        }
        Ok(Ok(thumbnails))
    }
}

/// Pixels of the largest image on the way to a thumbnail, after resampling: a part of it may be chosen by its content.
fn largest_image(plan: &Plan) -> u64 {
    let area = |(width, height): (u32, u32)| u64::from(width) * u64::from(height);
    area(plan.stored).max(area(plan.canvas))
}

/// The canvas, resampled for each plan; in gray, if its frames are, so that a profile of gray applies.
fn resampled(
    compositor: &Compositor,
    is_gray: bool,
    header: &Header,
    plans: &[Plan],
    context: &Context<'_>,
    buffers: &mut Buffers,
) -> Result<Vec<Image16>, Error> {
    let mut rows = MultiResampler::new(header, plans, context.level, context.stop, buffers);
    let model = match (is_gray, compositor.is_opaque()) {
        (true, true) => Model::Gray,
        (true, false) => Model::GrayAlpha,
        (false, true) => Model::Rgb,
        (false, false) => Model::Rgba,
    };
    rows.begin(Grid::full_scale(model))?;
    let length = header.width as usize * 4;
    let mut line: Vec<u8> = Vec::with_capacity(length);
    for row in compositor.canvas().chunks_exact(length) {
        line.clear();
        let pixels = row.as_chunks::<4>().0.iter();
        match model {
            Model::Gray => line.extend(pixels.map(|pixel| pixel[0])),
            Model::GrayAlpha => line.extend(pixels.flat_map(|&[v, _, _, a]| [v, a])),
            Model::Rgb => line.extend(pixels.flat_map(|&[r, g, b, _]| [r, g, b])),
            Model::Rgba => line.extend_from_slice(row),
        }
        rows.row(Row::U8(&line))?;
    }
    rows.finish()
}

#[cfg(test)]
mod hostile_tests;
#[cfg(test)]
mod tests;
