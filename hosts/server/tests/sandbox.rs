//! The sandbox in the real program: it is in force in every thread, and a server works in it.
#![cfg(target_os = "linux")]

use std::{
    fs,
    io::{BufRead as _, BufReader},
    process::{Command, Output, Stdio},
};

use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};

const PROGRAM: &str = env!("CARGO_BIN_EXE_tintype");
const PORTS: [&str; 4] = ["--s3", "127.0.0.1:0", "--http", "127.0.0.1:0"];

fn tintype(folder: &std::path::Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(arguments).args(["--data", "data"]).args(PORTS).current_dir(folder);
    command.env("TINTYPE_SANDBOX", "require");
    command
}

/// Whether a run failed because the kernel cannot enforce the sandbox; the test is then skipped.
fn is_unsupported(output: &Output) -> bool {
    let log = String::from_utf8_lossy(&output.stderr);
    let is_unsupported = log.contains("the sandbox is required, but this kernel cannot enforce it");
    if is_unsupported {
        eprintln!("skipped: {log}");
    }
    is_unsupported
}

#[test]
fn forbidden_operations_are_refused_and_the_server_works() {
    let folder = tempfile::tempdir().unwrap();
    let demo = tintype(folder.path(), &["demo", "--once"]).output().unwrap();
    if is_unsupported(&demo) {
        return;
    }
    assert!(demo.status.success(), "{}", String::from_utf8_lossy(&demo.stderr));

    let check = tintype(folder.path(), &["check", "--sandbox"]).output().unwrap();
    let text = String::from_utf8(check.stdout).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let attempts: Vec<_> = lines.filter(|line| line["check"] == "sandbox").collect();
    assert_eq!(attempts.len(), 14, "{text}");
    assert!(attempts.iter().all(|line| line["ok"] == true), "{text}");
    assert!(check.status.success(), "{text}");

    // Switched off, nothing is tried.
    let off = tintype(folder.path(), &["check", "--sandbox"]).env("TINTYPE_SANDBOX", "off").output().unwrap();
    assert!(String::from_utf8_lossy(&off.stdout).contains("switched off"));
}

#[test]
fn the_sandbox_is_in_force_in_every_thread_of_a_server() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = tintype(folder.path(), &["serve"])
        .stdout(Stdio::piped())
        .stderr(fs::File::create(folder.path().join("log")).unwrap())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
    if line.is_empty() {
        let status = server.wait().unwrap();
        let stderr = fs::read(folder.path().join("log")).unwrap();
        assert!(is_unsupported(&Output { status, stdout: Vec::new(), stderr }), "the server did not start");
        return;
    }
    let threads: Vec<_> = fs::read_dir(format!("/proc/{}/task", server.id()))
        .unwrap()
        .filter_map(|thread| fs::read_to_string(thread.unwrap().path().join("status")).ok())
        .collect();
    server.kill().unwrap();
    server.wait().unwrap();
    assert!(line.starts_with("ready:"), "{line}");
    assert!(threads.len() > 2, "{} threads", threads.len());
    for thread in threads {
        let has = |line: &str| thread.lines().any(|found| found == line);
        assert!(has("Seccomp:\t2") && has("NoNewPrivs:\t1"), "{thread}");
    }
    let log = fs::read_to_string(folder.path().join("log")).unwrap();
    assert!(log.contains("sandboxed: files by Landlock, system calls by seccomp"), "{log}");
}

/// Runs a program as on a kernel without Landlock: a seccomp filter, which child processes inherit, has Landlock's first
/// call fail with ENOSYS.
fn without_landlock(mut command: Command) -> Output {
    let run = move || {
        let rules = [(libc::SYS_landlock_create_ruleset, Vec::new())].into();
        let unknown = SeccompAction::Errno(libc::ENOSYS as u32);
        let arch = std::env::consts::ARCH.try_into().unwrap();
        let filter = SeccompFilter::new(rules, SeccompAction::Allow, unknown, arch).unwrap();
        seccompiler::apply_filter(&BpfProgram::try_from(filter).unwrap()).unwrap();
        command.output().unwrap()
    };
    std::thread::spawn(run).join().unwrap()
}

#[test]
fn a_kernel_without_landlock_is_reported_and_fatal_only_if_required() {
    let folder = tempfile::tempdir().unwrap();
    let mut demo = tintype(folder.path(), &["demo", "--once"]);
    demo.env("TINTYPE_SANDBOX", "auto");
    let auto = without_landlock(demo);
    let log = String::from_utf8_lossy(&auto.stderr).into_owned();
    assert!(auto.status.success(), "{log}");
    assert!(log.contains("the sandbox is not fully enforced: files (Landlock) not at all"), "{log}");
    assert!(!log.contains("(seccomp) not at all"), "seccomp is enforced: {log}");

    // What seccomp alone prevents.
    let mut check = tintype(folder.path(), &["check", "--sandbox"]);
    check.env("TINTYPE_SANDBOX", "auto");
    let attempts = String::from_utf8(without_landlock(check).stdout).unwrap();
    for refused in [
        "running a program",
        "changing the rights of a file elsewhere",
        "changing the owner of a file elsewhere",
        "setting an attribute of a file elsewhere",
        "creating a pipe elsewhere",
        "creating a pipe in the data folder",
        "connecting to a unix socket",
        "changing the limits of another process",
        "changing the priority of another process",
        "sending a signal to another process",
        "setting up a terminal",
    ] {
        assert!(attempts.contains(&format!("{refused}: refused")), "{attempts}");
    }
    assert!(attempts.contains("writing a file elsewhere: possible"), "Landlock is in force: {attempts}");

    let required = without_landlock(tintype(folder.path(), &["demo", "--once"]));
    assert!(!required.status.success() && is_unsupported(&required));
}
