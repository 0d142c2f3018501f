//! What a request does, as far as rights go.
//! Source: AWS, "Actions, resources, and condition keys for Amazon S3", and for Amazon API Gateway.

use std::fmt;

use tintype_api::{Access, Permission};

macro_rules! actions {
    ($($(#[$doc:meta])* $action:ident = $name:literal,)+) => {
        /// An action that needs a right, named as IAM names it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Action {
            $($(#[$doc])* #[doc = concat!("`", $name, "`")] $action,)+
        }

        impl Action {
            /// Its name: `s3:GetObject`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$action => $name,)+ }
            }
        }
    };
}

actions! {
    AbortMultipartUpload = "s3:AbortMultipartUpload",
    CreateBucket = "s3:CreateBucket",
    DeleteBucket = "s3:DeleteBucket",
    DeleteObject = "s3:DeleteObject",
    GetBucketCors = "s3:GetBucketCORS",
    GetBucketLocation = "s3:GetBucketLocation",
    GetBucketNotification = "s3:GetBucketNotification",
    GetObject = "s3:GetObject",
    GetObjectTagging = "s3:GetObjectTagging",
    ListAllMyBuckets = "s3:ListAllMyBuckets",
    ListBucket = "s3:ListBucket",
    ListBucketMultipartUploads = "s3:ListBucketMultipartUploads",
    ListMultipartUploadParts = "s3:ListMultipartUploadParts",
    PutBucketCors = "s3:PutBucketCORS",
    PutBucketNotification = "s3:PutBucketNotification",
    PutObject = "s3:PutObject",
    /// Any route of the API:
    InvokeApi = "execute-api:Invoke",
    /// Health, the login and the console's own files:
    UsePublicRoute = "tintype:UsePublicRoute",
    /// Pages, metrics and logs:
    Read = "tintype:Read",
    /// Uploads at the console:
    Write = "tintype:Write",
    /// What changes what the server does or has stored:
    Administer = "tintype:Administer",
}

impl From<Access> for Action {
    fn from(access: Access) -> Self {
        match access {
            Access::Anyone => Self::UsePublicRoute,
            Access::ApiKey => Self::InvokeApi,
            Access::Login(Permission::Read) => Self::Read,
            Access::Login(Permission::Write) => Self::Write,
            Access::Login(Permission::Admin) => Self::Administer,
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
