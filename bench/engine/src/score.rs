//! SSIMULACRA2 of a PNG against its reference: 100 is identical, 2 points are visible.

use std::{fs::File, io::BufReader, path::PathBuf};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use ssimulacra2::{ColorPrimaries, Rgb, TransferCharacteristic, compute_frame_ssimulacra2};

/// The backgrounds of transparent images, blended as in browsers: white, and a gray that shows both light and dark
/// fringes.
const BACKGROUNDS: [f32; 2] = [1.0, 0.5];

#[derive(Deserialize)]
struct Request {
    reference: PathBuf,
    image: PathBuf,
}

#[derive(Serialize)]
struct Answer {
    score: Option<f64>,
    error: Option<String>,
}

pub(crate) fn run() -> anyhow::Result<()> {
    crate::lines::serve("ssimulacra2 (Rust)", |request: Request| match score(&request) {
        Ok(score) => Answer { score: Some(score), error: None },
        Err(error) => Answer { score: None, error: Some(format!("{error:#}")) },
    })
}

fn score(request: &Request) -> anyhow::Result<f64> {
    compare(&Image::read(&request.reference)?, &Image::read(&request.image)?)
}

fn compare(reference: &Image, image: &Image) -> anyhow::Result<f64> {
    let transparent = !(reference.is_opaque() && image.is_opaque());
    // The worse score: a fringe is a fault on any background.
    let backgrounds = if transparent { &BACKGROUNDS[..] } else { &BACKGROUNDS[..1] };
    backgrounds
        .iter()
        .map(|&background| {
            Ok(compute_frame_ssimulacra2(reference.over(background)?, image.over(background)?)?)
        })
        .try_fold(f64::INFINITY, |worst, score: anyhow::Result<f64>| Ok(worst.min(score?)))
}

/// sRGB with straight alpha, each from 0 to 1.
struct Image {
    pixels: Vec<[f32; 4]>,
    width: usize,
    height: usize,
}

impl Image {
    fn read(path: &PathBuf) -> anyhow::Result<Self> {
        Self::decode(path).with_context(|| path.display().to_string())
    }

    fn decode(path: &PathBuf) -> anyhow::Result<Self> {
        let mut decoder = png::Decoder::new(BufReader::new(File::open(path)?));
        decoder.set_transformations(png::Transformations::normalize_to_color8());
        let mut reader = decoder.read_info()?;
        let mut bytes = vec![0; reader.output_buffer_size().context("too large")?];
        let frame = reader.next_frame(&mut bytes)?;
        let samples: Vec<f32> =
            bytes[..frame.buffer_size()].iter().map(|&sample| f32::from(sample) / 255.0).collect();
        let pixels = match frame.color_type {
            png::ColorType::Grayscale => samples.iter().map(|&g| [g, g, g, 1.0]).collect(),
            png::ColorType::GrayscaleAlpha => {
                samples.as_chunks().0.iter().map(|&[g, a]| [g, g, g, a]).collect()
            }
            png::ColorType::Rgb => samples.as_chunks().0.iter().map(|&[r, g, b]| [r, g, b, 1.0]).collect(),
            png::ColorType::Rgba => samples.as_chunks().0.to_vec(),
            png::ColorType::Indexed => anyhow::bail!("the palette was not expanded"),
        };
        Ok(Self { pixels, width: frame.width as usize, height: frame.height as usize })
    }

    fn is_opaque(&self) -> bool {
        self.pixels.iter().all(|&[.., alpha]| alpha >= 1.0)
    }

    fn over(&self, background: f32) -> anyhow::Result<Rgb> {
        let pixels = self.pixels.iter();
        let laid = pixels.map(|&[r, g, b, a]| [r, g, b].map(|sample| sample * a + background * (1.0 - a)));
        Ok(Rgb::new(
            laid.collect(),
            self.width,
            self.height,
            TransferCharacteristic::SRGB,
            ColorPrimaries::BT709,
        )?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIDE: usize = 32;

    fn image(pixel: impl Fn(usize) -> [f32; 4]) -> Image {
        Image { pixels: (0..SIDE * SIDE).map(pixel).collect(), width: SIDE, height: SIDE }
    }

    fn texture(at: usize, alpha: f32) -> [f32; 4] {
        let level = (at * 37 % 101) as f32 / 100.0;
        [level, 1.0 - level, 0.5, alpha]
    }

    #[test]
    fn an_identical_image_is_100_and_a_blurred_one_less() {
        let sharp = image(|at| texture(at, 1.0));
        let flat = image(|_| [0.5, 0.5, 0.5, 1.0]);
        assert_eq!(compare(&sharp, &sharp).unwrap(), 100.0);
        assert!(compare(&sharp, &flat).unwrap() < 50.0);
    }

    #[test]
    fn invisible_pixels_do_not_count_and_differences_on_gray_alone_do() {
        let hidden = image(|at| texture(at, if at < 512 { 0.0 } else { 1.0 }));
        let black = image(|at| if at < 512 { [0.0; 4] } else { texture(at, 1.0) });
        assert_eq!(compare(&hidden, &black).unwrap(), 100.0);

        // White with a pattern in its alpha is all white on white.
        let patterned = image(|at| [1.0, 1.0, 1.0, texture(at, 1.0)[0]]);
        let white = image(|_| [1.0; 4]);
        assert!(compare(&patterned, &white).unwrap() < 90.0);
    }
}
