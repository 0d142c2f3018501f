//! SVG and SVGZ: the size is read here, and the drawing rendered by resvg in the codec process.

mod fonts;
mod gzip;
mod header;
mod images;
pub(crate) mod library;

use std::borrow::Cow;

pub use fonts::Fonts;

use crate::codec::{Codec, Context, Decoded, OpenFile};
use crate::error::Error;
use crate::foreign::{Job, Layout, Library, Output};
use crate::header::{Colour, Coverage, Details, Format, Header, Orientation, work};
use crate::pixels::{Grid, Model, Row, RowSink};

/// The codec.
pub(super) struct Svg;

/// Bytes that a drawing takes beyond its pixels: libraries, fonts, and the tree of a file of a few bytes.
const FIXED: u64 = 24 << 20;
/// Bytes of the tree for a byte of the file.
const TREE: u64 = 24;
/// Layers of the drawing's size that are held at once: groups, masks and filters nest.
const LAYERS: u64 = 6;
/// Work of a byte of the file, in samples.
const BYTE: u64 = 16;

impl Codec for Svg {
    fn format(&self) -> Format {
        Format::Svg
    }

    fn is_foreign(&self) -> bool {
        true
    }

    fn coverage(&self) -> Coverage {
        Coverage::new(
            "SVG",
            &["svg", "svgz"],
            "SVG 1.1 and the static part of SVG 2; see [SVG](#svg)",
            "",
            "text that is not UTF-8; beyond 32 MiB once decompressed",
        )
    }

    fn recognises(&self, bytes: &[u8]) -> Result<bool, Error> {
        if gzip::is_gzip(bytes) {
            return Ok(gzip::beginning(bytes).is_some_and(|text| header::is_svg(&text)));
        }
        Ok(header::is_svg(bytes))
    }

    fn open<'a>(&self, bytes: &'a [u8]) -> Result<OpenFile<'a>, Error> {
        let compressed = gzip::is_gzip(bytes);
        // A drawing is decompressed only when it is rendered; its root is at the beginning.
        let beginning =
            if compressed { Cow::Owned(gzip::beginning(bytes).unwrap_or_default()) } else { bytes.into() };
        let (width, height) = header::size(&beginning)?;
        let length = if compressed { gzip::length(bytes)? } else { bytes.len() };
        let header = Header {
            format: Format::Svg,
            width,
            height,
            orientation: Orientation::UPRIGHT,
            colour: Colour::Rgb,
            bits: 8,
            alpha: true,
            progressive: false,
            buffered: false,
            decoder_bytes: FIXED + TREE * length as u64,
            coded_bytes: 0,
            animated: false,
            profile: false,
            work: work(0, 0, 0).saturating_add(BYTE * length as u64),
        };
        let reason = format!("from {length} bytes of SVG");
        OpenFile::new(Details { header, reason }, move |header, context, rows, _| {
            let text =
                if compressed { Cow::Owned(gzip::decompress(bytes, length)?) } else { Cow::Borrowed(bytes) };
            render(&text, header, context, rows)
        })
    }

    fn memory(&self, header: &Header, _: u32) -> u64 {
        header.pixels().saturating_mul(4 * LAYERS).saturating_add(header.decoder_bytes)
    }
}

fn render(
    text: &[u8],
    header: &Header,
    context: &Context<'_>,
    rows: &mut dyn RowSink,
) -> Result<Decoded, Error> {
    let job = Job {
        library: Library::Svg,
        width: header.width,
        height: header.height,
        configuration: &[],
        data: text,
        work: header.work,
        share: 1,
    };
    let mut output = Rows { header, rows };
    context.foreign.decode(&job, context.stop.0, &mut output)?;
    Ok(Decoded::default())
}

/// Passes rows on as they come.
struct Rows<'a> {
    header: &'a Header,
    rows: &'a mut dyn RowSink,
}

impl Output for Rows<'_> {
    fn begin(&mut self, layout: &Layout) -> Result<(), Error> {
        if (layout.width, layout.height) != (self.header.width, self.header.height) {
            return Err(Error::Internal("the drawing has another size than it was to have".into()));
        }
        self.rows.begin(Grid::full_scale(Model::Rgba))
    }

    fn stripe(&mut self, stripe: &[u8]) -> Result<(), Error> {
        self.rows.row(Row::U8(stripe))
    }
}

#[cfg(test)]
mod tests;
