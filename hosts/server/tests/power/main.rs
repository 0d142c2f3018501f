//! Power cuts and failing disks: random histories of the real store, ledger, queue and function on a simulated disk.
//! What is stored is compared with the replies that clients received.
//!
//! The short run is part of `cargo test`. The long one:
//! `cargo test --release -p tintype --test power -- --ignored --nocapture`;
//! one history: `TINTYPE_POWER_SEED=17 cargo test -p tintype --test power -- --ignored one_history`.

#![allow(unreachable_pub, reason = "nothing is outside a test")]

#[path = "../common/mod.rs"]
mod common;

mod consistency_check;
mod disk;
mod disk_faults;
mod history;
mod images;
mod queue_model;
mod random;
mod request_log;
mod system;

use disk::SyncTarget;
use history::{Figures, Plan, run};

const HONEST: Plan = Plan { seed: 0, steps: 24, faulty: false, lie: None, one_of: 1 };
const FAULTY: Plan = Plan { steps: 60, faulty: true, one_of: 10, ..HONEST };

/// Runs the seeds, two at a time; fails with all broken promises.
fn run_all(plan: Plan, seeds: std::ops::Range<u64>) -> Figures {
    let next = std::sync::atomic::AtomicU64::new(seeds.start);
    let work = || {
        let (mut figures, mut broken) = (Figures::default(), Vec::new());
        loop {
            let seed = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            if seed >= seeds.end {
                return (figures, broken);
            }
            if seed.is_multiple_of(100) && seed > seeds.start {
                println!("{seed} of {} started", seeds.end);
            }
            match run(Plan { seed, ..plan }) {
                Ok(more) => figures += more,
                Err(promise) => broken.push(promise),
            }
        }
    };
    let (figures, broken) = std::thread::scope(|scope| {
        let other = scope.spawn(work);
        let (mut figures, mut broken) = work();
        let (more, mut more_broken) = other.join().unwrap();
        figures += more;
        broken.append(&mut more_broken);
        (figures, broken)
    });
    assert!(broken.is_empty(), "{} promises broken:\n{}", broken.len(), broken.join("\n\n"));
    println!("{figures:?}, no promise broken");
    figures
}

#[test]
fn a_power_cut_at_any_sync_point_breaks_no_promise() {
    let figures = run_all(HONEST, 0..10);
    assert!(figures.sync_points > 500, "{figures:?}");
}

#[test]
fn a_failing_disk_breaks_no_promise() {
    let figures = run_all(FAULTY, 0..12);
    assert!(figures.faults > 100, "{figures:?}");
}

/// A disk that only pretends to sync breaks promises. The harness must detect that, or its success on an honest disk
/// would prove nothing.
#[test]
fn a_disk_that_lies_about_any_kind_of_sync_is_detected() {
    for lie in [
        SyncTarget::ObjectFile,
        SyncTarget::ObjectFolder,
        SyncTarget::Objects,
        SyncTarget::Ledger,
        SyncTarget::DataFolder,
    ] {
        let found = (0..20).any(|seed| run(Plan { seed, lie: Some(lie), ..HONEST }).is_err());
        assert!(found, "the missing syncs of {lie:?} were not detected");
    }
}

#[test]
#[ignore = "long: a figure of docs/adr/0038-power-cuts-by-simulation.md"]
fn power_cut_at_every_sync_point_of_a_thousand_histories() {
    run_all(Plan { steps: 40, ..HONEST }, 0..1000);
}

#[test]
#[ignore = "long: a figure of docs/adr/0038-power-cuts-by-simulation.md"]
fn two_hundred_runs_on_failing_disks() {
    run_all(FAULTY, 0..200);
}

#[test]
#[ignore = "one history by its seed"]
fn one_history() {
    let seed = std::env::var("TINTYPE_POWER_SEED").map_or(0, |seed| seed.parse().unwrap());
    for plan in [HONEST, Plan { steps: 40, ..HONEST }, FAULTY] {
        println!("{:?}", run(Plan { seed, ..plan }).unwrap_or_else(|broken| panic!("{broken}")));
    }
}
