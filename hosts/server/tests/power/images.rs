//! The contents that clients upload: tiny images, each version with its own size and bytes, and files that are no image.

use std::fmt;

/// The contents of one version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Content {
    /// Distinguishes versions.
    pub number: u32,
    /// Bytes added, so that files have several pages.
    pub padding: usize,
    /// Whether it is an image.
    pub is_image: bool,
}

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.is_image { "image" } else { "no image" };
        write!(f, "{kind} {} with {} bytes added", self.number, self.padding)
    }
}

impl Content {
    /// Width and height, small enough that the thumbnail has the same.
    pub fn dimensions(self) -> (u32, u32) {
        (8 + self.number % 24, 8 + self.number / 24 % 24)
    }

    pub fn bytes(self) -> Vec<u8> {
        let mut padding = self.padding_bytes();
        if !self.is_image {
            return padding;
        }
        let (width, height) = self.dimensions();
        let mut jpeg = Vec::new();
        let pixels = vec![(self.number * 37) as u8; (width * height) as usize];
        let encoder = jpeg_encoder::Encoder::new(&mut jpeg, 80);
        encoder.encode(&pixels, width as u16, height as u16, jpeg_encoder::ColorType::Luma).unwrap();
        // A comment after the first marker.
        let mut comment = vec![0xFF, 0xFE];
        comment.extend_from_slice(&((padding.len() + 2) as u16).to_be_bytes());
        comment.append(&mut padding);
        jpeg.splice(2..2, comment);
        jpeg
    }

    fn padding_bytes(self) -> Vec<u8> {
        let text = format!("{self}; ");
        let length = text.len() + self.padding;
        text.into_bytes().into_iter().cycle().take(length).collect()
    }
}
