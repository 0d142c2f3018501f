//! Findings of a repair or a check, for people and for programs; nothing is dropped without one.

use std::{
    io::{BufWriter, Write},
    path::PathBuf,
};

use serde::Serialize;

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingKind {
    /// The head of the file does not read; what it was is not known.
    #[serde(rename = "damaged_head")]
    CorruptHead,
    /// The bytes are not what was written.
    #[serde(rename = "damaged_bytes")]
    CorruptBytes,
    /// The file's name is not that of its head.
    Misplaced,
    /// No object file.
    Stray,
    /// An older version of an object whose newer one is there.
    Older,
    /// The ledger lists it as overwritten or deleted.
    Removed,
    /// The ledger, which can be trusted, does not know it: it was deleted, or its upload was never acknowledged.
    Unknown,
    /// A part of an upload that was under way and that the ledger no longer references.
    UnfinishedUpload,
    /// The ledger names it, but no file holds it any more.
    Lost,
    /// It stays, but was written so shortly before the ledger was lost that its upload may not have been
    /// acknowledged, or that it may have been overwritten or deleted.
    InDoubt,
}

impl FindingKind {
    /// For people.
    #[must_use]
    pub const fn description(self) -> &'static str {
        match self {
            Self::CorruptHead => "its head is corrupt: what it was is not known",
            Self::CorruptBytes => "its bytes are corrupt: upload the object again",
            Self::Misplaced => "its name is not the one in its head",
            Self::Stray => "no object file",
            Self::Older => "an older version of an object whose newer one is there",
            Self::Removed => "the ledger lists it as overwritten or deleted",
            Self::Unknown => "the ledger does not know it: deleted, or its upload was never acknowledged",
            Self::UnfinishedUpload => "a part of an unfinished upload, which its client has to begin again",
            Self::Lost => "no file holds it any more: upload it again",
            Self::InDoubt => {
                "it stays, but was written so shortly before the end that it may not have been acknowledged, or been deleted"
            }
        }
    }
}

/// One thing found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was found.
    #[serde(rename = "what")]
    pub kind: FindingKind,
    /// The bucket, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bucket: Option<String>,
    /// The key, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The file, as it is now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// More about it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub why: String,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let (Some(bucket), Some(key)) = (&self.bucket, &self.key) {
            // A key may hold anything.
            let key: String = key
                .chars()
                .map(|one| if one.is_control() { char::REPLACEMENT_CHARACTER } else { one })
                .collect();
            write!(f, "s3://{bucket}/{key}: ")?;
        }
        f.write_str(self.kind.description())?;
        if !self.why.is_empty() {
            write!(f, " ({})", self.why)?;
        }
        if let Some(file) = &self.file {
            write!(f, ": {}", file.display())?;
        }
        Ok(())
    }
}

/// Findings written to a file and reported as they come.
pub(super) struct Findings<'a> {
    file: BufWriter<Box<dyn Write>>,
    report: &'a mut dyn FnMut(&Finding),
    pub(super) count: u64,
}

impl<'a> Findings<'a> {
    pub(super) fn new(file: Box<dyn Write>, report: &'a mut dyn FnMut(&Finding)) -> Self {
        Self { file: BufWriter::new(file), report, count: 0 }
    }

    pub(super) fn add(&mut self, finding: &Finding) -> std::io::Result<()> {
        self.count += 1;
        serde_json::to_writer(&mut self.file, finding)?;
        self.file.write_all(b"\n")?;
        (self.report)(finding);
        Ok(())
    }

    pub(super) fn finish(mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}
