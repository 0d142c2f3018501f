//! Tunes glibc's allocator to return memory to the system.
//!
//! By default each thread gets an arena of its own and retains what it once needed. One arena that is trimmed holds less
//! by far, and does not creep upwards if rows and bodies lie outside of it, where they leave no holes
//! (docs/adr/0032-one-malloc-arena.md). glibc takes this from the environment alone, before anything runs, or from a
//! call that Rust holds unsafe: so the program replaces itself by exec, which takes a millisecond.

use std::{os::unix::process::CommandExt as _, process::Command};

use super::{Env, variable};

/// The most arenas, from how many free bytes on they are given back, and from how many on an allocation lies outside.
const TUNING: [(&str, &str); 4] = [
    ("MALLOC_ARENA_MAX", "1"),
    ("MALLOC_TRIM_THRESHOLD_", "131072"),
    ("MALLOC_MMAP_THRESHOLD_", "32768"),
    (ONCE, "1"),
];
/// Set once it was tried: for a program with privileges of its own glibc takes the others away.
const ONCE: &str = "ALLOCATOR_TUNED";
/// Whoever sets one of these knows better: another allocator, or the same one tuned otherwise.
const TUNED_OTHERWISE: [&str; 6] = [
    "MALLOC_ARENA_MAX",
    "MALLOC_TRIM_THRESHOLD_",
    "MALLOC_MMAP_THRESHOLD_",
    "GLIBC_TUNABLES",
    "LD_PRELOAD",
    ONCE,
];

/// Restarts the program under the tuning, unless it runs under one. If that fails it continues as it is.
pub(super) fn tune(env: &Env) {
    let is_glibc = cfg!(all(target_os = "linux", target_env = "gnu"));
    if !is_glibc || TUNED_OTHERWISE.iter().any(|name| variable(env, name).is_some()) {
        return;
    }
    let Ok(program) = std::env::current_exe() else { return };
    let mut arguments = std::env::args_os();
    let name = arguments.next().unwrap_or_else(|| program.clone().into());
    let error = Command::new(program).arg0(name).args(arguments).envs(TUNING).exec();
    tracing::warn!(%error, "the allocator keeps its defaults");
}
