//! Sample images, drawn in code: a landscape with a sun, different for each seed.

use bytes::Bytes;
use jpeg_encoder::{ColorType, Encoder, SamplingFactor};
use tintype_engine::Format;

use super::Drawn;

/// An image to upload.
pub(super) struct SampleImage {
    pub(super) key: String,
    pub(super) what: &'static str,
    pub(super) format: Format,
    pub(super) bytes: Bytes,
}

/// RGB pixels, row by row.
struct Canvas {
    width: usize,
    height: usize,
    rgb: Vec<u8>,
}

impl Canvas {
    /// Sky, sun, three ridges and a little grain; `seed` moves all of them.
    fn landscape(width: usize, height: usize, seed: u32) -> Self {
        let mut rgb = Vec::with_capacity(width * height * 3);
        let phase = f64::from(seed) * 0.7;
        let sun = (0.2 + 0.6 * (phase.sin() * 0.5 + 0.5), 0.28 + 0.1 * phase.cos());
        let mut noise = seed.wrapping_mul(2_654_435_761) | 1;
        for row in 0..height {
            let y = row as f64 / height as f64;
            for column in 0..width {
                let x = column as f64 / width as f64;
                let aspect = width as f64 / height as f64;
                let distance = ((x - sun.0) * aspect).hypot(y - sun.1);
                let mut colour =
                    mix([250.0, 214.0, 165.0], [72.0, 126.0, 196.0], (1.0 - y * 1.6).clamp(0.0, 1.0));
                if distance < 0.09 {
                    colour = [255.0, 244.0, 200.0];
                } else {
                    colour = mix(colour, [255.0, 226.0, 160.0], (0.35 - distance).max(0.0));
                }
                for (ridge, shade) in [(0.0, 0.55), (1.0, 0.38), (2.0, 0.22)] {
                    let edge = 0.55
                        + 0.13 * ridge
                        + 0.05 * (x * (7.0 + 4.0 * ridge) + phase + ridge).sin()
                        + 0.02 * (x * 31.0 + phase * 3.0 + ridge).sin();
                    if y > edge {
                        colour = [60.0 * shade + 40.0, 130.0 * shade + 20.0, 110.0 * shade + 15.0];
                    }
                }
                noise ^= noise << 13;
                noise ^= noise >> 17;
                noise ^= noise << 5;
                let grain = f64::from(noise % 9) - 4.0;
                rgb.extend(colour.map(|channel| (channel + grain).clamp(0.0, 255.0) as u8));
            }
        }
        Self { width, height, rgb }
    }

    fn jpeg(&self, quality: u8, progressive: bool, orientation: Option<u8>) -> anyhow::Result<Bytes> {
        let mut out = Vec::new();
        let mut encoder = Encoder::new(&mut out, quality);
        encoder.set_sampling_factor(SamplingFactor::F_2_2);
        encoder.set_progressive(progressive);
        if let Some(orientation) = orientation {
            encoder.add_app_segment(1, exif(orientation))?;
        }
        encoder.encode(&self.rgb, u16::try_from(self.width)?, u16::try_from(self.height)?, ColorType::Rgb)?;
        Ok(out.into())
    }

    /// The image turned by a quarter, as a camera held upright stores it for orientation 6.
    fn turned_left(&self) -> Self {
        let mut rgb = Vec::with_capacity(self.rgb.len());
        for row in 0..self.width {
            for column in 0..self.height {
                let at = (column * self.width + (self.width - 1 - row)) * 3;
                rgb.extend_from_slice(&self.rgb[at..at + 3]);
            }
        }
        Self { width: self.height, height: self.width, rgb }
    }

    /// RGBA with the corners faded out in a circle.
    fn rgba(&self) -> Vec<u8> {
        let radius = self.width.min(self.height) as f64 / 2.0;
        let pixels = self.rgb.chunks_exact(3).enumerate().flat_map(|(index, pixel)| {
            let (x, y) = ((index % self.width) as f64, (index / self.width) as f64);
            let distance = (x - self.width as f64 / 2.0).hypot(y - self.height as f64 / 2.0);
            let alpha = ((radius - distance) / (radius * 0.1)).clamp(0.0, 1.0) * 255.0;
            [pixel[0], pixel[1], pixel[2], alpha as u8]
        });
        pixels.collect()
    }

    fn png(&self) -> anyhow::Result<Bytes> {
        let mut out = Vec::new();
        let mut encoder =
            png::Encoder::new(&mut out, u32::try_from(self.width)?, u32::try_from(self.height)?);
        encoder.set_color(png::ColorType::Rgba);
        encoder.set_compression(png::Compression::Fast);
        let mut writer = encoder.write_header()?;
        writer.write_image_data(&self.rgba())?;
        writer.finish()?;
        Ok(out.into())
    }

    fn webp(&self) -> anyhow::Result<Bytes> {
        let encoder =
            webp::Encoder::from_rgb(&self.rgb, u32::try_from(self.width)?, u32::try_from(self.height)?);
        Ok(Bytes::copy_from_slice(&encoder.encode(85.0)))
    }

    fn gif(&self) -> anyhow::Result<Bytes> {
        let (width, height) = (u16::try_from(self.width)?, u16::try_from(self.height)?);
        let mut out = Vec::new();
        let mut encoder = gif::Encoder::new(&mut out, width, height, &[])?;
        encoder.write_frame(&gif::Frame::from_rgb_speed(width, height, &self.rgb, 30))?;
        drop(encoder);
        Ok(out.into())
    }
}

fn mix(a: [f64; 3], b: [f64; 3], share: f64) -> [f64; 3] {
    std::array::from_fn(|index| a[index] * (1.0 - share) + b[index] * share)
}

/// The least EXIF that holds an orientation: a little-endian TIFF with one entry (CIPA DC-008).
fn exif(orientation: u8) -> Vec<u8> {
    let mut segment = b"Exif\0\0II*\0\x08\0\0\0\x01\0".to_vec();
    segment.extend_from_slice(&[0x12, 0x01, 3, 0, 1, 0, 0, 0, orientation, 0, 0, 0]);
    segment.extend_from_slice(&[0; 4]);
    segment
}

fn image(key: &str, what: &'static str, format: Format, bytes: Bytes) -> SampleImage {
    SampleImage { key: key.into(), what, format, bytes }
}

/// One of each kind.
pub(super) fn one_of_each() -> Drawn {
    let scene = |seed| Canvas::landscape(1000, 750, seed);
    Ok(vec![
        image("landscape.jpg", "JPEG, baseline", Format::Jpeg, scene(1).jpeg(88, false, None)?),
        image("progressive.jpg", "JPEG, progressive", Format::Jpeg, scene(2).jpeg(88, true, None)?),
        image(
            "held-upright.jpg",
            "JPEG, orientation 6",
            Format::Jpeg,
            Canvas::landscape(750, 1000, 3).turned_left().jpeg(88, false, Some(6))?,
        ),
        image("round.png", "PNG with alpha", Format::Png, Canvas::landscape(640, 640, 4).png()?),
        image("modern.webp", "WebP", Format::WebP, scene(5).webp()?),
        image("classic.gif", "GIF", Format::Gif, Canvas::landscape(640, 480, 6).gif()?),
        image(
            "holiday (2026)/red flower + bee.jpg",
            "JPEG, an odd key",
            Format::Jpeg,
            scene(7).jpeg(88, false, None)?,
        ),
    ])
}

/// `count` JPEG and PNG images in one folder, as the reference system's scaling test has them.
pub(super) fn many(count: usize) -> Drawn {
    (1..=count)
        .map(|number| {
            let scene = Canvas::landscape(800, 600, number as u32 + 100);
            let folder = format!("Medium-input({count})");
            if number % 3 == 0 {
                let key = format!("{folder}/image-{number:02}.png");
                Ok(image(&key, "PNG", Format::Png, scene.png()?))
            } else {
                let key = format!("{folder}/image-{number:02}.jpg");
                Ok(image(&key, "JPEG", Format::Jpeg, scene.jpeg(85, false, None)?))
            }
        })
        .collect()
}
