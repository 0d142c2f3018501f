//! What a render allocates is within its estimate, counted by the allocator. One test, as others would be counted with it.

mod support;

use std::path::Path;

use peak_alloc::PeakAlloc;
use support::*;
use tintype_engine::{Effort, Error, Fit, Limits, OutputFormat, Scratch, Spec, estimate, probe, render};

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// Specs that differ in what they hold: small and large, padded, several of one source, each encoder.
fn specs() -> Vec<Vec<Spec>> {
    let spec =
        |size: &str, format, effort| Spec { size: size.parse().unwrap(), format, effort, ..Spec::default() };
    let small = spec("128x128", OutputFormat::Jpeg, Effort::Fast);
    vec![
        vec![small.clone()],
        vec![spec("1000x1000", OutputFormat::Jpeg, Effort::Best)],
        vec![Spec { fit: Fit::Contain, ..spec("700x300", OutputFormat::Png, Effort::Fast) }],
        vec![spec("640x640", OutputFormat::WebP, Effort::Fast)],
        vec![
            small,
            spec("512x512", OutputFormat::Jpeg, Effort::Fast),
            spec("256x256", OutputFormat::Png, Effort::Fast),
        ],
    ]
}

/// The largest share of an estimate that was allocated, of all specs; `None` for a file that is refused.
fn used(name: &str, bytes: &[u8]) -> Option<f64> {
    let header = probe(bytes).ok()?;
    let limits = Limits { pixels: u64::MAX, memory_bytes: u64::MAX, ..Limits::default() };
    let mut most: f64 = 0.0;
    for specs in specs() {
        let estimated = estimate(&header, &specs);
        let before = ALLOCATOR.current_usage();
        ALLOCATOR.reset_peak_usage();
        let result = render(bytes, &specs, &limits, &|| false, &mut Scratch::default());
        let peak = ALLOCATOR.peak_usage().saturating_sub(before) as u64;
        assert!(peak <= estimated, "{name}: {peak} bytes of {estimated} estimated, {specs:?}");
        match result {
            Ok(_) => most = most.max(peak as f64 / estimated as f64),
            Err(Error::Internal(why)) => panic!("{name}: {why}"),
            Err(_) => return None,
        }
    }
    Some(most)
}

#[test]
fn no_render_allocates_more_than_its_estimate() {
    // Tables that are computed once count with no image.
    let warm = jpeg(&texture(64, 64), 64, 64);
    specs()
        .iter()
        .for_each(|specs| drop(render(&warm, specs, &Limits::default(), &|| false, &mut Scratch::default())));
    for (width, height) in [(1, 1), (300, 200), (1800, 40), (1500, 1100)] {
        let rgb = texture(width, height);
        for (name, bytes) in every_format(&rgb, width, height) {
            let used = used(name, &bytes).unwrap_or_else(|| panic!("{name} is rendered"));
            println!("{name} {width}x{height}: {:.0} %", used * 100.0);
        }
        used("interlaced PNG", &interlaced_png(&rgb, width, height)).unwrap();
    }
    // Any other folder of images, for example TINTYPE_IMAGES=photos.
    if let Some(folder) = std::env::var_os("TINTYPE_IMAGES") {
        of_folder(Path::new(&folder));
    }
}

fn of_folder(folder: &Path) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            of_folder(&path);
        } else {
            let used = used(&path.display().to_string(), &std::fs::read(&path).unwrap());
            println!(
                "{}: {}",
                path.display(),
                used.map_or("refused".to_owned(), |used| format!("{:.0} %", used * 100.0))
            );
        }
    }
}
