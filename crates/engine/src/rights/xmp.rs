//! Creator, rights and terms of use in XMP (ISO 16684-1): the properties are found by their usual prefixes, without a parser of
//! XML.

use super::{Rights, text};

pub(super) fn read(packet: &[u8]) -> Rights {
    let Ok(packet) = std::str::from_utf8(packet) else { return Rights::default() };
    Rights {
        artist: property(packet, "dc:creator"),
        copyright: property(packet, "dc:rights"),
        terms: property(packet, "xmpRights:UsageTerms"),
        page: property(packet, "xmpRights:WebStatement"),
    }
}

/// The value of a property: an element, whose items are joined unless they are alternatives, or an attribute.
fn property(packet: &str, name: &str) -> Option<String> {
    let element = || {
        let (content, _) = opened(packet, name)?.split_once(&format!("</{name}>"))?;
        let mut items = Vec::new();
        // Of markup the text between it.
        for part in content.split('<').map(|part| part.split_once('>').map_or(part, |(_, text)| text)) {
            items.extend(text(unescaped(part).as_bytes()));
        }
        if content.contains("<rdf:Alt") {
            // One text in several languages, that of no language first.
            items.truncate(1);
        }
        text(items.join(", ").as_bytes())
    };
    let attribute = || {
        let (_, rest) = packet.split_once(&format!(" {name}="))?;
        let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\''))?;
        let (value, _) = rest[1..].split_once(quote)?;
        text(unescaped(value).as_bytes())
    };
    element().or_else(attribute)
}

/// What follows the opening tag of an element, which may have attributes.
fn opened<'a>(packet: &'a str, name: &str) -> Option<&'a str> {
    let open = format!("<{name}");
    let mut tags = packet.match_indices(open.as_str()).map(|(at, _)| &packet[at + open.len()..]);
    // Of no longer name.
    let rest = tags.find(|rest| rest.starts_with(['>', ' ', '\t', '\r', '\n']))?;
    let (attributes, content) = rest.split_once('>')?;
    (!attributes.ends_with('/')).then_some(content)
}

const ENTITIES: [(&str, &str); 5] =
    [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&apos;", "'"), ("&amp;", "&")];

/// Bytes of the longest entity after its `&`.
const LONGEST_ENTITY: usize = 10;

fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        out.push_str(before);
        let end = after.bytes().take(LONGEST_ENTITY).position(|byte| byte == b';');
        if let Some((character, end)) = end.and_then(|end| Some((character(&after[..end])?, end))) {
            out.push(character);
            rest = &after[end + 1..];
        } else {
            out.push('&');
            rest = after;
        }
    }
    out.push_str(rest);
    out
}

/// The character of an entity, without its `&` and `;`.
fn character(entity: &str) -> Option<char> {
    if let Some(number) = entity.strip_prefix('#') {
        let code: Result<u32, _> = match number.strip_prefix('x') {
            Some(digits) => u32::from_str_radix(digits, 16),
            None => number.parse(),
        };
        return char::from_u32(code.ok()?);
    }
    let (_, character) = ENTITIES.iter().find(|(name, _)| name[1..name.len() - 1] == *entity)?;
    character.chars().next()
}

fn escaped(text: &str) -> String {
    ENTITIES.iter().rev().fold(text.to_owned(), |text, (entity, character)| text.replace(character, entity))
}

/// A packet with these properties alone.
pub(super) fn written(rights: &Rights) -> String {
    let mut properties = String::new();
    let mut add = |name: &str, value: &Option<String>, before: &str, after: &str| {
        if let Some(value) = value {
            properties.push_str(&format!("<{name}>{before}{}{after}</{name}>", escaped(value)));
        }
    };
    let alternatives = ("<rdf:Alt><rdf:li xml:lang=\"x-default\">", "</rdf:li></rdf:Alt>");
    add("dc:creator", &rights.artist, "<rdf:Seq><rdf:li>", "</rdf:li></rdf:Seq>");
    add("dc:rights", &rights.copyright, alternatives.0, alternatives.1);
    add("xmpRights:UsageTerms", &rights.terms, alternatives.0, alternatives.1);
    add("xmpRights:WebStatement", &rights.page, "", "");
    format!(
        "<x:xmpmeta xmlns:x=\"adobe:ns:meta/\"><rdf:RDF xmlns:rdf=\"http://www.w3.org/1999/02/22-rdf-syntax-ns#\">\
         <rdf:Description rdf:about=\"\" xmlns:dc=\"http://purl.org/dc/elements/1.1/\" \
         xmlns:xmpRights=\"http://ns.adobe.com/xap/1.0/rights/\">{properties}</rdf:Description></rdf:RDF></x:xmpmeta>"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_and_attributes_are_read() {
        let packet = "<rdf:Description dc:rights='A &amp;amp; B' xmpRights:WebStatement=\"https://x.example\">\
                      <dc:creator>\n <rdf:Seq><rdf:li>One</rdf:li><rdf:li>Two</rdf:li></rdf:Seq></dc:creator>";
        let rights = read(packet.as_bytes());
        assert_eq!(rights.artist.as_deref(), Some("One, Two"));
        assert_eq!(rights.copyright.as_deref(), Some("A &amp; B"));
        assert_eq!(rights.page.as_deref(), Some("https://x.example"));
        assert_eq!(rights.terms, None);
        assert_eq!(read(b"<dc:rights>never closed"), Rights::default());
        assert_eq!(read(b"<dc:rights never closed"), Rights::default());
        assert_eq!(read(b" dc:rights=\"never closed"), Rights::default());
    }
    #[test]
    fn attributes_languages_and_numeric_entities_are_understood() {
        let packet = "<dc:creatorTool>No</dc:creatorTool><dc:rights/>\
                      <dc:creator xml:lang='de'\n id=\"a\"><rdf:Seq><rdf:li>Andr&#233; &#x26; Zo&#xEB;</rdf:li></rdf:Seq></dc:creator>\
                      <xmpRights:UsageTerms><rdf:Alt><rdf:li xml:lang=\"x-default\">Ask</rdf:li><rdf:li xml:lang=\"de\">Frag</rdf:li>\
                      </rdf:Alt></xmpRights:UsageTerms>";
        let rights = read(packet.as_bytes());
        assert_eq!(rights.artist.as_deref(), Some("Andr\u{e9} & Zo\u{eb}"));
        assert_eq!((rights.terms.as_deref(), rights.copyright), (Some("Ask"), None));
        // What is read is written so that it is read as the same.
        let again = read(written(&Rights { artist: rights.artist.clone(), ..Rights::default() }).as_bytes());
        assert_eq!(again.artist, rights.artist);
        for same in ["&", "&;", "a & b; c", "&#;", "&#xd800;", "&#99999999;", "&unknown;", "&\u{fc};"] {
            assert_eq!(unescaped(same), same);
        }
        assert_eq!(unescaped("&amp;lt; &lt;&gt;&quot;&apos;"), "&lt; <>\"'");
    }
}
