//! `tintype probe`.

use std::path::PathBuf;

use clap::Args;

use super::{FAILED, OK, output};

/// The arguments.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  tintype probe photo.jpg\n  tintype probe *.png | jq .width")]
pub(super) struct Probe {
    /// The files
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

impl Probe {
    pub(super) fn run(self) -> anyhow::Result<u8> {
        let mut code = OK;
        for file in self.files {
            let name = file.display().to_string();
            let header = std::fs::read(&file)
                .map_err(|error| error.to_string())
                .and_then(|bytes| tintype_engine::probe(&bytes).map_err(|error| error.to_string()));
            match header {
                Ok(header) => output::print(
                    || {
                        let (width, height) = header.upright();
                        let mut line = format!("{name}: {} {width}x{height}", header.format);
                        line += &format!(", {} {}-bit", header.colour, header.bits);
                        for (is, word) in [
                            (header.alpha, "alpha"),
                            (header.progressive, "progressive"),
                            (header.animated, "animated"),
                            (header.profile, "ICC profile"),
                        ] {
                            if is {
                                line += ", ";
                                line += word;
                            }
                        }
                        match header.orientation.exif() {
                            1 => line,
                            turned => format!("{line}, orientation {turned}"),
                        }
                    },
                    || {
                        serde_json::json!({
                            "file": name, "format": header.format.name(), "width": header.width,
                            "height": header.height, "orientation": header.orientation.exif(),
                            "colour": header.colour, "bits": header.bits, "alpha": header.alpha,
                            "progressive": header.progressive, "animated": header.animated,
                            "profile": header.profile,
                        })
                    },
                ),
                Err(error) => {
                    eprintln!("tintype: {name}: {error}");
                    code = FAILED;
                }
            }
        }
        Ok(code)
    }
}
