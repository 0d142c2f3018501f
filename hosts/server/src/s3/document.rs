//! XML documents that come with a request, such as the list of `DeleteObjects`: read whole, compared with the checksums that
//! the client sent, and checked for what the crate s3s ignores: CDATA, anything beside the root element, and elements of
//! configurations that it does not know.
//! Source: AWS, "`DeleteObjects`", "Checking object integrity".

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderMap, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use md5::{Digest as _, Md5};
use quick_xml::{Reader, events::Event};
use s3s::{Body, S3Result, TrailingHeaders, s3_error};

use super::upload_body::{ALGORITHMS, announced_trailer, body_error, checksum_header, hasher_for, values};

/// A list of 1,000 keys of 1,024 bytes, each of which XML may write in six.
const MAX_BYTES: usize = 8 << 20;
/// Nesting of elements; S3's documents have five levels.
const MAX_DEPTH: usize = 16;

/// Children of root elements: s3s skips unknown ones.
const CHILDREN: &[(&str, &[&str])] = &[
    ("Tagging", &["TagSet"]),
    ("AccessControlPolicy", &["AccessControlList", "Owner"]),
    ("CORSConfiguration", &["CORSRule"]),
    ("CompleteMultipartUpload", &["Part"]),
    ("OwnershipControls", &["Rule"]),
    ("CreateBucketConfiguration", &["LocationConstraint"]),
    ("Delete", &["Object", "Quiet"]),
    (
        "PublicAccessBlockConfiguration",
        &["BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"],
    ),
    (
        "NotificationConfiguration",
        &[
            "CloudFunctionConfiguration",
            "EventBridgeConfiguration",
            "QueueConfiguration",
            "TopicConfiguration",
        ],
    ),
];

/// Reads the document of a request whose `x-amz-checksum-*` are the document's, if `has_checksums`; its length becomes the
/// headers'. Whether JSON is well-formed its operation checks.
pub(super) async fn read(
    body: Body,
    headers: &mut HeaderMap,
    trailers: Option<TrailingHeaders>,
    has_checksums: bool,
    is_xml: bool,
) -> S3Result<Bytes> {
    let body = take(body, MAX_BYTES).await?;
    let trailers = trailers.and_then(|trailers| trailers.take());
    let declared = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if declared.is_some_and(|declared: usize| declared != body.len()) {
        return Err(s3_error!(
            IncompleteBody,
            "the document's length is not that of Content-Length; nothing was done"
        ));
    }
    verify_md5(headers, &body)?;
    if has_checksums {
        verify_checksums(headers, trailers.as_ref(), &body)?;
    } else {
        announced_trailer(headers, trailers.as_ref())?;
    }
    if is_xml {
        check_syntax(&body)?;
    }
    headers.insert(header::CONTENT_LENGTH, body.len().into());
    Ok(body)
}

/// Reads the body of an operation that has none, so that its signature is compared.
pub(super) async fn require_empty(body: Body) -> S3Result<()> {
    take(body, 0).await.map(drop)
}

async fn take(body: Body, limit: usize) -> S3Result<Bytes> {
    let body = Limited::new(body, limit).collect().await;
    let body = body.map_err(|error| match error.is::<LengthLimitError>() {
        true if limit == 0 => s3_error!(InvalidRequest, "this operation takes no body; nothing was done"),
        true => s3_error!(
            MaxMessageLengthExceeded,
            "the document has more than {limit} bytes; send less at once (nothing was done)"
        ),
        false => body_error(&*error),
    })?;
    Ok(body.to_bytes())
}

fn verify_md5(headers: &HeaderMap, body: &Bytes) -> S3Result<()> {
    let Some(md5) = headers.get("content-md5") else { return Ok(()) };
    let Some(expected) = STANDARD.decode(md5).ok().filter(|md5| md5.len() == 16) else {
        return Err(s3_error!(InvalidDigest, "Content-MD5 is not the base64 of 16 bytes"));
    };
    if expected != Md5::digest(body).as_slice() {
        return Err(s3_error!(BadDigest, "Content-MD5 does not match the body; nothing was done"));
    }
    Ok(())
}

fn verify_checksums(headers: &HeaderMap, trailers: Option<&HeaderMap>, body: &Bytes) -> S3Result<()> {
    let trailing = announced_trailer(headers, trailers)?;
    let trailing = trailing.as_ref().map(|(name, value)| (*name, value.as_bytes()));
    let leading = ALGORITHMS
        .into_iter()
        .filter_map(|name| headers.get(checksum_header(name)).map(|value| (name, value.as_bytes())));
    for (name, expected) in leading.chain(trailing) {
        let mut hasher = hasher_for(name)?;
        hasher.update(body);
        let computed = values(hasher.finalize()).values.remove(name).unwrap_or_default();
        let is_well_formed = STANDARD.decode(expected).is_ok_and(|expected| {
            STANDARD.decode(&computed).is_ok_and(|computed| computed.len() == expected.len())
        });
        if !is_well_formed {
            let header = checksum_header(name);
            return Err(s3_error!(InvalidRequest, "the value of {header} is not one of that checksum"));
        }
        if computed.as_bytes() != expected {
            return Err(s3_error!(
                BadDigest,
                "the {name} checksum does not match the body; nothing was done"
            ));
        }
    }
    Ok(())
}

/// One root element, nothing beside it, and nothing that s3s would skip.
pub(super) fn check_syntax(document: &[u8]) -> S3Result<()> {
    let malformed = |reason: &str| s3_error!(MalformedXML, "{reason}; nothing was done");
    if document.iter().all(u8::is_ascii_whitespace) {
        return Ok(());
    }
    let mut reader = Reader::from_reader(document);
    let (mut depth, mut root) = (0_usize, None);
    loop {
        let event = reader
            .read_event()
            .map_err(|error| malformed(&format!("the XML is not well-formed: {error}")))?;
        let opened = match &event {
            Event::Start(element) | Event::Empty(element) => Some(element.name()),
            _ => None,
        };
        if let Some(name) = opened {
            let name = String::from_utf8_lossy(name.as_ref()).into_owned();
            match (depth, &root) {
                (0, None) => root = Some(name),
                (0, Some(_)) => return Err(malformed("the XML has more than one root element")),
                (1, Some(root)) => {
                    let known = CHILDREN.iter().find(|(known, _)| known == root);
                    if known.is_some_and(|(_, children)| !children.contains(&name.as_str())) {
                        return Err(malformed(&format!("{root} with {name} is not offered")));
                    }
                }
                _ => {}
            }
        }
        match event {
            Event::Start(_) if depth == MAX_DEPTH => return Err(malformed("the XML is nested too deeply")),
            Event::Start(_) => depth += 1,
            Event::End(_) => depth = depth.saturating_sub(1),
            Event::Decl(declaration) => {
                let encoding = declaration.encoding().transpose().ok().flatten();
                if encoding.is_some_and(|encoding| !encoding.eq_ignore_ascii_case(b"utf-8")) {
                    return Err(malformed("the XML is in another encoding than UTF-8"));
                }
            }
            Event::CData(_) => return Err(malformed("CDATA is not offered; escape the text")),
            Event::DocType(_) => return Err(malformed("a document type is not offered")),
            Event::Text(text) if depth <= 1 && !text.iter().all(u8::is_ascii_whitespace) => {
                return Err(malformed("there is text beside the elements"));
            }
            Event::Eof if depth > 0 => return Err(malformed("the XML ends within an element")),
            Event::Eof => return Ok(()),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_read_whole_is_a_document() {
        let key = "<Delete><Object><Key>a &amp; b</Key></Object></Delete>";
        let notification = "<CloudFunctionConfiguration><Id>1</Id></CloudFunctionConfiguration>";
        for good in [
            key.to_owned(),
            format!("<?xml version=\"1.0\" encoding=\"utf-8\"?>\n{key}\n<!-- as it is -->"),
            "<Delete xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Quiet/></Delete>".into(),
            format!("<NotificationConfiguration>{notification}</NotificationConfiguration>"),
            "<NotificationConfiguration/>".into(),
            String::new(),
        ] {
            assert!(check_syntax(good.as_bytes()).is_ok(), "{good}");
        }
        for wrong in [
            "<Delete><Object><Key>x/a<![CDATA[x]]></Key></Object></Delete>".to_owned(),
            format!("{key}text"),
            format!("text{key}"),
            format!("{key}{key}"),
            format!("<!DOCTYPE a>{key}"),
            "<Delete><Object>".into(),
            "<Delete></Object>".into(),
            "<NotificationConfiguration><Foo/></NotificationConfiguration>".into(),
            "<CreateBucketConfiguration><Tags/></CreateBucketConfiguration>".into(),
            "<CORSConfiguration><Rule/></CORSConfiguration>".into(),
            "<NotificationConfiguration>text</NotificationConfiguration>".into(),
            format!(
                "<NotificationConfiguration xmlns:x=\"x\">{}</NotificationConfiguration>",
                notification.replace("Cloud", "x:Cloud")
            ),
            "<CompleteMultipartUpload><Part/><x:Part/></CompleteMultipartUpload>".into(),
            "<CompleteMultipartUpload><part/></CompleteMultipartUpload>".into(),
            "<Delete><Object/><Foo/></Delete>".into(),
            format!("<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?>{key}"),
            "<a>".repeat(100) + &"</a>".repeat(100),
        ] {
            assert!(check_syntax(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
}
