//! `tintype probe`.

use std::path::PathBuf;

use clap::Args;

use super::{
    Env, FAILED, OK,
    image_files::{self, BoundsArguments, ImageFiles},
    output,
};

/// The arguments.
#[derive(Debug, Args)]
#[command(after_help = format!("\
Examples:
  tintype probe photo.jpg
  tintype probe *.png | jq .width

{}", image_files::HELP))]
pub(super) struct Probe {
    /// The files
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    bounds: BoundsArguments,
}

impl Probe {
    pub(super) fn run(self, env: &Env) -> anyhow::Result<u8> {
        let images = ImageFiles::new(self.bounds, env)?;
        let mut code = OK;
        for file in self.files {
            let name = file.display().to_string();
            match images.probe(&file) {
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
                            "colour": header.colour.name(), "bits": header.bits, "alpha": header.alpha,
                            "progressive": header.progressive, "animated": header.animated,
                            "profile": header.profile,
                        })
                    },
                ),
                Err(error) => {
                    output::file_error(&file, &error);
                    code = FAILED;
                }
            }
        }
        Ok(code)
    }
}
