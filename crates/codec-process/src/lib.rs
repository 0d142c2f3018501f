//! Processes without rights in which the decoders of other projects run: they cannot be stopped, and they read what comes
//! from outside.
//!
//! A worker is this program again, started with [`ARGUMENT`]. It opens no file but fonts, reaches no network, has little
//! memory, and is ended once it has used up its time (`docs/adr/0048`). [`CodecProcesses`] hands jobs to workers and is
//! the [`ForeignDecoder`](tintype_engine::ForeignDecoder) of hosts. A host whose sandbox forbids it to start programs begins
//! a supervisor before it enters it, which starts workers for it.

mod children;
mod pool;
mod sandbox;
mod supervisor;
mod wire;
mod worker;

use std::process::ExitCode;

pub use pool::CodecProcesses;

/// The first argument of a program that is to be a worker or a supervisor. No command of a host has this name.
pub const ARGUMENT: &str = "codec-process";

/// Runs the process that the arguments (after the program's name) ask for, to its end; `None` if they do not.
/// A host calls this first of all in `main`.
pub fn run(arguments: impl IntoIterator<Item = std::ffi::OsString>) -> Option<ExitCode> {
    let mut arguments = arguments.into_iter();
    if arguments.next()? != ARGUMENT {
        return None;
    }
    let rest: Vec<_> = arguments.filter_map(|argument| argument.into_string().ok()).collect();
    let memory = |text: &String| text.parse::<u64>().ok();
    let ended = match &rest[..] {
        [role, bytes] if role == children::WORKER => memory(bytes).map(worker::run),
        [role, bytes] if role == children::SUPERVISOR => memory(bytes).map(supervisor::run),
        _ => None,
    };
    Some(ended.unwrap_or_else(|| {
        eprintln!("{ARGUMENT} is how this program starts itself to decode images; it is no command");
        ExitCode::from(2)
    }))
}
