//! `CreateBucket` and `ListBuckets`.

use s3s::{
    S3Request, S3Response, S3Result,
    dto::{
        Bucket, BucketCannedACL, CreateBucketInput, CreateBucketOutput, ListBucketsInput, ListBucketsOutput,
    },
    s3_error,
};
use tintype_pipeline::clock::now_ms;

use super::{
    Endpoint,
    answers::{self, canned_acl},
    blocking,
    bucket_configuration::{self, check_public},
    faults::s3,
    operations::{REGION, sender},
    ownership_controls,
};
use crate::storage::{BucketRecord, ObjectOwnership, StoreFault};

/// Buckets of one page: S3's own bound.
const MAX_BUCKET_PAGE: i32 = 10_000;

pub(super) async fn create(
    endpoint: &Endpoint,
    request: S3Request<CreateBucketInput>,
) -> S3Result<S3Response<CreateBucketOutput>> {
    let input = request.input;
    // Here alone: such names were created before, and the settings may have them.
    if input.bucket.contains(".-") || input.bucket.contains("-.") {
        return Err(s3_error!(
            InvalidBucketName,
            "\"{}\" is no bucket name: a bucket name has no dot beside a hyphen",
            input.bucket
        ));
    }
    let acl = canned_acl(input.acl.as_ref().map(BucketCannedACL::as_str))?;
    check_public(acl, endpoint.authorizer.default_block())?;
    if input.object_lock_enabled_for_bucket == Some(true) {
        return Err(s3_error!(NotImplemented, "object lock is not offered"));
    }
    let ownership = input.object_ownership.as_ref().map(ownership_controls::named).transpose()?;
    if ownership == Some(ObjectOwnership::BucketOwnerEnforced) && acl.is_public() {
        return Err(s3(StoreFault::AclContradictsOwnership));
    }
    let owner = endpoint.authorizer.owner(sender(&request.extensions)?.0);
    let (store, name, block) =
        (endpoint.store.clone(), input.bucket.clone(), endpoint.public_access(&input.bucket));
    let record = BucketRecord { acl: acl.into(), ownership, ..BucketRecord::new(now_ms(), owner) };
    blocking(move || match store.buckets.create_as(&name, record) {
        // As in us-east-1, the region of this server: it is there, with the ACL of this request.
        Err(StoreFault::BucketExists(name)) => {
            check_public(acl, block)?;
            // Ownership controls have an operation of their own: nobody is to believe that these are set.
            if ownership.is_some() && store.buckets.get(&name).map_err(s3)?.ownership != ownership {
                return Err(s3(StoreFault::BucketExists(name)));
            }
            store.buckets.set_acl(&name, acl).map_err(s3)
        }
        created => created.map_err(s3),
    })
    .await?;
    Ok(S3Response::new(CreateBucketOutput { location: Some(format!("/{}", input.bucket)) }))
}

pub(super) async fn list(
    endpoint: &Endpoint,
    request: S3Request<ListBucketsInput>,
) -> S3Result<S3Response<ListBucketsOutput>> {
    let store = endpoint.store.clone();
    let (principal, context) = sender(&request.extensions)?;
    let own = match endpoint.authorizer.sees_all_buckets(principal, context) {
        true => None,
        false => Some(endpoint.authorizer.owner(principal)),
    };
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
        .filter(|(_, record)| own.as_ref().is_none_or(|own| own.is_some() && *own == record.owner))
        .filter(|(name, _)| !is_elsewhere && name.starts_with(&prefix) && *name > after)
        .map(|(name, record)| Bucket {
            name: Some(name),
            creation_date: Some(answers::timestamp(record.created_ms)),
            bucket_region: None,
        });
    let page: Vec<Bucket> = shown.by_ref().take(max).collect();
    let next = shown.next().and(page.last()).and_then(|last| last.name.clone());
    let owner = bucket_configuration::owner();
    Ok(S3Response::new(ListBucketsOutput {
        buckets: Some(page),
        owner: Some(owner),
        continuation_token: next,
        prefix: input.prefix,
    }))
}
