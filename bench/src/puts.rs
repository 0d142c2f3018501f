//! Puts a second, beside peers, interleaved.

use std::{
    path::PathBuf,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use bytes::Bytes;
use clap::Args;

use crate::{
    client::Client,
    peers::{KEY, Peer},
    process::Server,
    statistics::median,
};

#[derive(Debug, Args)]
pub(crate) struct Puts {
    /// Clients at once
    #[arg(long, default_value_t = 8)]
    clients: u32,
    /// Bytes an object
    #[arg(long, default_value_t = 100_000)]
    bytes: usize,
    /// Seconds a round
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// Rounds for each server, in turn
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// The program moto_server, to include it
    #[arg(long, value_name = "FILE")]
    moto: Option<PathBuf>,
}

static NEXT: AtomicU64 = AtomicU64::new(0);

impl Puts {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        let server = Server::start(&folder.path().join("data"))?;
        let s3s_folder = folder.path().join("s3s-fs");
        std::fs::create_dir(&s3s_folder)?;
        let s3s = Peer::s3s_fs(&s3s_folder)?;
        let moto = self.moto.as_deref().map(Peer::moto).transpose()?;
        let mut contenders =
            vec![("tintype, durable", server.s3.clone()), ("s3s-fs, no sync", s3s.address.clone())];
        contenders.extend(moto.as_ref().map(|moto| ("moto_server, in memory", moto.address.clone())));

        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let mut rates = vec![Vec::new(); contenders.len()];
        runtime.block_on(async {
            for round in 0..=self.rounds {
                for (index, (_, address)) in contenders.iter().enumerate() {
                    let client = Client::new(address, "puts", KEY.0, KEY.1)?;
                    client.create_bucket().await?;
                    let rate = self.round(&client).await?;
                    // The first round warms up.
                    if round > 0 {
                        rates[index].push(rate);
                    }
                }
            }
            anyhow::Ok(())
        })?;
        println!(
            "{} clients, {} bytes an object, {} rounds of {} s in turn",
            self.clients, self.bytes, self.rounds, self.seconds
        );
        let ours = median(&rates[0]);
        for ((name, _), rates) in contenders.iter().zip(&rates) {
            let theirs = median(rates);
            println!("  {name:24} median {theirs:>7.0} puts/s   tintype / this = {:.2}", ours / theirs);
        }
        Ok(())
    }

    async fn round(&self, client: &Client) -> anyhow::Result<f64> {
        let body = Bytes::from(vec![0x5A; self.bytes]);
        let began = Instant::now();
        let until = began + Duration::from_secs(self.seconds);
        let clients = (0..self.clients).map(|_| {
            let (client, body) = (client.clone(), body.clone());
            async move {
                let mut count = 0_u64;
                while Instant::now() < until {
                    // No trigger watches this bucket, so only storing is measured.
                    client.put(&format!("k{}", NEXT.fetch_add(1, Ordering::Relaxed)), body.clone()).await?;
                    count += 1;
                }
                anyhow::Ok(count)
            }
        });
        let mut set = tokio::task::JoinSet::new();
        clients.for_each(|client| drop(set.spawn(client)));
        let mut count = 0;
        while let Some(done) = set.join_next().await {
            count += done??;
        }
        Ok(count as f64 / began.elapsed().as_secs_f64())
    }
}
