//! Samples of the server, one each second.

use std::fmt::Write as _;

/// One sample.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    /// Since the first upload.
    pub(crate) seconds: f64,
    /// Uploads acknowledged.
    pub(crate) images: u64,
    /// `VmRSS`.
    pub(crate) resident_kib: u64,
    /// Events queued or in progress.
    pub(crate) queued: u64,
}

/// All samples as TSV, a line each.
pub(crate) fn table(samples: &[Sample]) -> String {
    let mut text = String::from("seconds\timages\tresident_kib\tqueued\n");
    for Sample { seconds, images, resident_kib, queued } in samples {
        let _ = writeln!(text, "{seconds:.1}\t{images}\t{resident_kib}\t{queued}");
    }
    text
}
