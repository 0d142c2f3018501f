//! Settings files: any text gives settings or an error with a place and a reason.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tintype::settings::Settings;
use tintype_pipeline::settings::Sources;

fuzz_target!(|text: &str| {
    let sources = Sources { file: Some(("fuzz".into(), text.into())), ..Sources::default() };
    if let Err(error) = Settings::load(sources) {
        assert!(!error.message.is_empty());
    }
});
