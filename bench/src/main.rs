//! Measurements of the server, each with its reference in the same run. See METHODOLOGY.md.

mod bare;
mod client;
mod decision;
mod formats;
mod instruments;
mod latency;
mod memory;
mod overload;
mod peers;
mod process;
mod puts;
mod ready;
mod sample_images;
mod slope;
mod slow_disk;
mod soak;
mod statistics;

use clap::{Parser, Subcommand};

/// Measurements of the server, each with its reference.
#[derive(Debug, Parser)]
#[command(
    after_help = "Build the server first: cargo build --release. Then for example:\n  cargo run --release -p tintype-bench -- latency"
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// One client: from an upload acknowledged to its thumbnail readable, beside the cost of a sync pair
    Latency(latency::Latency),
    /// Durable puts a second, beside s3s-fs and moto_server
    Puts(puts::Puts),
    /// Group commit against one commit a put, where a sync is slow
    SlowDisk(slow_disk::SlowDisk),
    /// Start to ready with many objects stored, and idle memory
    Ready(ready::Ready),
    /// Peak memory over many uploads of large images
    Memory(memory::Memory),
    /// Resident memory over 100,000 uploads of all kinds: its slope, its peak, its plot
    Soak(soak::Soak),
    /// Four times the capacity offered to POST: goodput, time to refusals, and recovery
    Overload(overload::Overload),
    /// Decisions of who may do what, by a bucket policy of many statements, beside one of one
    Decision(decision::Decision),
    /// The cost of instruments: work for callgrind with and without them, and space on disk
    #[command(subcommand)]
    Instruments(instruments::Instruments),
    /// Runs s3s-fs as a server; used by `puts`
    #[command(hide = true)]
    ServeS3sFs(peers::ServeS3sFs),
    /// Answers a file from memory; used by bench/http/compare.py
    #[command(hide = true)]
    ServeBytes(bare::ServeBytes),
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Latency(latency) => latency.run(),
        Command::Puts(puts) => puts.run(),
        Command::SlowDisk(slow) => slow.run(),
        Command::Ready(ready) => ready.run(),
        Command::Memory(memory) => memory.run(),
        Command::Overload(overload) => overload.run(),
        Command::Soak(soak) => soak.run(),
        Command::Decision(decision) => decision.run(),
        Command::Instruments(instruments) => instruments.run(),
        Command::ServeS3sFs(serve) => serve.run(),
        Command::ServeBytes(serve) => serve.run(),
    }
}
