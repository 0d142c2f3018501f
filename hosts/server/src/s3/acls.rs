//! The operations on the ACLs of buckets and objects.

use s3s::{
    S3Request, S3Response, S3Result,
    dto::{
        BucketCannedACL, GetBucketAclInput, GetBucketAclOutput, GetObjectAclInput, GetObjectAclOutput,
        ObjectCannedACL, PutBucketAclInput, PutBucketAclOutput, PutObjectAclInput, PutObjectAclOutput,
    },
};
use tintype_policy::CannedAcl;

use super::{
    Endpoint, answers, blocking,
    bucket_configuration::{self, check_public},
    faults::s3,
};

pub(super) async fn get_of_bucket(
    endpoint: &Endpoint,
    request: S3Request<GetBucketAclInput>,
) -> S3Result<S3Response<GetBucketAclOutput>> {
    let (store, bucket) = (endpoint.store.clone(), request.input.bucket);
    let record = blocking(move || store.buckets.get(&bucket).map_err(s3)).await?;
    let grants = Some(bucket_configuration::grants(record.acl.canned()));
    let owner = Some(bucket_configuration::owner());
    Ok(S3Response::new(GetBucketAclOutput { grants, owner }))
}

pub(super) async fn put_of_bucket(
    endpoint: &Endpoint,
    request: S3Request<PutBucketAclInput>,
) -> S3Result<S3Response<PutBucketAclOutput>> {
    let input = request.input;
    let acl = bucket_configuration::requested_acl(
        input.acl.as_ref().map(BucketCannedACL::as_str),
        input.access_control_policy,
        endpoint.are_acls_disabled(&input.bucket),
    )?;
    check_public(acl, endpoint.public_access(&input.bucket))?;
    let store = endpoint.store.clone();
    blocking(move || store.buckets.set_acl(&input.bucket, acl).map_err(s3)).await?;
    Ok(S3Response::new(PutBucketAclOutput::default()))
}

pub(super) async fn get_of_object(
    endpoint: &Endpoint,
    request: S3Request<GetObjectAclInput>,
) -> S3Result<S3Response<GetObjectAclOutput>> {
    let input = request.input;
    let at = answers::location(&input.bucket, &input.key)?;
    endpoint.require_object(at.clone()).await?;
    let store = endpoint.store.clone();
    let acl = blocking(move || store.objects.acl(&at).map_err(s3)).await?;
    let acl = if endpoint.are_acls_disabled(&input.bucket) { CannedAcl::Private } else { acl };
    let grants = Some(bucket_configuration::grants(acl));
    let owner = Some(bucket_configuration::owner());
    Ok(S3Response::new(GetObjectAclOutput { grants, owner, request_charged: None }))
}

pub(super) async fn put_of_object(
    endpoint: &Endpoint,
    request: S3Request<PutObjectAclInput>,
) -> S3Result<S3Response<PutObjectAclOutput>> {
    let input = request.input;
    let acl = bucket_configuration::requested_acl(
        input.acl.as_ref().map(ObjectCannedACL::as_str),
        input.access_control_policy,
        endpoint.are_acls_disabled(&input.bucket),
    )?;
    check_public(acl, endpoint.public_access(&input.bucket))?;
    let at = answers::location(&input.bucket, &input.key)?;
    endpoint.require_object(at.clone()).await?;
    let store = endpoint.store.clone();
    blocking(move || store.objects.set_acl(&at, acl).map_err(s3)).await?;
    Ok(S3Response::new(PutObjectAclOutput::default()))
}
