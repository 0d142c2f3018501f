//! Signed URLs: what is signed, by whom, and until when.
//!
//! The string is `GET`, the path and the query's parameters except the signature, sorted by name, on a line each; HEAD is
//! signed as GET. On their way URLs are re-encoded, by browsers, proxies and API Gateway: a signature over path and
//! parameters as they were sent is taken, and one over their canonical encoding, which means the same.

use std::fmt::Write as _;

use hmac::{Hmac, KeyInit as _, Mac as _};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use sha2::Sha256;
use tintype_pipeline::hex;

use crate::{query::Pairs, settings::SigningKey};

/// The parameter of the signature.
pub const SIGNATURE: &str = "signature";
/// The parameter of the last second, since 1970, in which the URL is answered.
pub const EXPIRES: &str = "expires";

/// What is encoded in parameters: all but the unreserved characters.
/// Source: RFC 3986, section 2.3.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// What is encoded in paths.
const ENCODED_IN_PATH: &AsciiSet = &ENCODED.remove(b'/');

/// A part of a query, percent-encoded.
#[must_use]
pub fn encoded(text: &str) -> String {
    utf8_percent_encode(text, ENCODED).to_string()
}

/// A path, percent-encoded except its slashes.
#[must_use]
pub fn encoded_path(path: &str) -> String {
    utf8_percent_encode(path, ENCODED_IN_PATH).to_string()
}

/// `name=value` for each parameter, percent-encoded and joined by `&`.
#[must_use]
pub fn encoded_query<'a>(parameters: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut query = String::new();
    for (name, value) in parameters {
        let separator = if query.is_empty() { "" } else { "&" };
        let _ = write!(query, "{separator}{}={}", encoded(name), encoded(value));
    }
    query
}

/// Path and query, signed until `expires_s` (seconds since 1970); `path` is percent-encoded, `parameters` are not.
#[must_use]
pub fn signed(key: &SigningKey, path: &str, parameters: &[(&str, &str)], expires_s: i64) -> String {
    let expires = expires_s.to_string();
    let mut parameters = parameters.to_vec();
    parameters.push((EXPIRES, &expires));
    parameters.sort_unstable();
    let query = encoded_query(parameters);
    let signature = hex::encode(&mac(key, path, &query).finalize().into_bytes());
    format!("{path}?{query}&{SIGNATURE}={signature}")
}

fn mac(key: &SigningKey, path: &str, query: &str) -> Hmac<Sha256> {
    // A key of HMAC may have any length.
    let mut mac = Hmac::<Sha256>::new_from_slice(key.secret().as_bytes())
        .unwrap_or_else(|_| unreachable!("HMAC takes keys of any length"));
    for part in ["GET\n", path, "\n", query] {
        mac.update(part.as_bytes());
    }
    mac
}

/// When a URL expires, in seconds since 1970, if one of the keys has signed it and it is valid at `now_s`. `path` and
/// `query` are as sent.
#[must_use]
pub fn verified(path: &str, query: &str, keys: &[SigningKey], now_s: i64) -> Option<i64> {
    let pairs = Pairs::parse(query).ok()?;
    let (signature, expires) = (pairs.single(SIGNATURE)?, pairs.single(EXPIRES)?);
    let signature = from_hex(signature)?;
    let expires_s = seconds(expires).filter(|expires| now_s <= *expires)?;
    if pairs.has_duplicates() {
        return None;
    }
    let canonical_path = percent_decode_str(path).decode_utf8().ok().map(|decoded| encoded_path(&decoded));
    let mut paths = vec![path.to_owned()];
    paths.extend(canonical_path.filter(|canonical| canonical != path));
    let mut queries = vec![canonical_query(&pairs)];
    queries.extend(Some(sent_query(query)).filter(|sent| *sent != queries[0]));
    // Which of the keys it was, and how much of the signature is right, takes no less time to find.
    let mut is_verified = false;
    for key in keys {
        for path in &paths {
            for query in &queries {
                is_verified |= mac(key, path, query).verify_slice(&signature).is_ok();
            }
        }
    }
    is_verified.then_some(expires_s)
}

/// The parameters but the signature, decoded, sorted and encoded again.
fn canonical_query(pairs: &Pairs) -> String {
    let mut parameters: Vec<_> = pairs.iter().filter(|(name, _)| *name != SIGNATURE).collect();
    parameters.sort_unstable();
    encoded_query(parameters)
}

/// The parameters but the signature, sorted as they were sent.
fn sent_query(query: &str) -> String {
    let is_other = |pair: &&str| !pair.is_empty() && pair.split('=').next() != Some(SIGNATURE);
    let mut parameters: Vec<&str> = query.split('&').filter(is_other).collect();
    parameters.sort_unstable_by_key(|pair| pair.split_once('=').unwrap_or((pair, "")));
    parameters.join("&")
}

/// The bytes of an HMAC-SHA256 in lower-case hexadecimal.
fn from_hex(text: &str) -> Option<[u8; 32]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let mut bytes = [0; 32];
    if !rest.is_empty() || pairs.len() != bytes.len() {
        return None;
    }
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(bytes)
}

/// Seconds since 1970, in digits alone.
fn seconds(text: &str) -> Option<i64> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(secret: &str) -> SigningKey {
        SigningKey::new("test", secret)
    }

    const SECRET: &str = "an example's secret";
    const PATH: &str = "/dev1/myimage";

    /// The hexadecimal HMAC-SHA256 of a string, as any signer computes it.
    fn hmac(string: &str) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
        mac.update(string.as_bytes());
        hex::encode(&mac.finalize().into_bytes())
    }

    fn is_verified(target: &str, now_s: i64) -> bool {
        let (path, query) = target.split_once('?').unwrap();
        verified(path, query, &[key("another, longer secret"), key(SECRET)], now_s) == Some(1000)
    }

    #[test]
    fn the_string_is_the_documented_one() {
        let url = signed(&key(SECRET), PATH, &[("size", "400x400"), ("key", "a b/ü+c.jpg")], 1000);
        let string = "GET\n/dev1/myimage\nexpires=1000&key=a%20b%2F%C3%BC%2Bc.jpg&size=400x400";
        let query = string.rsplit('\n').next().unwrap();
        assert_eq!(url, format!("{PATH}?{query}&signature={}", hmac(string)));
        // As OpenSSL computes it.
        assert!(
            url.ends_with("signature=7c6ed425bcb827fb12577bd91977902884f45d64733f531e21ec68779fea23ca"),
            "{url}"
        );
        assert!(is_verified(&url, 1000) && !is_verified(&url, 1001));
    }

    #[test]
    fn a_url_means_what_was_signed_however_it_is_encoded() {
        let url = signed(&key(SECRET), PATH, &[("key", "a b/ü~.jpg"), ("size", "5")], 1000);
        for (from, to) in [
            ("a%20b", "a+b"),
            ("%2F", "/"),
            ("%2F", "%2f"),
            ("size=5", "siz%65=%35"),
            ("~", "%7E"),
            ("&", "&&"),
        ] {
            let sent = url.replace(from, to);
            assert!(sent != url && is_verified(&sent, 0), "{sent}");
        }
        let (head, tail) = url.split_once("?").unwrap();
        let mut turned: Vec<&str> = tail.split('&').collect();
        turned.reverse();
        assert!(is_verified(&format!("{head}?{}", turned.join("&")), 0));
        let path = "/dev1/myimage/card/a%20b/%C3%BC~%2Bc.jpg";
        let url = signed(&key(SECRET), path, &[], 1000);
        for (from, to) in [("%C3%BC", "%c3%bc"), ("~", "%7E"), ("%2B", "+")] {
            assert!(is_verified(&url.replace(from, to), 0), "{from}");
        }
    }

    #[test]
    fn what_was_sent_may_be_signed_as_it_is() {
        for (path, query) in [
            ("/dev1/myimage/card/a+b,c(1).jpg", "expires=1000"),
            (PATH, "expires=1000&key=a/b.jpg&size=5"),
            (PATH, "expires=1000&key=a+b.jpg"),
        ] {
            let signature = hmac(&format!("GET\n{path}\n{query}"));
            assert!(is_verified(&format!("{path}?{query}&signature={signature}"), 0), "{query}");
            assert!(is_verified(&format!("{path}?signature={signature}&{query}"), 0), "{query}");
        }
    }

    #[test]
    fn what_was_not_signed_is_refused() {
        let url = signed(&key(SECRET), PATH, &[("key", "a.jpg"), ("size", "5")], 1000);
        let (head, signature) = url.rsplit_once('=').unwrap();
        for wrong in [
            url.replace("size=5", "size=6"),
            url.replace("a.jpg", "b.jpg"),
            url.replace(PATH, "/dev1/myimage/card/a.jpg"),
            url.replace("expires=1000", "expires=1001"),
            url.replace("expires=1000", "expires=+1000"),
            url.replace("expires=1000", "expires=-1"),
            url.replace("expires=1000&", ""),
            url.replace("expires=1000", "expires=99999999999999999999999999"),
            format!("{url}&quality=5"),
            format!("{url}&size=5"),
            format!("{url}&signature={signature}"),
            format!("{url}&expires=1000"),
            format!("{url}&x"),
            format!("{url}0"),
            format!("{head}={}", signature.to_uppercase()),
            format!("{head}={}", &signature[..62]),
            format!("{head}="),
            format!("{head}=%zz"),
            format!("{head}={signature}&%ff"),
            head.replace("&signature", ""),
        ] {
            assert!(!is_verified(&wrong, 0), "{wrong}");
        }
        let (path, query) = url.split_once('?').unwrap();
        assert_eq!(verified(path, query, &[], 0), None);
        // Values cannot move between parameters.
        let url = signed(&key(SECRET), PATH, &[("a", "1&b=2")], 1000);
        assert!(is_verified(&url, 0) && !is_verified(&url.replace("%26", "&").replace("%3D", "="), 0));
    }

    #[test]
    fn every_digit_of_a_signature_counts() {
        let url = signed(&key(SECRET), PATH, &[("key", "a.jpg")], 1000);
        let first = url.len() - 64;
        for at in first..url.len() {
            let digit = if url.as_bytes()[at] == b'0' { "1" } else { "0" };
            let mut wrong = url.clone();
            wrong.replace_range(at..=at, digit);
            assert!(!is_verified(&wrong, 0), "{wrong}");
        }
    }
}
