//! What resampling reuses from one image to the next.

use super::weights::WeightsCache;
use crate::pixels::Image16;

/// Weights, and the memory of resampled images: new memory costs a page fault every 4 KiB, a tenth of the time of an image of
/// 400 x 400 pixels.
#[derive(Default)]
pub(crate) struct Buffers {
    pub(super) weights: WeightsCache,
    images: Vec<Vec<u16>>,
}

impl Buffers {
    /// Samples that are retained: an image of 512 x 512 pixels with alpha, 2 MiB, or several smaller ones.
    const MAX_SAMPLES: usize = 512 * 512 * 4;

    /// An empty image's memory for this many samples.
    pub(super) fn samples(&mut self, count: usize) -> Vec<u16> {
        let fits = self.images.iter().position(|samples| samples.capacity() >= count);
        fits.map_or_else(|| Vec::with_capacity(count), |at| self.images.swap_remove(at))
    }

    /// Takes an image back.
    pub(crate) fn recycle(&mut self, image: Image16) {
        let mut samples = image.samples;
        if samples.capacity() > Self::MAX_SAMPLES {
            return;
        }
        samples.clear();
        self.images.insert(0, samples);
        let retained = |images: &[Vec<u16>]| images.iter().map(Vec::capacity).sum::<usize>();
        while retained(&self.images) > Self::MAX_SAMPLES {
            self.images.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pixels::Model;

    fn image(count: usize) -> Image16 {
        Image16 { width: count, height: 1, model: Model::Gray, samples: vec![7; count] }
    }

    #[test]
    fn memory_is_reused_and_bounded() {
        let mut buffers = Buffers::default();
        let quarter = Buffers::MAX_SAMPLES / 4;
        for count in [100, quarter, quarter, quarter, quarter] {
            buffers.recycle(image(count));
        }
        assert_eq!(buffers.images.len(), 4, "the oldest is freed");
        let samples = buffers.samples(quarter - 5);
        assert!(samples.is_empty() && samples.capacity() >= quarter);
        assert_eq!(buffers.images.len(), 3);
        buffers.recycle(image(Buffers::MAX_SAMPLES + 1));
        assert_eq!(buffers.images.len(), 3, "too large");
    }
}
