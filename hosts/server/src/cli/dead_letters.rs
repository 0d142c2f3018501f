//! `tintype dead-letters`: events that failed for good are listed, redriven, purged, exported.

use std::{
    collections::BTreeSet,
    io::{BufWriter, ErrorKind, Write as _},
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand, builder::NonEmptyStringValueParser};
use serde_json::json;

use super::{
    Env, FAILED, OK, WRONG_USAGE,
    atomic_file::AtomicFile,
    output,
    remote::{Remote, ServerArguments, plain, time},
};
use crate::admin::{
    All, DeadLetter, DeadLetterAction, DeadLetterActionRequest, DeadLetterList, DeadLettersRequest,
};

/// The arguments.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tintype dead-letters list --reason malformed
  tintype dead-letters show 4711
  tintype dead-letters redrive 4711 4712            these again, as if just uploaded
  tintype dead-letters redrive --prefix raw/        all below raw/
  tintype dead-letters purge --reason malformed     delete these
  tintype dead-letters export -o dead.jsonl         one JSON object a line")]
pub(super) struct DeadLetters {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List them, those of the latest uploads first
    List(Selection),
    /// Everything about some
    Show(Selection),
    /// Queue them again, as new
    Redrive(Selection),
    /// Delete them
    Purge(Selection),
    /// Write them out, one JSON object a line
    Export {
        #[command(flatten)]
        selection: Selection,
        /// To this file instead of standard output
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
    },
}

/// Ids in one request, which fit a request's head.
const IDS_AT_ONCE: usize = 100;

/// Which are meant.
#[derive(Debug, Args)]
struct Selection {
    #[command(flatten)]
    server: ServerArguments,
    /// Their ids
    #[arg(value_name = "ID")]
    ids: Vec<u64>,
    /// Of this class of failure, such as malformed, unsupported or too_large
    #[arg(long, value_name = "REASON", value_parser = NonEmptyStringValueParser::new())]
    reason: Option<String>,
    /// Of keys that begin so
    #[arg(long, value_name = "PREFIX", value_parser = NonEmptyStringValueParser::new())]
    prefix: Option<String>,
    /// All there are
    #[arg(long, conflicts_with_all = ["ids", "reason", "prefix"])]
    all: bool,
}

impl DeadLetters {
    pub(super) fn run(self, env: &Env) -> anyhow::Result<u8> {
        match self.action {
            Action::List(selection) => {
                let count = selection.write(&selection.server.find(env)?, row)?;
                if count == 0 && output::is_for_people() {
                    println!("no dead letters");
                }
                Ok(OK)
            }
            Action::Show(selection) => {
                let whole = |dead_letter: &DeadLetter| {
                    serde_json::to_string_pretty(&json!(dead_letter)).unwrap_or_default()
                };
                Ok(selection.found(selection.write(&selection.server.find(env)?, whole)?))
            }
            Action::Redrive(selection) => {
                selection.act(&selection.server.find(env)?, DeadLetterAction::Redrive)
            }
            Action::Purge(selection) => selection.act(&selection.server.find(env)?, DeadLetterAction::Purge),
            Action::Export { selection, output } => {
                let remote = selection.server.find(env)?;
                match output {
                    Some(path) => selection.export(&remote, &path)?,
                    None => _ = selection.write(&remote, |dead_letter| json!(dead_letter).to_string())?,
                }
                Ok(OK)
            }
        }
    }
}

impl Selection {
    /// Passes on each of them, page by page.
    fn each(
        &self,
        remote: &Remote,
        mut take: impl FnMut(DeadLetter) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let request = DeadLettersRequest {
            reason: self.reason.clone(),
            prefix: self.prefix.clone(),
            ..DeadLettersRequest::default()
        };
        let mut is_first = true;
        let mut page = |page: DeadLetterList| {
            if let Some(warning) = page.warning.filter(|_| std::mem::take(&mut is_first)) {
                output::error(warning);
            }
            page.dead_letters.into_iter().try_for_each(&mut take)
        };
        if self.ids.is_empty() {
            return remote.pages(request, page);
        }
        self.ids.chunks(IDS_AT_ONCE).try_for_each(|ids| {
            remote.pages(DeadLettersRequest { ids: ids.to_vec(), ..request.clone() }, &mut page)
        })
    }

    /// Writes them into a file, which is replaced once all of them are there.
    fn export(&self, remote: &Remote, path: &Path) -> anyhow::Result<()> {
        let failed = |error: std::io::Error| anyhow::anyhow!("{} cannot be written: {error}", path.display());
        let mut out = BufWriter::new(AtomicFile::create(path).map_err(failed)?);
        self.each(remote, |dead_letter| writeln!(out, "{}", json!(dead_letter)).map_err(failed))?;
        let file = out.into_inner().map_err(|error| failed(error.into_error()))?;
        file.sync().and_then(|()| file.publish()).map_err(failed)
    }

    /// Writes them to standard output, as `text` for people and as one JSON object a line on a pipe; returns how many.
    /// A closed pipe is no error.
    fn write(&self, remote: &Remote, text: impl Fn(&DeadLetter) -> String) -> anyhow::Result<usize> {
        let is_for_people = output::is_for_people();
        let mut out = BufWriter::new(std::io::stdout().lock());
        let (mut count, mut gone) = (0, false);
        let mut failed = |error: std::io::Error| {
            gone = error.kind() == ErrorKind::BrokenPipe;
            anyhow::anyhow!("standard output cannot be written: {error}")
        };
        let written = self
            .each(remote, |dead_letter| {
                count += 1;
                let line = if is_for_people { text(&dead_letter) } else { json!(dead_letter).to_string() };
                writeln!(out, "{line}").map_err(&mut failed)
            })
            .and_then(|()| out.flush().map_err(&mut failed));
        // Whoever reads no further has found what was wanted.
        if gone { Ok(count.max(self.ids.len())) } else { written.map(|()| count) }
    }

    fn act(&self, remote: &Remote, action: DeadLetterAction) -> anyhow::Result<u8> {
        if self.ids.is_empty() && self.reason.is_none() && self.prefix.is_none() && !self.all {
            output::error("name ids, --reason, --prefix, or --all; nothing has been done");
            return Ok(WRONG_USAGE);
        }
        let answer = remote.send(&DeadLetterActionRequest {
            action,
            reason: self.reason.clone(),
            prefix: self.prefix.clone(),
            text: None,
            ids: self.ids.clone(),
            all: self.ids.is_empty().then_some(All::Yes),
        })?;
        let done = match action {
            DeadLetterAction::Redrive => "queued again",
            DeadLetterAction::Purge => "deleted",
        };
        output::print(|| format!("{} {done}", answer.count), || json!(answer));
        Ok(self.found(answer.count))
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

fn row(dead_letter: &DeadLetter) -> String {
    let event = &dead_letter.event;
    format!(
        "{:>8}  {}  {:<12} {}/{}  {}",
        event.id,
        time(dead_letter.dead_ms),
        plain(&dead_letter.reason),
        plain(&event.bucket),
        plain(&event.key),
        plain(&dead_letter.message)
    )
}
