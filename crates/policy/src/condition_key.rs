//! Condition keys, and what a request gives for each.
//! Sources: AWS, "AWS global condition context keys"; "Actions, resources, and condition keys for Amazon S3"; "Amazon S3
//! Signature Version 4 Authentication Specific Policy Keys".

use std::{
    borrow::Cow,
    net::IpAddr,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use crate::{
    action::{Action, ActionSet},
    principal::Principal,
    spelling::suggestion,
};

/// What a request gives for condition keys. `None`: the key is absent from the request.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// When it arrived: `aws:CurrentTime`, `aws:EpochTime`.
    pub time: SystemTime,
    /// `aws:SourceIp`: the client's address, behind trusted proxies.
    pub source_ip: Option<IpAddr>,
    /// `aws:SecureTransport`: it came through TLS.
    pub is_secure: bool,
    /// `aws:Referer`, as the header has it.
    pub referer: Option<&'a str>,
    /// `aws:UserAgent`, as the header has it.
    pub user_agent: Option<&'a str>,
    /// `s3:prefix`, decoded, of a listing; an empty parameter is an empty value.
    pub prefix: Option<&'a str>,
    /// `s3:delimiter`, decoded, of a listing.
    pub delimiter: Option<&'a str>,
    /// `s3:max-keys` of a listing.
    pub max_keys: Option<u64>,
    /// `s3:x-amz-acl`: the header.
    pub acl: Option<&'a str>,
    /// `s3:x-amz-copy-source`: `BUCKET/KEY`, decoded, without a leading slash.
    pub copy_source: Option<&'a str>,
    /// `s3:x-amz-metadata-directive`: the header.
    pub metadata_directive: Option<&'a str>,
    /// `s3:x-amz-server-side-encryption`: the header.
    pub server_side_encryption: Option<&'a str>,
    /// `s3:x-amz-storage-class`: the header.
    pub storage_class: Option<&'a str>,
    /// `s3:x-amz-grant-full-control`: the header.
    pub grant_full_control: Option<&'a str>,
    /// `s3:ExistingObjectTag/…`: name and value of the object's tags; see [`Policy::reads_tags`](crate::Policy::reads_tags).
    pub existing_tags: &'a [(&'a str, &'a str)],
    /// `s3:RequestObjectTag/…`, `s3:RequestObjectTagKeys`: name and value of the tags that are sent,
    /// each name once.
    pub request_tags: &'a [(&'a str, &'a str)],
    /// `s3:authType`: `REST-HEADER`, `REST-QUERY-STRING` or `POST`; none of an anonymous request.
    pub auth_type: Option<&'a str>,
    /// `s3:signatureversion`: `AWS4-HMAC-SHA256`; none of an anonymous request.
    pub signature_version: Option<&'a str>,
    /// `s3:signatureAge`: since it was signed. Whole milliseconds count.
    pub signature_age: Option<Duration>,
    /// `s3:TlsVersion`: 1.2 or 1.3; none without TLS.
    pub tls_version: Option<f64>,
    /// `s3:x-amz-content-sha256`: the header.
    pub content_sha256: Option<&'a str>,
}

impl Context<'_> {
    /// Of a request that has nothing but its time.
    #[must_use]
    pub const fn at(time: SystemTime) -> Self {
        Self {
            time,
            source_ip: None,
            is_secure: false,
            referer: None,
            user_agent: None,
            prefix: None,
            delimiter: None,
            max_keys: None,
            acl: None,
            copy_source: None,
            metadata_directive: None,
            server_side_encryption: None,
            storage_class: None,
            grant_full_control: None,
            existing_tags: &[],
            request_tags: &[],
            auth_type: None,
            signature_version: None,
            signature_age: None,
            tls_version: None,
            content_sha256: None,
        }
    }
}

/// What the values of a key are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Arn,
    Number,
    Date,
    /// Seconds since 1970: a number and a date.
    Epoch,
    Bool,
    Address,
}

/// A value in a request.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value<'a> {
    Text(Cow<'a, str>),
    Number(f64),
    /// Nanoseconds since 1970.
    Date(i128),
    Bool(bool),
    Address(IpAddr),
}

/// The actions whose requests have a key.
#[derive(Debug, Clone, Copy)]
enum Scope {
    Every,
    S3,
    Only(&'static [Action]),
    AllButNew,
}

macro_rules! keys {
    ($($key:ident = $name:literal, $kind:ident, $scope:expr;)+) => {
        /// The keys; those of tags without the tag's name.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) enum KeyName { $($key,)+ }

        impl KeyName {
            const ALL: &[Self] = &[$(Self::$key,)+];

            pub(crate) const fn name(self) -> &'static str {
                match self { $(Self::$key => $name,)+ }
            }

            pub(crate) const fn kind(self) -> Kind {
                match self { $(Self::$key => Kind::$kind,)+ }
            }

            const fn scope(self) -> Scope {
                match self { $(Self::$key => $scope,)+ }
            }
        }
    };
}

use Action::{
    CreateBucket, ListBucket, ListBucketMultipartUploads, ListBucketVersions, PutBucketAcl, PutObject,
    PutObjectAcl, PutObjectTagging, PutObjectVersionAcl, PutObjectVersionTagging,
};
use Scope::{AllButNew, Every, Only, S3};

const LISTINGS: Scope = Only(&[ListBucket, ListBucketVersions, ListBucketMultipartUploads]);
const ACLS: Scope = Only(&[CreateBucket, PutBucketAcl, PutObject, PutObjectAcl, PutObjectVersionAcl]);
const TAGGED: Scope = Only(&[PutObject, PutObjectTagging, PutObjectVersionTagging]);
const NEW: Scope = Only(&[PutObject]);

keys! {
    CurrentTime = "aws:CurrentTime", Date, Every;
    EpochTime = "aws:EpochTime", Epoch, Every;
    PrincipalArn = "aws:PrincipalArn", Arn, Every;
    Referer = "aws:Referer", Text, Every;
    SecureTransport = "aws:SecureTransport", Bool, Every;
    SourceIp = "aws:SourceIp", Address, Every;
    UserAgent = "aws:UserAgent", Text, Every;
    Username = "aws:username", Text, Every;
    AuthType = "s3:authType", Text, S3;
    Delimiter = "s3:delimiter", Text, LISTINGS;
    ExistingObjectTag = "s3:ExistingObjectTag/", Text, AllButNew;
    MaxKeys = "s3:max-keys", Number, LISTINGS;
    Prefix = "s3:prefix", Text, LISTINGS;
    RequestObjectTag = "s3:RequestObjectTag/", Text, TAGGED;
    RequestObjectTagKeys = "s3:RequestObjectTagKeys", Text, TAGGED;
    SignatureAge = "s3:signatureAge", Number, S3;
    SignatureVersion = "s3:signatureversion", Text, S3;
    TlsVersion = "s3:TlsVersion", Number, S3;
    Acl = "s3:x-amz-acl", Text, ACLS;
    ContentSha256 = "s3:x-amz-content-sha256", Text, S3;
    CopySource = "s3:x-amz-copy-source", Text, NEW;
    GrantFullControl = "s3:x-amz-grant-full-control", Text, ACLS;
    MetadataDirective = "s3:x-amz-metadata-directive", Text, NEW;
    ServerSideEncryption = "s3:x-amz-server-side-encryption", Text, NEW;
    StorageClass = "s3:x-amz-storage-class", Text, NEW;
}

/// A condition key as a policy names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) name: KeyName,
    /// The tag's name; empty for keys without one.
    tag: String,
}

impl Key {
    /// # Errors
    /// What is wrong, with the nearest known name.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (name, tag) = match text.split_once('/') {
            Some((name, tag)) => (&text[..=name.len()], tag),
            None => (text, ""),
        };
        let known = KeyName::ALL.iter().find(|key| key.name().eq_ignore_ascii_case(name));
        match known {
            Some(&name) if name.has_tag() != tag.is_empty() => Ok(Self { name, tag: tag.to_owned() }),
            Some(name) if name.has_tag() => {
                Err(format!("`{}` needs a tag's name after the slash", name.name()))
            }
            _ if text.get(..14).is_some_and(|start| start.eq_ignore_ascii_case("s3:object-lock")) => {
                Err("there is no object lock here; remove the condition".into())
            }
            _ => Err(format!(
                "{} is no condition key here{}",
                crate::error::quoted(text),
                suggestion(name, KeyName::ALL.iter().map(|key| key.name()))
            )),
        }
    }

    pub(crate) fn text(&self) -> String {
        format!("{}{}", self.name.name(), self.tag)
    }

    /// Whether a request can have several values of it.
    pub(crate) const fn is_multivalued(&self) -> bool {
        matches!(self.name, KeyName::RequestObjectTagKeys)
    }

    /// The actions whose requests have it.
    pub(crate) fn actions(&self) -> ActionSet {
        match self.name.scope() {
            Every => ActionSet::ALL,
            S3 => ActionSet::S3,
            Only(actions) => ActionSet::of(actions),
            AllButNew => ActionSet::at(crate::Level::Object).without(ActionSet::of(&[
                PutObject,
                Action::AbortMultipartUpload,
                Action::ListMultipartUploadParts,
            ])),
        }
    }

    /// Its value in a request. Of a multivalued key: the n-th.
    pub(crate) fn value<'a>(
        &self,
        at: usize,
        principal: &Principal<'a>,
        context: &Context<'a>,
    ) -> Option<Value<'a>> {
        if at > 0 && !self.is_multivalued() {
            return None;
        }
        let text = |text: Option<&'a str>| text.map(|text| Value::Text(text.into()));
        // Exact below 2^53, as the policy's numbers are.
        let number = |number: u64| Value::Number(number as f64);
        match self.name {
            KeyName::CurrentTime | KeyName::EpochTime => Some(Value::Date(nanoseconds(context.time))),
            KeyName::PrincipalArn => principal.arn().map(|arn| Value::Text(arn.into())),
            KeyName::Referer => text(context.referer),
            KeyName::SecureTransport => Some(Value::Bool(context.is_secure)),
            KeyName::SourceIp => context.source_ip.map(|address| Value::Address(address.to_canonical())),
            KeyName::UserAgent => text(context.user_agent),
            KeyName::Username => text(principal.username()),
            KeyName::AuthType => text(context.auth_type),
            KeyName::Delimiter => text(context.delimiter),
            KeyName::ExistingObjectTag => text(tag(context.existing_tags, &self.tag)),
            KeyName::MaxKeys => context.max_keys.map(number),
            KeyName::Prefix => text(context.prefix),
            KeyName::RequestObjectTag => text(tag(context.request_tags, &self.tag)),
            KeyName::RequestObjectTagKeys => text(context.request_tags.get(at).map(|tag| tag.0)),
            KeyName::SignatureAge => {
                context.signature_age.map(|age| number(u64::try_from(age.as_millis()).unwrap_or(u64::MAX)))
            }
            KeyName::SignatureVersion => text(context.signature_version),
            KeyName::TlsVersion => context.tls_version.map(Value::Number),
            KeyName::Acl => text(context.acl),
            KeyName::ContentSha256 => text(context.content_sha256),
            KeyName::CopySource => text(context.copy_source),
            KeyName::GrantFullControl => text(context.grant_full_control),
            KeyName::MetadataDirective => text(context.metadata_directive),
            KeyName::ServerSideEncryption => text(context.server_side_encryption),
            KeyName::StorageClass => text(context.storage_class),
        }
    }
}

impl KeyName {
    const fn has_tag(self) -> bool {
        matches!(self, Self::ExistingObjectTag | Self::RequestObjectTag)
    }
}

fn tag<'a>(tags: &[(&'a str, &'a str)], name: &str) -> Option<&'a str> {
    tags.iter().find(|tag| tag.0 == name).map(|tag| tag.1)
}

fn nanoseconds(time: SystemTime) -> i128 {
    let signed = |duration: Duration| i128::try_from(duration.as_nanos()).unwrap_or(i128::MAX);
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => signed(after),
        Err(before) => -signed(before.duration()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_in_any_case_and_tags_in_their_own() {
        assert_eq!(Key::parse("AWS:sourceip").unwrap().text(), "aws:SourceIp");
        assert_eq!(Key::parse("s3:existingobjecttag/A/b").unwrap().text(), "s3:ExistingObjectTag/A/b");
        for text in [
            "",
            "aws:SourceIp/",
            "aws:SourceIp/x",
            "s3:ExistingObjectTag",
            "s3:ExistingObjectTag/",
            "aws:userid",
            "s3:object-lock-mode",
            "s3:prefix ",
            "prefix",
            "/",
            "s3:object-lock-é",
            "s3:object-loé",
        ] {
            assert!(Key::parse(text).is_err(), "{text}");
        }
        assert!(Key::parse("aws:SourceIP2").unwrap_err().contains("`aws:SourceIp`"));
    }
}
