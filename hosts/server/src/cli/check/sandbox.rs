//! `tintype check --sandbox`: the sandbox put around this very process, and what matters of what it forbids, tried.

use std::{
    fs, io,
    os::unix::{fs::MetadataExt as _, net::UnixStream},
    path::Path,
    process::{Command, Stdio},
};

use rustix::{
    fs::{AtFlags, CWD, FileType, Mode, XattrFlags},
    process::{Pid, Resource, getrlimit},
};

use super::Findings;
use crate::{
    sandbox::{self, AllowedPaths},
    settings::Settings,
    storage::DataFolder,
};

/// Nothing outside can be reached after this.
pub(super) fn run(settings: &Settings, paths: &AllowedPaths, findings: &mut Findings) -> anyhow::Result<()> {
    // Own file, outside of what may be read unless it lies beside the settings.
    let program = std::env::current_exe()?;
    let outside = std::env::temp_dir().join(format!("tintype-sandbox-{}", std::process::id()));
    let inside = settings.data.join(format!("sandbox-{}.new", std::process::id()));
    let has_folder = DataFolder::open_existing(&settings.data).is_ok_and(|folder| folder.is_some());
    // Another process of this user; it ends at once, and its number is its own until it is waited for.
    let mut other = Command::new(&program).arg("--version").stdout(Stdio::null()).spawn()?;
    let other_id = Pid::from_child(&other);
    let Some(_) = sandbox::enforce(settings.sandbox, paths)? else {
        let _ = other.wait();
        findings.add("sandbox", Ok("switched off in the settings".into()));
        return Ok(());
    };
    sandbox::enforce_listening(settings.sandbox)?;
    // In a thread of its own, as a server's work is.
    let tried = std::thread::spawn(move || {
        let refused = |what: &str, done: io::Result<()>| match done {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(format!("{what}: refused")),
            Err(error) => Err(format!("{what}: failed, but otherwise than by the sandbox: {error}")),
            Ok(()) => Err(format!("{what}: possible")),
        };
        let others = [
            ("changing the rights of a file elsewhere", change_rights(&program)),
            ("changing the owner of a file elsewhere", change_owner(&program)),
            ("setting an attribute of a file elsewhere", set_attribute(&program)),
            ("creating a pipe elsewhere", make_pipe(&outside)),
            ("connecting to a unix socket", UnixStream::connect(&outside).map(drop)),
            ("changing the limits of another process", change_limits(other_id)),
            ("changing the priority of another process", change_priority(other_id)),
            ("sending a signal to another process", send_signal(other_id)),
            ("setting up a terminal", set_up_terminal()),
        ];
        let mut results = vec![
            refused("running a program", Command::new(&program).arg("--version").output().map(drop)),
            refused("reading a file elsewhere", fs::File::open(&program).map(drop)),
            refused(
                "writing a file elsewhere",
                fs::write(&outside, b"").and_then(|()| fs::remove_file(&outside)),
            ),
        ];
        results.extend(others.into_iter().map(|(what, done)| refused(what, done)));
        if has_folder {
            let write = fs::write(&inside, b"").and_then(|()| fs::remove_file(&inside));
            results.push(refused("creating a pipe in the data folder", make_pipe(&inside)));
            results.push(match write {
                Ok(()) => Ok("writing in the data folder: possible".into()),
                Err(error) => Err(format!("writing in the data folder: {error}")),
            });
        }
        results
    });
    let tried = tried.join().map_err(|_| anyhow::anyhow!("the test of the sandbox panicked"))?;
    let _ = other.wait();
    tried.into_iter().for_each(|result| findings.add("sandbox", result));
    Ok(())
}

// Each attempt leaves things as they are, should it succeed.

fn change_rights(file: &Path) -> io::Result<()> {
    let mode = Mode::from_raw_mode(fs::metadata(file)?.mode() & 0o7777);
    Ok(rustix::fs::chmodat(CWD, file, mode, AtFlags::empty())?)
}

fn change_owner(file: &Path) -> io::Result<()> {
    Ok(rustix::fs::chownat(CWD, file, None, None, AtFlags::empty())?)
}

fn set_attribute(file: &Path) -> io::Result<()> {
    Ok(rustix::fs::setxattr(file, "user.tintype", b"", XattrFlags::REPLACE)?)
}

fn make_pipe(at: &Path) -> io::Result<()> {
    rustix::fs::mknodat(CWD, at, FileType::Fifo, Mode::RUSR, 0)?;
    fs::remove_file(at)
}

fn change_limits(other: Pid) -> io::Result<()> {
    rustix::process::prlimit(Some(other), Resource::Core, getrlimit(Resource::Core))?;
    Ok(())
}

fn change_priority(other: Pid) -> io::Result<()> {
    let priority = rustix::process::getpriority_process(Some(other))?;
    Ok(rustix::process::setpriority_process(Some(other), priority)?)
}

fn send_signal(other: Pid) -> io::Result<()> {
    Ok(rustix::process::test_kill_process(other)?)
}

/// Any request to a terminal but those that ask what it is: refused before it is known whether this is one.
fn set_up_terminal() -> io::Result<()> {
    Ok(rustix::termios::tcflow(io::stdout(), rustix::termios::Action::OOn)?)
}
