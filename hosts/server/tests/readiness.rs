//! `/readyz` of a running server on a disk that fails or hangs.

mod common;

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    sync::Arc,
};

use common::{eventually, settings};
use tintype::{disk::RealDisk, server::Server};
use tintype_faulty_disk::{Faults, FaultyDisk};

/// Requests: far more than there may be checks meanwhile.
const REQUESTS: usize = 40;

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
        // A failed test must not hang with its disk.
        self.faults.hang_all(false);
        if let Some(server) = self.server.take() {
            self.runtime.block_on(server.stop());
        }
    }
}

fn get(http: SocketAddr, path: &str) -> (u16, String) {
    let mut client = TcpStream::connect(http).unwrap();
    write!(client, "GET {path} HTTP/1.1\r\nhost: {http}\r\nconnection: close\r\n\r\n").unwrap();
    let mut response = String::new();
    client.read_to_string(&mut response).unwrap();
    let status = response.split(' ').nth(1).unwrap().parse().unwrap();
    let (_, body) = response.split_once("\r\n\r\n").unwrap();
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
fn a_hanging_disk_is_not_ready_and_blocks_few_threads() {
    let running = Running::start();
    running.faults.hang_all(true);
    let clients: Vec<_> = (0..REQUESTS)
        .map(|_| {
            std::thread::spawn({
                let http = running.http;
                move || readyz(http)
            })
        })
        .collect();
    for client in clients {
        let (status, message) = client.join().unwrap();
        assert_eq!(status, 503, "{message}");
        assert!(message.contains("has not answered for"), "{message}");
    }
    assert!(running.faults.hanging() < REQUESTS / 4, "{} threads hang", running.faults.hanging());
    running.faults.hang_all(false);
    eventually("it is ready again", || readyz(running.http).0 == 200);
}

/// Far fewer than there are threads that may wait for a disk.
const PATIENT: usize = 24;

#[test]
fn while_the_disk_hangs_health_page_and_figures_are_answered() {
    let running = Running::start();
    let http = running.http;
    let disk_free = |metrics: &str| metrics.contains("\ntintype_disk_free_bytes{");
    assert!(disk_free(&get(http, "/metrics").1));
    running.faults.hang_all(true);
    let ask = |path: &'static str| std::thread::spawn(move || get(http, path));
    let pages: Vec<_> = (0..PATIENT).map(|_| ask("/")).collect();
    let metrics: Vec<_> = (0..PATIENT).map(|_| ask("/metrics")).collect();
    for _ in 0..PATIENT {
        assert_eq!(ask("/healthz").join().unwrap().0, 200);
    }
    for page in pages {
        let (status, page) = page.join().unwrap();
        assert!(status == 200 || page.contains("has not answered for"), "{status} {page}");
    }
    for metrics in metrics {
        let (status, metrics) = metrics.join().unwrap();
        assert!(status == 200 && disk_free(&metrics), "{status} {metrics}");
    }
    // Those that nobody waits for any more are few: of the pages those admitted at once, one of the figures.
    assert!(running.faults.hanging() <= 16 + 8, "{} threads hang", running.faults.hanging());
    running.faults.hang_all(false);
    eventually("the page is back", || get(http, "/").0 == 200);
}

#[test]
fn free_space_that_cannot_be_read_has_no_value() {
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
fn frequent_readiness_checks_cause_few_syncs() {
    let running = Running::start();
    assert_eq!(readyz(running.http).0, 200);
    let before = running.faults.syncs();
    for _ in 0..REQUESTS {
        assert_eq!(readyz(running.http).0, 200);
    }
    let syncs = running.faults.syncs() - before;
    assert!(syncs < REQUESTS as u64 / 2, "{syncs} syncs");
}
