//! `tintype cost`: measured milliseconds and memory as dollars on AWS.
//! Source: AWS, "S3 pricing" and "CloudWatch pricing" (us-east-1); of Lambda's prices, `history::cost`.

use std::path::PathBuf;

use clap::Args;
use serde::Deserialize;
use serde_json::json;

use super::{OK, output};
use crate::history::{Price, REQUESTS, slowdown};

/// The output of bench/lambda/measure.py.
const MEASURED: &str = include_str!("../../../../bench/lambda/measured.json");

/// Memory sizes to compare, in MB.
const SIZES: [u32; 10] = [128, 192, 256, 384, 512, 768, 1024, 1769, 3008, 10240];
/// Dollars a million calls of S3: GET and HEAD, PUT and LIST.
const S3_READS: f64 = 0.40;
const S3_WRITES: f64 = 5.0;
/// Dollars a GB of log lines that CloudWatch takes in.
const LOGS_GB: f64 = 0.50;
/// Dollars of metrics: Lambda publishes its own at no cost, and others are off unless the template's CustomMetrics is set.
const METRICS: f64 = 0.0;
/// Bytes that CloudWatch adds to each line.
const LINE: f64 = 26.0;

/// The arguments.
#[derive(Debug, Args)]
#[command(after_help = "\
Times are those in bench/lambda/measured.json, of one vCPU, beside the usual function of Pillow and boto3 under the
same emulator and store. Below one vCPU all of a call's time is taken to grow in proportion: 1,769 MB / memory. It does
for computing and for what a call spends on HTTP, TLS and copying, but not for waiting on the network: small sizes come
out dearer than they are, for both functions. The total has requests, S3's calls and logs. Lambda's own metrics cost
nothing, and the template's dashboard reads the log: those of its parameter CustomMetrics cost 0.30 $ a month each.

Examples:
  tintype cost
  tintype cost --arm64 --image progressive
  tintype cost --compute-ms 12.5 --store-ms 30 --peak-mb 45")]
pub(super) struct Cost {
    /// Prices of arm64 instead of x86_64
    #[arg(long)]
    arm64: bool,
    /// Only images whose name contains this
    #[arg(long, alias = "picture", value_name = "TEXT")]
    image: Option<String>,
    /// Other measurements, in the same form
    #[arg(long, value_name = "FILE", conflicts_with = "compute_ms")]
    measured: Option<PathBuf>,
    /// A measurement of your own: milliseconds of computing on one vCPU
    #[arg(long, value_name = "MS", value_parser = amount)]
    compute_ms: Option<f64>,
    /// … milliseconds of waiting for the store
    #[arg(long, value_name = "MS", default_value = "0", value_parser = amount, requires = "compute_ms")]
    store_ms: f64,
    /// … and the most memory, in MB
    #[arg(long, value_name = "MB", default_value = "40", value_parser = amount, requires = "compute_ms")]
    peak_mb: f64,
}

fn amount(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(amount) if amount >= 0.0 && amount.is_finite() => Ok(amount),
        _ => Err("write a number, 0 or more".into()),
    }
}

#[derive(Debug, Deserialize)]
struct Measurements {
    #[serde(rename = "pictures")]
    images: Vec<ImageMeasurements>,
}

#[derive(Debug, Deserialize)]
struct ImageMeasurements {
    name: String,
    tintype: Measurement,
    pillow: Measurement,
}

/// One function on one image.
#[derive(Debug, Clone, Copy, Deserialize)]
struct Measurement {
    compute_ms: f64,
    store_ms: f64,
    peak_mb: f64,
}

/// Calls of S3 a thumbnail, and bytes of log.
#[derive(Debug, Clone, Copy)]
struct Calls {
    reads: f64,
    writes: f64,
    logged: f64,
}

/// Of a fresh upload GET of the source and PUT: an event that is retried or backfilled looks first, and with
/// `mirror_deletes` the source is looked at once more. One line, of 420 bytes with names as in the reference design: the
/// template has Lambda log its own lines at level WARN, and metrics of the function's own are off.
const TINTYPE: Calls = Calls { reads: 1.0, writes: 1.0, logged: 420.0 + LINE };
/// GET and PUT: it neither knows what is up to date nor which version is the newest. Lambda's three lines START, END and
/// REPORT, and none of the function's.
const PILLOW: Calls = Calls { reads: 1.0, writes: 1.0, logged: 320.0 + 3.0 * LINE };

impl Calls {
    /// Dollars of S3 for a million thumbnails.
    fn dollars(self) -> f64 {
        self.reads * S3_READS + self.writes * S3_WRITES
    }

    /// Dollars of logs for a million thumbnails.
    fn logs(self) -> f64 {
        self.logged * 1e6 / f64::from(1 << 30) * LOGS_GB
    }
}

/// A million thumbnails at one memory size.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Million {
    memory_mb: u32,
    /// What Lambda bills for one, in milliseconds.
    billed_ms: f64,
    /// Dollars for GB-seconds.
    compute: f64,
}

impl Measurement {
    fn million(self, memory_mb: u32, gb_second: f64) -> Million {
        let whole = (self.compute_ms + self.store_ms) * slowdown(memory_mb.into());
        // What is a whole number is not to be rounded up for its last bits.
        let billed_ms = (whole - 1e-9).ceil().max(1.0);
        let gb_seconds = f64::from(memory_mb) / 1024.0 * billed_ms / 1e3;
        Million { memory_mb, billed_ms, compute: gb_seconds * gb_second * 1e6 }
    }

    /// At every size that holds it.
    fn millions(self, gb_second: f64) -> Vec<Million> {
        let fits = SIZES.into_iter().filter(|size| f64::from(*size) >= self.peak_mb);
        fits.map(|size| self.million(size, gb_second)).collect()
    }

    fn cheapest(self, gb_second: f64) -> Option<Million> {
        self.millions(gb_second).into_iter().min_by(|a, b| a.compute.total_cmp(&b.compute))
    }
}

impl Cost {
    pub(super) fn run(self) -> anyhow::Result<u8> {
        let [arm64, x86_64] = Price::ALL;
        let gb_second = if self.arm64 { arm64 } else { x86_64 }.per_gb_s;
        if let Some(compute_ms) = self.compute_ms {
            let own = Measurement { compute_ms, store_ms: self.store_ms, peak_mb: self.peak_mb };
            show("your measurement", "function", own, TINTYPE, gb_second);
            return Ok(OK);
        }
        let json = match &self.measured {
            None => MEASURED.to_owned(),
            Some(path) => std::fs::read_to_string(path)
                .map_err(|error| anyhow::anyhow!("{}: {error}", path.display()))?,
        };
        let measurements: Measurements = serde_json::from_str(&json).map_err(|error| {
            anyhow::anyhow!("the measurements are not as bench/lambda/measure.py writes them: {error}")
        })?;
        let text = self.image.unwrap_or_default();
        let mut images = measurements.images.iter().filter(|image| image.name.contains(&text)).peekable();
        if images.peek().is_none() {
            let names: Vec<_> = measurements.images.iter().map(|image| image.name.as_str()).collect();
            anyhow::bail!("no image's name contains \"{text}\"; there are: {}", names.join(", "));
        }
        for image in images {
            show(&image.name, "tintype", image.tintype, TINTYPE, gb_second);
            show(&image.name, "pillow", image.pillow, PILLOW, gb_second);
            compare(image, gb_second);
        }
        Ok(OK)
    }
}

fn show(image: &str, function: &str, measured: Measurement, calls: Calls, gb_second: f64) {
    let millions = measured.millions(gb_second);
    let cheapest = measured.cheapest(gb_second).map(|million| million.compute);
    output::print(
        || {
            let head = format!(
                "{image}, {function}: {} ms of computing on one vCPU, {} ms of store, {} MB\n  {:>9} {:>10} {:>14} {:>10}\n",
                measured.compute_ms,
                measured.store_ms,
                measured.peak_mb,
                "memory",
                "billed",
                "GB-seconds",
                "total"
            );
            let rows = millions.iter().map(|million| {
                format!(
                    "  {:>6} MB {:>7} ms {:>12.2} $ {:>8.2} $\n",
                    million.memory_mb,
                    million.billed_ms,
                    million.compute,
                    million.compute + REQUESTS + calls.dollars() + calls.logs()
                )
            });
            let rest = format!(
                "  a million thumbnails; the total has {REQUESTS:.2} $ of requests, {:.2} $ of S3's and {:.2} $ of logs\n",
                calls.dollars(),
                calls.logs()
            );
            let watching = cheapest.map_or_else(String::new, |least| {
                format!(
                    "  logs, {:.2} $, and metrics, {METRICS:.2} $, are {:.0} % of computing at its cheapest, {:.2} $\n",
                    calls.logs(),
                    100.0 * (calls.logs() + METRICS) / least,
                    least
                )
            });
            head + &rows.collect::<String>() + &rest + &watching
        },
        || {
            json!({
                "picture": image,
                "function": function,
                "compute_ms": measured.compute_ms,
                "store_ms": measured.store_ms,
                "peak_mb": measured.peak_mb,
                "requests_dollars": REQUESTS,
                "s3_dollars": rounded(calls.dollars()),
                "logs_dollars": rounded(calls.logs()),
                "metrics_dollars": METRICS,
                "least_gb_second_dollars": cheapest.map(rounded),
                "sizes": millions.iter().map(|million| json!({
                    "memory_mb": million.memory_mb,
                    "billed_ms": million.billed_ms,
                    "gb_second_dollars": rounded(million.compute),
                })).collect::<Vec<_>>(),
            })
        },
    );
}

/// Both at the size where each is cheapest.
fn compare(image: &ImageMeasurements, gb_second: f64) {
    let (Some(own), Some(pillow)) = (image.tintype.cheapest(gb_second), image.pillow.cheapest(gb_second))
    else {
        return;
    };
    output::print(
        || {
            format!(
                "  each at its cheapest: {:.2} $ at {} MB against {:.2} $ at {} MB, {:.1} times as much\n",
                own.compute,
                own.memory_mb,
                pillow.compute,
                pillow.memory_mb,
                pillow.compute / own.compute
            )
        },
        || {
            json!({
                "picture": image.name,
                "cheapest": {
                    "tintype": {"memory_mb": own.memory_mb, "gb_second_dollars": rounded(own.compute)},
                    "pillow": {"memory_mb": pillow.memory_mb, "gb_second_dollars": rounded(pillow.compute)},
                },
                "ratio": rounded(pillow.compute / own.compute),
            })
        },
    );
}

/// Without the digits that only show how floating-point numbers are added.
fn rounded(value: f64) -> f64 {
    (value * 1e6).round() / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARM64: f64 = Price::ALL[0].per_gb_s;
    const X86_64: f64 = Price::ALL[1].per_gb_s;
    const ONE: Measurement = Measurement { compute_ms: 10.0, store_ms: 20.0, peak_mb: 40.0 };

    #[test]
    fn a_call_takes_longer_below_one_cpu() {
        assert_eq!(ONE.million(1769, X86_64).billed_ms, 30.0);
        assert_eq!(ONE.million(10240, X86_64).billed_ms, 30.0);
        // 30 ms * 1769 / 128 = 414.6 ms, billed in whole milliseconds.
        assert_eq!(ONE.million(128, X86_64).billed_ms, 415.0);
    }

    #[test]
    fn dollars_of_a_million() {
        // 1 GB for 100 ms, a million times, is 100,000 GB-seconds.
        let hundred = Measurement { compute_ms: 100.0 / 1769.0 * 1024.0, store_ms: 0.0, peak_mb: 1.0 };
        let million = hundred.million(1024, X86_64);
        assert_eq!(million.billed_ms, 100.0);
        assert!((million.compute - 1.666_67).abs() < 1e-4, "{million:?}");
        assert!((hundred.million(1024, ARM64).compute - 1.333_34).abs() < 1e-4);
    }

    #[test]
    fn a_size_that_is_too_small_is_left_out() {
        let large = Measurement { peak_mb: 300.0, ..ONE };
        assert_eq!(large.millions(X86_64)[0].memory_mb, 384);
        // Below one vCPU a call costs the same at every size, but for what is rounded up.
        assert_eq!(ONE.cheapest(X86_64).map(|million| million.memory_mb), Some(1769));
    }

    #[test]
    fn logs_cost_no_more_than_computing() {
        let stored: Measurements = serde_json::from_str(MEASURED).unwrap();
        for image in stored.images {
            let cheapest = image.tintype.cheapest(X86_64).unwrap();
            assert!(TINTYPE.logs() + METRICS <= cheapest.compute, "{}: {cheapest:?}", image.name);
        }
        // 1 KiB a thumbnail.
        let kilobyte = Calls { reads: 0.0, writes: 0.0, logged: 1024.0 };
        assert!((kilobyte.logs() - 0.476_837).abs() < 1e-6);
    }

    #[test]
    fn the_stored_measurements_can_be_read() {
        let stored: Measurements = serde_json::from_str(MEASURED).unwrap();
        assert!(!stored.images.is_empty());
    }
}
