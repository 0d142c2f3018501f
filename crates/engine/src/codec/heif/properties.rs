//! Properties of items (`ipco`).

use super::boxes::{Box, Boxes, Fields};

/// The most properties of a file; each of the tiles may have some of its own.
const MAX_PROPERTIES: usize = 10_000;

/// A property that is understood, or the name of one that is not.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Property<'a> {
    /// Width and height.
    Size(u32, u32),
    /// Quarter turns against the clock.
    Rotation(u8),
    /// Whether left and right change places, rather than top and bottom.
    Mirror {
        horizontal: bool,
    },
    Clap(Aperture),
    CodePoints(CodePoints),
    Profile(&'a [u8]),
    /// What an auxiliary image is.
    Auxiliary(&'a [u8]),
    /// Configuration of AV1.
    Av1(&'a [u8]),
    /// Configuration of HEVC.
    Hevc(&'a [u8]),
    /// Which layer is shown, of a progressive image.
    OperatingPoint(u8),
    /// One that says nothing about how to decode.
    Informative,
    Unknown([u8; 4]),
}

/// The fractions of a clean aperture: width, height, and the offset of its centre, each over a denominator.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Aperture([u32; 8]);

/// Colour by ITU-T H.273.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CodePoints {
    pub(super) primaries: u8,
    pub(super) transfer: u8,
    pub(super) matrix: u8,
    pub(super) full_range: bool,
}

/// A rectangle of whole pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Crop {
    pub(super) x: u32,
    pub(super) y: u32,
    pub(super) width: u32,
    pub(super) height: u32,
}

impl<'a> Property<'a> {
    /// All of these boxes; `None` if one is truncated, or there are too many.
    pub(super) fn read_all(boxes: Boxes<'a>) -> Option<Vec<Self>> {
        let read: Vec<_> = boxes.take(MAX_PROPERTIES + 1).map(Self::read).collect::<Option<_>>()?;
        (read.len() <= MAX_PROPERTIES).then_some(read)
    }

    /// `None` if the box is truncated.
    pub(super) fn read(Box { kind, data }: Box<'a>) -> Option<Self> {
        let mut fields = Fields::new(data);
        Some(match &kind {
            b"ispe" => {
                fields.version()?;
                Self::Size(fields.u32()?, fields.u32()?)
            }
            b"irot" => Self::Rotation(fields.u8()? & 3),
            b"imir" => Self::Mirror { horizontal: fields.u8()? & 1 == 1 },
            b"clap" => {
                let mut values = [0; 8];
                for value in &mut values {
                    *value = fields.u32()?;
                }
                Self::Clap(Aperture(values))
            }
            b"colr" => match &fields.kind()? {
                b"nclx" => {
                    let mut point = || fields.u16().map(|point| u8::try_from(point).unwrap_or(2));
                    let (primaries, transfer, matrix) = (point()?, point()?, point()?);
                    let full_range = fields.u8()? & 0x80 != 0;
                    Self::CodePoints(CodePoints { primaries, transfer, matrix, full_range })
                }
                b"prof" | b"rICC" => Self::Profile(fields.0),
                _ => Self::Informative,
            },
            b"auxC" => {
                fields.version()?;
                Self::Auxiliary(fields.text())
            }
            b"av1C" => Self::Av1(data),
            b"hvcC" => Self::Hevc(data),
            b"a1op" => Self::OperatingPoint(fields.u8()?),
            b"pixi" | b"pasp" | b"clli" | b"mdcv" | b"cclv" | b"amve" | b"a1lx" | b"rloc" | b"udes"
            | b"altt" | b"aebr" | b"wbbr" | b"fobr" | b"afbr" | b"dobr" | b"reve" | b"lhvC" => {
                Self::Informative
            }
            // The layer of a progressive image: all of them is what is decoded.
            b"lsel" => match fields.u16()? {
                0xffff => Self::Informative,
                _ => Self::Unknown(kind),
            },
            _ => Self::Unknown(kind),
        })
    }
}

impl Aperture {
    /// The rectangle within an image of this size; `None` if it is not within it. As libheif rounds it.
    pub(super) fn crop(self, (width, height): (u32, u32)) -> Option<Crop> {
        let [width_n, width_d, height_n, height_d, x_n, x_d, y_n, y_d] = self.0;
        let axis = |side: u32, (n, d): (u32, u32), (offset_n, offset_d): (u32, u32)| {
            if d == 0 || offset_d == 0 {
                return None;
            }
            // Numerators of offsets, and by an amendment all of them, are signed.
            let length = f64::from(n as i32) / f64::from(d as i32);
            let offset = f64::from(offset_n as i32) / f64::from(offset_d as i32);
            let start = (offset + (f64::from(side) - length) / 2.0).round();
            let length = length.round();
            let fits = length >= 1.0 && start >= 0.0 && start + length <= f64::from(side);
            fits.then_some((start as u32, length as u32))
        };
        let (x, width) = axis(width, (width_n, width_d), (x_n, x_d))?;
        let (y, height) = axis(height, (height_n, height_d), (y_n, y_d))?;
        Some(Crop { x, y, width, height })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_aperture_is_centred_and_must_be_within_the_image() {
        let crop = |values| Aperture(values).crop((100, 50));
        assert_eq!(crop([60, 1, 30, 1, 0, 1, 0, 1]), Some(Crop { x: 20, y: 10, width: 60, height: 30 }));
        // Ten pixels to the left and five down.
        let offset = (-10_i32) as u32;
        assert_eq!(
            crop([60, 1, 30, 1, offset, 1, 10, 2]),
            Some(Crop { x: 10, y: 15, width: 60, height: 30 })
        );
        assert_eq!(crop([60, 1, 30, 1, 30, 1, 0, 1]), None);
        assert_eq!(crop([60, 0, 30, 1, 0, 1, 0, 1]), None);
        assert_eq!(crop([0, 1, 30, 1, 0, 1, 0, 1]), None);
    }
}
