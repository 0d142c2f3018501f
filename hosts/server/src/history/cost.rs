//! What the same work would have cost on Lambda.
//! Sources: AWS, "AWS Lambda Pricing", us-east-1, first tier; "Configure Lambda function memory" (1,769 MB is one
//! vCPU).

/// Dollars a million requests.
pub const REQUESTS: f64 = 0.20;
/// Memory that comes with one whole vCPU, in MB. A single thread gains nothing beyond.
const ONE_CPU_MB: f64 = 1769.0;

/// How many times as long a call takes with this memory as with a whole vCPU.
#[must_use]
pub fn slowdown(memory_mb: u64) -> f64 {
    (ONE_CPU_MB / memory_mb as f64).max(1.0)
}

/// Dollars a GB-second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Price {
    /// The processors.
    pub architecture: &'static str,
    /// Dollars.
    pub per_gb_s: f64,
}

impl Price {
    /// Each architecture's.
    pub const ALL: [Self; 2] = [
        Self { architecture: "arm64", per_gb_s: 0.000_013_333_4 },
        Self { architecture: "x86_64", per_gb_s: 0.000_016_666_7 },
    ];
}

/// Dollars, by what they are paid for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cost {
    /// For requests.
    pub requests: f64,
    /// For memory over time.
    pub duration: f64,
    /// Gigabytes times seconds.
    pub gb_s: f64,
}

impl Cost {
    /// All of it.
    #[must_use]
    pub fn total(&self) -> f64 {
        self.requests + self.duration
    }
}

/// The cost of `invocations` that took `billed_ms` together on a whole CPU, with `memory_mb` of memory each.
#[must_use]
pub fn cost(price: Price, invocations: u64, billed_ms: u64, memory_mb: u64) -> Cost {
    let gb_s = billed_ms as f64 * slowdown(memory_mb) / 1e3 * memory_mb as f64 / 1024.0;
    Cost { requests: invocations as f64 / 1e6 * REQUESTS, duration: gb_s * price.per_gb_s, gb_s }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_million_calls_of_a_tenth_of_a_second() {
        let large = cost(Price::ALL[1], 1_000_000, 100_000_000, 2048);
        assert!((large.requests - 0.2).abs() < 1e-9);
        assert!((large.gb_s - 200_000.0).abs() < 1e-6);
        assert!((large.total() - 3.533_34).abs() < 1e-6);
        // 512 MB come with 0.29 of a vCPU: a tenth of a second becomes 0.3455.
        let small = cost(Price::ALL[1], 1_000_000, 100_000_000, 512);
        assert!((small.gb_s - 172_753.906).abs() < 1e-2, "{small:?}");
    }
}
