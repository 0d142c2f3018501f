//! What `compare.py` runs of ours: `worker` makes thumbnails, `score` says how true they are. Both read one
//! JSON request a line from standard input and write one JSON answer a line. `outcomes` says what becomes of
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
