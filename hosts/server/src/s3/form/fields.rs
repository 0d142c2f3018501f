//! The fields of an upload form, which come before its file.

use multer::{Field, Multipart};
use s3s::{S3Result, s3_error};

use super::malformed;
use crate::{
    s3::{
        answers::canned_acl,
        tagging::{self, Tags},
    },
    storage::StoredHeaders,
};

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

/// The field that asks for encryption.
const ENCRYPTION: &str = "x-amz-server-side-encryption";

/// Fields of S3 that are not offered, besides those that begin with `x-amz-`.
const NOT_OFFERED: [&str; 1] = ["content-md5"];

/// In the value of a field: the file's name.
const FILE_NAME: &str = "${filename}";

/// Fields by name in lower case, in their order.
#[derive(Debug, Default)]
pub(in crate::s3) struct Fields {
    list: Vec<(String, String)>,
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
            fields.name_file(field.file_name().unwrap_or_default())?;
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
    /// As they are read.
    ///
    /// # Errors
    /// As [`read`], of the file's name.
    #[cfg(any(test, fuzzing))]
    pub(in crate::s3) fn new(list: Vec<(String, String)>, file_name: &str) -> S3Result<Self> {
        let mut fields = Self { list };
        fields.name_file(file_name)?;
        Ok(fields)
    }

    /// Writes the file's name for `${filename}`, in every field. Some browsers send a path: what follows its last slash or
    /// backslash is the name.
    fn name_file(&mut self, path: &str) -> S3Result<()> {
        let name = path.rsplit(['/', '\\']).next().unwrap_or_default();
        let mut size: usize = self.list.iter().map(|(field, value)| field.len() + value.len()).sum();
        for (field, value) in self.list.iter_mut().filter(|(_, value)| value.contains(FILE_NAME)) {
            if name.is_empty() {
                return Err(s3_error!(
                    InvalidArgument,
                    "the field \"{field}\" contains {FILE_NAME}, but the form's file has no name that is UTF-8"
                ));
            }
            let times = value.matches(FILE_NAME).count();
            size = (size + times * name.len()).saturating_sub(times * FILE_NAME.len());
            if size > MAX_BYTES {
                return Err(s3_error!(
                    MaxPostPreDataLengthExceededError,
                    "with the file's name the fields are too large: at most {MAX_BYTES} bytes"
                ));
            }
            *value = value.replace(FILE_NAME, name);
        }
        Ok(())
    }

    pub(in crate::s3) fn get(&self, name: &str) -> Option<&str> {
        self.list.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    pub(in crate::s3) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.list.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The object's key.
    pub(in crate::s3) fn key(&self) -> String {
        self.get("key").unwrap_or_default().to_owned()
    }

    /// The object's tags, from the document in the field `tagging`.
    pub(in crate::s3) fn tags(&self) -> S3Result<Tags> {
        self.get("tagging").map_or(Ok(Tags::new()), tagging::of_field)
    }

    /// The encryption that the form wants.
    pub(in crate::s3) fn encryption(&self) -> Option<&str> {
        self.get(ENCRYPTION)
    }

    /// What is stored with the object.
    pub(in crate::s3) fn headers(&self) -> S3Result<StoredHeaders> {
        canned_acl(self.get("acl"))?;
        let offered = |name: &str| {
            name.starts_with("x-amz-meta-")
                || AUTHENTICATION.contains(&name)
                || name == ENCRYPTION
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

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(list: &[(&str, &str)], file_name: &str) -> Result<Vec<String>, String> {
        let list = list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let fields = Fields::new(list, file_name).map_err(|error| error.to_string())?;
        Ok(fields.iter().map(|(_, value)| value.to_owned()).collect())
    }

    #[test]
    fn the_files_name_is_in_every_field_that_asks_for_it() {
        let list =
            [("key", "in/${filename}"), ("x-amz-meta-name", "${filename}, ${filename}"), ("acl", "private")];
        for path in ["a.jpg", "C:\\photos\\a.jpg", "/home/me/a.jpg", "mixed\\up/a.jpg"] {
            assert_eq!(fields(&list, path).unwrap(), ["in/a.jpg", "a.jpg, a.jpg", "private"], "{path}");
        }
        for nameless in ["", "folder/", "folder\\"] {
            assert!(fields(&list, nameless).is_err(), "{nameless}");
            assert!(fields(&[("key", "a")], nameless).is_ok(), "{nameless}");
        }
    }

    #[test]
    fn a_long_name_in_many_places_is_refused() {
        let many = "${filename}".repeat(100);
        assert!(fields(&[("key", &many)], &"n".repeat(100)).is_ok());
        assert!(fields(&[("key", &many)], &"n".repeat(1000)).is_err());
    }
}
