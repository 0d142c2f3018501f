//! The last step on pixels: alpha blended over the background where the output has none, the canvas of
//! `contain`, and 8 bits in the fewest channels that hold the image.

use crate::header::Format;
use crate::light;
use crate::pixels::{Image8, Image16, Model};
use crate::plan::Plan;
use crate::spec::Background;

/// Places the resampled image on its canvas.
pub(crate) fn compose(image: &Image16, plan: &Plan, background: Background, output: Format) -> Image8 {
    let (width, height) = (plan.canvas.0 as usize, plan.canvas.1 as usize);
    if !image.model.has_alpha() && (image.width, image.height) == (width, height) {
        return opaque(plan.canvas, image);
    }
    let output_has_alpha = matches!(output, Format::Png | Format::WebP | Format::Avif | Format::Gif);
    let backdrop = if output_has_alpha { background.0 } else { over_white(background.0) };
    let mut samples = backdrop.repeat(width * height);
    let (left, top) = (plan.offset.0 as usize, plan.offset.1 as usize);
    let rows = samples.chunks_exact_mut(width * 4).skip(top);
    for (target, source) in rows.zip(image.samples.chunks_exact(image.width * image.model.channels())) {
        let pixels = target.as_chunks_mut::<4>().0.iter_mut().skip(left);
        for (target, source) in pixels.zip(source.chunks_exact(image.model.channels())) {
            let [rgb @ .., alpha] = rgba(image.model, source);
            *target = if output_has_alpha || alpha == u16::MAX {
                let [r, g, b] = rgb.map(byte);
                [r, g, b, byte(alpha)]
            } else {
                let [r, g, b, _] = backdrop;
                let over = |c: usize, under: u8| blend(rgb[c], alpha, under);
                [over(0, r), over(1, g), over(2, b), 255]
            };
        }
    }
    narrowed(plan.canvas, samples)
}

/// An image without alpha that fills its canvas.
fn opaque((width, height): (u32, u32), image: &Image16) -> Image8 {
    let samples: Vec<u8> = image.samples.iter().map(|&sample| byte(sample)).collect();
    let gray = || samples.as_chunks::<3>().0.iter().all(|&[r, g, b]| r == g && g == b);
    if image.model == Model::Rgb && gray() {
        let samples = samples.as_chunks::<3>().0.iter().map(|pixel| pixel[0]).collect();
        return Image8 { width, height, model: Model::Gray, samples };
    }
    Image8 { width, height, model: image.model, samples }
}

fn rgba(model: Model, pixel: &[u16]) -> [u16; 4] {
    match (model, pixel) {
        (Model::Gray, &[v]) => [v, v, v, u16::MAX],
        (Model::GrayAlpha, &[v, a]) => [v, v, v, a],
        (Model::Rgb, &[r, g, b]) => [r, g, b, u16::MAX],
        (Model::Rgba, &[r, g, b, a]) => [r, g, b, a],
        _ => [0; 4],
    }
}

/// 16 bits to 8, to nearest.
pub(crate) fn byte(value: u16) -> u8 {
    ((u32::from(value) * 255 + 32767) / 65535) as u8
}

/// One sample over another, mixed in linear light.
fn blend(over: u16, alpha: u16, under: u8) -> u8 {
    let (over, under, alpha) = (light::linear_16(over), light::linear_8(under), u64::from(alpha));
    let light = (u64::from(over) * alpha + u64::from(under) * (65535 - alpha) + 32767) / 65535;
    byte(light::encoder()((light * light::LIGHT as u64 / 65535) as i32))
}

fn over_white([r, g, b, a]: [u8; 4]) -> [u8; 4] {
    let wide = |v: u8| u16::from(v) * 257;
    let over = |v| blend(wide(v), wide(a), 255);
    [over(r), over(g), over(b), 255]
}

/// The samples of an image as RGBA.
pub(crate) fn widened(image: &Image8) -> Vec<u8> {
    let pixels = image.samples.chunks_exact(image.model.channels());
    let widen = |pixel: &[u8]| match *pixel {
        [v] => [v, v, v, 255],
        [v, a] => [v, v, v, a],
        [r, g, b] => [r, g, b, 255],
        [r, g, b, a] => [r, g, b, a],
        _ => [0; 4],
    };
    pixels.flat_map(widen).collect()
}

/// Drops an alpha channel that is opaque throughout, and two of three equal colours.
pub(crate) fn narrowed((width, height): (u32, u32), samples: Vec<u8>) -> Image8 {
    let (pixels, _) = samples.as_chunks::<4>();
    let opaque = pixels.iter().all(|pixel| pixel[3] == 255);
    let gray = pixels.iter().all(|&[r, g, b, _]| r == g && g == b);
    let (model, samples) = match (gray, opaque) {
        (true, true) => (Model::Gray, pixels.iter().map(|pixel| pixel[0]).collect()),
        (true, false) => (Model::GrayAlpha, pixels.iter().flat_map(|&[v, _, _, a]| [v, a]).collect()),
        (false, true) => (Model::Rgb, pixels.iter().flat_map(|&[r, g, b, _]| [r, g, b]).collect()),
        (false, false) => (Model::Rgba, samples),
    };
    Image8 { width, height, model, samples }
}
