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
use crate::storage::{BucketEntry, StoreFault};

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

    /// The ACL that a request names for an object that it creates.
    ///
    /// # Errors
    /// Its bucket does not allow it.
    pub(super) fn acl_of_new_object(&self, bucket: &str, named: Option<&str>) -> S3Result<CannedAcl> {
        let entry = self.store.buckets.entry(bucket);
        acl_of_new_object(named, entry.as_deref(), self.authorizer.default_block())
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

/// The ACL that a request names for an object that it creates in a bucket.
///
/// # Errors
/// The bucket does not allow it.
pub(super) fn acl_of_new_object(
    named: Option<&str>,
    bucket: Option<&BucketEntry>,
    default_block: PublicAccessBlock,
) -> S3Result<CannedAcl> {
    let acl = canned_acl(named)?;
    let is_of_owner = named.is_none() || acl == CannedAcl::BucketOwnerFullControl;
    if !is_of_owner && bucket.is_some_and(|entry| entry.are_acls_disabled) {
        return Err(s3(StoreFault::AclsDisabled));
    }
    let own_block = bucket.and_then(|entry| entry.public_access_block);
    check_public(acl, own_block.unwrap_or(default_block))?;
    Ok(acl)
}

/// # Errors
/// An ACL makes public what it is set on, and that is forbidden.
pub(super) fn check_public(acl: CannedAcl, block: PublicAccessBlock) -> S3Result<()> {
    if acl.is_public() && block.block_public_acls {
        return Err(s3_error!(
            AccessDenied,
            "the ACL is public, which the BlockPublicAcls setting of the bucket's public access block forbids \
             (PutPublicAccessBlock changes it, storage.block_public_access is the default)"
        ));
    }
    Ok(())
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

/// The groups that ACLs name. Source: AWS, "Access control list (ACL) overview", "Amazon S3 predefined groups".
const ALL_USERS: &str = "http://acs.amazonaws.com/groups/global/AllUsers";
const AUTHENTICATED_USERS: &str = "http://acs.amazonaws.com/groups/global/AuthenticatedUsers";

/// What an ACL allows groups, as it is written out.
const fn grants_of_groups(acl: CannedAcl) -> &'static [(&'static str, &'static str)] {
    match acl {
        CannedAcl::PublicRead => &[(ALL_USERS, Permission::READ)],
        CannedAcl::PublicReadWrite => &[(ALL_USERS, Permission::READ), (ALL_USERS, Permission::WRITE)],
        CannedAcl::AuthenticatedRead => &[(AUTHENTICATED_USERS, Permission::READ)],
        CannedAcl::Private | CannedAcl::BucketOwnerRead | CannedAcl::BucketOwnerFullControl => &[],
    }
}

/// An ACL written out: what it allows groups, and the owner, who has full control.
pub(super) fn grants(acl: CannedAcl) -> Vec<Grant> {
    let own = Grantee {
        display_name: Some(OWNER.into()),
        email_address: None,
        id: Some(OWNER.into()),
        type_: Type::from_static(Type::CANONICAL_USER),
        uri: None,
    };
    let own =
        Grant { grantee: Some(own), permission: Some(Permission::from_static(Permission::FULL_CONTROL)) };
    let of_group = |(group, permission): &(&str, &'static str)| Grant {
        grantee: Some(Grantee {
            display_name: None,
            email_address: None,
            id: None,
            type_: Type::from_static(Type::GROUP),
            uri: Some((*group).into()),
        }),
        permission: Some(Permission::from_static(permission)),
    };
    grants_of_groups(acl).iter().map(of_group).chain([own]).collect()
}

/// The ACL that a request sets, canned or written out, on what is in a bucket with or without ACLs.
pub(super) fn requested_acl(
    canned: Option<&str>,
    written: Option<AccessControlPolicy>,
    are_acls_disabled: bool,
) -> S3Result<CannedAcl> {
    let acl = match (canned, written) {
        (Some(_), Some(_)) => {
            return Err(s3_error!(UnexpectedContent, "an ACL is named in x-amz-acl and in the body"));
        }
        (None, None) => {
            return Err(s3_error!(MissingSecurityHeader, "name an ACL, in x-amz-acl or in the body"));
        }
        (canned @ Some(_), None) => canned_acl(canned)?,
        (None, Some(written)) => {
            let acl = written_acl(&written.grants.unwrap_or_default())?;
            // What is written out says that the owner has full control.
            if acl == CannedAcl::Private { CannedAcl::BucketOwnerFullControl } else { acl }
        }
    };
    if are_acls_disabled && acl != CannedAcl::BucketOwnerFullControl {
        return Err(s3(StoreFault::AclsDisabled));
    }
    Ok(acl)
}

/// The canned ACL that grants amount to.
fn written_acl(grants: &[Grant]) -> S3Result<CannedAcl> {
    let mut of_groups = Vec::new();
    for grant in grants {
        let Some(grantee) = &grant.grantee else {
            return Err(s3_error!(MalformedXML, "a grant has no grantee"));
        };
        let permission = grant.permission.as_ref().map_or("", Permission::as_str);
        match (grantee.id.as_deref(), grantee.uri.as_deref()) {
            (Some(OWNER), None) if permission == Permission::FULL_CONTROL => {}
            (None, Some(group)) => of_groups.push((group, permission)),
            (Some(id), None) if id != OWNER => {
                return Err(s3_error!(
                    InvalidArgument,
                    "Invalid id: all is the owner's, whose id is \"{OWNER}\"; to allow an access key something, write a \
                     bucket policy (s3api put-bucket-policy)"
                ));
            }
            _ if grantee.email_address.is_some() => {
                return Err(s3_error!(
                    UnresolvableGrantByEmailAddress,
                    "The e-mail address you provided does not match any account on record: keys have none"
                ));
            }
            _ => return Err(other_grants()),
        }
    }
    of_groups.sort_unstable();
    of_groups.dedup();
    let is_it = |acl: &CannedAcl| {
        let mut all = grants_of_groups(*acl).to_vec();
        all.sort_unstable();
        all == of_groups
    };
    CannedAcl::ALL.into_iter().find(is_it).ok_or_else(other_grants)
}

fn other_grants() -> S3Error {
    s3_error!(
        NotImplemented,
        "other grants than those of the canned ACLs are not offered; write a bucket policy (s3api put-bucket-policy)"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_group(group: &str, permission: &'static str) -> Grant {
        let grantee = Grantee {
            display_name: None,
            email_address: None,
            id: None,
            type_: Type::from_static(Type::GROUP),
            uri: Some(group.into()),
        };
        Grant { grantee: Some(grantee), permission: Some(Permission::from_static(permission)) }
    }

    #[test]
    fn an_acl_that_was_written_out_is_the_canned_one_again() {
        for acl in CannedAcl::ALL {
            let written = written_acl(&grants(acl)).unwrap();
            assert_eq!(grants(written), grants(acl), "{acl}");
            assert_eq!(written.is_public(), acl.is_public(), "{acl}");
        }
        let mut reversed = grants(CannedAcl::PublicReadWrite);
        reversed.reverse();
        assert_eq!(written_acl(&reversed).unwrap(), CannedAcl::PublicReadWrite);
    }

    #[test]
    fn what_no_canned_acl_allows_is_refused() {
        let code = |grants: &[Grant]| written_acl(grants).unwrap_err().code().as_str().to_owned();
        for (group, permission) in [
            (ALL_USERS, Permission::WRITE),
            (ALL_USERS, Permission::FULL_CONTROL),
            (AUTHENTICATED_USERS, Permission::WRITE),
            ("http://acs.amazonaws.com/groups/s3/LogDelivery", Permission::READ),
        ] {
            assert_eq!(code(&[of_group(group, permission)]), "NotImplemented", "{group} {permission}");
        }
        let both = [ALL_USERS, AUTHENTICATED_USERS].map(|group| of_group(group, Permission::READ));
        assert_eq!(code(&both), "NotImplemented");
        let mut own = grants(CannedAcl::Private);
        own[0].permission = Some(Permission::from_static(Permission::READ));
        assert_eq!(code(&own), "NotImplemented");
        own[0].grantee.as_mut().unwrap().id = Some("somebody".into());
        assert_eq!(code(&own), "InvalidArgument");
    }

    #[test]
    fn where_acls_are_disabled_the_owner_alone_has_full_control() {
        let written = |acl| Some(AccessControlPolicy { grants: Some(grants(acl)), owner: None });
        let code = |canned, written| {
            requested_acl(canned, written, true).map_err(|error| error.code().as_str().to_owned())
        };
        assert_eq!(code(Some("bucket-owner-full-control"), None), Ok(CannedAcl::BucketOwnerFullControl));
        assert_eq!(code(None, written(CannedAcl::Private)), Ok(CannedAcl::BucketOwnerFullControl));
        let disabled = Err("AccessControlListNotSupported".to_owned());
        assert_eq!(code(Some("private"), None), disabled);
        assert_eq!(code(None, written(CannedAcl::PublicRead)), disabled);
        assert_eq!(requested_acl(Some("private"), None, false).unwrap(), CannedAcl::Private);
    }
}
