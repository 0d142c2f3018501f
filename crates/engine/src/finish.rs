//! The last stages of a rendition: from the resampled image to the one that is encoded, and its file.

use crate::codec::{self, EncodeOptions};
use crate::colour::{self, TransformCache};
use crate::error::Error;
use crate::header::{Format, Orientation};
use crate::pixels::{Image8, Image16};
use crate::placeholder::Placeholder;
use crate::plan::Plan;
use crate::resample::Buffers;
use crate::rights::Rights;
use crate::simd::SimdLevel;
use crate::spec::{Metadata, Spec, Thumbnail};
use crate::stop::Stop;
use crate::watermark::PlacedMark;
use crate::{attention, canvas, orient, sharpen};

/// What the stages need of the source and the render.
pub(crate) struct Finish<'a> {
    pub(crate) orientation: Orientation,
    /// The ICC profile that the samples are in.
    pub(crate) profile: Option<&'a [u8]>,
    pub(crate) level: SimdLevel,
    pub(crate) stop: Stop<'a>,
    pub(crate) transforms: &'a mut TransformCache,
    pub(crate) buffers: &'a mut Buffers,
}

/// What the frames of an animation share: set by the first one.
#[derive(Default)]
pub(crate) struct Shared {
    /// The place of the part that is chosen by its content.
    window: Option<(usize, usize)>,
    /// The watermark in the size that it has.
    mark: Option<PlacedMark>,
}

impl Finish<'_> {
    /// Finishes a resampled image.
    pub(crate) fn image(
        &mut self,
        image: Image16,
        plan: &Plan,
        spec: &Spec,
        format: Format,
        shared: &mut Shared,
    ) -> Result<Image8, Error> {
        self.stop.check("finishing thumbnails")?;
        let image = orient::upright(image, self.orientation);
        let mut image = colour::to_srgb(image, self.profile, self.transforms, self.stop)?;
        if let Some((width, height)) = plan.crop {
            let size = (width as usize, height as usize);
            let place = *shared.window.get_or_insert_with(|| attention::window(&image, size));
            image = attention::cropped(&image, place, size);
        }
        let image = sharpen::sharpened(image, spec.sharpen);
        let composed = canvas::compose(&image, plan, spec.background, format);
        self.buffers.recycle(image);
        let Some(watermark) = &spec.watermark else { return Ok(composed) };
        let canvas = (composed.width, composed.height);
        let mark = match shared.mark.take().filter(|mark| mark.is_for(canvas)) {
            Some(mark) => mark,
            None => watermark.placed(canvas, self.level, self.stop, self.buffers)?,
        };
        Ok(watermark.over(&composed, shared.mark.insert(mark)))
    }
}

/// Encodes finished images.
pub(crate) struct Encoder<'a> {
    pub(crate) level: SimdLevel,
    /// Those of the source.
    pub(crate) rights: Rights,
    pub(crate) stop: &'a dyn Fn() -> bool,
}

impl Encoder<'_> {
    /// The thumbnail of a finished image.
    pub(crate) fn thumbnail(&self, image: &Image8, format: Format, spec: &Spec) -> Result<Thumbnail, Error> {
        let stop = Stop(self.stop);
        stop.check("encoding")?;
        let none = Rights::default();
        let options = EncodeOptions {
            level: self.level,
            quality: spec.quality,
            effort: spec.effort,
            stop,
            rights: if spec.metadata == Metadata::Copyright { &self.rights } else { &none },
        };
        let bytes = codec::encode(image, format, &options)?;
        let placeholder = Placeholder::of(image);
        Ok(Thumbnail { bytes, format, width: image.width, height: image.height, placeholder, note: None })
    }
}
