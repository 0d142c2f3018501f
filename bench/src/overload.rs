//! POST at four times the capacity: an open loop, which sends on its schedule whether or not earlier requests were
//! answered, like independent clients.

mod connections;
mod tally;

use std::{
    rc::Rc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use clap::Args;
use http::StatusCode;
use tokio::task::LocalSet;

use crate::{
    process::{self, Server},
    sample_images,
    statistics::{ms, percentile},
};
use connections::Connections;
use tally::{RequestResult, Tally};

/// Images sent in turn.
const IMAGES: u32 = 32;
/// Connections that measure the capacity: enough to keep every core busy, too few to be refused.
const CLOSED_LOOP: usize = 16;
/// A refusal must be fast to be useful.
const REFUSED_WITHIN: Duration = Duration::from_millis(50);

#[derive(Debug, Args)]
pub(crate) struct Overload {
    /// Seconds of overload
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// How many times the capacity is offered
    #[arg(long, default_value_t = 4.0)]
    times: f64,
    /// Seconds that the capacity is measured for
    #[arg(long, default_value_t = 10)]
    capacity_seconds: u64,
    /// The server's bound on all renders at once
    #[arg(long, default_value_t = 256)]
    total_memory_mb: u64,
}

impl Overload {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        let env = [
            ("TINTYPE_FUNCTION__TOTAL_MEMORY_MB", self.total_memory_mb.to_string()),
            ("TINTYPE_FUNCTION__MEMORY_MB", (self.total_memory_mb * 3 / 4).to_string()),
            // Measures overload, not the gateway's rate limit.
            ("TINTYPE_API__RATE", "1000000".to_owned()),
            ("TINTYPE_API__BURST", "1000000".to_owned()),
        ];
        let env = env.map(|(name, value)| (name.to_owned(), value));
        let server = Server::start_with(&folder.path().join("data"), &[], &env)?;
        let bodies = (0..IMAGES)
            .map(|seed| Ok(Bytes::from(sample_images::jpeg(1000, 750, seed)?)))
            .collect::<anyhow::Result<Vec<_>>>()?;
        let connections = Rc::new(Connections::new(&server.http, &bodies));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let local = LocalSet::new();
        runtime.block_on(local.run_until(self.measure(&server, &connections)))?;
        server.stop()
    }

    async fn measure(&self, server: &Server, connections: &Rc<Connections>) -> anyhow::Result<()> {
        closed(connections, 3).await?;
        let capacity = closed(connections, self.capacity_seconds).await?;
        println!("capacity: {capacity:.0} POST a second, by {CLOSED_LOOP} connections in a closed loop");

        let calm = open(connections, capacity / 2.0, 10).await?;
        calm.print("half the capacity offered");
        let normal = calm.latency(StatusCode::OK, 0.95);

        let (own, servers) = (process::own_cpu_seconds()?, server.cpu_seconds()?);
        let overload = open(connections, capacity * self.times, self.seconds).await?;
        let (own, servers) = (process::own_cpu_seconds()? - own, server.cpu_seconds()? - servers);
        overload.print(&format!("{} times the capacity offered for {} s", self.times, self.seconds));
        let goodput = overload.count(StatusCode::OK) as f64 / self.seconds as f64;
        let mut refused = overload.sorted(StatusCode::TOO_MANY_REQUESTS);
        refused.sort();
        let late = refused.iter().filter(|time| **time > REFUSED_WITHIN).count();
        println!(
            "  goodput {goodput:.0} a second, {:.0} % of the capacity; 429: median {}, p95 {}, p99 {}, {:.2} % later than {}",
            100.0 * goodput / capacity,
            ms(percentile(&refused, 0.5)),
            ms(percentile(&refused, 0.95)),
            ms(percentile(&refused, 0.99)),
            100.0 * late as f64 / refused.len().max(1) as f64,
            ms(REFUSED_WITHIN)
        );
        let of_a_core = |seconds: f64| 100.0 * seconds / self.seconds as f64;
        println!(
            "  CPU: the server {:.0} % of a core, this client {:.0} %",
            of_a_core(servers),
            of_a_core(own)
        );
        println!(
            "  peak memory {:.0} MB under total_memory_mb = {}",
            server.memory_kib("VmHWM")? as f64 * 1.024 / 1e3,
            self.total_memory_mb
        );

        // Second by second, immediately after the overload.
        let after = open(connections, capacity / 2.0, 5).await?;
        println!("half the capacity offered after it (p95 before: {})", ms(normal));
        for second in 0..5 {
            let part = after.second(second);
            println!(
                "  second {}: {} answered 200, {} others, p95 {}",
                second + 1,
                part.count(StatusCode::OK),
                part.answers.len() - part.count(StatusCode::OK),
                ms(part.latency(StatusCode::OK, 0.95))
            );
        }
        Ok(())
    }
}

/// Answers a second with a fixed number of clients, each sending again as soon as it was answered.
async fn closed(connections: &Rc<Connections>, seconds: u64) -> anyhow::Result<f64> {
    let began = Instant::now();
    let until = began + Duration::from_secs(seconds);
    let clients = (0..CLOSED_LOOP).map(|_| {
        let connections = connections.clone();
        tokio::task::spawn_local(async move {
            let mut count = 0_u64;
            while Instant::now() < until {
                let status = connections.post().await?;
                anyhow::ensure!(status == StatusCode::OK, "{status} below the capacity");
                count += 1;
            }
            anyhow::Ok(count)
        })
    });
    let clients: Vec<_> = clients.collect();
    let mut count = 0;
    for client in clients {
        count += client.await??;
    }
    Ok(count as f64 / began.elapsed().as_secs_f64())
}

/// Requests at random times, `rate` a second on average, each timed from when it was due.
async fn open(connections: &Rc<Connections>, rate: f64, seconds: u64) -> anyhow::Result<Tally> {
    let began = tokio::time::Instant::now();
    let length = Duration::from_secs(seconds);
    let mut chance = 0x9E37_79B9_7F4A_7C15_u64;
    let mut due = Duration::ZERO;
    let mut sent = Vec::new();
    while due < length {
        tokio::time::sleep_until(began + due).await;
        let connections = connections.clone();
        sent.push(tokio::task::spawn_local(async move {
            let status = connections.post().await;
            let status = status.unwrap_or(StatusCode::IM_A_TEAPOT);
            RequestResult { due, took: began.elapsed().saturating_sub(due), status }
        }));
        chance ^= chance << 13;
        chance ^= chance >> 7;
        chance ^= chance << 17;
        // Exponential pauses: independent arrivals (a Poisson process).
        let even = ((chance >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
        due += Duration::from_secs_f64(-even.ln() / rate);
    }
    let mut answers = Vec::with_capacity(sent.len());
    for answered in sent {
        answers.push(answered.await?);
    }
    Ok(Tally { answers })
}
