//! Tags of objects: as a header, as a document, and their operations.
//! Source: AWS, "Categorizing your objects using tags"; "Amazon S3 API Reference", `PutObjectTagging`.

use s3s::{
    S3Error, S3Request, S3Response, S3Result,
    dto::{
        DeleteObjectTaggingInput, DeleteObjectTaggingOutput, GetObjectTaggingInput, GetObjectTaggingOutput,
        PutObjectTaggingInput, PutObjectTaggingOutput, Tag, Tagging,
    },
    s3_error,
    xml::{Deserialize as _, Deserializer},
};
use tintype_pipeline::store::Location;

use super::{Endpoint, access_denied, answers, blocking, document, faults::s3, operations::sender};
use crate::{
    auth::{Action, RequestContext},
    storage::{ObjectRecord, StoreFault},
};

/// Tags, name and value, each name once, in the order of their names.
pub(super) type Tags = Vec<(String, String)>;

/// Tags of an object: S3's bound.
const MAX_TAGS: usize = 10;
/// UTF-16 code units of a tag's name and value: S3's bounds.
const MAX_NAME: usize = 128;
const MAX_VALUE: usize = 256;
/// Characters that names and values may have besides letters, digits and spaces.
const SIGNS: &str = "+-=._:/@";

fn invalid(message: impl Into<String>) -> S3Error {
    S3Error::with_message(s3s::S3ErrorCode::InvalidTag, message.into())
}

/// The header `x-amz-tagging`: `name=value&…`, as the query of a URL.
///
/// # Errors
/// `InvalidTag` for what S3 does not take as tags, `InvalidArgument` for what is not encoded so.
pub(super) fn of_header(text: &str) -> S3Result<Tags> {
    let decoded = |text: &str| {
        let text = text.replace('+', " ");
        let decoded = percent_encoding::percent_decode_str(&text).decode_utf8();
        let unusable = || {
            s3_error!(
                InvalidArgument,
                "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters without tag \
                 name duplicates."
            )
        };
        decoded.map(std::borrow::Cow::into_owned).map_err(|_| unusable())
    };
    let pairs = text.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        Ok((decoded(name)?, decoded(value)?))
    });
    checked(pairs.collect::<S3Result<_>>()?)
}

/// The document `Tagging` in the field of a form.
///
/// # Errors
/// `MalformedXML`, or as [`of_header`].
pub(super) fn of_field(text: &str) -> S3Result<Tags> {
    document::check_syntax(text.as_bytes())?;
    let mut deserializer = Deserializer::new(text.as_bytes());
    let tagging = Tagging::deserialize(&mut deserializer).and_then(|tagging| {
        deserializer.expect_eof()?;
        Ok(tagging)
    });
    let malformed =
        |error| s3_error!(MalformedXML, "the form's field \"tagging\" is no Tagging document: {error}");
    of_document(tagging.map_err(malformed)?)
}

fn of_document(tagging: Tagging) -> S3Result<Tags> {
    let pair = |Tag { key, value }| match key {
        Some(key) => Ok((key, value.unwrap_or_default())),
        None => Err(s3_error!(MalformedXML, "a Tag needs a Key")),
    };
    checked(tagging.tag_set.into_iter().map(pair).collect::<S3Result<_>>()?)
}

fn checked(mut tags: Tags) -> S3Result<Tags> {
    if tags.len() > MAX_TAGS {
        return Err(invalid(format!("Object tags cannot be greater than {MAX_TAGS}")));
    }
    let is_character = |c: char| c.is_alphanumeric() || c == ' ' || SIGNS.contains(c);
    let length = |text: &str| text.encode_utf16().count();
    for (at, (name, value)) in tags.iter().enumerate() {
        if !(1..=MAX_NAME).contains(&length(name)) || !name.chars().all(is_character) {
            return Err(invalid(format!(
                "The TagKey you have provided is invalid: it has 1 to {MAX_NAME} letters, digits, spaces or {SIGNS}"
            )));
        }
        if length(value) > MAX_VALUE || !value.chars().all(is_character) {
            return Err(invalid(format!(
                "The TagValue you have provided is invalid: it has at most {MAX_VALUE} letters, digits, spaces or {SIGNS}"
            )));
        }
        if name.to_ascii_lowercase().starts_with("aws:") {
            return Err(invalid("System tags cannot be added/updated by requester"));
        }
        if tags[..at].iter().any(|(other, _)| other == name) {
            return Err(invalid("Cannot provide multiple Tags with the same key"));
        }
    }
    // In one order, whoever sent them.
    tags.sort_unstable();
    Ok(tags)
}

impl Endpoint {
    /// How many tags an object has, for the answer to a read; `None` where there are none, or whoever reads may not
    /// read them.
    pub(super) fn tag_count(
        &self,
        of_request: &http::Extensions,
        at: &Location,
        record: &ObjectRecord,
    ) -> S3Result<Option<i32>> {
        let tags = self.store.objects.tags_of(at, record).map_err(s3)?;
        let count = i32::try_from(tags.len()).ok().filter(|count| *count > 0);
        let (principal, context) = sender(of_request)?;
        let may = |_: &i32| self.authorizer.allows(principal, Action::GetObjectTagging, &at.into(), context);
        Ok(count.filter(may))
    }

    /// Whether the sender of a verified request may give an object these tags.
    pub(super) fn authorize_tags(
        &self,
        of_request: &http::Extensions,
        action: Action,
        at: &Location,
        tags: &Tags,
    ) -> S3Result<()> {
        let (principal, context) = sender(of_request)?;
        let context = RequestContext { request_tags: tags.clone(), ..context.clone() };
        self.authorizer.authorize(principal, action, &at.into(), &context).map_err(access_denied)
    }
}

pub(super) async fn get(
    endpoint: &Endpoint,
    request: S3Request<GetObjectTaggingInput>,
) -> S3Result<S3Response<GetObjectTaggingOutput>> {
    let input = request.input;
    let at = answers::location(&input.bucket, &input.key)?;
    let store = endpoint.store.clone();
    let tags = blocking(move || {
        let record =
            store.objects.head(&at).map_err(s3)?.ok_or_else(|| s3(StoreFault::NoSuchKey(at.clone())))?;
        store.objects.tags_of(&at, &record).map_err(s3)
    })
    .await?;
    let tag_set = tags.into_iter().map(|(key, value)| Tag { key: Some(key), value: Some(value) }).collect();
    Ok(S3Response::new(GetObjectTaggingOutput { tag_set, version_id: None }))
}

/// Which tags are set is in the document, so that the right is asked for here.
pub(super) async fn put(
    endpoint: &Endpoint,
    request: S3Request<PutObjectTaggingInput>,
) -> S3Result<S3Response<PutObjectTaggingOutput>> {
    let input = request.input;
    let at = answers::location(&input.bucket, &input.key)?;
    let tags = of_document(input.tagging);
    let of_version = input.version_id.map(|_| Action::PutObjectVersionTagging);
    let sent = tags.as_ref().map_or_else(|_| Tags::new(), Tags::clone);
    for action in [Action::PutObjectTagging].into_iter().chain(of_version) {
        endpoint.authorize_tags(&request.extensions, action, &at, &sent)?;
    }
    let (tags, store) = (tags?, endpoint.store.clone());
    blocking(move || match store.buckets.get(&at.bucket) {
        Ok(_) => store.objects.set_tags(&at, tags).map_err(s3),
        Err(fault) => Err(s3(fault)),
    })
    .await?;
    Ok(S3Response::new(PutObjectTaggingOutput::default()))
}

pub(super) async fn delete(
    endpoint: &Endpoint,
    request: S3Request<DeleteObjectTaggingInput>,
) -> S3Result<S3Response<DeleteObjectTaggingOutput>> {
    let input = request.input;
    let at = answers::location(&input.bucket, &input.key)?;
    let store = endpoint.store.clone();
    blocking(move || match store.buckets.get(&at.bucket) {
        Ok(_) => store.objects.set_tags(&at, Tags::new()).map_err(s3),
        Err(fault) => Err(s3(fault)),
    })
    .await?;
    Ok(S3Response::with_status(DeleteObjectTaggingOutput::default(), http::StatusCode::NO_CONTENT))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(list: &[(&str, &str)]) -> Tags {
        list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn headers_are_decoded_as_a_query() {
        assert_eq!(
            of_header("a=1&b+c=%C3%BC%2F&d&e=").unwrap(),
            pairs(&[("a", "1"), ("b c", "ü/"), ("d", ""), ("e", "")])
        );
        assert_eq!(of_header("").unwrap(), Tags::new());
        for wrong in ["a=1&a=2", "=1", "a=%FF", "aws:x=1", "AWS:x=1", "a=<", "a=1%0A", "a=b;c"] {
            assert!(of_header(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn bounds_are_those_of_s3() {
        let of = |count: usize| (0..count).map(|at| format!("k{at}=v")).collect::<Vec<_>>().join("&");
        assert!(of_header(&of(10)).is_ok() && of_header(&of(11)).is_err());
        let long = |name: usize, value: usize| format!("{}={}", "n".repeat(name), "v".repeat(value));
        assert!(of_header(&long(128, 256)).is_ok());
        assert!(of_header(&long(129, 0)).is_err() && of_header(&long(1, 257)).is_err());
    }

    #[test]
    fn fields_of_forms_are_documents() {
        let document = |tags: &str| of_field(&format!("<Tagging><TagSet>{tags}</TagSet></Tagging>"));
        assert_eq!(
            document("<Tag><Key>a</Key><Value>1</Value></Tag><Tag><Key>b</Key><Value></Value></Tag>")
                .unwrap(),
            pairs(&[("a", "1"), ("b", "")])
        );
        for wrong in [
            "<Tag><Value>1</Value></Tag>",
            "<Tag><Key>a</Key>",
            "<Tag><Key>a</Key></Tag><Tag><Key>a</Key></Tag>",
        ] {
            assert!(document(wrong).is_err(), "{wrong}");
        }
        assert!(of_field("a=1").is_err() && of_field("").is_err());
    }
}
