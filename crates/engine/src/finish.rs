//! The last stages of a rendition: from the resampled image to the one that is encoded, and its file.

use crate::codec::{self, EncodeOptions};
use crate::colour::{self, TransformCache};
use crate::error::Error;
use crate::header::{Format, Orientation};
use crate::pixels::{Image8, Image16};
use crate::placeholder::Placeholder;
use crate::plan::Plan;
use crate::resample::WeightsCache;
use crate::rights::Rights;
use crate::simd::SimdLevel;
use crate::spec::{Metadata, Spec, Thumbnail};
use crate::stop::Stop;
use crate::{attention, canvas, orient, sharpen};

/// What the stages need of the source and the render.
pub(crate) struct Finish<'a> {
    pub(crate) orientation: Orientation,
    /// The ICC profile that the samples are in.
    pub(crate) profile: Option<&'a [u8]>,
    pub(crate) level: SimdLevel,
    pub(crate) stop: Stop<'a>,
    pub(crate) transforms: &'a mut TransformCache,
    pub(crate) weights: &'a mut WeightsCache,
}

impl Finish<'_> {
    /// Finishes a resampled image. `window` is the place of a part chosen by its content: set, it is that of an earlier
    /// frame.
    pub(crate) fn image(
        &mut self,
        image: Image16,
        plan: &Plan,
        spec: &Spec,
        format: Format,
        window: &mut Option<(usize, usize)>,
    ) -> Result<Image8, Error> {
        self.stop.check("finishing thumbnails")?;
        let image = orient::upright(image, self.orientation);
        let mut image = colour::to_srgb(image, self.profile, self.transforms, self.stop)?;
        if let Some((width, height)) = plan.crop {
            let size = (width as usize, height as usize);
            let place = *window.get_or_insert_with(|| attention::window(&image, size));
            image = attention::cropped(&image, place, size);
        }
        let image = sharpen::sharpened(image, spec.sharpen);
        let composed = canvas::compose(&image, plan, spec.background, format);
        self.weights.recycle(image);
        match &spec.watermark {
            Some(watermark) => watermark.over(&composed, self.level, self.stop, self.weights),
            None => Ok(composed),
        }
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
