//! What the demo prints.

use std::{
    io::{self, Write},
    time::Duration,
};

use super::shortened;
use crate::cli::output;

/// A thumbnail that was rendered.
pub(super) struct Thumbnail {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) bytes: usize,
    /// From the upload's acknowledgement to the thumbnail read.
    pub(super) after: Duration,
}

/// One upload.
pub(super) struct Row {
    pub(super) key: String,
    pub(super) thumbnail_key: String,
    pub(super) what: &'static str,
    pub(super) thumbnail: anyhow::Result<Thumbnail>,
}

fn milliseconds(time: Duration) -> String {
    format!("{:.1}", time.as_secs_f64() * 1e3)
}

/// One line a sample.
pub(super) fn print(out: &mut impl Write, rows: &[Row]) -> io::Result<()> {
    let widest =
        |text: fn(&Row) -> &str| rows.iter().map(|row| text(row).chars().count()).max().unwrap_or(0).min(44);
    let (key, thumbnail, what) =
        (widest(|row| &row.key), widest(|row| &row.thumbnail_key), widest(|row| row.what));
    writeln!(
        out,
        "{:key$}  {:what$}  {:thumbnail$}  {:>9}  {:>8}  {:>6}",
        "uploaded", "what", "thumbnail", "pixels", "bytes", "ms"
    )?;
    for row in rows {
        let (from, to) = (shortened(&row.key, key), shortened(&row.thumbnail_key, thumbnail));
        match &row.thumbnail {
            Ok(rendered) => writeln!(
                out,
                "{from:key$}  {:what$}  {to:thumbnail$}  {:>9}  {:>8}  {:>6}",
                row.what,
                format!("{}x{}", rendered.width, rendered.height),
                output::bytes(rendered.bytes as u64),
                milliseconds(rendered.after),
            )?,
            Err(error) => {
                writeln!(out, "{from:key$}  {:what$}  {to:thumbnail$}  FAILED: {error:#}", row.what)?;
            }
        }
    }
    writeln!(out, "(ms: from the upload acknowledged to its thumbnail read)\n")
}

/// The many at once, in two lines.
pub(super) fn summary(out: &mut impl Write, rows: &[Row], took: Duration) -> io::Result<()> {
    let mut times: Vec<Duration> =
        rows.iter().filter_map(|row| row.thumbnail.as_ref().ok()).map(|thumbnail| thumbnail.after).collect();
    times.sort();
    let at = |share: f64| {
        times.get(((times.len().max(1) - 1) as f64 * share).round() as usize).copied().unwrap_or_default()
    };
    writeln!(
        out,
        "{} uploads at once into Medium-input({})/: {} of {} thumbnails rendered ({:.0} %), all within {} ms",
        rows.len(),
        rows.len(),
        times.len(),
        rows.len(),
        100.0 * times.len() as f64 / rows.len().max(1) as f64,
        milliseconds(took),
    )?;
    writeln!(
        out,
        "  from acknowledged to read: fastest {} ms, median {} ms, slowest {} ms",
        milliseconds(at(0.0)),
        milliseconds(at(0.5)),
        milliseconds(at(1.0))
    )?;
    for row in rows {
        if let Err(error) = &row.thumbnail {
            writeln!(out, "  FAILED {}: {error:#}", row.key)?;
        }
    }
    writeln!(out)
}
