//! The dashboard `thumbnail`: figures, charts, the latest results.

use axum::{
    extract::{Query, State},
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use maud::{Markup, html};
use tintype_pipeline::{clock::now_ms, trigger::Trigger};
use tintype_telemetry::metrics::Metric;

use super::{
    Console,
    amounts::{bytes, count, ms, or_dash, round_bytes, round_ms},
    answers,
    charts::{self, Chart, LAMBDA, MORE},
    graph::{self, Plotted},
    html::{figure, table, time, visible},
    links,
    range::{Range, RangeQuery},
    results,
};
use crate::{
    admin::{Admin, LambdaCost, Measurements, Period, Refusal, ResultsRequest, Statistic},
    auth::{Client, Visibility},
    settings::Settings,
};

/// In place of a figure of a ledger that does not answer.
const UNREADABLE_LEDGER: &str = "the ledger cannot be read; /readyz has more";
/// A chart of less is no chart.
const LEAST_POINTS: i64 = 20;
/// A month as costs are told by it.
const MONTH_S: f64 = 30.0 * 86_400.0;
/// Results in the page as it is sent, for readers without a script.
const RESULTS: usize = 10;

/// The whole page.
pub(super) async fn page(
    State(console): State<Console>,
    client: Client,
    Query(query): Query<RangeQuery>,
) -> Response {
    let range = match Range::parse(&query) {
        Ok(range) => range,
        Err(words) => return answers::problem(client, StatusCode::BAD_REQUEST, &words),
    };
    let shown = console.clone();
    let body =
        console.inner.admin.blocking_briefly(move |admin| body(&shown.inner.settings.load(), admin, &range));
    answers::page(client, "Metrics", "/metrics/dashboard", body.await)
}

/// Figures and charts alone, for the script to refresh them.
pub(super) async fn graphs(State(console): State<Console>, Query(query): Query<RangeQuery>) -> Response {
    let range = match Range::parse(&query) {
        Ok(range) => range,
        Err(words) => return tintype_api::message(StatusCode::BAD_REQUEST, words),
    };
    let shown = console.clone();
    let measured = console
        .inner
        .admin
        .blocking_briefly(move |admin| measured(&shown.inner.settings.load(), admin, &range));
    measured.await.map_or_else(Refusal::into_response, answers::fresh)
}

fn body(settings: &Settings, admin: &Admin, range: &Range) -> Result<Markup, Refusal> {
    let trigger = settings.default_trigger();
    let visibility = Visibility::current();
    let shown = |bucket: Option<&str>| match bucket {
        Some(bucket) if visibility.shows_bucket(bucket) => bucket.to_owned(),
        bucket => bucket.map_or("", |_| "–").to_owned(),
    };
    let request = ResultsRequest { last: Some(RESULTS), ..ResultsRequest::default() };
    Ok(html! {
        div.head {
            div {
                h1 { "Metrics" }
                p.help {
                    "Function " b { (settings.function.name) }
                    ", from " b { (shown(trigger.map(|trigger| trigger.bucket.as_str()))) }
                    " to " b { (shown(trigger.map(|trigger| trigger.destination.as_str()))) }
                }
            }
            (range.chooser())
        }
        div #measured data-refresh={ "/graphs?" (range.query()) } { (measured(settings, admin, range)?) }
        section.results aria-labelledby="results" {
            div.row {
                h2 #results { "Recent results" }
                span.live data-live { "not live" }
                (results::filter())
            }
            // A browser with scripts takes the results in `noscript` for text: its script fetches them once it follows the stream.
            ol.list #list data-events="/events" { noscript { (results::list(admin, request)) } }
        }
        section aria-labelledby="triggers" { (triggers(&admin.visible_triggers())) }
        (footer(settings))
    })
}

/// Figures and charts.
fn measured(settings: &Settings, admin: &Admin, range: &Range) -> Result<Markup, Refusal> {
    let mut measurements = admin.measurements(charts::metrics(), range.period)?;
    measurements.begin_at_first_data(LEAST_POINTS);
    let measurements = measurements;
    let period = measurements.period();
    let total = |metric: Metric| measurements.total(metric);
    let figure_of = |chart: &Chart| {
        let lines = chart.lines().into_iter().map(|line| Plotted {
            line,
            values: measurements.values(line.metric, line.statistic),
            total: line.statistic.of(line.metric, total(line.metric)),
        });
        graph::figure(chart, period, &lines.collect::<Vec<_>>(), chart.limit.map(|limit| limit.of(settings)))
    };
    let invocations = total(Metric::Invocations).sum;
    let cost = admin.lambda_cost(invocations, total(Metric::BilledDuration).sum);
    let sections: [(_, _, &[Chart]); 2] =
        [("lambda", "Lambda's eight, and memory", &LAMBDA), ("more", "This server", &MORE)];
    Ok(html! {
        dl.figures {
            (figures(admin, &measurements))
            (figure("", "Cost on Lambda", dollars(cost.arm64_dollars), "in this range, on arm64"))
        }
        p.help.cost { (cost_in_words(settings, &cost, invocations, period)) }
        @for (id, title, charts) in sections {
            section aria-labelledby=(id) {
                h2 id=(id) { (title) }
                div.graphs { @for chart in charts { (figure_of(chart)) } }
            }
        }
        p.help.asof {
            "As of " (time(now_ms())) ". Legends have the sum, the percentile or the maximum of the whole range; a point of a chart \
            stands for " (round_ms(period.period_s as f64 * 1e3)) ". Charts begin where something was measured first."
        }
    })
}

/// The figures of the range and of now; a dash where one cannot be read.
fn figures(admin: &Admin, measurements: &Measurements) -> Markup {
    let (now, total) = (|metric: Metric| admin.value(metric), |metric: Metric| measurements.total(metric));
    let latency = Statistic::Percentile(95.0).of(Metric::UploadToThumbnail, total(Metric::UploadToThumbnail));
    let bad = |is_bad: bool| if is_bad { "bad" } else { "" };
    let failed = total(Metric::Failed).sum;
    let (waiting, dead) = (now(Metric::QueueDepth), now(Metric::DeadLetters));
    let oldest = match now(Metric::QueueAge) {
        None => UNREADABLE_LEDGER.into(),
        Some(0) if waiting > Some(0) => "maintenance alone".into(),
        Some(0) => "nothing waits".into(),
        Some(micros) => format!("oldest {}", ms(micros as f64 / 1e3)),
    };
    let (disk_class, free, disk) = match now(Metric::DiskFree).zip(now(Metric::DiskTotal)) {
        None => ("bad", None, "the free space cannot be read; /readyz has more".into()),
        Some((free, total)) if Admin::is_disk_full(free, total) => {
            ("bad", Some(free), format!("free of {}: free some space", round_bytes(total)))
        }
        Some((free, total)) => ("", Some(free), format!("free of {}", round_bytes(total))),
    };
    html! {
        (figure("", "Thumbnails rendered", count(total(Metric::Made).sum), "in this range"))
        (figure("", "Upload to thumbnail", or_dash(latency, ms), "p95, until readable"))
        (figure(bad(failed > 0), "Failed attempts", count(failed), "in this range"))
        (figure("", "Waiting", or_dash(waiting, count), oldest))
        (figure(bad(dead != Some(0)), "Dead letters", or_dash(dead, count), html! {
            @match dead {
                None => (UNREADABLE_LEDGER),
                Some(0) => "none",
                Some(_) => a href="/dead-letters" { "look at them" },
            }
        }))
        (figure("", "Memory", or_dash(now(Metric::MemoryUsed), bytes), "of the process, now"))
        (figure(disk_class, "Disk", or_dash(free, round_bytes), disk))
    }
}

/// What the range would have cost on Lambda, and a month at its rate.
fn cost_in_words(settings: &Settings, cost: &LambdaCost, invocations: u64, period: Period) -> String {
    if invocations == 0 {
        return "On Lambda this range would have cost nothing: the function was not called.".into();
    }
    let seconds = (period.end_s.min(now_ms() / 1000) - period.start_s).max(1) as f64;
    format!(
        "On Lambda these {} calls would have cost {} on arm64 or {} on x86_64: {:.1} GB-s at {} MB, which is {:.2} of a vCPU. A month \
         at this rate: about {}. That is Lambda alone, without S3, API Gateway and logs.",
        count(invocations),
        dollars(cost.arm64_dollars),
        dollars(cost.x86_64_dollars),
        cost.gb_s,
        settings.function.memory_mb,
        cost.vcpus,
        dollars(cost.arm64_dollars / seconds * MONTH_S),
    )
}

fn dollars(amount: f64) -> String {
    match amount {
        0.0 => "$0".into(),
        a if a < 0.01 => format!("${a:.6}"),
        a => format!("${a:.2}"),
    }
}

fn triggers(triggers: &[Trigger]) -> Markup {
    let visibility = Visibility::current();
    html! {
        h2 #triggers { "Triggers" }
        (table("Table of triggers", &["Watched", "Suffixes", "Written"], html! {
            @for trigger in triggers {
                tr {
                    td { (trigger.bucket) "/" (visible(&trigger.prefix)) }
                    td { (visible(&trigger.suffixes.to_string())) }
                    td {
                        @if visibility.shows_bucket(&trigger.destination) {
                            (trigger.destination) "/"
                            @for (index, rendition) in trigger.renditions.iter().enumerate() {
                                @if index > 0 { ", " }
                                (visible(&rendition.key.to_string())) " (" (rendition.spec.size) ")"
                            }
                        } @else { "–" }
                    }
                }
            }
        }))
    }
}

fn footer(settings: &Settings) -> Markup {
    html! {
        footer {
            p {
                "S3 endpoint " code { (links::s3_endpoint(settings)) } " · API " code { (links::api(settings)) } " · "
                a href="/metrics" { "metrics for Prometheus" } " · " a href="/readyz" { "readiness" }
            }
            p.help {
                "Cold starts and provisioned concurrency do not exist here: a server is warm. The cost counts Lambda's smaller share of \
                a CPU below 1,769 MB."
            }
        }
    }
}
