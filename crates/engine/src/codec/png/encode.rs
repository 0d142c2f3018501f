//! PNG encoder: 8 bits or fewer in the channels of the image, or a palette if that is smaller. Filters and Deflate
//! are deterministic, so that every machine writes the same bytes.

pub(crate) mod deflate;
mod filter;
mod palette;

use crate::error::Error;
use crate::pixels::{Image8, Model};
use crate::stop::Stop;
use deflate::Search;

/// Images of at most so many colours are likely graphics, and often smaller unfiltered.
const MAX_GRAPHIC_COLOURS: usize = 8192;

pub(super) fn encode(image: &Image8, stop: Stop<'_>) -> Result<Vec<u8>, Error> {
    let channels = image.model.channels();
    let length = image.width as usize * channels;
    let colours = palette::colours(image, MAX_GRAPHIC_COLOURS);
    let unfiltered = colours.is_some() && better_unfiltered(image, length, stop)?;
    let data = if unfiltered {
        deflate::zlib(filter::none(&image.samples, length), Search::Thorough, stop)?
    } else {
        let graphic = colours.as_ref().is_some_and(|colours| colours.len() <= MAX_GRAPHIC_COLOURS / 2);
        let effort = if graphic { Search::Trial } else { Search::Fast };
        deflate::zlib(filter::adaptive(&image.samples, length, channels, stop)?, effort, stop)?
    };
    let mut smallest = Encoded {
        kind: match image.model {
            Model::Gray => 0,
            Model::GrayAlpha => 4,
            Model::Rgb => 2,
            Model::Rgba => 6,
        },
        bits: 8,
        palette: Vec::new(),
        alphas: Vec::new(),
        data,
    };
    if let Some(colours) = &colours
        && let Some(indexed) = palette::indexed(image, colours)
    {
        let data = deflate::zlib(filter::none(&indexed.rows, indexed.length), Search::Thorough, stop)?;
        let (kind, bits) = (3, indexed.bits);
        let encoded = Encoded { kind, bits, palette: indexed.palette, alphas: indexed.alphas, data };
        if encoded.size() < smallest.size() {
            smallest = encoded;
        }
    }
    smallest.file(image.width, image.height)
}

/// Whether a sample of the image, bands of an eighth of its rows, is smaller unfiltered.
fn better_unfiltered(image: &Image8, length: usize, stop: Stop<'_>) -> Result<bool, Error> {
    let bands: Vec<u8> = image
        .samples
        .chunks(length * 64)
        .flat_map(|band| &band[..band.len().min(length * 8)])
        .copied()
        .collect();
    let filtered = filter::adaptive(&bands, length, image.model.channels(), stop)?;
    let unfiltered = filter::none(&bands, length);
    let size = |rows| Ok(deflate::zlib(rows, Search::Trial, stop)?.len());
    Ok(size(unfiltered)? < size(filtered)?)
}

/// The contents of the chunks.
struct Encoded {
    kind: u8,
    bits: u8,
    palette: Vec<u8>,
    alphas: Vec<u8>,
    data: Vec<u8>,
}

impl Encoded {
    /// Bytes of the chunks that differ between colour types.
    fn size(&self) -> usize {
        let chunk = |data: &[u8]| if data.is_empty() { 0 } else { data.len() + 12 };
        chunk(&self.palette) + chunk(&self.alphas) + self.data.len()
    }

    /// The file (W3C PNG, third edition, section 5).
    fn file(&self, width: u32, height: u32) -> Result<Vec<u8>, Error> {
        let mut file = Vec::with_capacity(self.size() + 64);
        file.extend_from_slice(b"\x89PNG\r\n\x1a\n");
        let mut header = [width.to_be_bytes(), height.to_be_bytes()].concat();
        header.extend_from_slice(&[self.bits, self.kind, 0, 0, 0]);
        chunk(&mut file, *b"IHDR", &header)?;
        if !self.palette.is_empty() {
            chunk(&mut file, *b"PLTE", &self.palette)?;
        }
        if !self.alphas.is_empty() {
            chunk(&mut file, *b"tRNS", &self.alphas)?;
        }
        for data in self.data.chunks(1 << 30) {
            chunk(&mut file, *b"IDAT", data)?;
        }
        chunk(&mut file, *b"IEND", &[])?;
        Ok(file)
    }
}

fn chunk(file: &mut Vec<u8>, name: [u8; 4], data: &[u8]) -> Result<(), Error> {
    let length = u32::try_from(data.len()).map_err(|_| Error::Internal("a PNG chunk over 4 GiB".into()))?;
    file.extend_from_slice(&length.to_be_bytes());
    let start = file.len();
    file.extend_from_slice(&name);
    file.extend_from_slice(data);
    let crc = crc32fast::hash(&file[start..]);
    file.extend_from_slice(&crc.to_be_bytes());
    Ok(())
}

#[cfg(test)]
mod tests;
