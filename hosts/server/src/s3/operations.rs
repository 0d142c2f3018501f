//! The operations offered, one method each.

use s3s::{S3, S3Request, S3Response, S3Result, dto::*, s3_error};
use tintype_pipeline::store::Location;

use super::{
    Endpoint, access_denied,
    answers::{self, check_acl, check_storage_class, stored_headers, with_checksums},
    blocking,
    conditions::{self, copy_source_conditions},
    cors,
    faults::s3,
    listing, notification, object_reader,
    operation_table::OWNER,
    parts,
    upload_body::{self, expected},
};
use crate::{
    auth::{Action, Principal},
    request_id,
    storage::{Cause, CopyOptions, StoreFault},
};

/// Objects one DeleteObjects may name: S3's own bound.
const MAX_DELETE: usize = 1000;

/// Buckets of one page: S3's own bound.
const MAX_BUCKET_PAGE: i32 = 10_000;

/// The region everything is in; clients need one for their signatures, none is checked.
const REGION: &str = "us-east-1";

fn cause(event: &'static str) -> Cause {
    Cause { event, request_id: request_id::current() }
}

/// XML 1.0, section 2.2.
const fn is_xml(c: char) -> bool {
    matches!(c, '\u{9}' | '\u{A}' | '\u{D}' | '\u{20}'..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..)
}

impl Endpoint {
    /// Whether the sender of a verified request may take an action on an object that the request names besides its path.
    pub(super) fn authorize(
        &self,
        of_request: &http::Extensions,
        action: Action,
        at: &Location,
    ) -> S3Result<()> {
        let principal = of_request.get::<Principal>();
        let principal = principal.ok_or_else(|| s3_error!(AccessDenied, "Signature is required"))?;
        self.authorizer.authorize(principal, action, &at.into()).map_err(access_denied)
    }
}

#[async_trait::async_trait]
impl S3 for Endpoint {
    async fn create_bucket(
        &self,
        request: S3Request<CreateBucketInput>,
    ) -> S3Result<S3Response<CreateBucketOutput>> {
        let input = request.input;
        check_acl(input.acl.as_ref().map(BucketCannedACL::as_str))?;
        if input.object_lock_enabled_for_bucket == Some(true) {
            return Err(s3_error!(NotImplemented, "object lock is not offered"));
        }
        let ownership = input.object_ownership.as_ref().map(ObjectOwnership::as_str);
        if ownership.is_some_and(|ownership| ownership != ObjectOwnership::BUCKET_OWNER_ENFORCED) {
            return Err(s3_error!(
                NotImplemented,
                "the object ownership is BucketOwnerEnforced; there is no other"
            ));
        }
        let (store, name) = (self.store.clone(), input.bucket.clone());
        blocking(move || store.buckets.create(&name).map_err(s3)).await?;
        Ok(S3Response::new(CreateBucketOutput { location: Some(format!("/{}", input.bucket)) }))
    }

    async fn head_bucket(
        &self,
        request: S3Request<HeadBucketInput>,
    ) -> S3Result<S3Response<HeadBucketOutput>> {
        let store = self.store.clone();
        blocking(move || store.buckets.get(&request.input.bucket).map_err(s3)).await?;
        Ok(S3Response::new(HeadBucketOutput {
            bucket_region: Some(REGION.into()),
            ..HeadBucketOutput::default()
        }))
    }

    async fn delete_bucket(
        &self,
        request: S3Request<DeleteBucketInput>,
    ) -> S3Result<S3Response<DeleteBucketOutput>> {
        let store = self.store.clone();
        blocking(move || store.buckets.delete(&request.input.bucket).map_err(s3)).await?;
        Ok(S3Response::with_status(DeleteBucketOutput::default(), http::StatusCode::NO_CONTENT))
    }

    async fn list_buckets(
        &self,
        request: S3Request<ListBucketsInput>,
    ) -> S3Result<S3Response<ListBucketsOutput>> {
        let store = self.store.clone();
        let input = request.input;
        let max = usize::try_from(input.max_buckets.unwrap_or(MAX_BUCKET_PAGE)).unwrap_or(0);
        if !(1..=MAX_BUCKET_PAGE as usize).contains(&max) {
            return Err(s3_error!(InvalidArgument, "max-buckets must be 1 to {MAX_BUCKET_PAGE}"));
        }
        let is_elsewhere = input.bucket_region.as_ref().is_some_and(|region| region.as_str() != REGION);
        let prefix = input.prefix.clone().unwrap_or_default();
        // The token is the last name of the page before.
        let after = input.continuation_token.unwrap_or_default();
        let buckets = blocking(move || store.buckets.list().map_err(s3)).await?;
        let mut shown = buckets
            .into_iter()
            .filter(|(name, _)| !is_elsewhere && name.starts_with(&prefix) && *name > after)
            .map(|(name, record)| Bucket {
                name: Some(name),
                creation_date: Some(answers::timestamp(record.created_ms)),
                bucket_region: None,
            });
        let page: Vec<Bucket> = shown.by_ref().take(max).collect();
        let next = shown.next().and(page.last()).and_then(|last| last.name.clone());
        let owner = Owner { display_name: Some(OWNER.into()), id: Some(OWNER.into()) };
        Ok(S3Response::new(ListBucketsOutput {
            buckets: Some(page),
            owner: Some(owner),
            continuation_token: next,
            prefix: input.prefix,
        }))
    }

    async fn get_bucket_location(
        &self,
        request: S3Request<GetBucketLocationInput>,
    ) -> S3Result<S3Response<GetBucketLocationOutput>> {
        let store = self.store.clone();
        blocking(move || store.buckets.get(&request.input.bucket).map_err(s3)).await?;
        // us-east-1 is expressed by no location.
        Ok(S3Response::new(GetBucketLocationOutput::default()))
    }

    async fn get_bucket_cors(
        &self,
        request: S3Request<GetBucketCorsInput>,
    ) -> S3Result<S3Response<GetBucketCorsOutput>> {
        cors::get(self, request).await
    }

    async fn put_bucket_cors(
        &self,
        request: S3Request<PutBucketCorsInput>,
    ) -> S3Result<S3Response<PutBucketCorsOutput>> {
        cors::put(self, request).await
    }

    async fn delete_bucket_cors(
        &self,
        request: S3Request<DeleteBucketCorsInput>,
    ) -> S3Result<S3Response<DeleteBucketCorsOutput>> {
        cors::delete(self, request).await
    }

    async fn put_object(
        &self,
        mut request: S3Request<PutObjectInput>,
    ) -> S3Result<S3Response<PutObjectOutput>> {
        let expected = expected!(request);
        let body = request.input.body.take();
        let input = request.input;
        check_acl(input.acl.as_ref().map(ObjectCannedACL::as_str))?;
        check_storage_class(input.storage_class.as_ref().map(StorageClass::as_str))?;
        let at = answers::location(&input.bucket, &input.key)?;
        let condition = conditions::write(input.if_match.as_ref(), input.if_none_match.as_ref())?;
        let headers = stored_headers!(input);
        let (store, commit_store) = (self.store.clone(), self.store.clone());
        let location = at.clone();
        let cause = cause("ObjectCreated:Put");
        let record = upload_body::receive(
            body,
            request.extensions.remove(),
            expected,
            move || store.objects.begin(&location, headers).map_err(s3),
            move |incoming| commit_store.objects.commit(&at, incoming, condition, cause).map_err(s3),
        )
        .await?;
        let mut output =
            PutObjectOutput { e_tag: Some(answers::etag(&record.etag)), ..PutObjectOutput::default() };
        with_checksums!(output, &record.checksums);
        output.checksum_type = answers::checksum_type(&record.checksums);
        Ok(S3Response::new(output))
    }

    async fn get_object(&self, request: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        object_reader::get(self, request).await
    }

    async fn head_object(
        &self,
        request: S3Request<HeadObjectInput>,
    ) -> S3Result<S3Response<HeadObjectOutput>> {
        object_reader::head(self, request).await
    }

    async fn copy_object(
        &self,
        request: S3Request<CopyObjectInput>,
    ) -> S3Result<S3Response<CopyObjectOutput>> {
        let condition = conditions::write_headers(&request.headers)?;
        let input = request.input;
        check_acl(input.acl.as_ref().map(ObjectCannedACL::as_str))?;
        check_storage_class(input.storage_class.as_ref().map(StorageClass::as_str))?;
        let from = answers::copy_source(&input.copy_source)?;
        self.authorize(&request.extensions, Action::GetObject, &from)?;
        let to = answers::location(&input.bucket, &input.key)?;
        let replace = input
            .metadata_directive
            .as_ref()
            .is_some_and(|directive| directive.as_str() == MetadataDirective::REPLACE);
        if from == to && !replace {
            return Err(s3_error!(
                InvalidRequest,
                "This copy request is illegal because it is trying to copy an object to itself without changing the object's metadata"
            ));
        }
        let headers = replace.then(|| stored_headers!(input));
        let (store, cause) = (self.store.clone(), cause("ObjectCreated:Copy"));
        let record = blocking(move || {
            let source =
                store.objects.open(&from).map_err(s3)?.ok_or_else(|| s3(StoreFault::NoSuchKey(from)))?;
            conditions::check_copy_source(copy_source_conditions!(input), &source.record)?;
            if let Some(algorithm) = &input.checksum_algorithm
                && !source.record.checksums.values.contains_key(algorithm.as_str())
            {
                return Err(s3_error!(
                    NotImplemented,
                    "a copy has its source's checksum, which is not {}; leave x-amz-checksum-algorithm out",
                    algorithm.as_str()
                ));
            }
            let options = CopyOptions { headers, condition };
            store.objects.copy(&source, &to, options, cause).map_err(s3)
        })
        .await?;
        let mut result = CopyObjectResult {
            e_tag: Some(answers::etag(&record.etag)),
            last_modified: Some(answers::timestamp(record.modified_ms)),
            ..CopyObjectResult::default()
        };
        with_checksums!(result, &record.checksums);
        Ok(S3Response::new(CopyObjectOutput {
            copy_object_result: Some(result),
            ..CopyObjectOutput::default()
        }))
    }

    async fn delete_object(
        &self,
        request: S3Request<DeleteObjectInput>,
    ) -> S3Result<S3Response<DeleteObjectOutput>> {
        let input = request.input;
        let at = answers::location(&input.bucket, &input.key)?;
        let expected = match conditions::write(input.if_match.as_ref(), None)? {
            tintype_pipeline::store::Condition::Matches(etag) => Some(etag),
            _ => None,
        };
        let (store, cause) = (self.store.clone(), cause("ObjectRemoved:Delete"));
        blocking(move || store.objects.delete(&at, expected.as_deref(), cause).map_err(s3)).await?;
        Ok(S3Response::with_status(DeleteObjectOutput::default(), http::StatusCode::NO_CONTENT))
    }

    async fn delete_objects(
        &self,
        request: S3Request<DeleteObjectsInput>,
    ) -> S3Result<S3Response<DeleteObjectsOutput>> {
        let input = request.input;
        if input.delete.objects.len() > MAX_DELETE {
            return Err(s3_error!(MalformedXML, "at most {MAX_DELETE} objects may be named at once"));
        }
        if input.delete.objects.iter().any(|object| !object.key.chars().all(is_xml)) {
            return Err(s3_error!(
                MalformedXML,
                "a key contains a character that XML cannot represent; delete it by its own request"
            ));
        }
        let quiet = input.delete.quiet == Some(true);
        let (endpoint, extensions) = (self.clone(), request.extensions);
        let (store, cause) = (self.store.clone(), cause("ObjectRemoved:Delete"));
        blocking(move || {
            store.buckets.get(&input.bucket).map_err(s3)?;
            let named = input.delete.objects.into_iter().map(|object| {
                let at = answers::location(&input.bucket, &object.key).and_then(|at| {
                    endpoint.authorize(&extensions, Action::DeleteObject, &at)?;
                    let conditions = [object.last_modified_time.is_some(), object.size.is_some()];
                    if object.version_id.is_some() || conditions.contains(&true) {
                        return Err(s3_error!(
                            NotImplemented,
                            "VersionId, LastModifiedTime and Size are not offered; the object was not deleted"
                        ));
                    }
                    Ok((at, object.e_tag.map(|etag| etag.value().to_owned())))
                });
                (object.key, at)
            });
            let (mut deleted, mut errors) = (Vec::new(), Vec::new());
            let failed = |key: String, error: s3s::S3Error| Error {
                key: Some(key),
                code: Some(error.code().as_str().to_owned()),
                message: error.message().map(str::to_owned),
                version_id: None,
            };
            let mut allowed: Vec<(Location, Option<String>)> = Vec::new();
            for (key, object) in named {
                match object {
                    Ok(object) => allowed.push(object),
                    Err(error) => errors.push(failed(key, error)),
                }
            }
            let keys: Vec<String> = allowed.iter().map(|(at, _)| at.key.to_string()).collect();
            for (key, result) in keys.into_iter().zip(store.objects.delete_all(allowed, &cause)) {
                match result {
                    Ok(_) if quiet => {}
                    Ok(_) => deleted.push(DeletedObject { key: Some(key), ..DeletedObject::default() }),
                    Err(fault) => errors.push(failed(key, s3(fault))),
                }
            }
            Ok(S3Response::new(DeleteObjectsOutput {
                deleted: (!deleted.is_empty()).then_some(deleted),
                errors: (!errors.is_empty()).then_some(errors),
                ..DeleteObjectsOutput::default()
            }))
        })
        .await
    }

    /// Tags are not stored, so there are none; clients that copy request them first.
    async fn get_object_tagging(
        &self,
        request: S3Request<GetObjectTaggingInput>,
    ) -> S3Result<S3Response<GetObjectTaggingOutput>> {
        let input = request.input;
        let at = answers::location(&input.bucket, &input.key)?;
        let store = self.store.clone();
        blocking(move || store.objects.head(&at).map_err(s3)?.ok_or_else(|| s3(StoreFault::NoSuchKey(at))))
            .await?;
        Ok(S3Response::new(GetObjectTaggingOutput { tag_set: Vec::new(), version_id: None }))
    }

    async fn list_objects(
        &self,
        request: S3Request<ListObjectsInput>,
    ) -> S3Result<S3Response<ListObjectsOutput>> {
        listing::v1(self, request).await
    }

    async fn list_objects_v2(
        &self,
        request: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        listing::v2(self, request).await
    }

    async fn create_multipart_upload(
        &self,
        request: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        parts::create(self, request).await
    }

    async fn upload_part(
        &self,
        request: S3Request<UploadPartInput>,
    ) -> S3Result<S3Response<UploadPartOutput>> {
        parts::upload_part(self, request).await
    }

    async fn upload_part_copy(
        &self,
        request: S3Request<UploadPartCopyInput>,
    ) -> S3Result<S3Response<UploadPartCopyOutput>> {
        parts::upload_part_copy(self, request).await
    }

    async fn complete_multipart_upload(
        &self,
        request: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        parts::complete(self, request).await
    }

    async fn abort_multipart_upload(
        &self,
        request: S3Request<AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        parts::abort(self, request).await
    }

    async fn list_parts(&self, request: S3Request<ListPartsInput>) -> S3Result<S3Response<ListPartsOutput>> {
        parts::list_parts(self, request).await
    }

    async fn list_multipart_uploads(
        &self,
        request: S3Request<ListMultipartUploadsInput>,
    ) -> S3Result<S3Response<ListMultipartUploadsOutput>> {
        parts::list_uploads(self, request).await
    }

    async fn get_bucket_notification_configuration(
        &self,
        request: S3Request<GetBucketNotificationConfigurationInput>,
    ) -> S3Result<S3Response<GetBucketNotificationConfigurationOutput>> {
        notification::get(self, request).await
    }

    async fn put_bucket_notification_configuration(
        &self,
        request: S3Request<PutBucketNotificationConfigurationInput>,
    ) -> S3Result<S3Response<PutBucketNotificationConfigurationOutput>> {
        notification::put(self, request).await
    }
}
