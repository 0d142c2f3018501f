//! Peer servers.

use std::{
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use clap::Args;
use hyper_util::rt::TokioIo;
use s3s::{auth::SimpleAuth, service::S3ServiceBuilder};

/// The access key of peers.
pub(crate) const KEY: (&str, &str) = ("bench", "bench-secret-of-the-peers");

#[derive(Debug, Args)]
pub(crate) struct ServeS3sFs {
    folder: PathBuf,
    address: String,
}

impl ServeS3sFs {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(async {
            let fs = s3s_fs::FileSystem::new(&self.folder).map_err(|error| anyhow::anyhow!("{error:?}"))?;
            let mut builder = S3ServiceBuilder::new(fs);
            builder.set_auth(SimpleAuth::from_single(KEY.0, KEY.1));
            let service = builder.build();
            let listener = tokio::net::TcpListener::bind(&self.address).await?;
            loop {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                let service = service.clone();
                tokio::spawn(async move {
                    let connection = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service);
                    let _ = connection.await;
                });
            }
        })
    }
}

/// A peer's process, ended when dropped.
pub(crate) struct Peer {
    child: Child,
    pub(crate) address: String,
}

impl Peer {
    pub(crate) fn s3s_fs(folder: &std::path::Path) -> anyhow::Result<Self> {
        let address = free_address()?;
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("serve-s3s-fs").arg(folder).arg(&address);
        Self::start(command, address)
    }

    pub(crate) fn moto(program: &std::path::Path) -> anyhow::Result<Self> {
        let address = free_address()?;
        let port = address.rsplit(':').next().unwrap_or_default().to_owned();
        let mut command = Command::new(program);
        command.args(["-H", "127.0.0.1", "-p", &port]);
        Self::start(command, address)
    }

    fn start(mut command: Command, address: String) -> anyhow::Result<Self> {
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let peer = Self { child, address };
        let deadline = Instant::now() + Duration::from_secs(30);
        while std::net::TcpStream::connect(&peer.address).is_err() {
            anyhow::ensure!(Instant::now() < deadline, "a peer did not start");
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(peer)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_address() -> anyhow::Result<String> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string())
}
