//! Two thumbnails of a file, beside it: a box of 256 pixels, and a square in WebP.
//!
//! `cargo run --release -p tintype-engine --example thumbnail -- photo.jpg`

use std::{error::Error, fs, path::PathBuf};

use tintype_engine::{Fit, Limits, OutputFormat, Spec, Thumbnailer, probe};

fn main() -> Result<(), Box<dyn Error>> {
    let path: PathBuf = std::env::args_os().nth(1).ok_or("which image? Name a file")?.into();
    let bytes = fs::read(&path)?;
    let header = probe(&bytes)?;
    println!("{}: {} of {}x{}", path.display(), header.format, header.width, header.height);
    let specs = [
        Spec { size: "256x256".parse()?, ..Spec::default() },
        Spec { size: "128x128".parse()?, fit: Fit::Cover, format: OutputFormat::WebP, ..Spec::default() },
    ];
    // Decoded once for both.
    let thumbnails = Thumbnailer::new().limits(Limits::default()).render(&bytes, &specs)?;
    for (name, thumbnail) in ["box", "square"].iter().zip(thumbnails) {
        let target = path.with_extension(format!("{name}.{}", thumbnail.format.extension()));
        fs::write(&target, &thumbnail.bytes)?;
        println!("{}: {} bytes", target.display(), thumbnail.bytes.len());
    }
    Ok(())
}
