//! The dashboard `thumbnail`: figures, charts, the latest results.

use std::fmt::Write as _;

use axum::{
    extract::{Query, State},
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use tintype_pipeline::{clock::now_ms, trigger::Trigger};
use tintype_telemetry::metrics::Metric;

use super::{
    Console, answers,
    charts::{self, LAMBDA, MORE},
    graph::{self, Plotted},
    html,
    range::{Range, RangeQuery},
    results,
};
use crate::{
    admin::{Admin, LambdaCost, Period, Refusal, ResultsRequest, Statistic},
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
    let body = console.inner.admin.blocking_briefly(move |admin| body(&shown.inner.settings, admin, &range));
    answers::page(client, "Metrics", "/metrics/dashboard", body.await)
}

/// Figures and charts alone, for the script to refresh them.
pub(super) async fn graphs(State(console): State<Console>, Query(query): Query<RangeQuery>) -> Response {
    let range = match Range::parse(&query) {
        Ok(range) => range,
        Err(words) => return tintype_api::message(StatusCode::BAD_REQUEST, words),
    };
    let shown = console.clone();
    let measured =
        console.inner.admin.blocking_briefly(move |admin| measured(&shown.inner.settings, admin, &range));
    measured.await.map_or_else(Refusal::into_response, answers::fresh)
}

fn body(settings: &Settings, admin: &Admin, range: &Range) -> Result<String, Refusal> {
    let mut out = String::with_capacity(128 << 10);
    let visibility = Visibility::current();
    let visible =
        |bucket: &str| if visibility.shows_bucket(bucket) { html::text(bucket) } else { "–".into() };
    let trigger = settings.default_trigger();
    let _ = write!(
        out,
        "<div class=\"head\"><div><h1>Metrics</h1><p class=\"help\">Function <b>{}</b>, from <b>{}</b> to \
         <b>{}</b></p></div>{}</div>",
        html::text(&settings.function.name),
        trigger.map_or_else(String::new, |trigger| visible(&trigger.bucket)),
        trigger.map_or_else(String::new, |trigger| visible(&trigger.destination)),
        range.chooser(),
    );
    let _ = write!(
        out,
        "<div id=\"measured\" data-refresh=\"/graphs?{}\">{}</div>",
        range.query(),
        measured(settings, admin, range)?
    );
    // A browser with scripts takes the results in `noscript` for text: its script fetches them once it follows the stream.
    let _ = write!(
        out,
        "<section class=\"results\" aria-labelledby=\"results\"><div class=\"row\"><h2 id=\"results\">Recent results</h2>\
         <span class=\"live\" data-live>not live</span>{}</div>\
         <ol class=\"list\" id=\"list\" data-events=\"/events\"><noscript>{}</noscript></ol></section>",
        results::FILTER,
        results::list(admin, ResultsRequest { last: Some(RESULTS), ..ResultsRequest::default() }),
    );
    let _ = write!(
        out,
        "<section aria-labelledby=\"triggers\">{}</section>{}",
        triggers(&admin.visible_triggers()),
        footer(settings)
    );
    Ok(out)
}

/// Figures and charts.
fn measured(settings: &Settings, admin: &Admin, range: &Range) -> Result<String, Refusal> {
    let mut measurements = admin.measurements(charts::metrics(), range.period)?;
    measurements.begin_at_first_data(LEAST_POINTS);
    let measurements = measurements;
    let period = measurements.period();
    let total = |metric: Metric| measurements.total(metric);

    let mut out = String::with_capacity(100 << 10);
    out.push_str("<dl class=\"figures\">");
    let latency = Statistic::Percentile(95.0).of(Metric::UploadToThumbnail, total(Metric::UploadToThumbnail));
    // Where one cannot be read there is a dash.
    let now = |metric: Metric| admin.value(metric).map(|value| value as f64);
    let failed = total(Metric::Failed).sum as f64;
    let dead = now(Metric::DeadLetters);
    let mut figure = |name: &str, value: String, class: &str, note: &str| {
        let _ = write!(
            out,
            "<div class=\"card {class}\"><dt>{name}</dt><dd>{value}</dd><dd class=\"help\">{note}</dd></div>"
        );
    };
    figure("Thumbnails rendered", html::number(total(Metric::Made).sum as f64), "", "in this range");
    let latency_words = latency.map_or_else(dash, html::ms);
    figure("Upload to thumbnail", latency_words, "", "p95, until readable");
    figure("Failed attempts", html::number(failed), if failed > 0.0 { "bad" } else { "" }, "in this range");
    figure(
        "Waiting",
        now(Metric::QueueDepth).map_or_else(dash, html::number),
        "",
        &match now(Metric::QueueAge) {
            None => UNREADABLE_LEDGER.into(),
            Some(0.0) if now(Metric::QueueDepth) > Some(0.0) => "maintenance alone".into(),
            Some(0.0) => "nothing waits".into(),
            Some(micros) => format!("oldest {}", html::ms(micros / 1e3)),
        },
    );
    let link = "<a href=\"/dead-letters\">look at them</a>";
    figure(
        "Dead letters",
        dead.map_or_else(dash, html::number),
        if dead == Some(0.0) { "" } else { "bad" },
        match dead {
            None => UNREADABLE_LEDGER,
            Some(0.0) => "none",
            Some(_) => link,
        },
    );
    let value = |metric: Metric| admin.value(metric);
    let memory = value(Metric::MemoryUsed).map_or_else(dash, html::bytes);
    figure("Memory", memory, "", "of the process, now");
    let round = |bytes: u64| html::bytes(bytes).replace(".0 ", " ");
    match value(Metric::DiskFree).zip(value(Metric::DiskTotal)) {
        None => figure("Disk", dash(), "bad", "the free space cannot be read; /readyz has more"),
        Some((free, total)) if Admin::is_disk_full(free, total) => {
            figure("Disk", round(free), "bad", &format!("free of {}: free some space", round(total)));
        }
        Some((free, total)) => figure("Disk", round(free), "", &format!("free of {}", round(total))),
    }
    let invocations = total(Metric::Invocations).sum;
    let cost = admin.lambda_cost(invocations, total(Metric::BilledDuration).sum);
    figure("Cost on Lambda", dollars(cost.arm64_dollars), "", "in this range, on arm64");
    let _ = write!(
        out,
        "</dl><p class=\"help cost\">{}</p>",
        cost_in_words(settings, &cost, invocations, period)
    );
    for (id, title, charts) in [
        ("lambda", "Lambda's eight, and memory", LAMBDA.as_slice()),
        ("more", "This server", MORE.as_slice()),
    ] {
        let _ = write!(
            out,
            "<section aria-labelledby=\"{id}\"><h2 id=\"{id}\">{title}</h2><div class=\"graphs\">"
        );
        for chart in charts {
            let lines = chart.lines.iter().map(|line| Plotted {
                values: measurements.values(line.metric, line.statistic),
                total: line.statistic.of(line.metric, total(line.metric)),
            });
            let limit = chart.limit.map(|limit| limit.of(settings));
            out.push_str(&graph::figure(chart, period, &lines.collect::<Vec<_>>(), limit));
        }
        out.push_str("</div></section>");
    }
    let _ = write!(
        out,
        "<p class=\"help asof\">As of {}. Legends have the sum, the percentile or the maximum of the whole range; a point of a chart stands for {}. \
         Charts begin where something was measured first.</p>",
        html::time(now_ms()),
        html::ms(period.period_s as f64 * 1e3).replace(".0 ", " "),
    );
    Ok(out)
}

fn dash() -> String {
    "–".into()
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
        html::number(invocations as f64),
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

fn triggers(triggers: &[Trigger]) -> String {
    let visibility = Visibility::current();
    let mut out = String::from(
        "<h2 id=\"triggers\">Triggers</h2><div class=\"card scroll\"><table><thead><tr><th scope=\"col\">Watched</th>\
         <th scope=\"col\">Suffixes</th><th scope=\"col\">Written</th></tr></thead><tbody>",
    );
    for trigger in triggers {
        let renditions: Vec<String> = trigger
            .renditions
            .iter()
            .map(|rendition| format!("{} ({})", rendition.key, rendition.spec.size))
            .collect();
        let _ = write!(
            out,
            "<tr><td>{}/{}</td><td>{}</td><td>{}</td></tr>",
            html::text(&trigger.bucket),
            html::text(&trigger.prefix),
            html::text(&trigger.suffixes.to_string()),
            match visibility.shows_bucket(&trigger.destination) {
                true => html::text(&format!("{}/{}", trigger.destination, renditions.join(", "))),
                false => "–".into(),
            },
        );
    }
    out.push_str("</tbody></table></div>");
    out
}

fn footer(settings: &Settings) -> String {
    format!(
        "<footer><p>S3 endpoint <code>http://{}</code> · API <code>http://{}/{}/{}</code> · \
         <a href=\"/metrics\">metrics for Prometheus</a> · <a href=\"/readyz\">readiness</a></p>\
         <p class=\"help\">Cold starts and provisioned concurrency do not exist here: a server is warm. The cost counts Lambda's smaller share of \
         a CPU below 1,769 MB.</p></footer>",
        settings.listen.s3,
        settings.listen.http,
        html::text(&settings.api.stage),
        html::text(&settings.api.resource),
    )
}
