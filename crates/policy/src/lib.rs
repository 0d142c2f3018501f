//! Who may do what: policies in the JSON of S3 and IAM, read strictly and evaluated.
//!
//! It does no I/O, has no clock, and writes no log; no input makes it panic. What is not understood in full is refused,
//! with the place and the nearest known name. An explicit deny wins, then an allow of any policy is enough, and without
//! either nothing is allowed but what owners do in their own buckets.
//!
//! ```
//! use std::time::SystemTime;
//! use tintype_policy::{
//!     Action, BucketAccess, Context, Grant, Policy, Principal, PublicAccessBlock, Request, Resource, evaluate,
//! };
//!
//! let identity = Policy::of_grants(&["write:input/raw/".parse::<Grant>()?])?;
//! let policy = Policy::of_bucket(
//!     br#"{
//!         "Version": "2012-10-17",
//!         "Statement": {
//!             "Sid": "NoPlainHttp", "Effect": "Deny", "Principal": "*", "Action": "s3:*",
//!             "Resource": ["arn:aws:s3:::input", "arn:aws:s3:::input/*"],
//!             "Condition": {"Bool": {"aws:SecureTransport": false}}
//!         }
//!     }"#,
//!     "input",
//! )?;
//! let bucket = BucketAccess {
//!     name: "input",
//!     owner: Principal::Root { account: "000000000000" },
//!     policy: Some(&policy),
//!     acls: &[],
//!     block: PublicAccessBlock::ALL,
//! };
//! let mut request = Request {
//!     principal: Principal::User { account: "000000000000", name: "camera" },
//!     action: Action::PutObject,
//!     resource: Resource::Object { bucket: "input", key: "raw/a.jpg" },
//!     context: Context { is_secure: true, ..Context::at(SystemTime::UNIX_EPOCH) },
//! };
//! let decision = evaluate(&request, Some(&identity), Some(&bucket));
//! assert_eq!(decision.to_string(), "allowed by identity policy, statement 0");
//!
//! request.context.is_secure = false;
//! let decision = evaluate(&request, Some(&identity), Some(&bucket));
//! assert_eq!(decision.to_string(), "denied by bucket policy, statement 0 (NoPlainHttp)");
//! # Ok::<(), tintype_policy::Error>(())
//! ```

mod action;
mod canned_acl;
mod condition;
mod condition_key;
mod document;
mod error;
mod evaluation;
mod json;
mod pattern;
mod preset;
mod principal;
mod public_access;
mod resource;
mod scope;
mod shorthand;
mod spelling;

pub use action::{Action, Level};
pub use canned_acl::CannedAcl;
pub use condition_key::Context;
pub use document::{MAX_BYTES, Policy, PolicyKind};
pub use error::{Error, Fault};
pub use evaluation::{BucketAccess, Decision, Request, Rule, evaluate};
pub use preset::Preset;
pub use principal::Principal;
pub use public_access::{PublicAccessBlock, is_public};
pub use resource::Resource;
pub use shorthand::{Grant, Verb};
