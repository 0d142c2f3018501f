//! What a request gives for the conditions of policies.

use std::{
    net::IpAddr,
    time::{Duration, SystemTime},
};

use http::{HeaderMap, header};
use tintype_policy::Context;

use super::Client;

/// What a request gives for condition keys; owned, so that it outlives the request's head. `None`: the key is absent.
#[derive(Debug, Clone)]
pub struct RequestContext {
    /// `aws:CurrentTime`, `aws:EpochTime`.
    pub time: SystemTime,
    /// `aws:SourceIp`.
    pub source_ip: Option<IpAddr>,
    /// `aws:SecureTransport`.
    pub is_secure: bool,
    /// `aws:Referer`.
    pub referer: Option<String>,
    /// `aws:UserAgent`.
    pub user_agent: Option<String>,
    /// `s3:prefix` of a listing.
    pub prefix: Option<String>,
    /// `s3:delimiter` of a listing.
    pub delimiter: Option<String>,
    /// `s3:max-keys` of a listing.
    pub max_keys: Option<u64>,
    /// `s3:x-amz-acl`.
    pub acl: Option<String>,
    /// `s3:RequestObjectTag/…`, `s3:RequestObjectTagKeys`: name and value, each name once.
    pub request_tags: Vec<(String, String)>,
    /// `s3:x-amz-copy-source`: `BUCKET/KEY`, decoded.
    pub copy_source: Option<String>,
    /// `s3:x-amz-metadata-directive`.
    pub metadata_directive: Option<String>,
    /// `s3:x-amz-server-side-encryption`.
    pub server_side_encryption: Option<String>,
    /// `s3:x-amz-storage-class`.
    pub storage_class: Option<String>,
    /// `s3:x-amz-grant-full-control`.
    pub grant_full_control: Option<String>,
    /// `s3:authType`; with it the request is signed by Signature Version 4.
    pub auth_type: Option<&'static str>,
    /// `s3:signatureAge`.
    pub signature_age: Option<Duration>,
    /// `s3:x-amz-content-sha256`.
    pub content_sha256: Option<String>,
}

impl RequestContext {
    /// What every request has, at this time.
    #[must_use]
    pub fn new(client: Client, headers: &HeaderMap) -> Self {
        let text = |name| Some(headers.get(name)?.to_str().ok()?.to_owned());
        Self {
            time: SystemTime::now(),
            source_ip: client.address,
            is_secure: client.is_encrypted,
            referer: text(header::REFERER),
            user_agent: text(header::USER_AGENT),
            prefix: None,
            delimiter: None,
            max_keys: None,
            acl: None,
            request_tags: Vec::new(),
            copy_source: None,
            metadata_directive: None,
            server_side_encryption: None,
            storage_class: None,
            grant_full_control: None,
            auth_type: None,
            signature_age: None,
            content_sha256: None,
        }
    }

    /// For policies, without tags: those are [`texts`] of their own.
    pub(super) fn of_policies(&self) -> Context<'_> {
        Context {
            source_ip: self.source_ip,
            is_secure: self.is_secure,
            referer: self.referer.as_deref(),
            user_agent: self.user_agent.as_deref(),
            prefix: self.prefix.as_deref(),
            delimiter: self.delimiter.as_deref(),
            max_keys: self.max_keys,
            acl: self.acl.as_deref(),
            copy_source: self.copy_source.as_deref(),
            metadata_directive: self.metadata_directive.as_deref(),
            server_side_encryption: self.server_side_encryption.as_deref(),
            storage_class: self.storage_class.as_deref(),
            grant_full_control: self.grant_full_control.as_deref(),
            auth_type: self.auth_type,
            signature_version: self.auth_type.map(|_| "AWS4-HMAC-SHA256"),
            signature_age: self.signature_age,
            content_sha256: self.content_sha256.as_deref(),
            ..Context::at(self.time)
        }
    }
}

/// Tags as policies take them.
pub(super) fn texts(tags: &[(String, String)]) -> Vec<(&str, &str)> {
    tags.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}
