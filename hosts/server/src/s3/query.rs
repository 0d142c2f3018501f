//! A request's query, decoded once: signatures, the table of operations and the endpoint all go by the same
//! parameters.

use std::collections::HashSet;

use http::Uri;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use url::form_urlencoded;

/// What a canonical query leaves as it is. Source: AWS, "Create a signed AWS API request", `UriEncode`.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// The parameters of a presigned URL's signature. Source: AWS, "Authenticating requests: using query parameters".
const AUTHENTICATION: [&str; 8] = [
    "X-Amz-Algorithm",
    "X-Amz-Content-Sha256",
    "X-Amz-Credential",
    "X-Amz-Date",
    "X-Amz-Expires",
    "X-Amz-Security-Token",
    "X-Amz-SignedHeaders",
    "X-Amz-Signature",
];

/// Names and values in the order they were sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    pub(super) fn of(uri: &Uri) -> Self {
        let query = uri.query().unwrap_or_default();
        Self(form_urlencoded::parse(query.as_bytes()).into_owned().collect())
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(found, _)| *found == name).map(|(_, value)| value)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// A name that occurs more than once: which of the values would count is anybody's guess.
    pub(super) fn repeated(&self) -> Option<&str> {
        let mut seen = HashSet::new();
        self.iter().map(|(name, _)| name).find(|name| !seen.insert(*name))
    }

    pub(super) fn is_presigned(&self) -> bool {
        self.has("X-Amz-Signature")
    }

    /// Parameters that represent a header, by the header's name; of a presigned URL without those of its signature.
    pub(super) fn headers(&self) -> impl Iterator<Item = (String, &str)> {
        let is_presigned = self.is_presigned();
        self.iter()
            .filter(|(name, _)| starts_with_ignoring_case(name, "x-amz-"))
            .filter(move |(name, _)| !is_presigned || !AUTHENTICATION.contains(name))
            .map(|(name, value)| (name.to_ascii_lowercase(), value))
    }

    /// What is left for the operation: neither the signature's, nor a header's, nor one that S3 ignores (`x-id`, and
    /// whatever else begins with `x-`. Source: AWS, "Customizing request logging with query parameters").
    pub(super) fn of_operation(&self) -> Self {
        let rest = self.iter().filter(|(name, _)| !starts_with_ignoring_case(name, "x-"));
        Self(rest.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    /// As in a URL.
    pub(super) fn encoded(&self) -> String {
        let encode = |text| utf8_percent_encode(text, UNRESERVED);
        let pairs = self.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value)));
        pairs.collect::<Vec<_>>().join("&")
    }
}

/// Whether a header's name is that of a parameter of authentication, in whatever case.
pub(super) fn is_of_authentication(header: &str) -> bool {
    AUTHENTICATION.iter().any(|name| name.eq_ignore_ascii_case(header))
}

fn starts_with_ignoring_case(name: &str, prefix: &str) -> bool {
    name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(text: &str) -> Query {
        Query::of(&format!("/b/k?{text}").parse().unwrap())
    }

    #[test]
    fn parameters_are_the_operations_a_headers_the_signatures_or_nobodys() {
        let presigned = "X-Amz-Date=1&response-content-type=a%2Fb&X-Amz-Signature=2&x-id=GetObject&x-trace=1\
                         &x-amz-meta-a=b%20c&X-Amz-Acl=private&acl";
        let query = query(presigned);
        assert!(query.is_presigned());
        assert_eq!(query.of_operation().encoded(), "response-content-type=a%2Fb&acl=");
        let headers: Vec<_> = query.headers().collect();
        assert_eq!(headers, [("x-amz-meta-a".to_owned(), "b c"), ("x-amz-acl".to_owned(), "private")]);
    }

    #[test]
    fn names_are_decoded_before_they_are_looked_at() {
        let query = query("X%2DAmz%2DSignature=1&%61cl&x%2Damz%2Dacl=a");
        assert!(query.is_presigned());
        assert_eq!(query.of_operation().get("acl"), Some(""));
        assert_eq!(query.headers().collect::<Vec<_>>(), [("x-amz-acl".to_owned(), "a")]);
    }

    #[test]
    fn repeated_names_are_found() {
        assert_eq!(query("a=1&b=2&a=1").repeated(), Some("a"));
        assert_eq!(query("a=1&b=2&A=1&&").repeated(), None);
    }
}
