//! JSON lines on standard input and output.

use std::io::{BufRead as _, Write as _, stdin, stdout};

use serde::{Serialize, de::DeserializeOwned};

/// Writes a greeting, then a response to each request until standard input ends.
pub(crate) fn serve<Request: DeserializeOwned, Answer: Serialize>(
    name: &str,
    mut answer: impl FnMut(Request) -> Answer,
) -> anyhow::Result<()> {
    write(&serde_json::json!({ "ready": name }))?;
    for line in stdin().lock().lines() {
        let line = line?;
        if !line.trim().is_empty() {
            write(&answer(serde_json::from_str(&line)?))?;
        }
    }
    Ok(())
}

fn write(value: &impl Serialize) -> anyhow::Result<()> {
    let mut out = stdout().lock();
    serde_json::to_writer(&mut out, value)?;
    out.write_all(b"\n")?;
    out.flush()?;
    Ok(())
}
