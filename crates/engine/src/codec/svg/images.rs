//! Images within drawings: only those in data URLs, decoded by the engine's own decoders.

use std::sync::Arc;

use resvg::usvg::{ImageHrefResolver, ImageKind, Options, Tree};

use crate::codec;
use crate::foreign::{ForeignDecoder, Job, Output};
use crate::{Error, Fit, Format, Limits, OutputFormat, Scratch, SimdLevel, Size, Spec};

/// The longest side that an image within a drawing is reduced to.
const SIDE: u32 = 2048;

/// Resolves references to images. What is not in the drawing itself does not exist: no file is opened.
pub(super) fn resolver() -> ImageHrefResolver<'static> {
    ImageHrefResolver {
        resolve_data: Box::new(|_, data, options| resolve(&data, options)),
        resolve_string: Box::new(|_, _| None),
    }
}

fn resolve(data: &[u8], options: &Options<'_>) -> Option<ImageKind> {
    let format = crate::probe(data).ok()?.format;
    if format == Format::Svg {
        // A drawing within a drawing, but no further.
        let nested = Options {
            font_family: options.font_family.clone(),
            fontdb: options.fontdb.clone(),
            image_href_resolver: ImageHrefResolver {
                resolve_data: Box::new(|_, data, options| match crate::probe(&data).ok()?.format {
                    Format::Svg => None,
                    _ => resolve(&data, options),
                }),
                resolve_string: Box::new(|_, _| None),
            },
            ..Options::default()
        };
        return Tree::from_data(data, &nested).ok().map(ImageKind::SVG);
    }
    raster(data).map(|png| ImageKind::PNG(Arc::new(png)))
}

/// The image as PNG, which is what resvg gets to see.
fn raster(data: &[u8]) -> Option<Vec<u8>> {
    let spec = Spec {
        size: Size { width: Some(SIDE), height: Some(SIDE) },
        fit: Fit::Inside,
        format: OutputFormat::Png,
        ..Spec::default()
    };
    let host = crate::Host { stop: &|| false, mark: &|_| {}, foreign: &NoForeignDecoder };
    let limits = Limits { memory_bytes: 128 << 20, work: 200_000_000, ..Limits::default() };
    let mut thumbnails =
        crate::render_on(host, data, &[spec], &limits, &mut Scratch::at(SimdLevel::detect())).ok()?;
    thumbnails.pop().map(|thumbnail| thumbnail.bytes)
}

/// Within a drawing only the engine's own formats are read.
#[derive(Debug)]
struct NoForeignDecoder;

impl ForeignDecoder for NoForeignDecoder {
    fn decode(&self, _: &Job<'_>, _: &dyn Fn() -> bool, _: &mut dyn Output) -> Result<(), Error> {
        Err(Error::Unsupported(format!("within a drawing only {} are read", codec::names().join(", "))))
    }
}
