//! The operations offered, one method each. What is not here answers NotImplemented.

use s3s::{S3, S3Request, S3Response, S3Result, dto::*, s3_error};
use tintype_function::store::Location;

use super::{
    Endpoint,
    answers::{self, check_acl, refuse_unoffered, refuse_unoffered_put, stored_headers, with_checksums},
    blocking,
    conditions::{self, ReadConditions, Verdict},
    cors, current_request_id,
    faults::s3,
    listing, notification, parts, reading,
    receive::{self, expected},
};
use crate::store::{Cause, CopyOptions, StoreFault};

/// Objects one DeleteObjects may name: S3's own bound.
const LARGEST_DELETE: usize = 1000;

/// The region everything is in; clients need one for their signatures, none is checked.
const REGION: &str = "us-east-1";

fn cause(event: &'static str) -> Cause {
    Cause { event, request_id: current_request_id() }
}

/// XML 1.0, section 2.2.
const fn is_xml(c: char) -> bool {
    matches!(c, '\u{9}' | '\u{A}' | '\u{D}' | '\u{20}'..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..)
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
        let (store, name) = (self.store.clone(), input.bucket.clone());
        blocking(move || store.create_bucket(&name).map_err(s3)).await?;
        Ok(S3Response::new(CreateBucketOutput { location: Some(format!("/{}", input.bucket)) }))
    }

    async fn head_bucket(
        &self,
        request: S3Request<HeadBucketInput>,
    ) -> S3Result<S3Response<HeadBucketOutput>> {
        let store = self.store.clone();
        blocking(move || store.bucket(&request.input.bucket).map_err(s3)).await?;
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
        blocking(move || store.delete_bucket(&request.input.bucket).map_err(s3)).await?;
        Ok(S3Response::with_status(DeleteBucketOutput::default(), http::StatusCode::NO_CONTENT))
    }

    async fn list_buckets(
        &self,
        request: S3Request<ListBucketsInput>,
    ) -> S3Result<S3Response<ListBucketsOutput>> {
        let store = self.store.clone();
        let prefix = request.input.prefix;
        let buckets = blocking(move || store.buckets().map_err(s3)).await?;
        let shown =
            buckets.into_iter().filter(|(name, _)| name.starts_with(prefix.as_deref().unwrap_or_default()));
        let shown = shown.map(|(name, record)| Bucket {
            name: Some(name),
            creation_date: Some(answers::timestamp(record.created_ms)),
            bucket_region: None,
        });
        let owner = Owner { display_name: Some("tintype".into()), id: Some("tintype".into()) };
        Ok(S3Response::new(ListBucketsOutput {
            buckets: Some(shown.collect()),
            owner: Some(owner),
            ..ListBucketsOutput::default()
        }))
    }

    async fn get_bucket_location(
        &self,
        request: S3Request<GetBucketLocationInput>,
    ) -> S3Result<S3Response<GetBucketLocationOutput>> {
        let store = self.store.clone();
        blocking(move || store.bucket(&request.input.bucket).map_err(s3)).await?;
        // us-east-1 is told by telling none.
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
        let said = expected!(request);
        let body = request.input.body.take();
        let input = request.input;
        check_acl(input.acl.as_ref().map(ObjectCannedACL::as_str))?;
        refuse_unoffered!(input, write_offset_bytes);
        refuse_unoffered_put!(input);
        let at = answers::location(&input.bucket, &input.key)?;
        let condition = conditions::write(input.if_match.as_ref(), input.if_none_match.as_ref())?;
        let headers = stored_headers!(input);
        let (beginner, committer) = (self.store.clone(), self.store.clone());
        let place = at.clone();
        let cause = cause("ObjectCreated:Put");
        let record = receive::receive(
            body,
            request.trailing_headers,
            said,
            move || beginner.begin_put(&place, headers).map_err(s3),
            move |incoming| committer.commit_put(&at, incoming, condition, cause).map_err(s3),
        )
        .await?;
        let mut output =
            PutObjectOutput { e_tag: Some(answers::etag(&record.etag)), ..PutObjectOutput::default() };
        with_checksums!(output, &record.checksums);
        output.checksum_type = answers::checksum_type(&record.checksums);
        Ok(S3Response::new(output))
    }

    async fn get_object(&self, request: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        reading::get(self, request).await
    }

    async fn head_object(
        &self,
        request: S3Request<HeadObjectInput>,
    ) -> S3Result<S3Response<HeadObjectOutput>> {
        reading::head(self, request).await
    }

    async fn copy_object(
        &self,
        request: S3Request<CopyObjectInput>,
    ) -> S3Result<S3Response<CopyObjectOutput>> {
        let condition = conditions::write_headers(&request.headers)?;
        let input = request.input;
        check_acl(input.acl.as_ref().map(ObjectCannedACL::as_str))?;
        refuse_unoffered_put!(input);
        let from = answers::copy_source(&input.copy_source)?;
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
                store.open_object(&from).map_err(s3)?.ok_or_else(|| s3(StoreFault::NoSuchKey(from)))?;
            let source_conditions = ReadConditions {
                if_match: input.copy_source_if_match.as_ref(),
                if_none_match: input.copy_source_if_none_match.as_ref(),
                if_modified_since: input.copy_source_if_modified_since.as_ref(),
                if_unmodified_since: input.copy_source_if_unmodified_since.as_ref(),
            };
            if source_conditions.judge(&source.record) != Verdict::Go {
                return Err(s3_error!(PreconditionFailed, "the source is not as the condition says"));
            }
            let options = CopyOptions { headers, condition };
            store.copy(&source, &to, options, cause).map_err(s3)
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
        refuse_unoffered!(input, version_id, if_match_last_modified_time, if_match_size);
        let at = answers::location(&input.bucket, &input.key)?;
        let wanted = match conditions::write(input.if_match.as_ref(), None)? {
            tintype_function::store::Condition::Matches(etag) => Some(etag),
            _ => None,
        };
        let (store, cause) = (self.store.clone(), cause("ObjectRemoved:Delete"));
        blocking(move || store.delete(&at, wanted.as_deref(), cause).map_err(s3)).await?;
        Ok(S3Response::with_status(DeleteObjectOutput::default(), http::StatusCode::NO_CONTENT))
    }

    async fn delete_objects(
        &self,
        request: S3Request<DeleteObjectsInput>,
    ) -> S3Result<S3Response<DeleteObjectsOutput>> {
        let input = request.input;
        if input.delete.objects.len() > LARGEST_DELETE {
            return Err(s3_error!(MalformedXML, "at most {LARGEST_DELETE} objects may be named at once"));
        }
        if input.delete.objects.iter().any(|object| !object.key.chars().all(is_xml)) {
            return Err(s3_error!(
                MalformedXML,
                "a key holds a character that XML cannot; delete it by its own request"
            ));
        }
        let quiet = input.delete.quiet == Some(true);
        let (store, cause) = (self.store.clone(), cause("ObjectRemoved:Delete"));
        blocking(move || {
            store.bucket(&input.bucket).map_err(s3)?;
            let named = input.delete.objects.into_iter().map(|object| {
                let at =
                    answers::location(&input.bucket, &object.key).and_then(|at| match object.version_id {
                        Some(_) => Err(s3_error!(NotImplemented, "versions are not kept")),
                        None => Ok((at, object.e_tag.map(|etag| etag.value().to_owned()))),
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
            let mut good: Vec<(Location, Option<String>)> = Vec::new();
            for (key, object) in named {
                match object {
                    Ok(object) => good.push(object),
                    Err(error) => errors.push(failed(key, error)),
                }
            }
            let keys: Vec<String> = good.iter().map(|(at, _)| at.key.to_string()).collect();
            for (key, result) in keys.into_iter().zip(store.delete_all(good, &cause)) {
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

    /// Tags are not kept, so there are none; clients that copy ask for them first.
    async fn get_object_tagging(
        &self,
        request: S3Request<GetObjectTaggingInput>,
    ) -> S3Result<S3Response<GetObjectTaggingOutput>> {
        let input = request.input;
        refuse_unoffered!(input, version_id);
        let at = answers::location(&input.bucket, &input.key)?;
        let store = self.store.clone();
        blocking(move || store.head_object(&at).map_err(s3)?.ok_or_else(|| s3(StoreFault::NoSuchKey(at))))
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
