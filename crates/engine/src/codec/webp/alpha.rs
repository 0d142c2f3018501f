//! The ALPH chunk (RFC 9649, section 2.7.1.2): a row of alpha at a time.

use super::vp8l;
use crate::simd::SimdLevel;

pub(super) struct Alpha<'a> {
    data: Data<'a>,
    filter: Filter,
    row: Vec<u8>,
    above: Vec<u8>,
    done: usize,
}

enum Data<'a> {
    /// Bytes that are left.
    Raw(&'a [u8]),
    /// Alpha is the green of a lossless image.
    Lossless(Box<vp8l::Decoder<'a>>),
}

/// What a value is the difference to.
#[derive(Debug, Clone, Copy)]
enum Filter {
    None,
    Horizontal,
    Vertical,
    Gradient,
}

impl<'a> Alpha<'a> {
    pub(super) fn new(chunk: &'a [u8], size: (usize, usize), level: SimdLevel) -> Result<Self, &'static str> {
        let (&flags, data) = chunk.split_first().ok_or("the alpha is missing")?;
        let filter = match (flags >> 2) & 3 {
            0 => Filter::None,
            1 => Filter::Horizontal,
            2 => Filter::Vertical,
            _ => Filter::Gradient,
        };
        // Bits 4 and 5 tell that levels were reduced, which changes nothing here.
        let data = match flags & 3 {
            0 if data.len() < size.0 * size.1 => return Err("the alpha ends early"),
            0 => Data::Raw(data),
            1 => Data::Lossless(Box::new(vp8l::Decoder::without_header(data, size, level)?)),
            _ => return Err("the alpha is compressed in a way that is not defined"),
        };
        Ok(Self { data, filter, row: vec![0; size.0], above: vec![0; size.0], done: 0 })
    }

    /// The next row.
    pub(super) fn row(&mut self) -> Result<&[u8], &'static str> {
        std::mem::swap(&mut self.row, &mut self.above);
        let Self { row, above, .. } = self;
        match &mut self.data {
            Data::Raw(rest) => {
                let values;
                (values, *rest) = rest.split_at(row.len());
                row.copy_from_slice(values);
            }
            Data::Lossless(image) => {
                for (value, &pixel) in row.iter_mut().zip(image.row()?) {
                    *value = (pixel >> 8) as u8;
                }
            }
        }
        // The first row has but left neighbours, the first column but upper ones.
        let first = self.done == 0;
        self.done += 1;
        match self.filter {
            Filter::None => {}
            Filter::Vertical if !first => {
                for (value, &above) in row.iter_mut().zip(&*above) {
                    *value = value.wrapping_add(above);
                }
            }
            Filter::Gradient if !first => {
                let mut corner = above[0];
                let mut left = above[0];
                for (value, &above) in row.iter_mut().zip(&*above) {
                    let gradient = i16::from(left) + i16::from(above) - i16::from(corner);
                    left = value.wrapping_add(gradient.clamp(0, 255) as u8);
                    *value = left;
                    corner = above;
                }
            }
            Filter::Horizontal | Filter::Vertical | Filter::Gradient => {
                let mut left = if first { 0 } else { above[0] };
                for value in row.iter_mut() {
                    left = value.wrapping_add(left);
                    *value = left;
                }
            }
        }
        Ok(row)
    }
}
