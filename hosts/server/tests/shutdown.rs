//! The shutdown of a server whose disk hangs.

mod common;

use std::{io::Write as _, net::TcpStream, sync::Arc, time::Duration};

use common::{eventually, settings};
use tintype::{disk::RealDisk, server::Server};
use tintype_faulty_disk::{Faults, FaultyDisk};

/// Far longer than a shutdown may take.
const TIMEOUT: Duration = Duration::from_secs(120);

#[test]
fn a_server_stops_although_its_disk_hangs() {
    let data = tempfile::tempdir().unwrap();
    let faults = Arc::new(Faults::default());
    let disk = Arc::new(FaultyDisk::new(Arc::new(RealDisk), faults.clone()));
    let settings = settings(data.path(), "[listen]\ns3 = \"127.0.0.1:0\"\nhttp = \"127.0.0.1:0\"\n");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let server = runtime.block_on(Server::start_on(disk, settings, |_| None)).unwrap();
    faults.hang_all(true);
    // An upload: syncing its file hangs, and readers of the queue hang with the ledger.
    let mut client = TcpStream::connect(server.http).unwrap();
    let mut image = Vec::new();
    jpeg_encoder::Encoder::new(&mut image, 80)
        .encode(&[90; 64 * 48], 64, 48, jpeg_encoder::ColorType::Luma)
        .unwrap();
    write!(
        client,
        "POST /dev1/myimage?key=a.jpg HTTP/1.1\r\nhost: {}\r\ncontent-type: image/jpeg\r\ncontent-length: {}\r\n\r\n",
        server.http,
        image.len()
    )
    .unwrap();
    client.write_all(&image).unwrap();
    eventually("something hangs", || faults.hanging() > 0);
    let stopped = runtime.block_on(async { tokio::time::timeout(TIMEOUT, server.stop()).await });
    // Before the assert, so that a failed test does not hang.
    faults.hang_all(false);
    assert!(stopped.is_ok(), "the server did not stop");
}
