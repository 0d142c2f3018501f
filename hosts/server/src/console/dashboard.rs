//! The dashboard `thumbnail`: figures, charts, what came in lately.

use std::fmt::Write as _;

use axum::{
    extract::{Query, State},
    http::StatusCode,
    response::Response,
};
use tintype_telemetry::metrics::{Metric, Statistics};

use tintype_pipeline::{clock::now_ms, trigger::Trigger};

use super::{
    Console, Inner, answers,
    charts::{self, Chart, LAMBDA, MORE},
    graph::{self, Values},
    html,
    range::{Asked, Range},
    results::{self, Wanted},
};
use crate::{
    auth::Client,
    history::{Price, cost, query::Statistic, slowdown},
    storage::free_floor,
};

/// In place of a figure of a ledger that does not answer.
const UNREADABLE_LEDGER: &str = "the ledger cannot be read; /readyz has more";

/// The whole page.
pub(super) async fn page(
    State(console): State<Console>,
    client: Client,
    Query(asked): Query<Asked>,
) -> Response {
    let range = match Range::of(&asked) {
        Ok(range) => range,
        Err(words) => return answers::problem(client, StatusCode::BAD_REQUEST, &words),
    };
    let body = answers::blocking(&console, move |inner| body(inner, &range)).await;
    match body {
        Ok(body) => answers::fresh(html::layout(client, "thumbnail", "/", &body)),
        Err(problem) => *problem,
    }
}

/// Figures and charts alone, for the script to renew them.
pub(super) async fn graphs(State(console): State<Console>, Query(asked): Query<Asked>) -> Response {
    let range = match Range::of(&asked) {
        Ok(range) => range,
        Err(words) => return tintype_api::message(StatusCode::BAD_REQUEST, words),
    };
    match answers::blocking(&console, move |inner| measured(inner, &range)).await {
        Ok(measured) => answers::fresh(measured),
        Err(problem) => *problem,
    }
}

fn body(inner: &Inner, range: &Range) -> anyhow::Result<String> {
    let settings = &inner.settings;
    let mut out = String::with_capacity(128 << 10);
    let trigger = settings.default_trigger();
    let bucket = trigger.map_or("", |trigger| trigger.bucket.as_str());
    let _ = write!(
        out,
        "<div class=\"head\"><div><h1>thumbnail</h1><p class=\"help\">Function <b>{}</b>, from <b>{}</b> to \
         <b>{}</b></p></div>{}</div>",
        html::text(&settings.function.name),
        html::text(bucket),
        html::text(trigger.map_or("", |trigger| trigger.destination.as_str())),
        range.chooser(),
    );
    let _ = write!(
        out,
        "<div id=\"measured\" data-renew=\"/graphs?{}\">{}</div>",
        range.query(),
        measured(inner, range)?
    );
    // A browser with scripts takes the results, which are in `noscript`, for text: its script asks for them once it
    // follows what comes.
    let _ = write!(
        out,
        "<section class=\"results\" aria-labelledby=\"results\"><div class=\"row\"><h2 id=\"results\">Recent results</h2>\
         <span class=\"live\" data-live>not live</span>{}</div>\
         <div class=\"drop\" data-drop data-prefix=\"{}\" hidden><p><b>Drop images here</b> and watch their thumbnails appear, or \
         <label class=\"pick\">choose files<input type=\"file\" multiple accept=\"image/*\" data-pick></label></p>\
         <p class=\"help\">{}</p></div>\
         <ol class=\"list\" id=\"list\" data-events=\"/events\"><noscript>{}</noscript></ol></section>",
        results::chooser(""),
        html::text(trigger.map_or("", |trigger| trigger.prefix.as_str())),
        upload_target(trigger, &inner.store.notifications.triggers()),
        results::list(inner, &Wanted::default(), results::FIRST)?,
    );
    let _ =
        write!(out, "<section aria-labelledby=\"triggers\">{}</section>{}", triggers(inner), footer(inner));
    Ok(out)
}

/// Everything that is made of measurements.
fn measured(inner: &Inner, range: &Range) -> anyhow::Result<String> {
    let metrics = charts::metrics();
    let rows = inner.history.statistics(&metrics, range.period)?;
    let place = |metric: Metric| metrics.binary_search(&metric).unwrap_or(0);
    let mut whole = vec![Statistics::default(); metrics.len()];
    for (_, statistics) in &rows {
        for (whole, part) in whole.iter_mut().zip(statistics) {
            whole.merge(part);
        }
    }
    let of = |metric: Metric| &whole[place(metric)];

    let mut out = String::with_capacity(100 << 10);
    out.push_str("<dl class=\"figures\">");
    let latency = Statistic::Percentile(95.0).of(Metric::UploadToThumbnail, of(Metric::UploadToThumbnail));
    // Where one cannot be read there is a dash.
    let now = |metric: Metric| inner.history.value(metric).map(|value| value as f64);
    let failed = of(Metric::Failed).sum as f64;
    let dead = now(Metric::DeadLetters);
    let mut figure = |name: &str, value: String, class: &str, note: &str| {
        let _ = write!(
            out,
            "<div class=\"card {class}\"><dt>{name}</dt><dd>{value}</dd><dd class=\"help\">{note}</dd></div>"
        );
    };
    let invocations = of(Metric::Invocations).sum;
    figure("Thumbnails made", html::number(of(Metric::Made).sum as f64), "", "in this range");
    let latency_words = latency.map_or_else(dash, html::ms);
    figure("Upload to thumbnail", latency_words, "", "p95, until readable");
    figure("Failed attempts", html::number(failed), if failed > 0.0 { "bad" } else { "" }, "in this range");
    figure(
        "Waiting",
        now(Metric::QueueDepth).map_or_else(dash, html::number),
        "",
        &match now(Metric::QueueAge) {
            None => UNREADABLE_LEDGER.into(),
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
            Some(0.0) => "none kept",
            Some(_) => link,
        },
    );
    let value = |metric: Metric| inner.history.value(metric);
    let memory = value(Metric::MemoryUsed).map_or_else(dash, html::bytes);
    figure("Memory", memory, "", "of the process, now");
    let round = |bytes: u64| html::bytes(bytes).replace(".0 ", " ");
    match value(Metric::DiskFree).zip(value(Metric::DiskTotal)) {
        None => figure("Disk", dash(), "bad", "the free space cannot be read; /readyz has more"),
        Some((free, total)) if free < free_floor(total) => {
            figure("Disk", round(free), "bad", &format!("free of {}: free some space", round(total)));
        }
        Some((free, total)) => figure("Disk", round(free), "", &format!("free of {}", round(total))),
    }
    let memory_mb = inner.settings.function.memory_mb;
    let billed = of(Metric::BilledDuration).sum;
    let costs = Price::ALL.map(|price| cost(price, invocations, billed, memory_mb).total());
    figure(
        "Cost on Lambda",
        dollars(costs[0]),
        "",
        &format!(
            "arm64; x86_64 {}. {} calls, {:.1} GB-s at {memory_mb} MB, {:.2} of a vCPU",
            dollars(costs[1]),
            html::number(invocations as f64),
            cost(Price::ALL[0], invocations, billed, memory_mb).gb_s,
            1.0 / slowdown(memory_mb),
        ),
    );
    out.push_str("</dl>");
    for (id, title, charts) in
        [("lambda", "Lambda's eight", LAMBDA.as_slice()), ("more", "This server", MORE.as_slice())]
    {
        let _ = write!(
            out,
            "<section aria-labelledby=\"{id}\"><h2 id=\"{id}\">{title}</h2><div class=\"graphs\">"
        );
        for chart in charts {
            out.push_str(&graph::figure(chart, range.period, &values(chart, range, &rows, place)));
        }
        out.push_str("</div></section>");
    }
    let _ = write!(
        out,
        "<p class=\"help asof\">As of {}. A point of a chart stands for {}, and so does a sum.</p>",
        html::moment(now_ms()),
        html::ms(range.period.period_s as f64 * 1e3).replace(".0 ", " "),
    );
    Ok(out)
}

fn values(
    chart: &Chart,
    range: &Range,
    rows: &[(i64, Vec<Statistics>)],
    place: impl Fn(Metric) -> usize,
) -> Vec<Values> {
    let period = range.period;
    let steps = usize::try_from((period.end_s - period.start_s) / period.period_s).unwrap_or(0);
    let lines = chart.lines.iter().map(|line| {
        let mut values: Values = vec![None; steps];
        for (at_s, statistics) in rows {
            let step = usize::try_from((at_s - period.start_s) / period.period_s).unwrap_or(usize::MAX);
            if let Some(value) = values.get_mut(step) {
                *value = line.statistic.of(line.metric, &statistics[place(line.metric)]);
            }
        }
        values
    });
    debug_assert!(chart.lines.len() <= 6, "there are six colours");
    lines.collect()
}

fn dash() -> String {
    "–".into()
}

fn dollars(amount: f64) -> String {
    match amount {
        0.0 => "$0".into(),
        a if a < 0.01 => format!("${a:.6}"),
        a => format!("${a:.2}"),
    }
}

/// Where images that are dropped are stored: of several triggers one is chosen.
fn upload_target(default: Option<&Trigger>, triggers: &[Trigger]) -> String {
    let place = |trigger: &Trigger| (html::text(&trigger.bucket), html::text(&trigger.prefix));
    if triggers.len() < 2 {
        let (bucket, prefix) = default.map(place).unwrap_or_default();
        return format!("They are stored in {bucket}/{prefix} as any upload.");
    }
    let option = |trigger: &Trigger| {
        let (bucket, prefix) = place(trigger);
        format!("<option data-bucket=\"{bucket}\" data-prefix=\"{prefix}\">{bucket}/{prefix}</option>")
    };
    let options: String = triggers.iter().map(option).collect();
    format!("<label>They are stored as any upload in <select>{options}</select></label>")
}

fn triggers(inner: &Inner) -> String {
    let mut out = String::from(
        "<h2 id=\"triggers\">Triggers</h2><div class=\"card scroll\"><table><thead><tr><th scope=\"col\">Watched</th>\
         <th scope=\"col\">Suffixes</th><th scope=\"col\">Written</th></tr></thead><tbody>",
    );
    for trigger in inner.store.notifications.triggers().iter() {
        let renditions: Vec<String> = trigger
            .renditions
            .iter()
            .map(|rendition| format!("{} ({})", rendition.key, rendition.spec.size))
            .collect();
        let suffixes =
            if trigger.suffixes.is_empty() { "every key".into() } else { trigger.suffixes.join(" ") };
        let _ = write!(
            out,
            "<tr><td>{}/{}</td><td>{}</td><td>{}/{}</td></tr>",
            html::text(&trigger.bucket),
            html::text(&trigger.prefix),
            html::text(&suffixes),
            html::text(&trigger.destination),
            html::text(&renditions.join(", ")),
        );
    }
    out.push_str("</tbody></table></div>");
    out
}

fn footer(inner: &Inner) -> String {
    let settings = &inner.settings;
    format!(
        "<footer><p>S3 endpoint <code>http://{}</code> · API <code>http://{}/{}/{}</code> · \
         <a href=\"/metrics\">metrics for Prometheus</a> · <a href=\"/readyz\">readiness</a></p>\
         <p class=\"help\">Cold starts and provisioned concurrency do not exist here: a server is warm. The cost is \
         that of Lambda alone, without S3, API Gateway and logs, and counts its smaller share of a CPU below 1,769 MB.</p></footer>",
        settings.listen.s3,
        settings.listen.http,
        html::text(&settings.api.stage),
        html::text(&settings.api.resource),
    )
}
