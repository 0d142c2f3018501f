//! The first frame of an image sequence that has no still image (`moov`).

use std::borrow::Cow;

use super::boxes::{Boxes, Fields};
use super::container::malformed;
use super::image::{Image, Layer};
use super::properties::{Crop, Property};
use crate::error::Error;
use crate::foreign::Layout;
use crate::header::Orientation;

/// The first frame of the first track with images.
pub(super) fn first_frame<'a>(file: &'a [u8], movie: &'a [u8]) -> Result<Image<'a>, Error> {
    let tracks = Boxes::new(movie).filter(|found| &found.kind == b"trak");
    let colour = tracks.clone().find_map(|track| Track::read(track.data, &[b"pict", b"vide"]));
    let colour = colour.ok_or_else(|| malformed("there is no track with images"))?;
    let alpha = tracks.clone().find_map(|track| Track::read(track.data, &[b"auxv"]));
    let layer = colour.layer(file)?;
    let crop = Crop { x: 0, y: 0, width: layer.width, height: layer.height };
    let find = |wanted: fn(&Property<'a>) -> bool| colour.properties.iter().find(|found| wanted(found));
    let code_points = match find(|property| matches!(property, Property::CodePoints(_))) {
        Some(Property::CodePoints(points)) => Some(*points),
        _ => None,
    };
    let profile = match find(|property| matches!(property, Property::Profile(_))) {
        Some(Property::Profile(profile)) => Some(*profile),
        _ => None,
    };
    Ok(Image {
        crop,
        alpha: alpha.map(|alpha| alpha.layer(file)).transpose()?,
        premultiplied: false,
        orientation: Orientation::UPRIGHT,
        code_points,
        profile,
        animated: true,
        colour: layer,
    })
}

/// What is needed of a track.
struct Track<'a> {
    size: (u32, u32),
    properties: Vec<Property<'a>>,
    /// Offset and length of the first frame.
    frame: (u64, u64),
}

impl<'a> Track<'a> {
    /// `None` if the track is of another kind, or truncated.
    fn read(track: &'a [u8], kinds: &[&[u8; 4]]) -> Option<Self> {
        let media = Boxes::new(track).find(b"mdia")?;
        let kind: &[u8; 4] = Boxes::new(media).find(b"hdlr")?.get(8..)?.first_chunk()?;
        if !kinds.contains(&kind) {
            return None;
        }
        let table = Boxes::new(Boxes::new(media).find(b"minf")?).find(b"stbl")?;
        let table = Boxes::new(table);
        let description = Boxes::new(table.clone().find(b"stsd")?.get(8..)?).next()?;
        // A visual sample entry: its size is at 24, and boxes follow its 78 bytes.
        let mut size = Fields::new(description.data.get(24..)?);
        let size = (size.u16()?.into(), size.u16()?.into());
        let properties = Property::read_all(Boxes::new(description.data.get(78..)?))?;
        let mut sizes = Fields::new(table.clone().find(b"stsz")?.get(4..)?);
        let (all, count) = (sizes.u32()?, sizes.u32()?);
        let length = if all > 0 { all } else { (count > 0).then(|| sizes.u32())?? };
        let offset = match (table.clone().find(b"stco"), table.clone().find(b"co64")) {
            (Some(chunks), _) => Fields::new(chunks.get(8..)?).u32()?.into(),
            (None, Some(chunks)) => Fields::new(chunks.get(8..)?).u64()?,
            (None, None) => return None,
        };
        Some(Self { size, properties, frame: (offset, length.into()) })
    }

    fn layer(&self, file: &'a [u8]) -> Result<Layer<'a>, Error> {
        let (width, height) = self.size;
        if width == 0 || height == 0 || width > Layout::MAX_SIDE || height > Layout::MAX_SIDE {
            return Err(malformed(format_args!("a size of {width} x {height}")));
        }
        let (offset, length) = self.frame;
        let frame =
            usize::try_from(offset).ok().and_then(|offset| file.get(offset..)?.get(..length as usize));
        let frame = frame.ok_or_else(|| malformed("the file ends before its first frame"))?;
        Layer::new(self.size, &self.properties, Cow::Borrowed(frame))
    }
}
