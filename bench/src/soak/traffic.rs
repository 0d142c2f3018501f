//! The clients: uploads, overwrites and deletes, so that the disk does not fill; their lead over the function is
//! bounded, so that the run does not measure the queue.

use std::{
    cell::Cell,
    collections::VecDeque,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use http::Method;
use tintype::http_client::HttpClient;

use super::{mix::Mix, samples::Sample};
use crate::{client::Client, process::Server};

/// Every so many uploads one replaces an earlier one instead of being a new object.
const OVERWRITE_EVERY: u64 = 10;
/// Objects retained; older ones are deleted.
const RETAINED: usize = 2000;
/// The clients pause while more events wait.
const MAX_QUEUED: u64 = 500;
const SAMPLE_INTERVAL: Duration = Duration::from_secs(1);

/// The state shared by the clients.
pub(crate) struct Traffic {
    source: Client,
    destination: Client,
    http: String,
    mix: Arc<Mix>,
    images: u64,
    /// From one upload to the next, at least.
    between: Duration,
    /// When the next is due.
    due: Cell<Instant>,
    next: Cell<u64>,
    acknowledged: Cell<u64>,
    deletes: Cell<u64>,
    must_pause: Cell<bool>,
    /// Stored objects: the number of their key, and whether their latest version is good.
    stored: std::cell::RefCell<VecDeque<(u64, bool)>>,
}

/// The result of the run.
pub(crate) struct Done {
    pub(crate) deletes: u64,
    pub(crate) dead_letters: u64,
}

fn key(number: u64) -> String {
    format!("soak/{number}.jpg")
}

impl Traffic {
    /// `rate`: uploads a second at most.
    pub(crate) fn new(server: &Server, mix: Arc<Mix>, images: u64, rate: f64) -> anyhow::Result<Self> {
        let source = server.client("input-product-images")?;
        Ok(Self {
            destination: source.with_bucket("output-product-thumbnail")?,
            source,
            http: server.http.clone(),
            mix,
            images,
            between: Duration::from_secs_f64(1.0 / rate),
            due: Cell::new(Instant::now()),
            next: Cell::new(0),
            acknowledged: Cell::new(0),
            deletes: Cell::new(0),
            must_pause: Cell::new(false),
            stored: Default::default(),
        })
    }

    async fn client(self: Rc<Self>) -> anyhow::Result<()> {
        loop {
            while self.must_pause.get() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            // A delay is not compensated: that would change the load.
            let due = self.due.get().max(Instant::now());
            self.due.set(due + self.between);
            tokio::time::sleep_until(due.into()).await;
            let number = self.next.get();
            if number == self.images {
                return Ok(());
            }
            self.next.set(number + 1);
            let image = self.mix.image(number);
            // Removed from the list while it is written, so that no other client deletes it.
            let replaced = (number % OVERWRITE_EVERY == OVERWRITE_EVERY - 1)
                .then(|| self.stored.borrow_mut().pop_back())
                .flatten();
            let named = replaced.map_or(number, |(named, _)| named);
            self.source.put(&key(named), image.numbered(number)).await?;
            self.acknowledged.set(self.acknowledged.get() + 1);
            self.stored.borrow_mut().push_back((named, image.is_good));
            let too_many = self.stored.borrow().len() > RETAINED;
            let oldest = too_many.then(|| self.stored.borrow_mut().pop_front()).flatten();
            if let Some((oldest, _)) = oldest {
                self.source.delete(&key(oldest)).await?;
                self.deletes.set(self.deletes.get() + 1);
            }
        }
    }

    /// Samples of `/metrics` by name.
    async fn metric(&self, names: &[&str]) -> anyhow::Result<Vec<u64>> {
        let url = format!("http://{}/metrics", self.http);
        let answer = HttpClient::default().send(Method::GET, &url, "", Default::default()).await?;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        let value = |name: &str| {
            let lines = text.lines().filter(|line| line.starts_with(name) && !line.starts_with('#'));
            lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum::<f64>() as u64
        };
        Ok(names.iter().map(|name| value(name)).collect())
    }
}

/// Runs the clients to the end and until every event is settled; returns the samples.
pub(crate) async fn run(
    traffic: Traffic,
    server: &Server,
    clients: u64,
) -> anyhow::Result<(Vec<Sample>, Done)> {
    let traffic = Rc::new(traffic);
    let local = tokio::task::LocalSet::new();
    let mut running: Vec<_> = (0..clients).map(|_| local.spawn_local(traffic.clone().client())).collect();
    let started = Instant::now();
    let watching = async {
        let mut samples: Vec<Sample> = Vec::new();
        loop {
            tokio::time::sleep(SAMPLE_INTERVAL).await;
            let queued = traffic.metric(&["tintype_queue_depth"]).await?[0];
            traffic.must_pause.set(queued > MAX_QUEUED);
            let images = traffic.acknowledged.get();
            samples.push(Sample {
                seconds: started.elapsed().as_secs_f64(),
                images,
                resident_kib: server.memory_kib("VmRSS")?,
                queued,
            });
            if samples.len().is_multiple_of(60) {
                println!(
                    "  {images} images, {} KiB resident, {queued} waiting",
                    samples[samples.len() - 1].resident_kib
                );
            }
            if running.iter().all(tokio::task::JoinHandle::is_finished) {
                for client in running.drain(..) {
                    client.await??;
                }
                if queued == 0 {
                    return anyhow::Ok(samples);
                }
            }
        }
    };
    let samples = local.run_until(watching).await?;

    for (number, is_good) in traffic.stored.take() {
        let mut is_rendered = false;
        // Thumbnails of formats that are not written are PNGs with an appended extension.
        for name in [format!("thumb_{}", key(number)), format!("thumb_{}.png", key(number))] {
            is_rendered = is_rendered || traffic.destination.get(&name).await?.is_some();
        }
        anyhow::ensure!(is_rendered == is_good, "{} has an unexpected outcome", key(number));
    }
    let counted = traffic
        .metric(&[
            "AsyncEventsDropped",
            "tintype_outcomes_total{function_name=\"Thumbnails\",outcome=\"failed\",reason=\"malformed\"",
            "tintype_outcomes_total{function_name=\"Thumbnails\",outcome=\"failed\",reason=\"unsupported\"",
            "tintype_outcomes_total{function_name=\"Thumbnails\",outcome=\"failed\",reason=\"too_large\"",
            "tintype_outcomes_total{function_name=\"Thumbnails\",outcome=\"failed\"",
        ])
        .await?;
    let expected: u64 = counted[1..4].iter().sum();
    anyhow::ensure!(
        counted[4] == expected,
        "{} failures, of which {expected} are of invalid images",
        counted[4]
    );
    Ok((samples, Done { deletes: traffic.deletes.get(), dead_letters: counted[0] }))
}
