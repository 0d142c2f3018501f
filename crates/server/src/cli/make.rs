//! `tintype make`.

use std::{
    collections::HashSet,
    fs, io,
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
    Background, Effort, Filter, Fit, Gravity, Limits, OutputFormat, Scratch, Size, Spec, Thumbnail,
};

use super::{FAILED, OK, WRONG_USAGE, output};

/// The arguments.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tintype make photo.jpg -o thumbs
  tintype make *.jpg *.png -o thumbs --size 400x400 --fit cover
  tintype make *.gif -o thumbs --format webp --quality 75 --jobs 4

Exit code: 0 all made, 1 some failed (each named with its reason), 2 wrong usage.")]
pub(super) struct Make {
    /// The image files
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Folder for the thumbnails, each named thumb_<name>; made if missing
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
    /// A box: width ("256"), height ("x200") or both ("400x300")
    #[arg(long, default_value = "128x128")]
    size: Size,
    /// inside, cover, contain or fill
    #[arg(long, default_value = "inside")]
    fit: Fit,
    /// same, jpeg, png or webp
    #[arg(long, default_value = "same")]
    format: OutputFormat,
    /// JPEG and WebP quality
    #[arg(long, default_value_t = 80, value_parser = clap::value_parser!(u8).range(1..=100))]
    quality: u8,
    /// What `cover` keeps: center, north, northeast, …
    #[arg(long, default_value = "center")]
    gravity: Gravity,
    /// What lies behind: "ffffff", "ffffff80" or "transparent"
    #[arg(long, default_value = "ffffff")]
    background: Background,
    /// How pixels are weighed: lanczos3, catmull-rom, mitchell or box
    #[arg(long, default_value = "lanczos3")]
    filter: Filter,
    /// How much work encoding may be: fast, balanced or best (the smallest JPEG, much slower)
    #[arg(long, default_value = "balanced")]
    effort: Effort,
    /// Let small pictures grow to the box
    #[arg(long)]
    enlarge: bool,
    /// Files at once [default: one a core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    jobs: Option<u16>,
}

impl Make {
    pub(super) fn run(self) -> anyhow::Result<u8> {
        if let Err(error) = fs::create_dir_all(&self.output) {
            eprintln!("tintype: {}: {error}; name a folder that can be made with -o", self.output.display());
            return Ok(WRONG_USAGE);
        }
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
        };
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let jobs = self.jobs.map_or(cores, usize::from).min(self.files.len());
        let progress = progress(self.files.len());
        let next = AtomicUsize::new(0);
        let failed = AtomicUsize::new(0);
        let names = Mutex::new(HashSet::new());
        std::thread::scope(|scope| {
            for _ in 0..jobs {
                scope.spawn(|| {
                    let mut scratch = Scratch::default();
                    while let Some(file) = self.files.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let started = Instant::now();
                        let made = one(file, &self.output, &spec, &names, &mut scratch);
                        progress.suspend(|| report(file, started.elapsed(), &made));
                        failed.fetch_add(usize::from(made.is_err()), Ordering::Relaxed);
                        progress.inc(1);
                    }
                });
            }
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

fn one(
    file: &Path,
    folder: &Path,
    spec: &Spec,
    names: &Mutex<HashSet<PathBuf>>,
    scratch: &mut Scratch,
) -> Result<(PathBuf, Thumbnail), String> {
    let bytes = fs::read(file).map_err(|error| error.to_string())?;
    let header = tintype_engine::probe(&bytes).map_err(|error| error.to_string())?;
    let name = file.file_name().ok_or("it has no file name")?.to_os_string();
    let mut target = std::ffi::OsString::from("thumb_");
    target.push(&name);
    let to = spec.format.resolve(header.format);
    if to != header.format {
        target.push(format!(".{}", to.extension()));
    }
    let target = folder.join(target);
    if !names.lock().unwrap_or_else(PoisonError::into_inner).insert(target.clone()) {
        return Err(format!(
            "another file given has the same name, and {} can hold only one thumbnail; make them into two folders",
            target.display()
        ));
    }
    let made = tintype_engine::render(
        &bytes,
        std::slice::from_ref(spec),
        &Limits { memory_bytes: u64::MAX, ..Limits::default() },
        &|| false,
        scratch,
    );
    let thumbnail = made.map_err(|error| error.to_string())?.pop().ok_or("the engine made nothing")?;
    write(&target, &thumbnail.bytes).map_err(|error| format!("{}: {error}", target.display()))?;
    Ok((target, thumbnail))
}

/// Writes beside the target, then renames: whoever looks sees a whole thumbnail or none.
fn write(target: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut beside = target.as_os_str().to_owned();
    beside.push(".part");
    fs::write(&beside, bytes)?;
    fs::rename(&beside, target)
}

fn report(file: &Path, took: Duration, made: &Result<(PathBuf, Thumbnail), String>) {
    let milliseconds = (took.as_secs_f64() * 1e4).round() / 10.0;
    match made {
        Ok((target, thumbnail)) => output::print(
            || {
                let size = output::bytes(thumbnail.bytes.len() as u64);
                let (width, height) = (thumbnail.width, thumbnail.height);
                format!(
                    "{} -> {} ({width}x{height}, {size}, {milliseconds} ms)",
                    file.display(),
                    target.display()
                )
            },
            || {
                serde_json::json!({
                    "file": file.display().to_string(), "thumbnail": target.display().to_string(),
                    "width": thumbnail.width, "height": thumbnail.height, "bytes": thumbnail.bytes.len(),
                    "milliseconds": milliseconds,
                })
            },
        ),
        Err(error) => eprintln!("tintype: {}: {error}", file.display()),
    }
}
