//! The server put together, told to end while its disk does not answer.

mod common;

use std::{io::Write as _, net::TcpStream, sync::Arc, time::Duration};

use common::{eventually, settings};
use tintype::{disk::RealDisk, server::Server};
use tintype_faulty_disk::{Faults, FaultyDisk};

/// Far more than it may take; without a bound it would never end.
const FOR_EVER: Duration = Duration::from_secs(120);

#[test]
fn it_ends_although_nothing_on_the_disk_does() {
    let data = tempfile::tempdir().unwrap();
    let faults = Arc::new(Faults::default());
    let disk = Arc::new(FaultyDisk::new(Arc::new(RealDisk), faults.clone()));
    let settings = settings(data.path(), "[listen]\ns3 = \"127.0.0.1:0\"\nhttp = \"127.0.0.1:0\"\n");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let server = runtime.block_on(Server::start_on(disk, settings, |_| None)).unwrap();
    faults.hold_everything(true);
    // An image to be stored: its file is synced, which hangs, and whoever looks at the queue hangs with the ledger.
    let mut client = TcpStream::connect(server.http).unwrap();
    let mut picture = Vec::new();
    jpeg_encoder::Encoder::new(&mut picture, 80)
        .encode(&[90; 64 * 48], 64, 48, jpeg_encoder::ColorType::Luma)
        .unwrap();
    write!(
        client,
        "POST /dev1/myimage?key=a.jpg HTTP/1.1\r\nhost: {}\r\ncontent-type: image/jpeg\r\ncontent-length: {}\r\n\r\n",
        server.http,
        picture.len()
    )
    .unwrap();
    client.write_all(&picture).unwrap();
    eventually("something hangs", || faults.held() > 0);
    let stopped = runtime.block_on(async { tokio::time::timeout(FOR_EVER, server.stop()).await });
    // First, or a failure would hang with what does.
    faults.hold_everything(false);
    assert!(stopped.is_ok(), "it never ended");
}
