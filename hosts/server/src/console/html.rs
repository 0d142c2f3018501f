//! HTML: what is around every page, and how text, times and amounts are written.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::assets::{STYLE, VERSION};
use crate::auth::Client;

/// Text as HTML shows it, in elements and in quoted attributes: names of buckets and keys come from
/// outside. Control characters, and those that turn the direction of what follows, are shown as symbols.
pub(super) fn text(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    for c in raw.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' => out.push('\u{FFFD}'),
            c if c.is_control() => out.push('\u{FFFD}'),
            c => out.push(c),
        }
    }
    out
}

/// A value in a query.
pub(super) fn query(raw: &str) -> String {
    const SAFE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'/');
    utf8_percent_encode(raw, SAFE).to_string()
}

/// The address of an object's page.
pub(super) fn object_link(bucket: &str, key: &str) -> String {
    place("/object", bucket, key)
}

/// The address that an object's retry is posted to.
pub(super) fn retry_link(bucket: &str, key: &str) -> String {
    place("/retry", bucket, key)
}

fn place(path: &str, bucket: &str, key: &str) -> String {
    format!("{path}?bucket={}&amp;key={}", query(bucket), query(key))
}

/// The address of an object as a small image.
pub(super) fn preview_link(bucket: &str, key: &str, version: &str) -> String {
    format!("{}&amp;v={}", place("/preview", bucket, key), query(version))
}

/// The address of an object's bytes.
pub(super) fn image_link(bucket: &str, key: &str, version: &str) -> String {
    format!("{}&amp;v={}", place("/picture", bucket, key), query(version))
}

/// A time: in UTC, until the script shows it as the reader wants it.
pub(super) fn time(milliseconds: i64) -> String {
    let (iso, shown) = formatted(milliseconds);
    format!("<time datetime=\"{iso}\">{shown}</time>")
}

fn formatted(milliseconds: i64) -> (String, String) {
    let iso = time::macros::format_description!(
        "[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z"
    );
    let shown = time::macros::format_description!(
        "[year]-[month]-[day] [hour]:[minute]:[second].[subsecond digits:3]"
    );
    let Ok(at) = time::OffsetDateTime::from_unix_timestamp_nanos(i128::from(milliseconds) * 1_000_000) else {
        return (String::new(), "?".into());
    };
    (at.format(iso).unwrap_or_default(), at.format(shown).unwrap_or_default())
}

/// Bytes for people.
pub(super) fn bytes(bytes: u64) -> String {
    let mut value = bytes as f64;
    for unit in ["B", "KB", "MB", "GB", "TB"] {
        if value < 1000.0 || unit == "TB" {
            return if unit == "B" || value >= 100.0 {
                format!("{value:.0} {unit}")
            } else {
                format!("{value:.1} {unit}")
            };
        }
        value /= 1000.0;
    }
    String::new()
}

/// Milliseconds for people.
pub(super) fn ms(value: f64) -> String {
    match value {
        v if v < 10.0 => format!("{v:.1} ms"),
        v if v < 1000.0 => format!("{v:.0} ms"),
        v if v < 60_000.0 => format!("{:.1} s", v / 1e3),
        v if v < 3_600_000.0 => format!("{:.1} min", v / 6e4),
        v => format!("{:.1} h", v / 3.6e6),
    }
}

/// A number for people.
pub(super) fn number(value: f64) -> String {
    match value {
        v if v >= 1e6 => format!("{:.1}M", v / 1e6),
        v if v >= 1e4 => format!("{:.1}k", v / 1e3),
        v if v.fract() == 0.0 => format!("{v:.0}"),
        v => format!("{v:.1}"),
    }
}

/// A whole page. Its script stands at the end and may come after the first paint, which it is not needed for.
pub(super) fn layout(client: Client, title: &str, current: &str, body: &str) -> String {
    let link = |path: &str, name: &str| {
        let here = if path == current { " aria-current=\"page\"" } else { "" };
        format!("<a href=\"{path}\"{here}>{name}</a>")
    };
    let out = if client.is_trusted {
        ""
    } else {
        "<form method=\"post\" action=\"/logout\"><button class=\"quiet\">Log out</button></form>"
    };
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\"><title>{title} · Tintype</title>\
         <link rel=\"icon\" href=\"/page/icon.svg\"><style>{STYLE}</style></head><body>\
         <a class=\"skip\" href=\"#main\">Skip to content</a>\
         <header class=\"bar\"><a class=\"brand\" href=\"/\"><svg viewBox=\"0 0 24 24\" aria-hidden=\"true\">\
         <rect x=\"2\" y=\"4\" width=\"20\" height=\"16\" rx=\"2.5\"/><circle cx=\"8.5\" cy=\"10\" r=\"2\"/>\
         <path d=\"M4 18l5.5-5 3.5 3 3-2.5 4 4.5z\"/></svg>Tintype</a>\
         <nav aria-label=\"Pages\">{images}{dashboard}{operations}{letters}</nav>\
         <form class=\"find\" action=\"/object\" role=\"search\" aria-label=\"Find an image\"><input type=\"search\" name=\"key\" \
         placeholder=\"Why no thumbnail? Key…\" aria-label=\"Key of an image\" autocomplete=\"off\" spellcheck=\"false\"></form>\
         <div class=\"tools\"><button class=\"quiet\" data-zone aria-label=\"Times in UTC; switch to local time\" hidden>UTC</button>\
         <button class=\"quiet\" data-theme-switch aria-label=\"Dark or light\" hidden>◐</button>{out}</div></header>\
         <main id=\"main\" tabindex=\"-1\">{body}</main>\
         <p class=\"visually-hidden\" role=\"status\" aria-live=\"polite\" data-status></p>\
         <script src=\"/page/script.js?{VERSION}\" async></script></body></html>",
        title = text(title),
        images = link("/", "Images"),
        dashboard = link("/metrics/dashboard", "Metrics"),
        operations = link("/operations", "Operations"),
        letters = link("/dead-letters", "Dead letters"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_outside_is_markup() {
        assert_eq!(
            text("<img src=x onerror='a(\"&\")'>"),
            "&lt;img src=x onerror=&#39;a(&quot;&amp;&quot;)&#39;&gt;"
        );
        assert_eq!(text("gpj.\u{202E}exe\n"), "gpj.\u{FFFD}exe\u{FFFD}");
        assert_eq!(
            object_link("in", "a&b=\"<c>+ü.jpg"),
            "/object?bucket=in&amp;key=a%26b%3D%22%3Cc%3E%2B%C3%BC.jpg"
        );
    }

    #[test]
    fn amounts() {
        assert_eq!(
            (bytes(999), bytes(1500), bytes(123_456_789)),
            ("999 B".into(), "1.5 KB".into(), "123 MB".into())
        );
        assert_eq!((ms(3.12), ms(210.4), ms(1500.0)), ("3.1 ms".into(), "210 ms".into(), "1.5 s".into()));
        assert!(time(1_790_000_004_120).contains("2026-09-21T"));
    }
}
