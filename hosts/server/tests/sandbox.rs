//! The sandbox, in the real program: in force in every thread, and nothing that a server does fails for it.
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

/// Whether the kernel that the tests run on can hold it; said aloud where not.
fn kernel_has_none(output: &Output) -> bool {
    let words = String::from_utf8_lossy(&output.stderr);
    let none = words.contains("the sandbox is required, but this kernel does not hold it");
    if none {
        eprintln!("not tried: {words}");
    }
    none
}

#[test]
fn what_it_forbids_is_refused_and_what_a_server_does_works() {
    let folder = tempfile::tempdir().unwrap();
    let demo = tintype(folder.path(), &["demo", "--once"]).output().unwrap();
    if kernel_has_none(&demo) {
        return;
    }
    assert!(demo.status.success(), "{}", String::from_utf8_lossy(&demo.stderr));

    let check = tintype(folder.path(), &["check", "--sandbox"]).output().unwrap();
    let text = String::from_utf8(check.stdout).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let tried: Vec<_> = lines.filter(|line| line["check"] == "sandbox").collect();
    assert_eq!(tried.len(), 4, "{text}");
    assert!(tried.iter().all(|line| line["ok"] == true), "{text}");
    assert!(check.status.success(), "{text}");

    // The same trial finds everything possible where there is no sandbox.
    let off = tintype(folder.path(), &["check", "--sandbox"]).env("TINTYPE_SANDBOX", "off").output().unwrap();
    assert!(String::from_utf8_lossy(&off.stdout).contains("switched off"));
}

#[test]
fn it_is_in_force_in_every_thread_of_a_server() {
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
        assert!(kernel_has_none(&Output { status, stdout: Vec::new(), stderr }), "the server did not start");
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

/// A program begun where Landlock is not to be had, as on kernels without it: seccomp filters hold for what a thread
/// begins, so its first call fails as one that the kernel does not know.
fn without_landlock(mut command: Command) -> Output {
    let begin = move || {
        let rules = [(libc::SYS_landlock_create_ruleset, Vec::new())].into();
        let unknown = SeccompAction::Errno(libc::ENOSYS as u32);
        let arch = std::env::consts::ARCH.try_into().unwrap();
        let filter = SeccompFilter::new(rules, SeccompAction::Allow, unknown, arch).unwrap();
        seccompiler::apply_filter(&BpfProgram::try_from(filter).unwrap()).unwrap();
        command.output().unwrap()
    };
    std::thread::spawn(begin).join().unwrap()
}

#[test]
fn where_the_kernel_has_no_landlock_that_is_told_and_lived_with_unless_required() {
    let folder = tempfile::tempdir().unwrap();
    let mut demo = tintype(folder.path(), &["demo", "--once"]);
    demo.env("TINTYPE_SANDBOX", "auto");
    let lived_with = without_landlock(demo);
    let words = String::from_utf8_lossy(&lived_with.stderr).into_owned();
    assert!(lived_with.status.success(), "{words}");
    assert!(words.contains("the sandbox does not hold everything: files (Landlock) not at all"), "{words}");
    assert!(!words.contains("(seccomp) not at all"), "the other one holds: {words}");

    // One of the two is enough to run no other program.
    let mut check = tintype(folder.path(), &["check", "--sandbox"]);
    check.env("TINTYPE_SANDBOX", "auto");
    let tried = String::from_utf8(without_landlock(check).stdout).unwrap();
    assert!(tried.contains("running a program: refused"), "{tried}");
    assert!(tried.contains("writing a file elsewhere: possible"), "Landlock was there all the same: {tried}");

    let required = without_landlock(tintype(folder.path(), &["demo", "--once"]));
    assert!(!required.status.success() && kernel_has_none(&required));
}
