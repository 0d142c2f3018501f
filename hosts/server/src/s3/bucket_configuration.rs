//! What a bucket does not have, as S3 answers it; and the ACLs of buckets and objects, which are their owner's.
//! Source: AWS, "Amazon S3 API Reference", "Error responses".

use s3s::{
    S3Error, S3ErrorCode, S3Result,
    dto::{
        AccessControlPolicy, GetBucketEncryptionOutput, Grant, Grantee, Initiator, Owner, Permission,
        ServerSideEncryption, ServerSideEncryptionByDefault, ServerSideEncryptionConfiguration,
        ServerSideEncryptionRule, Type,
    },
    s3_error,
};
use tintype_pipeline::store::Location;
use tintype_policy::{CannedAcl, PublicAccessBlock};

use super::{Endpoint, answers::canned_acl, blocking, faults::s3, operation_table::OWNER};
use crate::storage::StoreFault;

impl Endpoint {
    /// # Errors
    /// There is no such bucket.
    pub(super) async fn require_bucket(&self, bucket: String) -> S3Result<()> {
        let store = self.store.clone();
        blocking(move || store.buckets.get(&bucket).map(drop).map_err(s3)).await
    }

    /// # Errors
    /// There is no such object.
    pub(super) async fn require_object(&self, at: Location) -> S3Result<()> {
        let store = self.store.clone();
        blocking(move || match store.objects.head(&at).map_err(s3)? {
            Some(_) => Ok(()),
            None => Err(s3(StoreFault::NoSuchKey(at))),
        })
        .await
    }

    /// Whether the encryption that a request wants is there: AES256, where whoever operates the server says that its disk is
    /// encrypted (`storage.encrypted_at_rest`).
    ///
    /// # Errors
    /// It is not, and the object would be stored without.
    pub(super) fn check_encryption(&self, wanted: Option<&ServerSideEncryption>) -> S3Result<()> {
        match wanted {
            Some(_) if self.encryption.is_none() => Err(s3_error!(
                NotImplemented,
                "x-amz-server-side-encryption is not offered, as this server does not encrypt objects; if its disk is \
                 encrypted, storage.encrypted_at_rest = true says so; nothing was done"
            )),
            _ => Ok(()),
        }
    }

    /// The answer to who asks for a configuration that no bucket has; of a bucket that is not there, that it is not.
    pub(super) async fn absent<T>(
        &self,
        bucket: String,
        code: S3ErrorCode,
        message: &'static str,
    ) -> S3Result<T> {
        self.require_bucket(bucket).await?;
        let mut error = S3Error::with_message(code, message);
        // The crate s3s has 400 for some.
        error.set_status_code(http::StatusCode::NOT_FOUND);
        Err(error)
    }
}

/// Whether an ACL makes public what it is set on.
///
/// # Errors
/// It does, and that is forbidden.
pub(super) fn check_public(acl: CannedAcl, block: PublicAccessBlock) -> S3Result<bool> {
    let is_public = acl == CannedAcl::PublicRead;
    if is_public && block.block_public_acls {
        return Err(s3_error!(
            AccessDenied,
            "the ACL is public, which the BlockPublicAcls setting of the bucket's public access block forbids \
             (PutPublicAccessBlock changes it, storage.block_public_access is the default)"
        ));
    }
    Ok(is_public)
}

/// Whose everything is, as listings name it: the account that all access keys belong to.
pub(super) fn owner() -> Owner {
    Owner { display_name: Some(OWNER.into()), id: Some(OWNER.into()) }
}

/// The encryption of a bucket whose objects all are encrypted with `algorithm`.
pub(super) fn encryption(algorithm: ServerSideEncryption) -> GetBucketEncryptionOutput {
    let default = ServerSideEncryptionByDefault { sse_algorithm: algorithm, kms_master_key_id: None };
    let rule = ServerSideEncryptionRule {
        apply_server_side_encryption_by_default: Some(default),
        bucket_key_enabled: Some(false),
    };
    let rules = vec![rule];
    GetBucketEncryptionOutput {
        server_side_encryption_configuration: Some(ServerSideEncryptionConfiguration { rules }),
    }
}

/// Who began an upload, as listings name it.
pub(super) fn initiator() -> Initiator {
    Initiator { display_name: Some(OWNER.into()), id: Some(OWNER.into()) }
}

/// The group of everybody, in ACLs.
const ALL_USERS: &str = "http://acs.amazonaws.com/groups/global/AllUsers";

/// The owner has full control, and everybody may read what is public.
pub(super) fn grants(is_public_read: bool) -> Vec<Grant> {
    let grantee = Grantee {
        display_name: Some(OWNER.into()),
        email_address: None,
        id: Some(OWNER.into()),
        type_: Type::from_static(Type::CANONICAL_USER),
        uri: None,
    };
    let own =
        Grant { grantee: Some(grantee), permission: Some(Permission::from_static(Permission::FULL_CONTROL)) };
    let everybody = Grantee {
        display_name: None,
        email_address: None,
        id: None,
        type_: Type::from_static(Type::GROUP),
        uri: Some(ALL_USERS.into()),
    };
    let read =
        Grant { grantee: Some(everybody), permission: Some(Permission::from_static(Permission::READ)) };
    [own].into_iter().chain(is_public_read.then_some(read)).collect()
}

/// The ACL that a request sets, canned or written out.
pub(super) fn requested_acl(
    canned: Option<&str>,
    written: Option<AccessControlPolicy>,
) -> S3Result<CannedAcl> {
    let acl = canned_acl(canned)?;
    let Some(written) = written else {
        if canned.is_some() {
            return Ok(acl);
        }
        return Err(s3_error!(MissingSecurityHeader, "name an ACL, in x-amz-acl or in the body"));
    };
    if canned.is_some() {
        return Err(s3_error!(UnexpectedContent, "an ACL is named in x-amz-acl and in the body"));
    }
    let is_own = |grant: &Grant| {
        let grantee = grant.grantee.as_ref();
        grantee.is_some_and(|grantee| grantee.id.as_deref() == Some(OWNER))
            && grant.permission.as_ref().is_some_and(|granted| granted.as_str() == Permission::FULL_CONTROL)
    };
    let is_read_of_all = |grant: &Grant| {
        let grantee = grant.grantee.as_ref();
        grantee.is_some_and(|grantee| grantee.uri.as_deref() == Some(ALL_USERS))
            && grant.permission.as_ref().is_some_and(|granted| granted.as_str() == Permission::READ)
    };
    let grants = written.grants.unwrap_or_default();
    if grants.iter().all(|grant| is_own(grant) || is_read_of_all(grant)) {
        let is_public = grants.iter().any(is_read_of_all);
        return Ok(if is_public { CannedAcl::PublicRead } else { CannedAcl::Private });
    }
    Err(s3_error!(
        NotImplemented,
        "other grants than the owner's FULL_CONTROL and everybody's READ are not offered; write a bucket policy (s3api put-bucket-policy)"
    ))
}
