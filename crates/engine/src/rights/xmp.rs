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

/// The value of a property: an element, whose items are joined, or an attribute.
fn property(packet: &str, name: &str) -> Option<String> {
    let element = || {
        let (_, rest) = packet.split_once(&format!("<{name}>"))?;
        let (content, _) = rest.split_once(&format!("</{name}>"))?;
        let mut items = Vec::new();
        // Of markup the text between it.
        for part in content.split('<').map(|part| part.split_once('>').map_or(part, |(_, text)| text)) {
            items.extend(text(unescaped(part).as_bytes()));
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

const ENTITIES: [(&str, &str); 5] =
    [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&apos;", "'"), ("&amp;", "&")];

fn unescaped(text: &str) -> String {
    // `&amp;` last, so that nothing is replaced twice.
    ENTITIES.iter().fold(text.to_owned(), |text, (entity, character)| text.replace(entity, character))
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
        assert_eq!(read(b" dc:rights=\"never closed"), Rights::default());
    }
}
