//! The program that `compare.py` runs: `worker` renders thumbnails, `score` scores them against references. Both read
//! one JSON request a line from standard input and write one JSON response a line. `outcomes` prints the outcome of
//! each file of a folder.

mod lines;
mod outcomes;
mod score;
mod worker;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["worker"] => worker::run(),
        ["score"] => score::run(),
        ["outcomes", folder] => outcomes::run(folder.as_ref()),
        _ => anyhow::bail!("usage: tintype-engine-bench worker | score | outcomes FOLDER"),
    }
}
