//! `DeleteObject` and `DeleteObjects`.

use s3s::{
    S3Request, S3Response, S3Result,
    dto::{
        DeleteObjectInput, DeleteObjectOutput, DeleteObjectsInput, DeleteObjectsOutput, DeletedObject, Error,
    },
    s3_error,
};
use tintype_pipeline::store::{Condition, Location};

use super::{Endpoint, answers, blocking, conditions, faults::s3};
use crate::auth::Action;

/// Objects one DeleteObjects may name: S3's own bound.
const MAX_DELETE: usize = 1000;

/// XML 1.0, section 2.2.
const fn is_xml(c: char) -> bool {
    matches!(c, '\u{9}' | '\u{A}' | '\u{D}' | '\u{20}'..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..)
}

pub(super) async fn one(
    endpoint: &Endpoint,
    request: S3Request<DeleteObjectInput>,
) -> S3Result<S3Response<DeleteObjectOutput>> {
    let input = request.input;
    let at = answers::location(&input.bucket, &input.key)?;
    let expected = match conditions::write(input.if_match.as_ref(), None)? {
        Condition::Matches(etag) => Some(etag),
        _ => None,
    };
    let (store, cause) =
        (endpoint.store.clone(), endpoint.cause("ObjectRemoved:Delete", &request.extensions));
    blocking(move || store.objects.delete(&at, expected.as_deref(), cause).map_err(s3)).await?;
    Ok(S3Response::with_status(DeleteObjectOutput::default(), http::StatusCode::NO_CONTENT))
}

pub(super) async fn many(
    endpoint: &Endpoint,
    request: S3Request<DeleteObjectsInput>,
) -> S3Result<S3Response<DeleteObjectsOutput>> {
    let input = request.input;
    if input.delete.objects.len() > MAX_DELETE {
        return Err(s3_error!(MalformedXML, "at most {MAX_DELETE} objects may be named at once"));
    }
    if input.delete.objects.iter().any(|object| !object.key.chars().all(is_xml)) {
        return Err(s3_error!(
            MalformedXML,
            "a key contains a character that XML cannot represent; delete it by its own request"
        ));
    }
    let quiet = input.delete.quiet == Some(true);
    let (store, cause) =
        (endpoint.store.clone(), endpoint.cause("ObjectRemoved:Delete", &request.extensions));
    let (endpoint, extensions) = (endpoint.clone(), request.extensions);
    blocking(move || {
        store.buckets.get(&input.bucket).map_err(s3)?;
        let named = input.delete.objects.into_iter().map(|object| {
            let at = answers::location(&input.bucket, &object.key).and_then(|at| {
                endpoint.authorize(&extensions, Action::DeleteObject, &at)?;
                if object.version_id.is_some() {
                    endpoint.authorize(&extensions, Action::DeleteObjectVersion, &at)?;
                }
                if object.e_tag.is_some() {
                    endpoint.authorize(&extensions, Action::GetObject, &at)?;
                }
                let conditions = [object.last_modified_time.is_some(), object.size.is_some()];
                let is_other = object.version_id.is_some_and(|version| version != "null");
                if is_other || conditions.contains(&true) {
                    return Err(s3_error!(
                        NotImplemented,
                        "LastModifiedTime and Size are not offered, and of a VersionId \"null\" only; the object was \
                         not deleted"
                    ));
                }
                Ok((at, object.e_tag.map(|etag| etag.value().to_owned())))
            });
            (object.key, at)
        });
        let (mut deleted, mut errors) = (Vec::new(), Vec::new());
        let failed = |key: String, error: s3s::S3Error| Error {
            key: Some(key),
            code: Some(error.code().as_str().to_owned()),
            message: error.message().map(str::to_owned),
            version_id: None,
        };
        let mut allowed: Vec<(Location, Option<String>)> = Vec::new();
        for (key, object) in named {
            match object {
                Ok(object) => allowed.push(object),
                Err(error) => errors.push(failed(key, error)),
            }
        }
        let keys: Vec<String> = allowed.iter().map(|(at, _)| at.key.to_string()).collect();
        for (key, result) in keys.into_iter().zip(store.objects.delete_all(allowed, &cause)) {
            match result {
                Ok(_) if quiet => {}
                Ok(_) => deleted.push(DeletedObject { key: Some(key), ..DeletedObject::default() }),
                Err(fault) => errors.push(failed(key, s3(fault))),
            }
        }
        Ok(S3Response::new(DeleteObjectsOutput {
            deleted: (!deleted.is_empty()).then_some(deleted),
            errors: (!errors.is_empty()).then_some(errors),
            ..DeleteObjectsOutput::default()
        }))
    })
    .await
}
