//! What clients upload: tiny pictures, each version with sides and bytes of its own, and files that are none.

use std::fmt;

/// One version's contents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Content {
    /// Tells versions apart.
    pub number: u32,
    /// Bytes added, so that files have several pages.
    pub padding: usize,
    /// Whether it is a picture.
    pub good: bool,
}

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.good { "picture" } else { "no picture" };
        write!(f, "{kind} {} with {} bytes added", self.number, self.padding)
    }
}

impl Content {
    /// Width and height; small enough that the thumbnail has the same.
    pub fn sides(self) -> (u32, u32) {
        (8 + self.number % 24, 8 + self.number / 24 % 24)
    }

    pub fn bytes(self) -> Vec<u8> {
        let mut filling = self.filling();
        if !self.good {
            return filling;
        }
        let (width, height) = self.sides();
        let mut jpeg = Vec::new();
        let pixels = vec![(self.number * 37) as u8; (width * height) as usize];
        let encoder = jpeg_encoder::Encoder::new(&mut jpeg, 80);
        encoder.encode(&pixels, width as u16, height as u16, jpeg_encoder::ColorType::Luma).unwrap();
        // A comment after the first marker.
        let mut comment = vec![0xFF, 0xFE];
        comment.extend_from_slice(&((filling.len() + 2) as u16).to_be_bytes());
        comment.append(&mut filling);
        jpeg.splice(2..2, comment);
        jpeg
    }

    fn filling(self) -> Vec<u8> {
        let text = format!("{self}; ");
        let length = text.len() + self.padding;
        text.into_bytes().into_iter().cycle().take(length).collect()
    }
}
