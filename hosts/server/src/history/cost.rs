//! What the same work would have cost on Lambda.
//! Sources: AWS, "AWS Lambda Pricing", us-east-1, first tier; "Configure Lambda function memory" (1,769 MB is one
//! vCPU).

/// Dollars per million requests.
pub const REQUESTS: f64 = 0.20;
/// Memory in MB at which a function has one whole vCPU. A single thread gains nothing beyond.
const ONE_CPU_MB: f64 = 1769.0;

/// How many times longer a call takes with this memory than with a whole vCPU.
#[must_use]
pub fn slowdown(memory_mb: u64) -> f64 {
    (ONE_CPU_MB / memory_mb as f64).max(1.0)
}

/// The price of memory over time on one architecture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Price {
    /// As Lambda names it.
    pub architecture: &'static str,
    /// Dollars per GB-second.
    pub per_gb_s: f64,
}

impl Price {
    /// Each architecture's.
    pub const ALL: [Self; 2] = [
        Self { architecture: "arm64", per_gb_s: 0.000_013_333_4 },
        Self { architecture: "x86_64", per_gb_s: 0.000_016_666_7 },
    ];
}

/// A cost in dollars, by what it is paid for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cost {
    /// For requests.
    pub requests: f64,
    /// For memory over time.
    pub duration: f64,
    /// GB-seconds billed.
    pub gb_s: f64,
}

impl Cost {
    /// The sum.
    #[must_use]
    pub fn total(&self) -> f64 {
        self.requests + self.duration
    }
}

/// The cost of `invocations` that took `billed_ms` in total on a whole vCPU, with `memory_mb` of memory each.
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
        // With 512 MB a function has 0.29 of a vCPU: a tenth of a second becomes 0.3455.
        let small = cost(Price::ALL[1], 1_000_000, 100_000_000, 512);
        assert!((small.gb_s - 172_753.906).abs() < 1e-2, "{small:?}");
    }
}
