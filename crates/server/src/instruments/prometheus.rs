//! The instruments as Prometheus text.
//! Source: Prometheus, "Exposition formats", version 0.0.4.

use std::{
    fmt::Write as _,
    sync::atomic::{AtomicU64, Ordering},
};

use tintype_function::Reason;

use super::{Histogram, Instruments, histogram::BOUNDS_MS};

/// What is read at the moment of asking instead of being counted.
#[derive(Debug, Clone, Copy, Default)]
pub struct Gauges {
    /// Events waiting or under way.
    pub queue_depth: u64,
    /// Dead letters kept.
    pub dead_letters: u64,
    /// Bytes of sources and of renders admitted.
    pub memory_admitted: (u64, u64),
}

struct Page<'a> {
    text: String,
    function: &'a str,
}

impl Page<'_> {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn number(&mut self, name: &str, kind: &str, help: &str, value: u64) {
        self.head(name, kind, help);
        let _ = writeln!(self.text, "{name}{{function_name=\"{}\"}} {value}", self.function);
    }

    fn histogram(&mut self, name: &str, help: &str, histogram: &Histogram) {
        self.head(name, "histogram", help);
        let (cumulative, sum) = histogram.snapshot();
        let function = self.function;
        for (bound, count) in BOUNDS_MS.iter().map(ToString::to_string).chain(["+Inf".into()]).zip(cumulative)
        {
            let _ =
                writeln!(self.text, "{name}_bucket{{function_name=\"{function}\",le=\"{bound}\"}} {count}");
        }
        let count = cumulative[BOUNDS_MS.len()];
        let _ = writeln!(self.text, "{name}_sum{{function_name=\"{function}\"}} {sum}");
        let _ = writeln!(self.text, "{name}_count{{function_name=\"{function}\"}} {count}");
    }
}

impl Instruments {
    /// Everything, as Prometheus text. The eight metrics of Lambda have Lambda's own names.
    #[must_use]
    pub fn prometheus(&self, function: &str, gauges: Gauges) -> String {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let mut page = Page { text: String::new(), function };
        page.number("Invocations", "counter", "Times the function was called.", get(&self.invocations));
        page.number("Errors", "counter", "Calls that ended in an error or a time-out.", get(&self.errors));
        page.number("Throttles", "counter", "Synchronous requests refused with 429.", get(&self.throttles));
        page.histogram("Duration", "Milliseconds a call took.", &self.duration);
        page.number("ConcurrentExecutions", "gauge", "Calls under way.", get(&self.concurrent));
        page.number(
            "ConcurrentExecutions_max",
            "gauge",
            "The most calls under way at once since the start.",
            get(&self.concurrent_peak),
        );
        page.number("AsyncEventsReceived", "counter", "Events queued.", get(&self.async_received));
        page.histogram("AsyncEventAge", "Milliseconds from queued to called.", &self.async_age);
        page.number(
            "AsyncEventsDropped",
            "counter",
            "Events given up as dead letters.",
            get(&self.async_dropped),
        );

        page.histogram(
            "tintype_upload_to_thumbnail_milliseconds",
            "Milliseconds from an upload acknowledged to its thumbnail readable.",
            &self.latency,
        );
        page.head("tintype_outcomes_total", "counter", "Records by what became of them.");
        for (outcome, counter) in [
            ("made", &self.made),
            ("up_to_date", &self.up_to_date),
            ("removed", &self.removed),
            ("ignored", &self.ignored),
        ] {
            let _ = writeln!(page.text, "tintype_outcomes_total{{outcome=\"{outcome}\"}} {}", get(counter));
        }
        for (reason, counter) in Reason::ALL.iter().zip(&self.failed) {
            let (reason, count) = (reason.name(), get(counter));
            let _ = writeln!(
                page.text,
                "tintype_outcomes_total{{outcome=\"failed\",reason=\"{reason}\"}} {count}"
            );
        }
        page.number(
            "tintype_source_bytes_total",
            "counter",
            "Bytes of sources read.",
            get(&self.source_bytes),
        );
        page.number(
            "tintype_thumbnail_bytes_total",
            "counter",
            "Bytes of thumbnails written.",
            get(&self.thumbnail_bytes),
        );
        page.number("tintype_queue_depth", "gauge", "Events waiting or under way.", gauges.queue_depth);
        page.number("tintype_dead_letters", "gauge", "Dead letters kept.", gauges.dead_letters);
        page.number(
            "tintype_source_memory_bytes",
            "gauge",
            "Bytes admitted for sources.",
            gauges.memory_admitted.0,
        );
        page.number(
            "tintype_render_memory_bytes",
            "gauge",
            "Bytes admitted for renders.",
            gauges.memory_admitted.1,
        );
        page.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_eight_names_are_there() {
        let instruments = Instruments::default();
        drop(instruments.invocation());
        instruments.ended(Duration::from_millis(3), true);
        let text = instruments.prometheus("Thumbnails", Gauges::default());
        for name in [
            "Invocations{function_name=\"Thumbnails\"} 1",
            "Errors{function_name=\"Thumbnails\"} 1",
            "Throttles{",
            "Duration_count{function_name=\"Thumbnails\"} 1",
            "Duration_bucket{function_name=\"Thumbnails\",le=\"2\"} 0",
            "Duration_bucket{function_name=\"Thumbnails\",le=\"5\"} 1",
            "ConcurrentExecutions{function_name=\"Thumbnails\"} 0",
            "AsyncEventsReceived{",
            "AsyncEventAge_count{",
            "AsyncEventsDropped{",
        ] {
            assert!(text.contains(name), "{name} in\n{text}");
        }
    }
}
