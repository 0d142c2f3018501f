//! Bucket policies, and what of them may be public.
//! Sources: AWS, "Bucket policies for Amazon S3"; "Blocking public access to your Amazon S3 storage".

use s3s::{
    S3Error, S3ErrorCode, S3Request, S3Response, S3Result,
    dto::{
        DeleteBucketPolicyInput, DeleteBucketPolicyOutput, DeletePublicAccessBlockInput,
        DeletePublicAccessBlockOutput, GetBucketPolicyInput, GetBucketPolicyOutput,
        GetBucketPolicyStatusInput, GetBucketPolicyStatusOutput, GetPublicAccessBlockInput,
        GetPublicAccessBlockOutput, PolicyStatus, PublicAccessBlockConfiguration, PutBucketPolicyInput,
        PutBucketPolicyOutput, PutPublicAccessBlockInput, PutPublicAccessBlockOutput,
    },
    s3_error,
};
use tintype_policy::{Policy, PublicAccessBlock, is_public};

use super::{Endpoint, blocking, faults::s3};
use crate::storage::PublicAccessBlockRecord;

fn no_policy() -> S3Error {
    s3_error!(NoSuchBucketPolicy, "The bucket policy does not exist")
}

fn parsed(policy: &str, bucket: &str) -> S3Result<Policy> {
    Policy::of_bucket(policy.as_bytes(), bucket).map_err(|error| s3_error!(MalformedPolicy, "{error}"))
}

impl Endpoint {
    /// A bucket's policy as it was put.
    async fn stored_policy(&self, bucket: String) -> S3Result<String> {
        let store = self.store.clone();
        let record = blocking(move || store.buckets.get(&bucket).map_err(s3)).await?;
        record.policy.ok_or_else(no_policy)
    }
}

pub(super) async fn get(
    endpoint: &Endpoint,
    request: S3Request<GetBucketPolicyInput>,
) -> S3Result<S3Response<GetBucketPolicyOutput>> {
    let policy = Some(endpoint.stored_policy(request.input.bucket).await?);
    let mut response = S3Response::new(GetBucketPolicyOutput { policy });
    let json = http::HeaderValue::from_static("application/json");
    response.headers.insert(http::header::CONTENT_TYPE, json);
    Ok(response)
}

pub(super) async fn status(
    endpoint: &Endpoint,
    request: S3Request<GetBucketPolicyStatusInput>,
) -> S3Result<S3Response<GetBucketPolicyStatusOutput>> {
    let bucket = request.input.bucket;
    let policy = parsed(&endpoint.stored_policy(bucket.clone()).await?, &bucket)?;
    let policy_status = Some(PolicyStatus { is_public: Some(is_public(&policy)) });
    Ok(S3Response::new(GetBucketPolicyStatusOutput { policy_status }))
}

pub(super) async fn put(
    endpoint: &Endpoint,
    request: S3Request<PutBucketPolicyInput>,
) -> S3Result<S3Response<PutBucketPolicyOutput>> {
    let PutBucketPolicyInput { bucket, policy, .. } = request.input;
    let is_public = is_public(&parsed(&policy, &bucket)?);
    if is_public && endpoint.public_access(&bucket).block_public_policy {
        return Err(s3_error!(
            AccessDenied,
            "the policy makes the bucket public, which the BlockPublicPolicy setting of its public access block forbids \
             (PutPublicAccessBlock changes it, storage.block_public_access is the default)"
        ));
    }
    let store = endpoint.store.clone();
    blocking(move || store.buckets.set_policy(&bucket, Some(policy)).map_err(s3)).await?;
    Ok(S3Response::with_status(PutBucketPolicyOutput {}, http::StatusCode::NO_CONTENT))
}

pub(super) async fn delete(
    endpoint: &Endpoint,
    request: S3Request<DeleteBucketPolicyInput>,
) -> S3Result<S3Response<DeleteBucketPolicyOutput>> {
    let store = endpoint.store.clone();
    blocking(move || store.buckets.set_policy(&request.input.bucket, None).map_err(s3)).await?;
    Ok(S3Response::with_status(DeleteBucketPolicyOutput {}, http::StatusCode::NO_CONTENT))
}

/// The default of every bucket is answered, too, unless it blocks nothing.
pub(super) async fn get_block(
    endpoint: &Endpoint,
    request: S3Request<GetPublicAccessBlockInput>,
) -> S3Result<S3Response<GetPublicAccessBlockOutput>> {
    let (store, bucket) = (endpoint.store.clone(), request.input.bucket);
    let record = blocking(move || store.buckets.get(&bucket).map_err(s3)).await?;
    let default = endpoint.authorizer.default_block();
    let block = match record.public_access_block {
        None if default == PublicAccessBlock::default() => None,
        None => Some(default),
        Some(PublicAccessBlockRecord::Removed) => None,
        Some(PublicAccessBlockRecord::Set(set)) => Some(set.into()),
    };
    let Some(block) = block else {
        let code = S3ErrorCode::Custom("NoSuchPublicAccessBlockConfiguration".into());
        let mut error = S3Error::with_message(code, "The public access block configuration was not found");
        error.set_status_code(http::StatusCode::NOT_FOUND);
        return Err(error);
    };
    Ok(S3Response::new(GetPublicAccessBlockOutput {
        public_access_block_configuration: Some(PublicAccessBlockConfiguration {
            block_public_acls: Some(block.block_public_acls),
            ignore_public_acls: Some(block.ignore_public_acls),
            block_public_policy: Some(block.block_public_policy),
            restrict_public_buckets: Some(block.restrict_public_buckets),
        }),
    }))
}

pub(super) async fn put_block(
    endpoint: &Endpoint,
    request: S3Request<PutPublicAccessBlockInput>,
) -> S3Result<S3Response<PutPublicAccessBlockOutput>> {
    let PutPublicAccessBlockInput { bucket, public_access_block_configuration: block, .. } = request.input;
    let record = PublicAccessBlockRecord::Set(crate::storage::PublicAccess {
        block_public_acls: block.block_public_acls == Some(true),
        ignore_public_acls: block.ignore_public_acls == Some(true),
        block_public_policy: block.block_public_policy == Some(true),
        restrict_public_buckets: block.restrict_public_buckets == Some(true),
    });
    let store = endpoint.store.clone();
    blocking(move || store.buckets.set_public_access_block(&bucket, record).map_err(s3)).await?;
    Ok(S3Response::new(PutPublicAccessBlockOutput {}))
}

/// Afterwards nothing is blocked, whatever the default.
pub(super) async fn delete_block(
    endpoint: &Endpoint,
    request: S3Request<DeletePublicAccessBlockInput>,
) -> S3Result<S3Response<DeletePublicAccessBlockOutput>> {
    let (store, removed) = (endpoint.store.clone(), PublicAccessBlockRecord::Removed);
    let bucket = request.input.bucket;
    blocking(move || store.buckets.set_public_access_block(&bucket, removed).map_err(s3)).await?;
    Ok(S3Response::with_status(DeletePublicAccessBlockOutput {}, http::StatusCode::NO_CONTENT))
}
