//! The image that a file shows: what it is coded in, in how many tiles, its alpha, colours, crop and orientation.

use std::borrow::Cow;

use super::boxes::{Boxes, Fields};
use super::container::{Container, Item, malformed};
use super::properties::{CodePoints, Crop, Property};
use super::sequence;
use crate::error::Error;
use crate::foreign::{Layout, Library};
use crate::header::Orientation;

/// The most tiles of an image.
const MAX_TILES: usize = 4096;

/// What a file shows.
pub(super) struct Image<'a> {
    pub(super) colour: Layer<'a>,
    pub(super) alpha: Option<Layer<'a>>,
    /// Whether colours were multiplied by alpha.
    pub(super) premultiplied: bool,
    /// The part of the coded image that is shown.
    pub(super) crop: Crop,
    pub(super) orientation: Orientation,
    pub(super) code_points: Option<CodePoints>,
    pub(super) profile: Option<&'a [u8]>,
    /// Whether there are more frames.
    pub(super) animated: bool,
}

/// An image as it is coded: of one frame, or of a grid of them.
pub(super) struct Layer<'a> {
    pub(super) library: Library,
    pub(super) width: u32,
    pub(super) height: u32,
    /// Width and height of each tile, of which the last ones may extend past the image.
    pub(super) tile: (u32, u32),
    pub(super) columns: usize,
    /// From the left, row by row.
    pub(super) tiles: Vec<Cow<'a, [u8]>>,
    /// The configuration of HEVC.
    pub(super) configuration: &'a [u8],
    pub(super) bits: u8,
    pub(super) gray: bool,
}

impl<'a> Image<'a> {
    pub(super) fn read(file: &'a [u8]) -> Result<Self, Error> {
        let boxes = Boxes::new(file);
        let animated = boxes.clone().find(b"moov").is_some();
        match boxes.clone().find(b"meta") {
            Some(meta) => {
                let image = Self::of(&Container::read(file, meta)?)?;
                Ok(Self { animated, ..image })
            }
            None => match boxes.clone().find(b"moov") {
                Some(movie) => sequence::first_frame(file, movie),
                None => Err(malformed("there is no image in it (no box meta or moov)")),
            },
        }
    }

    pub(super) fn tiles(&self) -> usize {
        self.colour.tiles.len() + self.alpha.as_ref().map_or(0, |alpha| alpha.tiles.len())
    }

    fn of(container: &Container<'a>) -> Result<Self, Error> {
        let mut primary = container.item(container.primary)?;
        if &primary.kind == b"tmap" {
            // An image with a gain map: the first of the two is the image for ordinary displays.
            let base = container.references(b"dimg", primary.id).first();
            primary = container.item(*base.ok_or_else(|| malformed("a gain map without an image"))?)?;
        }
        let properties = container.properties(primary)?;
        let colour = Layer::of(container, primary, &properties)?;
        let size = (colour.width, colour.height);
        let shown = Shown::by(&properties, size)?;
        let mut image = Self {
            crop: shown.crop,
            orientation: shown.orientation,
            code_points: None,
            profile: None,
            alpha: None,
            premultiplied: false,
            animated: false,
            colour,
        };
        image.set_colours(&properties);
        // The tiles of a grid may declare what the grid does not.
        if let Some(tile) =
            container.references(b"dimg", primary.id).first().filter(|_| &primary.kind == b"grid")
        {
            let properties = container.properties(container.item(*tile)?)?;
            image.set_colours(&properties);
        }
        if let Some((id, alpha)) = alpha_of(container, primary.id)? {
            image.premultiplied = container.references(b"prem", primary.id).contains(&id);
            image.alpha = Some(alpha);
        } else if &primary.kind == b"grid" {
            image.alpha =
                alpha_of_tiles(container, container.references(b"dimg", primary.id), &image.colour)?;
        }
        Ok(image)
    }

    /// Takes colours that are not set yet from properties.
    fn set_colours(&mut self, properties: &[Property<'a>]) {
        let (mut code_points, mut profile) = (None, None);
        for property in properties {
            match property {
                Property::CodePoints(points) => code_points = code_points.or(Some(*points)),
                Property::Profile(data) => profile = profile.or(Some(*data)),
                _ => {}
            }
        }
        self.code_points = self.code_points.or(code_points);
        self.profile = self.profile.or(profile);
    }
}

/// The alpha of an item, and its number.
fn alpha_of<'a>(container: &Container<'a>, id: u32) -> Result<Option<(u32, Layer<'a>)>, Error> {
    let Some(id) = container.alpha(id) else { return Ok(None) };
    let item = container.item(id)?;
    Ok(Some((id, Layer::of(container, item, &container.properties(item)?)?)))
}

/// The alpha of a grid whose tiles have one each.
fn alpha_of_tiles<'a>(
    container: &Container<'a>,
    tiles: &[u32],
    colour: &Layer<'a>,
) -> Result<Option<Layer<'a>>, Error> {
    let mut all: Option<Layer<'a>> = None;
    let mut total = 0;
    for tile in tiles {
        let Some(alpha) = container.alpha(*tile) else { return Ok(None) };
        let alpha = container.item(alpha)?;
        // Before it is read: as many tiles as this image has, for each of them.
        if &alpha.kind == b"grid" {
            return Err(malformed("the alpha of a tile is a grid"));
        }
        let layer = Layer::of(container, alpha, &container.properties(alpha)?)?;
        total += layer.tiles.iter().map(|data| data.len()).sum::<usize>();
        if total > container.length() {
            return Err(malformed("the alpha of the tiles overlaps"));
        }
        match &mut all {
            None => all = Some(layer),
            Some(first) if first.is_alike(&layer) => first.tiles.extend(layer.tiles),
            Some(_) => return Err(malformed("the alpha of the tiles differs in size or coding")),
        }
    }
    let all = all.filter(|all| all.tile == colour.tile && all.tiles.len() == colour.tiles.len());
    Ok(all.map(|all| Layer { width: colour.width, height: colour.height, columns: colour.columns, ..all }))
}

/// Which part of an image is shown, and which way up.
struct Shown {
    crop: Crop,
    orientation: Orientation,
}

impl Shown {
    /// By transformative properties, applied in their order: crop, rotation and mirroring (ISO/IEC 23000-22 prescribes that
    /// one).
    fn by(properties: &[Property<'_>], (width, height): (u32, u32)) -> Result<Self, Error> {
        let mut crop = Crop { x: 0, y: 0, width, height };
        let mut turns = Transform::default();
        for property in properties {
            match property {
                Property::Clap(aperture) => {
                    if turns != Transform::default() {
                        return Err(Error::Unsupported("heif: cropped after it is turned".into()));
                    }
                    crop = aperture
                        .crop((width, height))
                        .ok_or_else(|| malformed("the clean aperture is not within the image"))?;
                }
                Property::Rotation(quarters) => turns = turns.rotated(*quarters),
                Property::Mirror { horizontal } => turns = turns.mirrored(*horizontal),
                _ => {}
            }
        }
        Ok(Self { crop, orientation: turns.orientation() })
    }
}

/// A mirroring of left and right, then quarter turns against the clock.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Transform {
    mirrored: bool,
    quarters: u8,
}

impl Transform {
    fn rotated(self, quarters: u8) -> Self {
        Self { quarters: (self.quarters + quarters) & 3, ..self }
    }

    /// Mirrored: left and right change places if `horizontal`, otherwise top and bottom.
    fn mirrored(self, horizontal: bool) -> Self {
        // A mirroring after a turn is one before the opposite turn; that of top and bottom adds half a turn.
        let quarters = (4 - self.quarters + if horizontal { 0 } else { 2 }) & 3;
        Self { mirrored: !self.mirrored, quarters }
    }

    const fn orientation(self) -> Orientation {
        Orientation::from_exif(match (self.mirrored, self.quarters) {
            (false, 0) => 1,
            (false, 1) => 8,
            (false, 2) => 3,
            (false, _) => 6,
            (true, 0) => 2,
            (true, 1) => 5,
            (true, 2) => 4,
            (true, _) => 7,
        })
    }
}

impl<'a> Layer<'a> {
    fn of(container: &Container<'a>, item: &Item<'a>, properties: &[Property<'a>]) -> Result<Self, Error> {
        match &item.kind {
            b"grid" => Self::grid(container, item, properties),
            b"av01" | b"hvc1" => Self::single(container, item, properties),
            other => Err(Error::Unsupported(format!(
                "heif: an image of kind {}; AV1 and HEVC are read, alone and in grids",
                String::from_utf8_lossy(other).escape_default()
            ))),
        }
    }

    fn single(
        container: &Container<'a>,
        item: &Item<'a>,
        properties: &[Property<'a>],
    ) -> Result<Self, Error> {
        let size = size(properties)?;
        Self::new(size, properties, container.data(item)?)
    }

    /// An image of one frame with these properties.
    pub(super) fn new(
        size: (u32, u32),
        properties: &[Property<'a>],
        data: Cow<'a, [u8]>,
    ) -> Result<Self, Error> {
        // Any number of those would fit into a file.
        if data.is_empty() {
            return Err(malformed("an image without bytes"));
        }
        let coding = properties.iter().find_map(|property| match property {
            Property::Av1(configuration) => av1(configuration),
            Property::Hevc(configuration) => hevc(configuration),
            _ => None,
        });
        let Coding { library, bits, gray, configuration } =
            coding.ok_or_else(|| malformed("an image without its configuration (av1C or hvcC)"))?;
        let (width, height) = size;
        Ok(Self {
            library,
            width,
            height,
            tile: size,
            columns: 1,
            tiles: vec![data],
            configuration,
            bits,
            gray,
        })
    }

    fn grid(container: &Container<'a>, item: &Item<'a>, properties: &[Property<'a>]) -> Result<Self, Error> {
        let data = container.data(item)?;
        let (rows, columns, width, height) =
            grid(&data).ok_or_else(|| malformed("the description of the grid is truncated"))?;
        let tiles = container.references(b"dimg", item.id);
        if tiles.len() != rows * columns || tiles.len() > MAX_TILES {
            return Err(malformed(format_args!("a grid of {columns} x {rows} with {} tiles", tiles.len())));
        }
        let mut all: Option<Self> = None;
        let mut total = 0;
        for tile in tiles {
            let tile = container.item(*tile)?;
            let properties = container.properties(tile)?;
            if &tile.kind == b"grid" {
                return Err(Error::Unsupported("heif: a grid of grids".into()));
            }
            let layer = Self::of(container, tile, &properties)?;
            total += layer.tiles.iter().map(|data| data.len()).sum::<usize>();
            if total > container.length() {
                return Err(malformed("the tiles of the grid overlap"));
            }
            match &mut all {
                None => all = Some(layer),
                Some(first) if first.is_alike(&layer) => first.tiles.extend(layer.tiles),
                Some(_) => return Err(malformed("the tiles of the grid differ in size or coding")),
            }
        }
        let first = all.ok_or_else(|| malformed("a grid without tiles"))?;
        let covered = |tile: u32, count: usize, side: u32| {
            let whole = u64::from(tile) * count as u64;
            whole >= side.into() && whole - u64::from(tile) < side.into()
        };
        if !covered(first.tile.0, columns, width) || !covered(first.tile.1, rows, height) {
            return Err(malformed(format_args!("the tiles do not cover {width} x {height} pixels")));
        }
        let declared = size(properties).unwrap_or((width, height));
        if declared != (width, height) || width > Layout::MAX_SIDE || height > Layout::MAX_SIDE {
            return Err(malformed(format_args!("a grid of {width} x {height} pixels")));
        }
        Ok(Self { width, height, columns, ..first })
    }

    fn is_alike(&self, other: &Self) -> bool {
        let Self { library, tile, bits, gray, .. } = other;
        (self.library, self.tile, self.bits, self.gray) == (*library, *tile, *bits, *gray)
    }
}

/// Rows, columns, width and height of a grid.
fn grid(data: &[u8]) -> Option<(usize, usize, u32, u32)> {
    let mut fields = Fields::new(data);
    fields.u8()?;
    let wide = fields.u8()? & 1 == 1;
    let (rows, columns) = (usize::from(fields.u8()?) + 1, usize::from(fields.u8()?) + 1);
    Some((rows, columns, fields.u16_or_u32(wide)?, fields.u16_or_u32(wide)?))
}

fn size(properties: &[Property<'_>]) -> Result<(u32, u32), Error> {
    let size = properties.iter().find_map(|property| match property {
        Property::Size(width, height) => Some((*width, *height)),
        _ => None,
    });
    let (width, height) = size.ok_or_else(|| malformed("an image without a size (ispe)"))?;
    let valid = |side| (1..=Layout::MAX_SIDE).contains(&side);
    if !valid(width) || !valid(height) {
        return Err(malformed(format_args!("a size of {width} x {height}")));
    }
    Ok((width, height))
}

/// How an image is coded.
struct Coding<'a> {
    library: Library,
    bits: u8,
    gray: bool,
    configuration: &'a [u8],
}

/// By `av1C` (AV1 codec ISO media file format binding, section 2.3).
fn av1(configuration: &[u8]) -> Option<Coding<'_>> {
    let flags = *configuration.get(2)?;
    let bits = match (flags & 0x40 != 0, flags & 0x20 != 0) {
        (false, _) => 8,
        (true, false) => 10,
        (true, true) => 12,
    };
    Some(Coding { library: Library::Av1, bits, gray: flags & 0x10 != 0, configuration: &[] })
}

/// By `hvcC` (ISO/IEC 14496-15, section 8.3.3.1).
fn hevc(configuration: &[u8]) -> Option<Coding<'_>> {
    let (chroma, bits) = (*configuration.get(16)? & 3, (*configuration.get(17)? & 7) + 8);
    Some(Coding { library: Library::Hevc, bits, gray: chroma == 0, configuration })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_and_mirrors_are_those_of_exif() {
        let orientation =
            |properties: &[Property<'_>]| Shown::by(properties, (10, 20)).unwrap().orientation.exif();
        let (sides, ends) = (Property::Mirror { horizontal: true }, Property::Mirror { horizontal: false });
        assert_eq!(orientation(&[]), 1);
        // A quarter turn against the clock makes upright what was stored turned with it.
        assert_eq!(orientation(&[Property::Rotation(1)]), 8);
        assert_eq!(orientation(&[Property::Rotation(2)]), 3);
        assert_eq!(orientation(&[Property::Rotation(3)]), 6);
        assert_eq!(orientation(&[sides]), 2);
        assert_eq!(orientation(&[ends]), 4);
        assert_eq!(orientation(&[sides, sides]), 1);
        assert_eq!(orientation(&[Property::Rotation(2), sides]), 4);
        assert_eq!(orientation(&[Property::Rotation(1), ends]), 5);
        assert_eq!(orientation(&[Property::Rotation(1), sides]), 7);
        assert_eq!(orientation(&[sides, Property::Rotation(1)]), 5);
    }
}
