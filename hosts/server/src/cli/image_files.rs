//! Image files named on the command line, read and rendered within the server's bounds.

use std::{
    fs::OpenOptions,
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::Args;
use futures::executor::block_on;
use tintype_codec_process::CodecProcesses;
use tintype_engine::{Header, Scratch, Spec, Thumbnail};
use tintype_pipeline::{
    Failure, Reason, Renderer, Stop,
    budget::{self, MemoryBudget, Reservation},
    outcome::Stages,
    thumbnails,
};

use super::{Env, SettingsArguments};
use crate::{
    disk::{Links, is_wrong_type, open_regular},
    dispatch::available_bytes,
};

/// Address space that a thread's stack and its part of the allocator may take.
const THREAD_BYTES: u64 = 64 << 20;

/// The settings that have bounds.
const BOUNDS: [(&str, &str); 5] = [
    ("limits.source_bytes", "TINTYPE_LIMITS__SOURCE_BYTES"),
    ("limits.pixels", "TINTYPE_LIMITS__PIXELS"),
    ("limits.frames", "TINTYPE_LIMITS__FRAMES"),
    ("limits.work", "TINTYPE_LIMITS__WORK"),
    ("function.memory_mb", "TINTYPE_FUNCTION__MEMORY_MB"),
];

/// Added to the help of commands with such files.
pub(super) const HELP: &str = "\
FILE is a regular file or a link to one. The bounds are the server's: limits.source_bytes, limits.pixels, limits.frames,
limits.work, function.memory_mb for each file and function.total_memory_mb for all at once, by the settings file or the environment,
as in TINTYPE_FUNCTION__MEMORY_MB=2048. A file over a bound is an error of that file.";

/// Where their bounds come from.
#[derive(Debug, Args)]
pub(super) struct BoundsArguments {
    /// Settings file with the bounds [default: tintype.toml, if there is one]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Reads and renders within bounds that all threads share.
pub(super) struct ImageFiles {
    renderer: Renderer,
    most_threads: usize,
}

/// A file's bytes, admitted until dropped.
pub(super) struct Source {
    bytes: Vec<u8>,
    _admitted: Reservation,
}

impl ImageFiles {
    pub(super) fn new(arguments: BoundsArguments, env: &Env) -> anyhow::Result<Self> {
        let settings =
            SettingsArguments { config: arguments.config, data: None, s3: None, http: None }.load(env)?;
        let available = available_bytes();
        let (limits, total) = budget::bounds(&settings.function, settings.limits, available);
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let fitting = usize::try_from(available / THREAD_BYTES).unwrap_or(usize::MAX);
        let codecs = Arc::new(CodecProcesses::new(limits.memory_bytes));
        let renderer = Renderer::new(limits, MemoryBudget::new(total)).with_foreign_decoder(codecs);
        Ok(Self { renderer, most_threads: cores.min(fitting).max(1) })
    }

    /// Threads that render at once unless the user asks for another number.
    pub(super) const fn most_threads(&self) -> usize {
        self.most_threads
    }

    /// Reads a file, once there is room for it.
    pub(super) fn read(&self, path: &Path) -> Result<Source, String> {
        let opened = open_regular(path, OpenOptions::new().read(true), Links::Follow);
        let file = opened.map_err(|error| match is_wrong_type(&error) {
            true => format!("{error}; name image files"),
            false => error.to_string(),
        })?;
        let words = |error: io::Error| error.to_string();
        let size = file.metadata().map_err(words)?.len();
        let limit = self.renderer.limits().source_bytes;
        if size > limit {
            let words = format!("the file has {size} bytes, more than the {limit} of limits.source_bytes");
            return Err(advised(&Failure::new(Reason::TooLarge, words)));
        }
        let admitted = block_on(self.renderer.budget().source(size));
        let mut bytes = Vec::new();
        let capacity = usize::try_from(size).unwrap_or(usize::MAX).saturating_add(1);
        bytes.try_reserve_exact(capacity).map_err(|_| format!("there is no memory for its {size} bytes"))?;
        file.take(size + 1).read_to_end(&mut bytes).map_err(words)?;
        if bytes.len() as u64 != size {
            return Err(format!("it had {size} bytes and changed while it was read; try again"));
        }
        Ok(Source { bytes, _admitted: admitted })
    }

    /// A file's properties, from its header.
    pub(super) fn probe(&self, path: &Path) -> Result<Header, String> {
        thumbnails::probe(&self.read(path)?.bytes).map_err(|failure| advised(&failure))
    }

    /// Renders a file that was read.
    pub(super) fn render(
        &self,
        source: &Source,
        spec: &Spec,
        scratch: &mut Scratch,
    ) -> Result<(Header, Thumbnail), String> {
        let mut rendered = || {
            let header = thumbnails::probe(&source.bytes)?;
            let specs = std::slice::from_ref(spec);
            let _admitted = block_on(self.renderer.admit(&header, source.bytes.len() as u64, specs));
            let mut stages = Stages::default();
            let bytes = &source.bytes;
            let mut rendered = self.renderer.render(bytes, specs, &Stop::never(), scratch, &mut stages)?;
            let thumbnail = rendered.pop();
            let nothing = || Failure::new(Reason::Internal, "the engine rendered nothing");
            Ok((header, thumbnail.ok_or_else(nothing)?))
        };
        rendered().map_err(|failure: Failure| advised(&failure))
    }
}

/// A failure in words, and for one of bounds how to raise them.
fn advised(failure: &Failure) -> String {
    let named = |(setting, _): &&(&str, &str)| failure.message.contains(setting);
    match BOUNDS.iter().find(named).filter(|_| failure.reason == Reason::TooLarge) {
        Some((setting, variable)) => {
            format!("{failure}; to allow more, set {variable}, or {setting} in the settings file")
        }
        None => failure.to_string(),
    }
}
