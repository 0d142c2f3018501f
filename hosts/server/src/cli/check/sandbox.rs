//! `tintype check --sandbox`: the sandbox put around this very process, and everything tried that it forbids.

use std::{fs, io, process::Command};

use super::Findings;
use crate::{
    sandbox::{self, AllowedPaths},
    settings::Settings,
    storage::DataFolder,
};

/// Nothing outside can be reached after this.
pub(super) fn run(settings: &Settings, reach: &AllowedPaths, findings: &mut Findings) -> anyhow::Result<()> {
    // Own file, outside of what may be read unless it lies beside the settings.
    let program = std::env::current_exe()?;
    let outside = std::env::temp_dir().join(format!("tintype-sandbox-{}", std::process::id()));
    let inside = settings.data.join(format!("sandbox-{}.new", std::process::id()));
    let has_folder = DataFolder::open_existing(&settings.data).is_ok_and(|folder| folder.is_some());
    let Some(_) = sandbox::enforce(settings.sandbox, reach)? else {
        findings.add("sandbox", Ok("switched off in the settings".into()));
        return Ok(());
    };
    // In a thread of its own, as a server's work is.
    let tried = std::thread::spawn(move || {
        let refused = |what: &str, done: io::Result<()>| match done {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(format!("{what}: refused")),
            Err(error) => Err(format!("{what}: failed, but otherwise than by the sandbox: {error}")),
            Ok(()) => Err(format!("{what}: possible")),
        };
        let mut results = vec![
            refused("running a program", Command::new(&program).arg("--version").output().map(drop)),
            refused("reading a file elsewhere", fs::File::open(&program).map(drop)),
            refused(
                "writing a file elsewhere",
                fs::write(&outside, b"").and_then(|()| fs::remove_file(&outside)),
            ),
        ];
        if has_folder {
            let write = fs::write(&inside, b"").and_then(|()| fs::remove_file(&inside));
            results.push(match write {
                Ok(()) => Ok("writing in the data folder: possible".into()),
                Err(error) => Err(format!("writing in the data folder: {error}")),
            });
        }
        results
    });
    let tried = tried.join().map_err(|_| anyhow::anyhow!("the test of the sandbox panicked"))?;
    tried.into_iter().for_each(|result| findings.add("sandbox", result));
    Ok(())
}
