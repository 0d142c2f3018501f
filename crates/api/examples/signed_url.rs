//! Prints a signed URL. The guide on signed URLs shows it, from here on.

use std::fmt::Write as _;

use hmac::{Hmac, KeyInit as _, Mac as _};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sha2::Sha256;

const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

pub(crate) fn signed(secret: &str, path: &str, parameters: &[(&str, &str)], expires: u64) -> String {
    let expires = expires.to_string();
    let mut pairs = [parameters, &[("expires", &expires)]].concat();
    pairs.sort_unstable();
    let encode = |text| utf8_percent_encode(text, ENCODED).to_string();
    let pairs: Vec<String> =
        pairs.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
    let query = pairs.join("&");
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("a key of any length");
    mac.update(format!("GET\n{path}\n{query}").as_bytes());
    let mut signature = String::new();
    for byte in mac.finalize().into_bytes() {
        let _ = write!(signature, "{byte:02x}");
    }
    format!("{path}?{query}&signature={signature}")
}

fn main() {
    let parameters = [("key", "raw/chair.jpg"), ("size", "800x600")];
    println!("{}", signed("write-16-characters-or-more", "/dev1/myimage", &parameters, 4_102_444_800));
}
