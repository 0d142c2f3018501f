//! `GetObjectAttributes`: what is known of an object, without its bytes.
//! Source: AWS, "Amazon S3 API Reference", `GetObjectAttributes`.

use http_body_util::BodyExt as _;
use s3s::{
    Body, S3Request, S3Response, S3Result,
    dto::{
        Checksum, GetObjectAttributesInput, GetObjectAttributesOutput, GetObjectAttributesParts,
        ObjectAttributes, ObjectPart, StorageClass,
    },
    s3_error,
};

use super::{
    Endpoint,
    answers::{self, with_checksums},
    blocking,
    faults::s3,
    listing::page_size,
};
use crate::storage::{self, Checksums, StoreFault};

/// What may be asked for.
const ATTRIBUTES: [&str; 5] = [
    ObjectAttributes::ETAG,
    ObjectAttributes::CHECKSUM,
    ObjectAttributes::OBJECT_PARTS,
    ObjectAttributes::STORAGE_CLASS,
    ObjectAttributes::OBJECT_SIZE,
];

pub(super) async fn get(
    endpoint: &Endpoint,
    request: S3Request<GetObjectAttributesInput>,
) -> S3Result<S3Response<GetObjectAttributesOutput>> {
    let input = request.input;
    let asked: Vec<&str> = input
        .object_attributes
        .iter()
        .flat_map(|list| list.as_str().split(','))
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .collect();
    if asked.is_empty() || asked.iter().any(|name| !ATTRIBUTES.contains(name)) {
        return Err(s3_error!(
            InvalidArgument,
            "Invalid attribute name specified: x-amz-object-attributes lists some of {}",
            ATTRIBUTES.join(", ")
        ));
    }
    let has = |name: &str| asked.contains(&name);
    let after = input.part_number_marker.unwrap_or(0);
    let max = page_size("x-amz-max-parts", input.max_parts)?;
    let at = answers::location(&input.bucket, &input.key)?;
    let store = endpoint.store.clone();
    let (record, layout) = blocking(move || {
        let record =
            store.objects.head(&at).map_err(s3)?.ok_or_else(|| s3(StoreFault::NoSuchKey(at.clone())))?;
        let layout = match record.parts {
            Some(_) => store.objects.part_layout(&at, &record).map_err(s3)?,
            None => Vec::new(),
        };
        Ok((record, layout))
    })
    .await?;
    let checksum = has(ObjectAttributes::CHECKSUM) && !record.checksums.values.is_empty();
    let parts = record.parts.filter(|_| has(ObjectAttributes::OBJECT_PARTS));
    Ok(S3Response::new(GetObjectAttributesOutput {
        e_tag: has(ObjectAttributes::ETAG).then(|| answers::etag(&record.etag)),
        checksum: checksum.then(|| {
            let mut checksum =
                Checksum { checksum_type: answers::checksum_type(&record.checksums), ..Checksum::default() };
            with_checksums!(checksum, &record.checksums);
            checksum
        }),
        object_parts: parts.map(|count| page(count, &layout, after, max)),
        object_size: has(ObjectAttributes::OBJECT_SIZE).then(|| answers::size(record.size)),
        storage_class: has(ObjectAttributes::STORAGE_CLASS)
            .then(|| StorageClass::from_static(StorageClass::STANDARD)),
        last_modified: Some(answers::timestamp(record.modified_ms)),
        ..GetObjectAttributesOutput::default()
    }))
}

/// The answer as S3 writes it: this is the one document whose ETag has no quotes.
pub(super) async fn unquoted(body: Body) -> S3Result<Body> {
    let document = body.collect().await.map_err(|error| s3_error!(InternalError, "{error}"))?.to_bytes();
    Ok(Body::from(without_quotes(&String::from_utf8_lossy(&document))))
}

/// A document whose element `ETag` has no quotes, however they were written.
fn without_quotes(document: &str) -> String {
    let (begin, end) = ("<ETag>", "</ETag>");
    let parts = document.split_once(begin).and_then(|(before, rest)| {
        let (etag, after) = rest.split_once(end)?;
        Some((before, etag.replace("&quot;", "").replace('"', ""), after))
    });
    parts.map_or_else(
        || document.to_owned(),
        |(before, etag, after)| format!("{before}{begin}{etag}{end}{after}"),
    )
}

/// The parts after one. As on S3 they are listed only where they have checksums.
fn page(count: u32, layout: &[storage::ObjectPart], after: i32, max: i32) -> GetObjectAttributesParts {
    let mut later = layout
        .iter()
        .filter(|part| i32::from(part.number) > after && !part.checksums.is_empty())
        .map(|part| {
            let mut shown = ObjectPart {
                part_number: Some(part.number.into()),
                size: Some(answers::size(part.size)),
                ..ObjectPart::default()
            };
            let checksums = Checksums { values: part.checksums.clone(), composite: false };
            with_checksums!(shown, &checksums);
            shown
        });
    let shown: Vec<ObjectPart> = later.by_ref().take(usize::try_from(max).unwrap_or(0)).collect();
    GetObjectAttributesParts {
        is_truncated: Some(later.next().is_some()),
        max_parts: Some(max),
        next_part_number_marker: shown.last().and_then(|part| part.part_number).or(Some(0)),
        part_number_marker: Some(after),
        total_parts_count: i32::try_from(count).ok(),
        parts: (!shown.is_empty()).then_some(shown),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_etag_loses_its_quotes() {
        let document =
            |etag: &str| format!("<?xml version=\"1.0\"?><A xmlns=\"x\"><ETag>{etag}</ETag><B/></A>");
        for quoted in ["\"ab-2\"", "&quot;ab-2&quot;", "ab-2"] {
            assert_eq!(without_quotes(&document(quoted)), document("ab-2"));
        }
        let without = "<A xmlns=\"x\"><ObjectSize>1</ObjectSize></A>";
        assert_eq!(without_quotes(without), without);
    }
}
