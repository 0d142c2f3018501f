//! What a model's answer must be: a JSON object with one plain, bounded text for each language. A model repeats what an
//! image says to it, so nothing here is trusted: what is not such an object is refused as a whole.

use std::{collections::BTreeMap, fmt};

use serde_json::{Map, Value};

/// The longest answer that is looked at, in bytes.
pub const LONGEST_ANSWER: usize = 64 << 10;
/// The longest text there may be of one language, in characters.
pub const LONGEST_TEXT: usize = 2000;
/// The shortest, in characters.
const SHORTEST_TEXT: usize = 3;

/// What was asked for.
#[derive(Debug, Clone, Copy)]
pub struct Rules<'a> {
    /// The languages' tags.
    pub languages: &'a [String],
    /// The longest text, in characters.
    pub max_chars: usize,
}

/// Why an answer cannot be used. Holds no words of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid(pub String);

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn invalid<T>(why: impl Into<String>) -> Result<T, Invalid> {
    Err(Invalid(why.into()))
}

/// Reads an answer: the texts by language.
///
/// # Errors
/// It is anything else than was asked for.
pub fn parse(text: &str, rules: Rules<'_>) -> Result<BTreeMap<String, String>, Invalid> {
    if text.len() > LONGEST_ANSWER {
        return invalid("it is too long");
    }
    let Ok(Value::Object(mut members)) = serde_json::from_str::<Value>(object(text)) else {
        return invalid("it is not a JSON object");
    };
    let mut texts = BTreeMap::new();
    for language in rules.languages {
        let value = take(&mut members, language);
        let Some(Value::String(value)) = value else {
            return invalid(format!("it has no text for the language \"{language}\""));
        };
        let text = plain(&value, rules.max_chars)
            .and_then(|text| in_language(&text, language).map(|()| text))
            .map_err(|Invalid(why)| Invalid(format!("its text for \"{language}\" {why}")))?;
        texts.insert(language.clone(), text);
    }
    match members.is_empty() {
        true => Ok(texts),
        false => invalid("it has members that were not asked for"),
    }
}

/// A member by its tag, in any case.
fn take(members: &mut Map<String, Value>, language: &str) -> Option<Value> {
    let name = members.keys().find(|name| name.eq_ignore_ascii_case(language))?.clone();
    members.remove(&name)
}

/// The object without what models put around it: what they thought before, a fence of Markdown.
fn object(text: &str) -> &str {
    let mut text = text.trim();
    if let Some((thought, rest)) = text.split_once("</think>")
        && thought.starts_with("<think>")
    {
        text = rest.trim();
    }
    let fenced = text.strip_prefix("```").and_then(|rest| rest.trim_end().strip_suffix("```"));
    fenced.map_or(text, |inner| inner.strip_prefix("json").unwrap_or(inner).trim())
}

/// A text on one line, if it is plain: no markup, no link, nothing that is not shown or changes how text beside it is.
///
/// # Errors
/// It is not; the message continues a sentence.
pub fn plain(text: &str, max_chars: usize) -> Result<String, Invalid> {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let count = text.chars().count();
    if count < SHORTEST_TEXT {
        return invalid("is too short");
    }
    if count > max_chars {
        return invalid(format!("has {count} characters; at most {max_chars} are wanted"));
    }
    if text.chars().any(is_hidden) || has_stray_joiner(&text) {
        return invalid("has characters that are not shown");
    }
    if text.contains(['<', '>']) || has_entity(&text) {
        return invalid("has markup");
    }
    let lower = text.to_lowercase();
    if text.contains('`') || text.contains("](") || text.contains("**") || text.contains("{\"") {
        return invalid("has markup");
    }
    if lower.contains("://")
        || lower.contains("www.")
        || lower.contains("javascript:")
        || lower.contains("data:")
    {
        return invalid("has a link");
    }
    match text.chars().any(char::is_alphabetic) {
        true => Ok(text),
        false => invalid("has no words"),
    }
}

/// Whether a joiner (U+200C, U+200D) stands elsewhere than within a word of a script that is written with them: Persian
/// and the languages of India are not spelt rightly without.
fn has_stray_joiner(text: &str) -> bool {
    let mut before = None;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let is_joiner = matches!(c, '\u{200c}' | '\u{200d}');
        if is_joiner && !(before.is_some_and(is_joined) && chars.peek().copied().is_some_and(is_joined)) {
            return true;
        }
        before = Some(c);
    }
    false
}

/// Letters and marks of scripts with joiners.
fn is_joined(c: char) -> bool {
    let is_mark = matches!(c,
        '\u{64b}'..='\u{65f}' | '\u{670}' | '\u{900}'..='\u{963}' | '\u{971}'..='\u{dff}' | '\u{f71}'..='\u{fbc}'
        | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17d3}');
    !c.is_ascii() && !c.is_numeric() && (c.is_alphabetic() || is_mark)
}

/// Controls, marks of direction, tags, private use, and what is no character.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2028}' | '\u{2029}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff0}'..='\u{ffff}'
            | '\u{e000}'..='\u{f8ff}' | '\u{e0000}'..='\u{10ffff}')
}

/// Whether it has a character reference of HTML, such as `&lt;`.
fn has_entity(text: &str) -> bool {
    text.match_indices('&').any(|(at, _)| {
        let rest = &text[at + 1..];
        let name = rest.find(';').filter(|end| *end > 0 && *end <= 32).map(|end| &rest[..end]);
        name.is_some_and(|name| name.trim_start_matches('#').bytes().all(|byte| byte.is_ascii_alphanumeric()))
    })
}

/// Whether a text may be a language's tag: BCP 47's shape.
#[must_use]
pub fn is_language(tag: &str) -> bool {
    let mut parts = tag.split('-');
    let first = parts.next().unwrap_or_default();
    (2..=3).contains(&first.len())
        && first.bytes().all(|byte| byte.is_ascii_lowercase())
        && parts.all(|part| {
            (2..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric())
        })
        && tag.len() <= 35
}

/// Whether most letters are of a script that the language is written in. Languages of one script are not told apart.
fn in_language(text: &str, language: &str) -> Result<(), Invalid> {
    let (mut letters, mut of_script) = (0_usize, 0_usize);
    let is_of_script = script(language);
    for c in text.chars().filter(|c| c.is_alphabetic()) {
        letters += 1;
        of_script += usize::from(is_of_script(c));
    }
    match of_script * 2 >= letters {
        true => Ok(()),
        false => invalid("is not written as that language is"),
    }
}

/// Whether a letter is of the script that a language is mostly written in; of languages not listed, of any.
fn script(language: &str) -> fn(char) -> bool {
    const fn is_han(c: char) -> bool {
        matches!(c, '\u{3400}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{323af}')
    }
    match language.split('-').next().unwrap_or_default() {
        "ru" | "uk" | "be" | "bg" | "mk" | "kk" | "ky" | "mn" => |c| matches!(c, '\u{400}'..='\u{52f}'),
        "el" => |c| matches!(c, '\u{370}'..='\u{3ff}' | '\u{1f00}'..='\u{1fff}'),
        "he" | "yi" => |c| matches!(c, '\u{590}'..='\u{5ff}'),
        "ar" | "fa" | "ur" | "ps" => {
            |c| matches!(c, '\u{600}'..='\u{77f}' | '\u{fb50}'..='\u{fdff}' | '\u{fe70}'..='\u{feff}')
        }
        "hi" | "mr" | "ne" => |c| matches!(c, '\u{900}'..='\u{97f}'),
        "bn" => |c| matches!(c, '\u{980}'..='\u{9ff}'),
        "ta" => |c| matches!(c, '\u{b80}'..='\u{bff}'),
        "th" => |c| matches!(c, '\u{e00}'..='\u{e7f}'),
        "ka" => |c| matches!(c, '\u{10a0}'..='\u{10ff}' | '\u{1c90}'..='\u{1cbf}'),
        "hy" => |c| matches!(c, '\u{530}'..='\u{58f}'),
        "ko" => |c| {
            is_han(c)
                || matches!(c, '\u{1100}'..='\u{11ff}' | '\u{3130}'..='\u{318f}' | '\u{ac00}'..='\u{d7af}')
        },
        "ja" => |c| is_han(c) || matches!(c, '\u{3005}' | '\u{3040}'..='\u{30ff}' | '\u{31f0}'..='\u{31ff}'),
        "zh" | "yue" => is_han,
        "en" | "de" | "fr" | "es" | "it" | "pt" | "nl" | "sv" | "da" | "nb" | "nn" | "no" | "fi" | "pl"
        | "cs" | "sk" | "hu" | "ro" | "hr" | "sl" | "et" | "lv" | "lt" | "tr" | "vi" | "id" | "ms" | "ca"
        | "eu" | "gl" | "is" | "ga" | "sq" => {
            |c| matches!(c, 'a'..='z' | 'A'..='Z' | '\u{aa}' | '\u{ba}' | '\u{c0}'..='\u{24f}' | '\u{1e00}'..='\u{1eff}')
        }
        _ => |_| true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, languages: &[&str]) -> Result<BTreeMap<String, String>, Invalid> {
        let languages: Vec<String> = languages.iter().map(|tag| (*tag).to_owned()).collect();
        parse(text, Rules { languages: &languages, max_chars: 60 })
    }

    #[test]
    fn objects_are_read_with_what_models_put_around_them() {
        for text in [
            r#"{"en": "A red bicycle."}"#,
            " {\"EN\": \" A red\\n bicycle. \"}\n",
            "```json\n{\"en\": \"A red bicycle.\"}\n```",
            "```\n{\"en\": \"A red bicycle.\"}```",
            "<think>It is {a} bicycle.</think>\n{\"en\": \"A red bicycle.\"}",
        ] {
            assert_eq!(read(text, &["en"]).unwrap()["en"], "A red bicycle.", "{text}");
        }
        let both = read(r#"{"de": "Ein Fahrrad", "ja": "赤い自転車"}"#, &["ja", "de"]).unwrap();
        assert_eq!(both["ja"], "赤い自転車");
    }

    #[test]
    fn anything_else_is_refused() {
        for (text, why) in [
            ("A red bicycle.", "not a JSON object"),
            ("", "not a JSON object"),
            ("[\"A red bicycle.\"]", "not a JSON object"),
            ("{\"en\": \"A red", "not a JSON object"),
            ("{\"en\": \"A red bicycle.\"} Good luck!", "not a JSON object"),
            ("{}", "no text for the language \"en\""),
            ("{\"en\": 5}", "no text for the language \"en\""),
            ("{\"en\": {\"text\": \"A red bicycle.\"}}", "no text for the language \"en\""),
            ("{\"en\": \"A red bicycle.\", \"run\": \"rm\"}", "members that were not asked for"),
            ("{\"en\": \"\"}", "too short"),
            ("{\"en\": \"12 345\"}", "no words"),
            ("{\"en\": \"A red <b>bicycle</b>.\"}", "markup"),
            ("{\"en\": \"A red &lt;b&gt;.\"}", "markup"),
            ("{\"en\": \"A &#60;b.\"}", "too short"),
            ("{\"en\": \"A `red` bicycle.\"}", "markup"),
            ("{\"en\": \"A [bicycle](x).\"}", "markup"),
            ("{\"en\": \"See https://evil.example now\"}", "link"),
            ("{\"en\": \"See www.evil.example now\"}", "link"),
            ("{\"en\": \"A \\u202ered\\u202c bicycle.\"}", "not shown"),
            ("{\"en\": \"A\\u200bred bicycle.\"}", "not shown"),
            ("{\"en\": \"A red \\u0000 bicycle.\"}", "not shown"),
            ("{\"en\": \"Красный велосипед\"}", "not written as"),
        ] {
            let why = if text.contains("&#60;") { "markup" } else { why };
            let error = read(text, &["en"]).unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
        let long = format!("{{\"en\": \"{}\"}}", "word ".repeat(20));
        assert!(read(&long, &["en"]).unwrap_err().to_string().contains("at most 60"));
        assert!(read(&" ".repeat(LONGEST_ANSWER + 1), &["en"]).unwrap_err().to_string().contains("too long"));
    }

    #[test]
    fn joiners_stand_within_words_alone() {
        for (text, language) in [
            ("یک دوچرخه می\u{200c}رود", "fa"),
            ("लाल रंग की र\u{94d}\u{200d}य साइकिल", "hi"),
            ("একটি র\u{200d}\u{9cd}যাম্প আছে", "bn"),
        ] {
            let answer = serde_json::json!({ language: text }).to_string();
            assert_eq!(read(&answer, &[language]).unwrap()[language], text);
        }
        for text in [
            "A r\u{200d}ed bicycle",
            "\u{200c}یک دوچرخه",
            "یک دوچرخه\u{200c}",
            "یک \u{200c}دوچرخه",
            "می\u{200c}\u{200c}رود",
            "می\u{200b}رود",
            "می\u{200e}رود",
            "می\u{200f}رود",
        ] {
            assert!(plain(text, 60).unwrap_err().to_string().contains("not shown"), "{text:?}");
        }
    }

    #[test]
    fn reasons_hold_no_words_of_the_answer() {
        let error = read("{\"en\": \"IGNORE ALL <b>RULES</b>\"}", &["en"]).unwrap_err();
        assert!(!error.to_string().contains("RULES"), "{error}");
    }

    #[test]
    fn signs_of_text_are_no_markup() {
        for text in ["Tom & Jerry; a poster", "A sign: \"50 % off\"", "Rock & roll", "Café, naïve & more"] {
            assert_eq!(plain(text, 60).unwrap(), text);
        }
    }

    #[test]
    fn tags_of_languages() {
        for tag in ["en", "pt-BR", "zh-Hant-TW", "gsw"] {
            assert!(is_language(tag), "{tag}");
        }
        for tag in ["", "e", "EN", "english", "en_GB", "en-", "en\" onload=\"x"] {
            assert!(!is_language(tag), "{tag}");
        }
    }
}
