//! resvg: a drawing to pixels.

use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{Options, Size, Tree};

use super::{Fonts, header::DEFAULT, images};
use crate::error::Error;
use crate::foreign::{Job, Layout, Picture, Samples};

/// The most pixels that are rendered: beyond that, sides overflow in the library.
const MOST_PIXELS: u64 = 1 << 28;

/// Renders a drawing at the size of the job.
pub(crate) fn render(job: &Job<'_>, fonts: &Fonts) -> Result<Picture, Error> {
    let text = std::str::from_utf8(job.data)
        .map_err(|_| Error::Malformed("svg: the text is not UTF-8; save it as UTF-8".into()))?;
    let options = options(fonts);
    let tree = Tree::from_str(text, &options).map_err(|error| Error::Malformed(format!("svg: {error}")))?;
    let too_large =
        || Error::TooLarge(format!("svg: {} x {} pixels cannot be rendered", job.width, job.height));
    if u64::from(job.width) * u64::from(job.height) > MOST_PIXELS {
        return Err(too_large());
    }
    let mut pixels = Pixmap::new(job.width, job.height).ok_or_else(too_large)?;
    let (across, down) = (job.width as f32 / tree.size().width(), job.height as f32 / tree.size().height());
    resvg::render(&tree, Transform::from_scale(across, down), &mut pixels.as_mut());
    let layout = Layout {
        width: job.width,
        height: job.height,
        samples: Samples::Interleaved(4),
        bits: 8,
        code_points: None,
        profile: Vec::new(),
    };
    let width = job.width as usize;
    let stripe = move |y: u32, out: &mut Vec<u8>| {
        for pixel in pixels.pixels().iter().skip(y as usize * width).take(width) {
            let colour = pixel.demultiply();
            out.extend([colour.red(), colour.green(), colour.blue(), colour.alpha()]);
        }
    };
    Ok(Picture { layout, stripe: Box::new(stripe) })
}

fn options(fonts: &Fonts) -> Options<'static> {
    let mut options =
        Options { fontdb: fonts.database(), image_href_resolver: images::resolver(), ..Options::default() };
    if let Some(size) = Size::from_wh(DEFAULT.0 as f32, DEFAULT.1 as f32) {
        options.default_size = size;
    }
    options
}
