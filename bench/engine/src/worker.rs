//! Renders one thumbnail a request, in process, reusing one [`Scratch`], as a server's thread does.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use tintype_engine::{Limits, OutputFormat, RECIPE, Scaling, Scratch, Size, Spec, Thumbnail, render};

#[derive(Deserialize)]
struct Request {
    path: PathBuf,
    size: u32,
    format: String,
    quality: u8,
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

pub(crate) fn run() -> anyhow::Result<()> {
    let mut scratch = Scratch::default();
    crate::lines::serve(&format!("tintype, recipe {RECIPE}"), |request: Request| {
        render_file(&request, &mut scratch)
            .unwrap_or_else(|error| Answer { error: Some(format!("{error:#}")), ..Answer::default() })
    })
}

fn render_file(request: &Request, scratch: &mut Scratch) -> anyhow::Result<Answer> {
    let spec = Spec {
        size: Size { width: Some(request.size), height: Some(request.size) },
        format: request.format.parse::<OutputFormat>().map_err(anyhow::Error::msg)?,
        quality: request.quality,
        scaling: request.scaling.parse::<Scaling>().map_err(anyhow::Error::msg)?,
        ..Spec::default()
    };
    let limits = Limits::default();
    let bytes = std::fs::read(&request.path)?;

    let (wall, cpu) = (Instant::now(), cpu_time());
    let rendered = render(&bytes, std::slice::from_ref(&spec), &limits, &|| false, scratch);
    let (cpu, wall) = (cpu_time().saturating_sub(cpu), wall.elapsed());

    let thumbnails = rendered?;
    let [Thumbnail { bytes, width, height, .. }] = &thumbnails[..] else {
        anyhow::bail!("{} thumbnails for one spec", thumbnails.len());
    };
    if let Some(output) = &request.output {
        std::fs::write(output, bytes)?;
    }
    Ok(Answer {
        cpu_us: cpu.as_secs_f64() * 1e6,
        wall_us: wall.as_secs_f64() * 1e6,
        width: *width,
        height: *height,
        bytes: bytes.len(),
        error: None,
    })
}

/// CPU time of the process, so that extra threads are counted.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::from_secs(time.tv_sec.unsigned_abs()) + Duration::from_nanos(time.tv_nsec.unsigned_abs())
}
