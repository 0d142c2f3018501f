//! The outcome of each file of a folder: a table, checked against the folder's manifest.

use std::{fs, path::Path};

use anyhow::Context as _;
use tintype_engine::{Error, Limits, Scratch, Spec, probe, render};

/// A file in `MANIFEST.tsv`, tab-separated with a header line: its name, and its size if known.
struct ManifestEntry {
    name: String,
    size: Option<(u32, u32)>,
}

/// Prints a line for each file: the thumbnail's size, or the error. Fails if a size is not as listed, or a file was
/// refused as too large or failed internally.
pub(crate) fn run(folder: &Path) -> anyhow::Result<()> {
    let mut scratch = Scratch::default();
    let (mut rendered, mut refused, mut unexpected) = (0, 0, Vec::new());
    for ManifestEntry { name, size } in listed(folder)? {
        let bytes = fs::read(folder.join(&name)).with_context(|| name.clone())?;
        let limits = Limits { memory_bytes: u64::MAX, frames: u32::MAX, ..Limits::default() };
        let outcome = match render(&bytes, &[Spec::default()], &limits, &|| false, &mut scratch) {
            Ok(thumbnails) => {
                rendered += 1;
                let header = probe(&bytes)?;
                let (stored, upright) = ((header.width, header.height), header.upright());
                if size.is_some_and(|size| size != stored && size != upright) {
                    unexpected.push(name.clone());
                }
                let [thumbnail, ..] = &thumbnails[..] else { anyhow::bail!("{name}: no thumbnail") };
                let format = header.format;
                format!("{format} {}x{} -> {}x{}", upright.0, upright.1, thumbnail.width, thumbnail.height)
            }
            Err(error) => {
                refused += 1;
                if matches!(error, Error::TooLarge(_) | Error::Internal(_) | Error::Stopped(_)) {
                    unexpected.push(name.clone());
                }
                error.to_string()
            }
        };
        println!("{name}\t{outcome}");
    }
    println!("{rendered} rendered, {refused} refused");
    anyhow::ensure!(unexpected.is_empty(), "not as in the manifest, or not rendered: {unexpected:?}");
    Ok(())
}

fn listed(folder: &Path) -> anyhow::Result<Vec<ManifestEntry>> {
    let manifest = folder.join("MANIFEST.tsv");
    let text = fs::read_to_string(&manifest).with_context(|| manifest.display().to_string())?;
    let column = |line: &str, index: usize| line.split('\t').nth(index).unwrap_or_default().to_owned();
    let heading = text.lines().next().unwrap_or_default();
    let find = |name: &str| heading.split('\t').position(|column| column == name);
    let (name, width, height) = (find("name"), find("width"), find("height"));
    let name = name.with_context(|| format!("{}: no column \"name\"", manifest.display()))?;
    let lines = text.lines().skip(1).map(|line| {
        let side = |index: Option<usize>| index.and_then(|index| column(line, index).parse().ok());
        ManifestEntry { name: column(line, name), size: side(width).zip(side(height)) }
    });
    Ok(lines.collect())
}
