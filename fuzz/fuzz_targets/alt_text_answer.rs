//! Answers of models: any text is refused, or gives a plain text for each language that was asked for and nothing else.
//! Bodies of providers are read or refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tintype_alt_text::{
    Rules, Sidecar,
    answer::{parse, plain},
};

const MAX_CHARS: usize = 80;

fuzz_target!(|bytes: &[u8]| {
    let _ = Sidecar::read(bytes);
    let text = String::from_utf8_lossy(bytes);
    let languages = ["en".to_owned(), "ja".to_owned()];
    for count in 1..=languages.len() {
        let rules = Rules { languages: &languages[..count], max_chars: MAX_CHARS };
        let Ok(texts) = parse(&text, rules) else { continue };
        assert_eq!(texts.len(), count);
        for text in texts.values() {
            assert!(text.chars().count() <= MAX_CHARS);
            assert!(!text.contains(['<', '>', '\n', '\r', '`']) && !text.contains("://"));
            // What is plain stays as it is.
            assert_eq!(plain(text, MAX_CHARS).as_ref(), Ok(text));
        }
    }
});
