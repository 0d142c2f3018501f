//! A bucket's ownership controls. They decide whether ACLs count; every object is the bucket owner's whatever they say, as all
//! access keys belong to one account.
//! Source: AWS, "Controlling ownership of objects and disabling ACLs for your bucket".

use s3s::{
    S3ErrorCode, S3Request, S3Response, S3Result,
    dto::{
        self, DeleteBucketOwnershipControlsInput, DeleteBucketOwnershipControlsOutput,
        GetBucketOwnershipControlsInput, GetBucketOwnershipControlsOutput, OwnershipControls,
        OwnershipControlsRule, PutBucketOwnershipControlsInput, PutBucketOwnershipControlsOutput,
    },
    s3_error,
};

use super::{Endpoint, blocking, faults::s3};
use crate::storage::ObjectOwnership;

const NAMES: [(ObjectOwnership, &str); 3] = [
    (ObjectOwnership::BucketOwnerEnforced, dto::ObjectOwnership::BUCKET_OWNER_ENFORCED),
    (ObjectOwnership::BucketOwnerPreferred, dto::ObjectOwnership::BUCKET_OWNER_PREFERRED),
    (ObjectOwnership::ObjectWriter, dto::ObjectOwnership::OBJECT_WRITER),
];

/// The setting that a request names.
pub(super) fn named(ownership: &dto::ObjectOwnership) -> S3Result<ObjectOwnership> {
    let found = NAMES.iter().find(|(_, name)| *name == ownership.as_str());
    found.map(|(setting, _)| *setting).ok_or_else(|| {
        let names = NAMES.map(|(_, name)| name).join(", ");
        s3_error!(InvalidArgument, "the object ownership is one of {names}")
    })
}

pub(super) async fn get(
    endpoint: &Endpoint,
    request: S3Request<GetBucketOwnershipControlsInput>,
) -> S3Result<S3Response<GetBucketOwnershipControlsOutput>> {
    let (store, bucket) = (endpoint.store.clone(), request.input.bucket);
    let of_bucket = bucket.clone();
    let record = blocking(move || store.buckets.get(&of_bucket).map_err(s3)).await?;
    let found = NAMES.iter().find(|(setting, _)| Some(*setting) == record.ownership);
    let Some(name) = found.map(|(_, name)| *name) else {
        return endpoint
            .absent(
                bucket,
                S3ErrorCode::OwnershipControlsNotFoundError,
                "The bucket ownership controls were not found",
            )
            .await;
    };
    let object_ownership = dto::ObjectOwnership::from_static(name);
    let rules = vec![OwnershipControlsRule { object_ownership }];
    let ownership_controls = Some(OwnershipControls { rules });
    Ok(S3Response::new(GetBucketOwnershipControlsOutput { ownership_controls }))
}

pub(super) async fn put(
    endpoint: &Endpoint,
    request: S3Request<PutBucketOwnershipControlsInput>,
) -> S3Result<S3Response<PutBucketOwnershipControlsOutput>> {
    let PutBucketOwnershipControlsInput { bucket, ownership_controls, .. } = request.input;
    let [rule] = ownership_controls.rules.as_slice() else {
        return Err(s3_error!(MalformedXML, "ownership controls have one rule"));
    };
    let ownership = named(&rule.object_ownership)
        .map_err(|error| s3_error!(MalformedXML, "{}", error.message().unwrap_or_default()))?;
    let store = endpoint.store.clone();
    blocking(move || store.buckets.set_ownership(&bucket, Some(ownership)).map_err(s3)).await?;
    Ok(S3Response::new(PutBucketOwnershipControlsOutput {}))
}

pub(super) async fn delete(
    endpoint: &Endpoint,
    request: S3Request<DeleteBucketOwnershipControlsInput>,
) -> S3Result<S3Response<DeleteBucketOwnershipControlsOutput>> {
    let store = endpoint.store.clone();
    blocking(move || store.buckets.set_ownership(&request.input.bucket, None).map_err(s3)).await?;
    Ok(S3Response::with_status(DeleteBucketOwnershipControlsOutput {}, http::StatusCode::NO_CONTENT))
}
