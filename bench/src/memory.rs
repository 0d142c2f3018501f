//! Peak memory over many consecutive uploads of large images.

use std::time::Duration;

use clap::Args;

use crate::{client::Client, process::Server, sample_images};

#[derive(Debug, Args)]
pub(crate) struct Memory {
    /// Uploads
    #[arg(long, default_value_t = 1000)]
    uploads: u32,
}

impl Memory {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        let server = Server::start(&folder.path().join("data"))?;
        let source = Client::new(
            &server.s3,
            "input-product-images",
            &server.access_key_id,
            &server.secret_access_key,
        )?;
        let destination = source.with_bucket("output-product-thumbnail")?;
        let images =
            (0..4).map(|seed| sample_images::jpeg(4000, 3000, seed)).collect::<Result<Vec<_>, _>>()?;
        let idle = server.memory_kib("VmRSS")?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            for number in 0..self.uploads {
                let mut bytes = images[number as usize % images.len()].clone();
                bytes.extend(number.to_le_bytes());
                // Sixteen keys in turn, so that the disk does not fill up.
                source.put(&format!("memory/{}.jpg", number % 16), bytes.into()).await?;
                if (number + 1) % 100 == 0 {
                    println!(
                        "  after {:>4} uploads: resident {:>6.1} MB, peak {:>6.1} MB",
                        number + 1,
                        server.memory_kib("VmRSS")? as f64 * 1.024 / 1e3,
                        server.memory_kib("VmHWM")? as f64 * 1.024 / 1e3
                    );
                }
            }
            for key in 0..16.min(self.uploads) {
                while destination.get(&format!("thumb_memory/{key}.jpg")).await?.is_none() {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
            anyhow::Ok(())
        })?;
        println!(
            "{} uploads of 4000x3000 JPEGs ({:.1} MB) in a row: idle {:.1} MB, peak {:.1} MB",
            self.uploads,
            images[0].len() as f64 / 1e6,
            idle as f64 * 1.024 / 1e3,
            server.memory_kib("VmHWM")? as f64 * 1.024 / 1e3
        );
        server.stop()
    }
}
