//! Renders one thumbnail a request, in process, reusing one [`Scratch`], as a server's thread does.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use tintype_engine::{Limits, OutputFormat, RECIPE, Scaling, Scratch, Size, Spec, Thumbnail, render};

#[derive(Deserialize)]
pub(crate) struct Request {
    path: PathBuf,
    pub(crate) size: u32,
    pub(crate) format: String,
    pub(crate) quality: u8,
    scaling: String,
    /// Where to write the thumbnail, if anywhere.
    output: Option<PathBuf>,
}

#[derive(Serialize, Default)]
struct Answer {
    cpu_us: f64,
    wall_us: f64,
    width: u32,
    height: u32,
    bytes: usize,
    error: Option<String>,
}

/// A thumbnail's bytes and size.
pub(crate) struct Rendered {
    pub(crate) bytes: Vec<u8>,
    pub(crate) width: u32,
    pub(crate) height: u32,
}

/// Answers requests by Tintype's engine.
pub(crate) fn run() -> anyhow::Result<()> {
    let mut scratch = Scratch::default();
    let limits = Limits::default();
    serve(&format!("tintype, recipe {RECIPE}"), |request, source| {
        let spec = Spec {
            size: Size { width: Some(request.size), height: Some(request.size) },
            format: request.format.parse::<OutputFormat>().map_err(anyhow::Error::msg)?,
            quality: request.quality,
            scaling: request.scaling.parse::<Scaling>().map_err(anyhow::Error::msg)?,
            ..Spec::default()
        };
        let mut thumbnails = render(source, std::slice::from_ref(&spec), &limits, &|| false, &mut scratch)?;
        let Some(Thumbnail { bytes, width, height, .. }) = thumbnails.pop() else {
            anyhow::bail!("no thumbnail for a spec");
        };
        Ok(Rendered { bytes, width, height })
    })
}

/// Answers requests by `render`, whose time is measured.
pub(crate) fn serve(
    greeting: &str,
    mut render: impl FnMut(&Request, &[u8]) -> anyhow::Result<Rendered>,
) -> anyhow::Result<()> {
    crate::lines::serve(greeting, |request: Request| {
        answer(&request, &mut render)
            .unwrap_or_else(|error| Answer { error: Some(format!("{error:#}")), ..Answer::default() })
    })
}

fn answer(
    request: &Request,
    render: &mut impl FnMut(&Request, &[u8]) -> anyhow::Result<Rendered>,
) -> anyhow::Result<Answer> {
    let source = std::fs::read(&request.path)?;
    let (wall, cpu) = (Instant::now(), cpu_time());
    let rendered = render(request, &source);
    let (cpu, wall) = (cpu_time().saturating_sub(cpu), wall.elapsed());
    let Rendered { bytes, width, height } = rendered?;
    if let Some(output) = &request.output {
        std::fs::write(output, &bytes)?;
    }
    Ok(Answer {
        cpu_us: cpu.as_secs_f64() * 1e6,
        wall_us: wall.as_secs_f64() * 1e6,
        width,
        height,
        bytes: bytes.len(),
        error: None,
    })
}

/// CPU time of the process, so that extra threads are counted.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::from_secs(time.tv_sec.unsigned_abs()) + Duration::from_nanos(time.tv_nsec.unsigned_abs())
}
