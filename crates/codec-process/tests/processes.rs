//! Drawings rendered in processes: the same as in this one, and within their bounds.

use std::fs;
use std::process::ExitCode;
use std::sync::Arc;

use tintype_codec_process::{ARGUMENT, CodecProcesses};
use tintype_engine::foreign::{Job, Layout, Library, Output};
use tintype_engine::{Error, ForeignDecoder, Limits, Spec, Thumbnailer};

const MEMORY: u64 = 256 << 20;

fn main() -> ExitCode {
    if let Some(ended) = tintype_codec_process::run(std::env::args_os().skip(1)) {
        return ended;
    }
    let filter = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let tests: [(&str, fn()); 7] = [
        ("a_drawing_is_the_same_as_in_this_process", a_drawing_is_the_same_as_in_this_process),
        ("a_job_that_uses_up_its_time_is_ended", a_job_that_uses_up_its_time_is_ended),
        ("a_job_that_takes_too_much_memory_is_too_large", a_job_that_takes_too_much_memory_is_too_large),
        ("a_stopped_job_is_ended_and_the_next_one_works", a_stopped_job_is_ended_and_the_next_one_works),
        ("a_worker_that_was_killed_is_replaced", a_worker_that_was_killed_is_replaced),
        ("without_a_supervisor_the_format_is_unavailable", without_a_supervisor_the_format_is_unavailable),
        ("a_worker_has_no_rights_and_nothing_of_its_host", a_worker_has_no_rights_and_nothing_of_its_host),
    ];
    for (name, test) in tests {
        if filter.as_ref().is_none_or(|filter| name.contains(filter.as_str())) {
            test();
            println!("test {name} ... ok");
        }
    }
    ExitCode::SUCCESS
}

/// By child processes, and by a supervisor.
fn both() -> [CodecProcesses; 2] {
    [CodecProcesses::new(MEMORY), CodecProcesses::supervised(MEMORY).unwrap()]
}

const DRAWING: &[u8] = b"<svg xmlns='http://www.w3.org/2000/svg' width='90' height='70'>\
    <circle cx='40' cy='30' r='25' fill='#0a7'/><rect x='50' y='40' width='30' height='20' opacity='.5'/></svg>";

/// Noise of many octaves, over and over: seconds of work from a few bytes.
fn slow() -> Vec<u8> {
    let noise = "<feTurbulence type='turbulence' baseFrequency='0.9' numOctaves='16'/>".repeat(2000);
    format!(
        "<svg xmlns='http://www.w3.org/2000/svg' width='900' height='900'>\
         <filter id='f' x='0' y='0' width='1' height='1'>{noise}</filter>\
         <rect width='900' height='900' filter='url(#f)'/></svg>"
    )
    .into_bytes()
}

struct Nowhere;

impl Output for Nowhere {
    fn begin(&mut self, _: &Layout) -> Result<(), Error> {
        Ok(())
    }

    fn stripe(&mut self, _: &[u8]) -> Result<(), Error> {
        Ok(())
    }
}

fn decode(codecs: &CodecProcesses, svg: &[u8], side: u32, stop: &dyn Fn() -> bool) -> Result<(), Error> {
    let job = Job {
        library: Library::Svg,
        width: side,
        height: side,
        configuration: &[],
        data: svg,
        work: 0,
        share: 1,
    };
    codecs.decode(&job, stop, &mut Nowhere)
}

/// The numbers of the processes with this role that descend from this one.
fn processes(role: &str) -> Vec<u32> {
    let mut found = Vec::new();
    let all: Vec<u32> = fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    let parent = |id: u32| -> Option<u32> {
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
    };
    for id in all {
        let Ok(line) = fs::read(format!("/proc/{id}/cmdline")) else { continue };
        let line = String::from_utf8_lossy(&line).into_owned();
        let ours = std::iter::successors(Some(id), |id| parent(*id)).any(|id| id == std::process::id());
        if ours && line.contains(ARGUMENT) && line.contains(role) {
            found.push(id);
        }
    }
    found
}

fn a_drawing_is_the_same_as_in_this_process() {
    let spec = Spec { size: "64x64".parse().unwrap(), ..Spec::default() };
    let here = Thumbnailer::new().pixels(DRAWING, &spec).unwrap();
    for codecs in both() {
        let mut there = Thumbnailer::new().limits(Limits::default()).foreign_decoder(Arc::new(codecs));
        for _ in 0..3 {
            assert_eq!(there.pixels(DRAWING, &spec).unwrap(), here);
        }
        let wrong = there.pixels(b"<svg xmlns='http://www.w3.org/2000/svg'>", &spec);
        assert!(matches!(wrong, Err(Error::Malformed(_))), "{wrong:?}");
        if cfg!(target_os = "linux") {
            assert_eq!(processes("worker").len(), 1, "one worker served them all");
        }
    }
}

fn a_job_that_uses_up_its_time_is_ended() {
    for codecs in both() {
        let ended = decode(&codecs, &slow(), 900, &|| false);
        assert!(matches!(&ended, Err(Error::TooLarge(why)) if why.contains("took longer")), "{ended:?}");
        decode(&codecs, DRAWING, 50, &|| false).unwrap();
    }
}

fn a_job_that_takes_too_much_memory_is_too_large() {
    if cfg!(target_os = "linux") {
        let codecs = CodecProcesses::new(1 << 20);
        let ended = decode(&codecs, DRAWING, 8000, &|| false);
        assert!(matches!(&ended, Err(Error::TooLarge(why)) if why.contains("memory")), "{ended:?}");
        decode(&codecs, DRAWING, 50, &|| false).unwrap();
    }
}

fn a_stopped_job_is_ended_and_the_next_one_works() {
    for codecs in both() {
        let polls = std::cell::Cell::new(0);
        let stop = || {
            polls.set(polls.get() + 1);
            polls.get() > 2
        };
        let ended = decode(&codecs, &slow(), 900, &stop);
        assert!(matches!(ended, Err(Error::Stopped(_))), "{ended:?}");
        if cfg!(target_os = "linux") {
            assert!(processes("worker").is_empty(), "the worker was killed");
        }
        decode(&codecs, DRAWING, 50, &|| false).unwrap();
    }
}

fn a_worker_that_was_killed_is_replaced() {
    if cfg!(target_os = "linux") {
        for codecs in both() {
            decode(&codecs, DRAWING, 50, &|| false).unwrap();
            for id in processes("worker") {
                let id = rustix::process::Pid::from_raw(id as i32).unwrap();
                rustix::process::kill_process(id, rustix::process::Signal::KILL).unwrap();
            }
            decode(&codecs, DRAWING, 50, &|| false).unwrap();
        }
        assert!(processes("worker").is_empty(), "workers end with their host");
    }
}

fn without_a_supervisor_the_format_is_unavailable() {
    if cfg!(target_os = "linux") {
        let codecs = CodecProcesses::supervised(MEMORY).unwrap();
        decode(&codecs, DRAWING, 50, &|| false).unwrap();
        let [supervisor, worker] = ["supervisor", "worker"].map(processes);
        for id in supervisor.into_iter().chain(worker) {
            let id = rustix::process::Pid::from_raw(id as i32).unwrap();
            rustix::process::kill_process(id, rustix::process::Signal::KILL).unwrap();
        }
        for _ in 0..2 {
            let ended = decode(&codecs, DRAWING, 50, &|| false);
            assert!(matches!(ended, Err(Error::Unavailable(_))), "{ended:?}");
        }
    }
}

fn a_worker_has_no_rights_and_nothing_of_its_host() {
    if cfg!(target_os = "linux") {
        for codecs in both() {
            decode(&codecs, DRAWING, 50, &|| false).unwrap();
            let workers = processes("worker");
            assert_eq!(workers.len(), 1);
            let id = workers[0];
            let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap();
            for line in ["Seccomp:\t2", "NoNewPrivs:\t1"] {
                assert!(status.lines().any(|found| found == line), "{status}");
            }
            let ended_first = fs::read_to_string(format!("/proc/{id}/oom_score_adj")).unwrap();
            assert_eq!(ended_first.trim(), "1000");
            let variables = fs::read(format!("/proc/{id}/environ")).unwrap();
            let variables = String::from_utf8_lossy(&variables).into_owned();
            let names = variables.split('\0').filter(|variable| !variable.is_empty());
            assert!(
                names.clone().count() == 2 && names.clone().all(|name| name.starts_with("MALLOC_")),
                "{variables}"
            );
            for file in fs::read_dir(format!("/proc/{id}/fd")).unwrap() {
                let open = fs::read_link(file.unwrap().path()).unwrap().display().to_string();
                // Pipes are those of whoever runs this test.
                let is_stream = ["socket:", "pipe:", "/dev/null"].iter().any(|kind| open.starts_with(kind));
                assert!(is_stream, "{open}");
            }
            let limits = fs::read_to_string(format!("/proc/{id}/limits")).unwrap();
            let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
            assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
        }
    }
}
