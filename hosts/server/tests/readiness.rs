//! `/readyz` of a running server, over its port, on a disk that fails or hangs.

mod common;

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    sync::Arc,
};

use common::{eventually, settings};
use tintype::{disk::RealDisk, server::Server};
use tintype_faulty_disk::{Faults, FaultyDisk};

/// Far more than there may be checks while they are asked.
const MANY: usize = 40;

struct Running {
    http: SocketAddr,
    faults: Arc<Faults>,
    server: Option<Server>,
    runtime: tokio::runtime::Runtime,
    _data: tempfile::TempDir,
}

impl Running {
    fn start() -> Self {
        let data = tempfile::tempdir().unwrap();
        let faults = Arc::new(Faults::default());
        let disk = Arc::new(FaultyDisk::new(Arc::new(RealDisk), faults.clone()));
        let settings = settings(data.path(), "[listen]\ns3 = \"127.0.0.1:0\"\nhttp = \"127.0.0.1:0\"\n");
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let server = runtime.block_on(Server::start_on(disk, settings, |_| None)).unwrap();
        Self { http: server.http, faults, server: Some(server), runtime, _data: data }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Or a failed test would hang with its disk.
        self.faults.hold_everything(false);
        if let Some(server) = self.server.take() {
            self.runtime.block_on(server.stop());
        }
    }
}

fn get(http: SocketAddr, path: &str) -> (u16, String) {
    let mut client = TcpStream::connect(http).unwrap();
    write!(client, "GET {path} HTTP/1.1\r\nhost: {http}\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    (status, body.to_owned())
}

fn readyz(http: SocketAddr) -> (u16, String) {
    let (status, body) = get(http, "/readyz");
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    (status, body["message"].as_str().unwrap().to_owned())
}

#[test]
fn a_disk_that_cannot_be_written_is_not_ready_until_it_can() {
    let running = Running::start();
    assert_eq!(readyz(running.http), (200, "ready".into()));
    running.faults.set_read_only(true);
    eventually("it is not ready", || readyz(running.http).0 == 503);
    assert!(readyz(running.http).1.contains("read-only"), "{}", readyz(running.http).1);
    running.faults.set_read_only(false);
    eventually("it is ready again", || readyz(running.http).0 == 200);
}

#[test]
fn a_disk_that_hangs_is_not_ready_and_holds_up_one_check() {
    let running = Running::start();
    running.faults.hold_everything(true);
    let askers: Vec<_> = (0..MANY)
        .map(|_| {
            std::thread::spawn({
                let http = running.http;
                move || readyz(http)
            })
        })
        .collect();
    for asker in askers {
        let (status, words) = asker.join().unwrap();
        assert_eq!(status, 503, "{words}");
        assert!(words.contains("has not answered for"), "{words}");
    }
    assert!(running.faults.held() < MANY / 4, "{} threads hang", running.faults.held());
    running.faults.hold_everything(false);
    eventually("it is ready again", || readyz(running.http).0 == 200);
}

#[test]
fn space_that_cannot_be_read_has_no_figure_until_it_can() {
    let running = Running::start();
    for fails in [false, true, false] {
        running.faults.fail_space(fails);
        let (status, metrics) = get(running.http, "/metrics");
        assert_eq!(status, 200);
        for name in ["\ntintype_disk_free_bytes{", "\ntintype_disk_total_bytes{"] {
            assert_eq!(metrics.contains(name), !fails, "{name}");
        }
    }
}

#[test]
fn asking_all_the_time_does_not_wear_the_disk() {
    let running = Running::start();
    assert_eq!(readyz(running.http).0, 200);
    let before = running.faults.syncs();
    for _ in 0..MANY {
        assert_eq!(readyz(running.http).0, 200);
    }
    let syncs = running.faults.syncs() - before;
    assert!(syncs < MANY as u64 / 2, "{syncs} syncs");
}
