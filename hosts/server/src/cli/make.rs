//! `tintype make`.

use std::{
    collections::HashSet,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tintype_engine::{
    Background, Effort, Filter, Fit, Focal, Gravity, Metadata, OutputFormat, Scaling, Scratch, Size, Spec,
    Thumbnail,
};
use tintype_pipeline::settings::{Check, WatermarkSection};

use super::{
    Env, FAILED, OK, WRONG_USAGE,
    atomic_file::AtomicFile,
    image_files::{self, BoundsArguments, ImageFiles},
    output,
};

/// The arguments.
#[derive(Debug, Args)]
#[command(after_help = format!("\
Examples:
  tintype make photo.jpg -o thumbs
  tintype make *.jpg *.png -o thumbs --size 400x400 --fit cover
  tintype make *.gif -o thumbs --format webp --animate --quality 75 --jobs 4
  tintype make *.jpg -o thumbs --size 300x300 --fit cover --gravity smart --sharpen 20 --metadata copyright

{}

Exit code: 0 all rendered, 1 some failed (each named with its reason; the rest is rendered), 2 wrong usage or settings.", image_files::HELP))]
pub(super) struct Make {
    /// The image files
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Folder for the thumbnails, each named thumb_<name>; created if missing
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
    /// A box: width ("256"), height ("x200") or both ("400x300")
    #[arg(long, default_value = "128x128")]
    size: Size,
    /// inside, cover, contain or fill
    #[arg(long, default_value = "inside")]
    fit: Fit,
    /// same, jpeg, png, webp, avif or gif
    #[arg(long, default_value = "same")]
    format: OutputFormat,
    /// JPEG, WebP and AVIF quality
    #[arg(long, default_value_t = 80, value_parser = clap::value_parser!(u8).range(1..=100))]
    quality: u8,
    /// The part that `cover` retains: center, north, northeast, …, or smart (where the image draws attention)
    #[arg(long, default_value = "center")]
    gravity: Gravity,
    /// The point that `cover` shows: shares of width and height, as in "0.4,0.3"
    #[arg(long, value_name = "X,Y")]
    focal: Option<Focal>,
    /// The colour behind transparency: "ffffff", "ffffff80" or "transparent"
    #[arg(long, default_value = "ffffff")]
    background: Background,
    /// How pixels are weighed: lanczos3, catmull-rom, mitchell or box
    #[arg(long, default_value = "lanczos3")]
    filter: Filter,
    /// The work spent on encoding: fast, balanced or best (the smallest JPEG, much slower)
    #[arg(long, default_value = "balanced")]
    effort: Effort,
    /// How large JPEGs are reduced while they are decoded: sharp or fast (less time, a little less sharp)
    #[arg(long, default_value = "sharp")]
    scaling: Scaling,
    /// How much edges are sharpened, 0 to 100
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=100))]
    sharpen: u8,
    /// What is retained of the metadata: none, or copyright (author, copyright and terms of use)
    #[arg(long, default_value = "none")]
    metadata: Metadata,
    /// A PNG file to blend over each thumbnail
    #[arg(long, value_name = "FILE")]
    watermark: Option<String>,
    /// Where the watermark is [default: southeast]
    #[arg(long, value_name = "GRAVITY", requires = "watermark")]
    watermark_position: Option<String>,
    /// How much the watermark covers, in percent [default: 50]
    #[arg(long, value_name = "PERCENT", requires = "watermark")]
    watermark_opacity: Option<u64>,
    /// The box that the watermark fills, in percent of the thumbnail [default: 25]
    #[arg(long, value_name = "PERCENT", requires = "watermark")]
    watermark_scale: Option<u64>,
    /// Render animated GIF, WebP and APNG as animations, in WebP or GIF
    #[arg(long)]
    animate: bool,
    /// Write AVIF where `same` would write WebP
    #[arg(long)]
    avif: bool,
    /// Enlarge small images to the box
    #[arg(long)]
    enlarge: bool,
    /// Files at once [default: one a core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    jobs: Option<u16>,
    #[command(flatten)]
    bounds: BoundsArguments,
}

impl Make {
    pub(super) fn run(self, env: &Env) -> anyhow::Result<u8> {
        let images = ImageFiles::new(self.bounds, env)?;
        if let Err(error) = fs::create_dir_all(&self.output) {
            let folder = self.output.display();
            output::error(format_args!("{folder}: {error}; name a folder that can be created with -o"));
            return Ok(WRONG_USAGE);
        }
        let watermark = match self.watermark {
            None => None,
            Some(file) => {
                let (opacity, scale) = (self.watermark_opacity, self.watermark_scale);
                let section = WatermarkSection::of(file, self.watermark_position, opacity, scale);
                match section.validate(&Check::default(), "watermark") {
                    Ok(watermark) => Some(watermark),
                    Err(error) => {
                        output::error(error.message);
                        return Ok(WRONG_USAGE);
                    }
                }
            }
        };
        let spec = Spec {
            size: self.size,
            fit: self.fit,
            enlarge: self.enlarge,
            format: self.format,
            quality: self.quality,
            gravity: self.gravity,
            background: self.background,
            filter: self.filter,
            effort: self.effort,
            scaling: self.scaling,
            sharpen: self.sharpen,
            metadata: self.metadata,
            watermark,
            animate: self.animate,
            avif: self.avif,
            focal: self.focal,
        };
        if let Err(error) = spec.validate() {
            output::error(error);
            return Ok(WRONG_USAGE);
        }
        let jobs = self.jobs.map_or(images.most_threads(), usize::from).min(self.files.len());
        let progress = progress(self.files.len());
        let next = AtomicUsize::new(0);
        let failed = AtomicUsize::new(0);
        let batch = Batch { images, folder: self.output, spec, names: Mutex::default() };
        let work = || {
            let mut scratch = Scratch::default();
            while let Some(file) = self.files.get(next.fetch_add(1, Ordering::Relaxed)) {
                let started = Instant::now();
                let rendered = batch.render(file, &mut scratch);
                progress.suspend(|| report(file, started.elapsed(), &rendered));
                failed.fetch_add(usize::from(rendered.is_err()), Ordering::Relaxed);
                progress.inc(1);
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..jobs {
                // Fewer threads render the same thumbnails.
                if std::thread::Builder::new().spawn_scoped(scope, work).is_err() {
                    break;
                }
            }
            work();
        });
        progress.finish_and_clear();
        Ok(if failed.into_inner() == 0 { OK } else { FAILED })
    }
}

/// A bar on standard error; nothing where nobody would see it, or where it would be over at once.
fn progress(files: usize) -> ProgressBar {
    let target = if files > 1 { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let style = ProgressStyle::with_template("{bar:32} {pos}/{len} {per_sec} {eta} left");
    ProgressBar::with_draw_target(Some(files as u64), target)
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// Shared by all files.
struct Batch {
    images: ImageFiles,
    folder: PathBuf,
    spec: Spec,
    /// Thumbnails so far.
    names: Mutex<HashSet<PathBuf>>,
}

impl Batch {
    fn render(&self, file: &Path, scratch: &mut Scratch) -> Result<(PathBuf, Thumbnail), String> {
        let source = self.images.read(file)?;
        let (header, thumbnail) = self.images.render(&source, &self.spec, scratch)?;
        drop(source);
        let mut name = std::ffi::OsString::from("thumb_");
        name.push(file.file_name().ok_or("it has no file name")?);
        if thumbnail.format != header.format {
            name.push(format!(".{}", thumbnail.format.extension()));
        }
        let target = self.folder.join(name);
        if !self.names.lock().unwrap_or_else(PoisonError::into_inner).insert(target.clone()) {
            return Err(format!(
                "another file given has the same name, and {} can hold only one thumbnail; render them into two folders",
                target.display()
            ));
        }
        let written = AtomicFile::create(&target).and_then(|mut file| {
            file.write_all(&thumbnail.bytes)?;
            file.publish()
        });
        written.map_err(|error| {
            format!("{}: {error}; move away what is there, or name another folder with -o", target.display())
        })?;
        Ok((target, thumbnail))
    }
}

fn report(file: &Path, took: Duration, rendered: &Result<(PathBuf, Thumbnail), String>) {
    let milliseconds = (took.as_secs_f64() * 1e4).round() / 10.0;
    match rendered {
        Ok((target, thumbnail)) => output::print(
            || {
                let size = output::bytes(thumbnail.bytes.len() as u64);
                let (width, height) = (thumbnail.width, thumbnail.height);
                let note = thumbnail.note.as_ref().map(|note| format!("; {note}")).unwrap_or_default();
                format!(
                    "{} -> {} ({width}x{height}, {size}, {milliseconds} ms){note}",
                    file.display(),
                    target.display()
                )
            },
            || {
                let mut json = serde_json::json!({
                    "file": file.display().to_string(), "thumbnail": target.display().to_string(),
                    "width": thumbnail.width, "height": thumbnail.height, "bytes": thumbnail.bytes.len(),
                    "milliseconds": milliseconds,
                });
                if let Some(note) = &thumbnail.note {
                    json["note"] = note.as_str().into();
                }
                json
            },
        ),
        Err(error) => output::file_error(file, error),
    }
}
