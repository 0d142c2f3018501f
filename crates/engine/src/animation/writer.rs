//! Writes an animation frame by frame: of each only what changed, and frames that show the same as one.

use crate::canvas;
use crate::error::Error;
use crate::header::Format;
use crate::pixels::Image8;

/// A part of the canvas, in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Area {
    pub(crate) left: u32,
    pub(crate) top: u32,
    pub(crate) width: u32,
    pub(crate) height: u32,
}

/// The frame that is written once it is known how long it is shown.
struct Pending {
    area: Area,
    delay_ms: u32,
    encoded: Vec<u8>,
}

/// An animation being written.
pub(super) struct Writer {
    format: Format,
    canvas: (u32, u32),
    quality: u8,
    plays: u32,
    /// Of GIF: whether frames have transparent pixels. From the one before the first of them on, each is whole, and cleared before
    /// the next.
    is_transparent: bool,
    has_alpha: bool,
    /// The last frame in RGBA.
    previous: Vec<u8>,
    pending: Option<Pending>,
    /// The frames written.
    frames: Vec<u8>,
}

impl Writer {
    pub(super) fn new(format: Format, canvas: (u32, u32), quality: u8, plays: u32) -> Self {
        Self {
            format,
            canvas,
            quality,
            plays,
            is_transparent: false,
            has_alpha: false,
            previous: Vec::new(),
            pending: None,
            frames: Vec::new(),
        }
    }

    pub(super) const fn format(&self) -> Format {
        self.format
    }

    pub(super) const fn canvas(&self) -> (u32, u32) {
        self.canvas
    }

    /// Bytes so far.
    pub(super) fn length(&self) -> usize {
        self.frames.len() + self.pending.as_ref().map_or(0, |pending| pending.encoded.len())
    }

    /// Adds a frame, which has the size of the canvas.
    pub(super) fn frame(&mut self, image: &Image8, delay_ms: u32) -> Result<(), Error> {
        let rgba = canvas::widened(image);
        if let Some(pending) = &mut self.pending
            && rgba == self.previous
        {
            pending.delay_ms = pending.delay_ms.saturating_add(delay_ms);
            return Ok(());
        }
        #[cfg(feature = "gif")]
        if self.format == Format::Gif && !self.is_transparent && image.model.has_alpha() {
            // What was drawn before cannot be taken away in parts.
            self.is_transparent = true;
            let area = self.whole();
            if let Some(pending) = &mut self.pending {
                (pending.area, pending.encoded) =
                    (area, crate::codec::gif::encode::image(area, &self.previous)?);
            }
        }
        self.flush();
        let area = match (self.format, self.previous.is_empty()) {
            (_, true) => self.whole(),
            (Format::Gif, false) if self.is_transparent => self.whole(),
            // Positions in WebP are even.
            (format, false) => self.changed(&rgba, if format == Format::WebP { 2 } else { 1 }),
        };
        let part = self.part(&rgba, area);
        let encoded = match self.format {
            #[cfg(feature = "webp")]
            Format::WebP => {
                let part = canvas::narrowed((area.width, area.height), part);
                self.has_alpha |= part.model.has_alpha();
                crate::codec::webp::animation::frame(&part, self.quality)?
            }
            #[cfg(feature = "gif")]
            Format::Gif => crate::codec::gif::encode::image(area, &part)?,
            format => return Err(Error::Internal(format!("animations are not written as {format}"))),
        };
        self.pending = Some(Pending { area, delay_ms, encoded });
        self.previous = rgba;
        Ok(())
    }

    /// The file.
    pub(super) fn finish(mut self) -> Result<Vec<u8>, Error> {
        self.flush();
        match self.format {
            #[cfg(feature = "webp")]
            Format::WebP => {
                Ok(crate::codec::webp::animation::file(self.canvas, self.has_alpha, self.plays, &self.frames))
            }
            #[cfg(feature = "gif")]
            Format::Gif => crate::codec::gif::encode::file(self.canvas, self.plays, &self.frames),
            format => Err(Error::Internal(format!("animations are not written as {format}"))),
        }
    }

    /// Writes the frame before this one.
    fn flush(&mut self) {
        let Some(Pending { area, delay_ms, encoded }) = self.pending.take() else { return };
        match self.format {
            #[cfg(feature = "webp")]
            Format::WebP => {
                crate::codec::webp::animation::append(&mut self.frames, area, delay_ms, &encoded);
            }
            #[cfg(feature = "gif")]
            Format::Gif => {
                crate::codec::gif::encode::append(&mut self.frames, delay_ms, self.is_transparent, &encoded);
            }
            _ => drop((area, delay_ms, encoded)),
        }
    }

    const fn whole(&self) -> Area {
        Area { left: 0, top: 0, width: self.canvas.0, height: self.canvas.1 }
    }

    /// The smallest area that holds every change since the last frame; its left and top are multiples of `step`.
    fn changed(&self, rgba: &[u8], step: u32) -> Area {
        let length = self.canvas.0 as usize * 4;
        let mut area: Option<(usize, usize, usize, usize)> = None;
        for (y, (now, before)) in
            rgba.chunks_exact(length).zip(self.previous.chunks_exact(length)).enumerate()
        {
            if now == before {
                continue;
            }
            let pairs = || now.as_chunks::<4>().0.iter().zip(before.as_chunks::<4>().0);
            let first = pairs().position(|(now, before)| now != before).unwrap_or(0);
            let last = pairs().rposition(|(now, before)| now != before).unwrap_or(0);
            let (left, top, right, _) = area.unwrap_or((first, y, last, y));
            area = Some((left.min(first), top, right.max(last), y));
        }
        let (left, top, right, bottom) = area.unwrap_or((0, 0, 0, 0));
        let (left, top) = (left as u32 / step * step, top as u32 / step * step);
        Area { left, top, width: right as u32 + 1 - left, height: bottom as u32 + 1 - top }
    }

    /// The pixels of an area.
    fn part(&self, rgba: &[u8], area: Area) -> Vec<u8> {
        let Area { left, top, width, height } = area;
        let rows = rgba.chunks_exact(self.canvas.0 as usize * 4).skip(top as usize).take(height as usize);
        rows.flat_map(|row| &row[left as usize * 4..][..width as usize * 4]).copied().collect()
    }
}
