//! The program that `compare.py` runs: `worker` renders thumbnails, `image` does the same by the crates image and
//! fast_image_resize, and `score` scores thumbnails against references. All three read one JSON request a line from standard
//! input and write one JSON response a line. `outcomes` prints the outcome of
//! each file of a folder.

mod image_crate;
mod lines;
mod outcomes;
mod score;
mod worker;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["worker"] => worker::run(),
        ["image"] => image_crate::run(),
        ["score"] => score::run(),
        ["outcomes", folder] => outcomes::run(folder.as_ref()),
        _ => anyhow::bail!("usage: tintype-engine-bench worker | image | score | outcomes FOLDER"),
    }
}
