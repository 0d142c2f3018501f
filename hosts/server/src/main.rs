//! The program `tintype`.

use std::process::ExitCode;

use clap::Parser as _;
use tintype::cli::{Arguments, run};

fn main() -> ExitCode {
    if let Some(ended) = tintype_codec_process::run(std::env::args_os().skip(1)) {
        return ended;
    }
    // The environment is read here only.
    let env: Vec<(String, String)> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    run(Arguments::parse(), env)
}
