//! JPEG XL: the header is read here, and the image decoded by jxl, the decoder of libjxl's authors, in the codec process.

mod bits;
mod header;
pub(crate) mod library;

use crate::codec::{Codec, Context, Decoded, OpenFile, corrupt};
use crate::error::Error;
use crate::foreign::{Job, Layout, Library, Output, Samples};
use crate::header::{Coverage, Details, Format, Header};
use crate::pixels::{Grid, Model, Row, RowSink};

/// The codec.
pub(super) struct Jxl;

impl Codec for Jxl {
    fn format(&self) -> Format {
        Format::Jxl
    }

    fn is_foreign(&self) -> bool {
        true
    }

    fn coverage(&self) -> Coverage {
        Coverage::new(
            "JPEG XL",
            &["jxl"],
            "codestreams and containers, every depth, alpha, orientation, ICC; the first frame",
            "",
            "levels beyond 10",
        )
    }

    fn recognises(&self, bytes: &[u8]) -> Result<bool, Error> {
        Ok(bytes.starts_with(b"\xff\x0a") || bytes.starts_with(b"\0\0\0\x0cJXL \r\n\x87\n"))
    }

    fn open<'a>(&self, bytes: &'a [u8]) -> Result<OpenFile<'a>, Error> {
        let header = header::read(bytes)?;
        let reason = "of JPEG XL".to_owned();
        OpenFile::new(Details { header, reason }, move |header, context, rows, _| {
            decode(bytes, header, context, rows)
        })
    }

    fn memory(&self, header: &Header, _: u32) -> u64 {
        header.decoder_bytes
    }
}

fn decode(
    bytes: &[u8],
    header: &Header,
    context: &Context<'_>,
    rows: &mut dyn RowSink,
) -> Result<Decoded, Error> {
    let job = Job {
        library: Library::JpegXl,
        width: header.width,
        height: header.height,
        configuration: &[],
        data: bytes,
        work: header.work,
        share: 1,
    };
    let mut output = Rows { header, rows, wide: false, row: Vec::new(), profile: None };
    context.foreign.decode(&job, context.stop.0, &mut output)?;
    Ok(Decoded { profile: output.profile })
}

/// Passes rows on as they come.
struct Rows<'a> {
    header: &'a Header,
    rows: &'a mut dyn RowSink,
    wide: bool,
    row: Vec<u16>,
    profile: Option<Vec<u8>>,
}

impl Output for Rows<'_> {
    fn begin(&mut self, layout: &Layout) -> Result<(), Error> {
        if (layout.width, layout.height) != (self.header.width, self.header.height) {
            return Err(corrupt(self.header, "its size is not the one declared"));
        }
        let model = match layout.samples {
            Samples::Gray | Samples::Interleaved(1) => Model::Gray,
            Samples::Interleaved(2) => Model::GrayAlpha,
            Samples::Interleaved(3) => Model::Rgb,
            Samples::Interleaved(4) => Model::Rgba,
            _ => return Err(Error::Internal("jxl: planes".into())),
        };
        self.wide = layout.bits > 8;
        self.profile = (!layout.profile.is_empty()).then(|| layout.profile.clone());
        self.rows.begin(Grid::full_scale(model))
    }

    fn stripe(&mut self, stripe: &[u8]) -> Result<(), Error> {
        if !self.wide {
            return self.rows.row(Row::U8(stripe));
        }
        self.row.clear();
        self.row.extend(stripe.as_chunks().0.iter().map(|pair| u16::from_le_bytes(*pair)));
        self.rows.row(Row::U16(&self.row))
    }
}
