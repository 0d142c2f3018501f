//! `tintype dead-letters`: what was given up, and what to do with it.

use std::{
    collections::BTreeSet,
    io::{BufWriter, ErrorKind, Write as _},
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};
use serde_json::Value;

use super::{
    Env, FAILED, OK, WRONG_USAGE,
    atomic_file::AtomicFile,
    output,
    remote::{Remote, ServerArguments, form, moment, plain},
};

/// The arguments.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tintype dead-letters list --reason malformed
  tintype dead-letters show 4711
  tintype dead-letters redrive 4711 4712            these again, as if just uploaded
  tintype dead-letters redrive --prefix raw/        all below raw/
  tintype dead-letters purge --reason malformed     throw these away
  tintype dead-letters export -o dead.jsonl         one JSON object a line")]
pub(super) struct DeadLetters {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List them, those of the latest uploads first
    List(Chosen),
    /// Everything about some
    Show(Chosen),
    /// Queue them again, as new
    Redrive(Chosen),
    /// Throw them away
    Purge(Chosen),
    /// Write them out, one JSON object a line
    Export {
        #[command(flatten)]
        chosen: Chosen,
        /// To this file instead of standard output
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
    },
}

/// Ids of one request: what a request's head has room for.
const IDS_AT_ONCE: usize = 100;

/// Which are meant.
#[derive(Debug, Args)]
struct Chosen {
    #[command(flatten)]
    server: ServerArguments,
    /// Their ids
    #[arg(value_name = "ID")]
    ids: Vec<u64>,
    /// Of this class of failure, such as malformed, unsupported or too_large
    #[arg(long, value_name = "REASON")]
    reason: Option<String>,
    /// Of keys that begin so
    #[arg(long, value_name = "PREFIX")]
    prefix: Option<String>,
    /// All there are
    #[arg(long, conflicts_with_all = ["ids", "reason", "prefix"])]
    all: bool,
}

impl DeadLetters {
    pub(super) fn run(self, env: &Env) -> anyhow::Result<u8> {
        match self.action {
            Action::List(chosen) => {
                let count = chosen.pour(&chosen.server.find(env)?, row)?;
                if count == 0 && output::is_for_people() {
                    println!("no dead letters");
                }
                Ok(OK)
            }
            Action::Show(chosen) => {
                let whole = |letter: &Value| serde_json::to_string_pretty(letter).unwrap_or_default();
                Ok(chosen.found(chosen.pour(&chosen.server.find(env)?, whole)?))
            }
            Action::Redrive(chosen) => chosen.act(&chosen.server.find(env)?, "redrive"),
            Action::Purge(chosen) => chosen.act(&chosen.server.find(env)?, "purge"),
            Action::Export { chosen, output } => {
                let remote = chosen.server.find(env)?;
                match output {
                    Some(path) => chosen.export(&remote, &path)?,
                    None => _ = chosen.pour(&remote, Value::to_string)?,
                }
                Ok(OK)
            }
        }
    }
}

impl Chosen {
    fn fields(&self) -> Vec<(&'static str, &str)> {
        let given = [("reason", &self.reason), ("prefix", &self.prefix)];
        given.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?))).collect()
    }

    /// Hands over each of them, one answer of the server after the other.
    fn each(
        &self,
        remote: &Remote,
        mut take: impl FnMut(&Value) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        if self.ids.is_empty() {
            return self.each_of(&[], remote, &mut take);
        }
        self.ids.chunks(IDS_AT_ONCE).try_for_each(|ids| self.each_of(ids, remote, &mut take))
    }

    fn each_of(
        &self,
        ids: &[u64],
        remote: &Remote,
        mut take: impl FnMut(&Value) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let ids: Vec<String> = ids.iter().map(u64::to_string).collect();
        let mut before = None;
        loop {
            let mut fields = self.fields();
            fields.extend(ids.iter().map(|id| ("id", id.as_str())));
            fields.extend(before.as_deref().map(|before| ("before", before)));
            let answer = remote.ask(&format!("/dead-letters?{}", form(fields)), None)?;
            if let Some(warning) = answer["warning"].as_str().filter(|_| before.is_none()) {
                output::error(warning);
            }
            answer["deadLetters"].as_array().into_iter().flatten().try_for_each(&mut take)?;
            let Some(next) = answer["next"].as_u64() else { return Ok(()) };
            before = Some(next.to_string());
        }
    }

    /// Writes them into a file, which is as it was until all of them have come.
    fn export(&self, remote: &Remote, path: &Path) -> anyhow::Result<()> {
        let failed = |error: std::io::Error| anyhow::anyhow!("{} cannot be written: {error}", path.display());
        let mut out = BufWriter::new(AtomicFile::create(path).map_err(failed)?);
        self.each(remote, |letter| writeln!(out, "{letter}").map_err(failed))?;
        let file = out.into_inner().map_err(|error| failed(error.into_error()))?;
        file.sync().and_then(|()| file.publish()).map_err(failed)
    }

    /// Writes them to standard output, as `text` for people and as one JSON object a line on a pipe; answers how many.
    /// That nobody reads any more is no error.
    fn pour(&self, remote: &Remote, text: impl Fn(&Value) -> String) -> anyhow::Result<usize> {
        let is_for_people = output::is_for_people();
        let mut out = BufWriter::new(std::io::stdout().lock());
        let (mut count, mut gone) = (0, false);
        let mut failed = |error: std::io::Error| {
            gone = error.kind() == ErrorKind::BrokenPipe;
            anyhow::anyhow!("standard output cannot be written: {error}")
        };
        let poured = self
            .each(remote, |letter| {
                count += 1;
                let line = if is_for_people { text(letter) } else { letter.to_string() };
                writeln!(out, "{line}").map_err(&mut failed)
            })
            .and_then(|()| out.flush().map_err(&mut failed));
        // Whoever reads no further has found what was wanted.
        if gone { Ok(count.max(self.ids.len())) } else { poured.map(|()| count) }
    }

    fn act(&self, remote: &Remote, action: &str) -> anyhow::Result<u8> {
        let ids: Vec<String> = self.ids.iter().map(u64::to_string).collect();
        let mut fields = self.fields();
        if ids.is_empty() && fields.is_empty() && !self.all {
            output::error("say which: ids, --reason, --prefix, or --all; nothing has been done");
            return Ok(WRONG_USAGE);
        }
        fields.push(("action", action));
        if ids.is_empty() {
            fields.push(("all", "1"));
        }
        fields.extend(ids.iter().map(|id| ("id", id.as_str())));
        let answer = remote.ask("/dead-letters", Some(form(fields)))?;
        let count = answer["count"].as_u64().unwrap_or_default();
        let done = if action == "redrive" { "queued again" } else { "thrown away" };
        output::print(|| format!("{count} {done}"), || answer.clone());
        Ok(self.found(usize::try_from(count).unwrap_or(usize::MAX)))
    }

    /// Something failed if anything that was asked for is not there.
    fn found(&self, count: usize) -> u8 {
        let unknown = self.ids.iter().collect::<BTreeSet<_>>().len().saturating_sub(count);
        if count > 0 && unknown == 0 {
            return OK;
        }
        let which = match count {
            0 => "there is no such dead letter".into(),
            _ => format!("of these ids {unknown} name(s) no dead letter, or none that fits the rest"),
        };
        output::error(format_args!("{which}; \"tintype dead-letters list\" lists them"));
        FAILED
    }
}

fn row(letter: &Value) -> String {
    let event = &letter["event"];
    format!(
        "{:>8}  {}  {:<12} {}/{}  {}",
        event["id"].to_string(),
        moment(&letter["dead_ms"]),
        plain(&letter["reason"]),
        plain(&event["bucket"]),
        plain(&event["key"]),
        plain(&letter["message"])
    )
}
