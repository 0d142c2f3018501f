//! The fields of an upload form, which come before its file.

use multer::{Field, Multipart};
use s3s::{S3Result, s3_error};

use super::malformed;
use crate::{s3::answers::check_acl, storage::StoredHeaders};

/// Bytes of all fields before the file: S3's own bound.
const MAX_BYTES: usize = 20 << 10;

/// Fields that are stored with the object, besides its metadata.
const STORED: [&str; 6] = [
    "content-type",
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "expires",
];

/// Fields of the signature.
const AUTHENTICATION: [&str; 4] = ["x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-signature"];

/// Fields of S3 that are not offered, besides those that begin with `x-amz-`.
const NOT_OFFERED: [&str; 2] = ["tagging", "content-md5"];

/// Fields by name in lower case, in their order.
#[derive(Debug, Default)]
pub(in crate::s3) struct Fields {
    list: Vec<(String, String)>,
    file_name: String,
}

/// Reads the fields up to the file, and the file's beginning. What follows the file is ignored.
pub(in crate::s3) async fn read(form: &mut Multipart<'static>) -> S3Result<(Fields, Field<'static>)> {
    let mut fields = Fields::default();
    let mut size = 0;
    loop {
        let field = form.next_field().await.map_err(|error| malformed(&error))?;
        let mut field = field.ok_or_else(|| {
            s3_error!(
                InvalidArgument,
                "POST requires exactly one file upload per request, in the field \"file\""
            )
        })?;
        let name = field.name().unwrap_or_default().to_ascii_lowercase();
        if name == "file" {
            fields.file_name = field.file_name().unwrap_or_default().to_owned();
            let needs_name = fields.get("key").is_some_and(|key| key.contains("${filename}"));
            if needs_name && fields.file_name.is_empty() {
                return Err(s3_error!(
                    InvalidArgument,
                    "the key contains ${{filename}}, but the form's file has no name that is UTF-8"
                ));
            }
            return Ok((fields, field));
        }
        let mut value = Vec::new();
        size += name.len();
        while let Some(chunk) = field.chunk().await.map_err(|error| malformed(&error))? {
            size += chunk.len();
            if size > MAX_BYTES {
                return Err(s3_error!(
                    MaxPostPreDataLengthExceededError,
                    "Your POST request fields preceding the upload file were too large: at most {MAX_BYTES} bytes"
                ));
            }
            value.extend_from_slice(&chunk);
        }
        if fields.get(&name).is_some() {
            return Err(s3_error!(InvalidArgument, "the form has the field \"{name}\" twice"));
        }
        let value = String::from_utf8(value)
            .map_err(|_| s3_error!(InvalidArgument, "the form's field \"{name}\" is not UTF-8"))?;
        fields.list.push((name, value));
    }
}

impl Fields {
    #[cfg(any(test, fuzzing))]
    pub(in crate::s3) fn new(list: Vec<(String, String)>, file_name: &str) -> Self {
        Self { list, file_name: file_name.into() }
    }

    pub(in crate::s3) fn get(&self, name: &str) -> Option<&str> {
        self.list.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    pub(in crate::s3) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.list.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The object's key; `${filename}` in it is the file's name.
    pub(in crate::s3) fn key(&self) -> String {
        self.get("key").unwrap_or_default().replace("${filename}", &self.file_name)
    }

    /// What is stored with the object.
    pub(in crate::s3) fn headers(&self) -> S3Result<StoredHeaders> {
        check_acl(self.get("acl"))?;
        let offered = |name: &str| {
            name.starts_with("x-amz-meta-")
                || AUTHENTICATION.contains(&name)
                || !name.starts_with("x-amz-") && !NOT_OFFERED.contains(&name)
        };
        if let Some((name, _)) = self.iter().find(|(name, _)| !offered(name)) {
            return Err(s3_error!(NotImplemented, "the form's field \"{name}\" is not offered"));
        }
        // What is stored is sent as headers with every read.
        let is_no_header = |(name, value): &(&str, &str)| {
            (STORED.contains(name) || name.starts_with("x-amz-meta-"))
                && (http::HeaderName::from_bytes(name.as_bytes()).is_err()
                    || http::HeaderValue::from_str(value).is_err())
        };
        if let Some((name, _)) = self.iter().find(is_no_header) {
            return Err(s3_error!(InvalidArgument, "the form's field \"{name}\" cannot be a header"));
        }
        let text = |name: &str| self.get(name).map(str::to_owned);
        let metadata = self.iter().filter_map(|(name, value)| {
            Some((name.strip_prefix("x-amz-meta-")?.to_owned(), value.to_owned()))
        });
        Ok(StoredHeaders {
            // The file's own head names a type, too, which no policy signs.
            content_type: text("content-type"),
            cache_control: text("cache-control"),
            content_disposition: text("content-disposition"),
            content_encoding: text("content-encoding"),
            content_language: text("content-language"),
            expires: text("expires"),
            metadata: metadata.collect(),
        })
    }
}
