//! The page: what a person sees who opens the HTTP port in a browser.

use tintype_function::settings::Settings;

use crate::instruments::{Gauges, Instruments};

/// The page as HTML, rendered on the server, with no script and nothing from elsewhere.
#[must_use]
pub fn html(settings: &Settings, instruments: &Instruments, gauges: Gauges) -> String {
    let mut triggers = String::new();
    for trigger in &settings.triggers {
        let renditions: Vec<String> =
            trigger.renditions.iter().map(|rendition| rendition.key.to_string()).collect();
        triggers.push_str(&format!(
            "<tr><td>{}/{}</td><td>{}</td><td>{}/{}</td></tr>",
            text(&trigger.bucket),
            text(&trigger.prefix),
            text(&trigger.suffixes.join(" ")),
            text(&trigger.destination),
            text(&renditions.join(", ")),
        ));
    }
    let mut numbers = String::new();
    for (name, value) in instruments.overview(gauges) {
        numbers.push_str(&format!("<div><dt>{name}</dt><dd>{value}</dd></div>"));
    }
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>thumbnail · Tintype</title>\
         <style>{STYLE}</style></head><body><main><h1>Tintype</h1>\
         <p>An image put into a bucket becomes a thumbnail in another. The S3 endpoint is \
         <code>http://{s3}</code>; the API is <code>http://{http}/{stage}/{resource}</code>.</p>\
         <h2>Function {function}</h2><dl>{numbers}</dl>\
         <h2>Triggers</h2><table><thead><tr><th>Watched</th><th>Suffixes</th><th>Written</th></tr></thead>\
         <tbody>{triggers}</tbody></table>\
         <p><a href=\"/metrics\">Metrics for Prometheus</a> · <a href=\"/readyz\">Readiness</a></p>\
         </main></body></html>",
        s3 = settings.listen.s3,
        http = settings.listen.http,
        stage = text(&settings.api.stage),
        resource = text(&settings.api.resource),
        function = text(&settings.function.name),
    )
}

const STYLE: &str = ":root{color-scheme:light dark;font:16px/1.5 system-ui,sans-serif}\
    main{max-width:56rem;margin:2rem auto;padding:0 1rem}\
    dl{display:grid;grid-template-columns:repeat(auto-fill,minmax(11rem,1fr));gap:.75rem}\
    dl div{border:1px solid #8885;border-radius:.5rem;padding:.5rem .75rem}\
    dt{font-size:.8rem;opacity:.75}dd{margin:0;font-size:1.4rem;font-variant-numeric:tabular-nums}\
    table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.35rem .5rem;border-bottom:1px solid #8885;\
    overflow-wrap:anywhere}";

/// Text as HTML shows it: names of buckets and keys come from outside.
fn text(raw: &str) -> String {
    raw.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
