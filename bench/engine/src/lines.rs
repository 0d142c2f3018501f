//! JSON lines on standard input and output.

use std::io::{BufRead as _, Write as _, stdin, stdout};

use serde::{Serialize, de::DeserializeOwned};

/// Greets, then answers each request until standard input ends.
pub(crate) fn serve<Request: DeserializeOwned, Answer: Serialize>(
    name: &str,
    mut answer: impl FnMut(Request) -> Answer,
) -> anyhow::Result<()> {
    say(&serde_json::json!({ "ready": name }))?;
    for line in stdin().lock().lines() {
        let line = line?;
        if !line.trim().is_empty() {
            say(&answer(serde_json::from_str(&line)?))?;
        }
    }
    Ok(())
}

fn say(what: &impl Serialize) -> anyhow::Result<()> {
    let mut out = stdout().lock();
    serde_json::to_writer(&mut out, what)?;
    out.write_all(b"\n")?;
    out.flush()?;
    Ok(())
}
