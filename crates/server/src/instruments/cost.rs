//! What the same work would have cost on Lambda.
//! Source: AWS, "AWS Lambda Pricing", us-east-1, first tier.

/// Dollars a million requests.
const REQUESTS: f64 = 0.20;

/// Dollars a GB-second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Price {
    /// The processors.
    pub architecture: &'static str,
    per_gb_s: f64,
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

/// The cost of `invocations` that are billed `billed_ms` together, with `memory_mb` of memory each.
#[must_use]
pub fn cost(price: Price, invocations: u64, billed_ms: u64, memory_mb: u64) -> Cost {
    let gb_s = billed_ms as f64 / 1e3 * memory_mb as f64 / 1024.0;
    Cost { requests: invocations as f64 / 1e6 * REQUESTS, duration: gb_s * price.per_gb_s, gb_s }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_million_calls_of_a_tenth_of_a_second() {
        let cost = cost(Price::ALL[1], 1_000_000, 100_000_000, 512);
        assert!((cost.requests - 0.2).abs() < 1e-9);
        assert!((cost.gb_s - 50_000.0).abs() < 1e-6);
        assert!((cost.total() - 1.033_335).abs() < 1e-6);
    }
}
