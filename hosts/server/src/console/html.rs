//! HTML: what is around every page, and the parts that several pages have. Escaping is maud's.

use std::borrow::Cow;

use maud::{Markup, PreEscaped, Render, html};

use super::assets::{STYLE, VERSION};
use crate::auth::Client;

/// Text from outside as a page shows it: control characters, and those that turn the direction of what follows, are
/// shown as symbols.
pub(super) fn visible(raw: &str) -> Cow<'_, str> {
    let is_hidden =
        |c: char| c.is_control() || matches!(c, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}');
    match raw.contains(is_hidden) {
        true => Cow::Owned(raw.replace(is_hidden, "\u{FFFD}")),
        false => Cow::Borrowed(raw),
    }
}

/// Text from outside in an attribute that the script reads: parsers of HTML read a carriage return as a line feed unless it
/// is written as a reference.
pub(super) struct Data<'a>(pub(super) &'a str);

impl Render for Data<'_> {
    fn render_to(&self, page: &mut String) {
        for (index, part) in self.0.split('\r').enumerate() {
            if index > 0 {
                page.push_str("&#13;");
            }
            part.render_to(page);
        }
    }
}

/// A time: in UTC, until the script shows it as the reader wants it.
pub(super) fn time(milliseconds: i64) -> Markup {
    let iso = time::macros::format_description!(
        "[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z"
    );
    let shown = time::macros::format_description!(
        "[year]-[month]-[day] [hour]:[minute]:[second].[subsecond digits:3]"
    );
    let at = time::OffsetDateTime::from_unix_timestamp_nanos(i128::from(milliseconds) * 1_000_000).ok();
    html! {
        time datetime=(at.and_then(|at| at.format(iso).ok()).unwrap_or_default()) {
            (at.and_then(|at| at.format(shown).ok()).unwrap_or_else(|| "?".into()))
        }
    }
}

/// A figure of the list `.figures`: a name, a value, a note.
pub(super) fn figure(class: &str, name: &str, value: impl Render, note: impl Render) -> Markup {
    html! { div class={ "card " (class) } { dt { (name) } dd { (value) } dd.help { (note) } } }
}

/// A table that scrolls by itself where a page is narrow.
pub(super) fn table(label: &str, heads: &[&str], rows: impl Render) -> Markup {
    html! {
        div.card.scroll tabindex="0" role="region" aria-label=(label) {
            table {
                thead { tr { @for head in heads { th scope="col" { (head) } } } }
                tbody { (rows) }
            }
        }
    }
}

/// What is shown instead of content that there is none of.
pub(super) fn empty(words: impl Render) -> Markup {
    html! { p.card.empty { (words) } }
}

/// In place of an image that cannot be shown.
pub(super) fn no_image() -> Markup {
    html! { span.none aria-hidden="true" { "▦" } }
}

/// A small image of an object, loaded once it is near.
pub(super) fn small_image(link: &str, alt: &str) -> Markup {
    html! { img src=(link) alt=(alt) loading="lazy" decoding="async"; }
}

/// A word about an object, in the colour of its class.
pub(super) fn badge(class: &str, words: impl Render) -> Markup {
    html! { span class={ "badge " (class) } { (words) } }
}

/// A whole page. Its script stands at the end and may come after the first paint, which it is not needed for.
pub(super) fn layout(client: Client, title: &str, current: &str, body: &Markup) -> Markup {
    let pages = [
        ("/", "Images"),
        ("/metrics/dashboard", "Metrics"),
        ("/operations", "Operations"),
        ("/dead-letters", "Dead letters"),
    ];
    html! {
        (PreEscaped("<!doctype html>\n"))
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (visible(title)) " · Tintype" }
                link rel="icon" href="/page/icon.svg";
                style { (PreEscaped(STYLE)) }
            }
            body {
                a.skip href="#main" { "Skip to content" }
                header.bar {
                    a.brand href="/" {
                        svg viewBox="0 0 24 24" aria-hidden="true" {
                            rect x="2" y="4" width="20" height="16" rx="2.5" {}
                            circle cx="8.5" cy="10" r="2" {}
                            path d="M4 18l5.5-5 3.5 3 3-2.5 4 4.5z" {}
                        }
                        "Tintype"
                    }
                    nav aria-label="Pages" {
                        @for (path, name) in pages {
                            a href=(path) aria-current=[(path == current).then_some("page")] { (name) }
                        }
                    }
                    form.find action="/object" role="search" aria-label="Find an image" {
                        input type="search" name="key" placeholder="Why no thumbnail? Key…" aria-label="Key of an image"
                            autocomplete="off" spellcheck="false";
                    }
                    div.tools {
                        button.quiet data-zone aria-label="Times in UTC; switch to local time" hidden { "UTC" }
                        button.quiet data-theme-switch aria-label="Dark or light" hidden { "◐" }
                        @if !client.is_trusted {
                            form method="post" action="/logout" { button.quiet { "Log out" } }
                        }
                    }
                }
                main #main tabindex="-1" { (body) }
                p.visually-hidden role="status" aria-live="polite" data-status {}
                script src={ "/page/script.js?" (VERSION) } async {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_outside_is_markup() {
        let raw = "<img src=x onerror='a(\"&\")'>";
        let shown = html! { i title=(raw) { (raw) } }.into_string();
        let escaped = "&lt;img src=x onerror='a(&quot;&amp;&quot;)'&gt;";
        assert_eq!(shown, format!("<i title=\"{escaped}\">{escaped}</i>"));
    }

    #[test]
    fn a_key_survives_the_parser() {
        let shown = html! { i data-key=(Data("a\r<b\r")) {} }.into_string();
        assert_eq!(shown, "<i data-key=\"a&#13;&lt;b&#13;\"></i>");
    }

    #[test]
    fn text_from_outside_cannot_hide_itself() {
        assert_eq!(visible("gpj.\u{202E}exe\n"), "gpj.\u{FFFD}exe\u{FFFD}");
        assert_eq!(visible("ü.jpg"), "ü.jpg");
    }

    #[test]
    fn times_are_in_utc() {
        let shown = time(1_790_000_004_120).into_string();
        assert_eq!(shown, "<time datetime=\"2026-09-21T14:13:24.120Z\">2026-09-21 14:13:24.120</time>");
        assert_eq!(time(i64::MAX).into_string(), "<time datetime=\"\">?</time>");
    }
}
