//! `PutObject` and `CopyObject`.

use s3s::{
    S3Request, S3Response, S3Result,
    dto::{
        CopyObjectInput, CopyObjectOutput, CopyObjectResult, MetadataDirective, ObjectCannedACL,
        PutObjectInput, PutObjectOutput, StorageClass, TaggingDirective,
    },
    s3_error,
};

use super::{
    Endpoint,
    answers::{self, check_storage_class, stored_headers, with_checksums},
    blocking,
    conditions::{self, copy_source_conditions},
    faults::s3,
    tagging::{self, Tags},
    upload_body::{self, expected},
};
use crate::{
    auth::Action,
    storage::{CopyOptions, ObjectDetails, StoreFault},
};

pub(super) async fn put(
    endpoint: &Endpoint,
    mut request: S3Request<PutObjectInput>,
) -> S3Result<S3Response<PutObjectOutput>> {
    let expected = expected!(request);
    let body = request.input.body.take();
    let cause = endpoint.cause("ObjectCreated:Put", &request.extensions);
    let expires = answers::expires(&request.extensions);
    let input = request.input;
    let acl = endpoint.acl_of_new_object(&input.bucket, input.acl.as_ref().map(ObjectCannedACL::as_str))?;
    check_storage_class(input.storage_class.as_ref().map(StorageClass::as_str))?;
    endpoint.check_encryption(input.server_side_encryption.as_ref())?;
    let tags = input.tagging.as_deref().map(tagging::of_header).transpose()?.unwrap_or_default();
    let at = answers::location(&input.bucket, &input.key)?;
    let condition = conditions::write(input.if_match.as_ref(), input.if_none_match.as_ref())?;
    let headers = stored_headers!(input, expires);
    let (store, commit_store) = (endpoint.store.clone(), endpoint.store.clone());
    let location = at.clone();
    let record = upload_body::receive(
        body,
        request.extensions.remove(),
        expected,
        move || {
            let mut incoming = store.objects.begin(&location, headers).map_err(s3)?;
            incoming.set_details(ObjectDetails { acl, tags, ..ObjectDetails::default() });
            Ok(incoming)
        },
        move |incoming| commit_store.objects.commit(&at, incoming, condition, cause).map_err(s3),
    )
    .await?;
    let mut output = PutObjectOutput {
        e_tag: Some(answers::etag(&record.etag)),
        server_side_encryption: endpoint.encryption.clone(),
        ..PutObjectOutput::default()
    };
    with_checksums!(output, &record.checksums);
    output.checksum_type = answers::checksum_type(&record.checksums);
    Ok(S3Response::new(output))
}

/// The tags that replace those of a copy's source; `None`: it has its source's.
fn replacing_tags(input: &CopyObjectInput) -> S3Result<Option<Tags>> {
    let replaces = input
        .tagging_directive
        .as_ref()
        .is_some_and(|directive| directive.as_str() == TaggingDirective::REPLACE);
    match &input.tagging {
        Some(_) if !replaces => Err(s3_error!(
            InvalidArgument,
            "x-amz-tagging needs x-amz-tagging-directive: REPLACE, as a copy has its source's tags otherwise"
        )),
        tags if replaces => tags.as_deref().map_or(Ok(Tags::new()), tagging::of_header).map(Some),
        _ => Ok(None),
    }
}

pub(super) async fn copy(
    endpoint: &Endpoint,
    request: S3Request<CopyObjectInput>,
) -> S3Result<S3Response<CopyObjectOutput>> {
    let condition = conditions::write_headers(&request.headers)?;
    let expires = answers::expires(&request.extensions);
    let input = request.input;
    let acl = endpoint.acl_of_new_object(&input.bucket, input.acl.as_ref().map(ObjectCannedACL::as_str))?;
    check_storage_class(input.storage_class.as_ref().map(StorageClass::as_str))?;
    endpoint.check_encryption(input.server_side_encryption.as_ref())?;
    let from = answers::copy_source(&input.copy_source)?;
    endpoint.authorize(&request.extensions, Action::GetObject, &from)?;
    let to = answers::location(&input.bucket, &input.key)?;
    let replace = input
        .metadata_directive
        .as_ref()
        .is_some_and(|directive| directive.as_str() == MetadataDirective::REPLACE);
    let new_tags = replacing_tags(&input)?;
    if from == to && !replace && new_tags.is_none() {
        return Err(s3_error!(
            InvalidRequest,
            "This copy request is illegal because it is trying to copy an object to itself without changing the object's metadata"
        ));
    }
    let headers = replace.then(|| stored_headers!(input, expires));
    let (store, cause) = (endpoint.store.clone(), endpoint.cause("ObjectCreated:Copy", &request.extensions));
    let encryption = endpoint.encryption.clone();
    let (endpoint, extensions) = (endpoint.clone(), request.extensions);
    let record = blocking(move || {
        let source =
            store.objects.open(&from).map_err(s3)?.ok_or_else(|| s3(StoreFault::NoSuchKey(from.clone())))?;
        conditions::check_copy_source(copy_source_conditions!(input), &source.record)?;
        let tags = if let Some(tags) = new_tags {
            tags
        } else {
            let tags = store.objects.tags_of(&from, &source.record).map_err(s3)?;
            // They are read and written as by requests of their own.
            if !tags.is_empty() {
                endpoint.authorize(&extensions, Action::GetObjectTagging, &from)?;
                endpoint.authorize_tags(&extensions, Action::PutObjectTagging, &to, &tags)?;
            }
            tags
        };
        endpoint.charge(&extensions, source.record.size)?;
        if let Some(algorithm) = &input.checksum_algorithm
            && !source.record.checksums.values.contains_key(algorithm.as_str())
        {
            return Err(s3_error!(
                NotImplemented,
                "a copy has its source's checksum, which is not {}; leave x-amz-checksum-algorithm out",
                algorithm.as_str()
            ));
        }
        let details = ObjectDetails { acl, tags, ..ObjectDetails::default() };
        let options = CopyOptions { headers, condition, details };
        store.objects.copy(&source, &to, options, cause).map_err(s3)
    })
    .await?;
    let mut result = CopyObjectResult {
        e_tag: Some(answers::etag(&record.etag)),
        last_modified: Some(answers::timestamp(record.modified_ms)),
        checksum_type: answers::checksum_type(&record.checksums),
        ..CopyObjectResult::default()
    };
    with_checksums!(result, &record.checksums);
    Ok(S3Response::new(CopyObjectOutput {
        copy_object_result: Some(result),
        server_side_encryption: encryption,
        ..CopyObjectOutput::default()
    }))
}
