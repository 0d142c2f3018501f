//! What fuzz targets reach past the server's interface; compiled with `--cfg fuzzing` only.

pub use crate::s3::fuzzing::{FormFields, Received, Verification, check_form, form_fields, has_final_chunk};

use crate::{
    admin::{Request, encode},
    storage::object_file,
};

/// Reads the head of an object file and writes it again: where the object's bytes begin, and the head.
///
/// # Errors
/// What is wrong with it.
pub fn object_file_head(file: &[u8]) -> Result<(u64, Vec<u8>), String> {
    let head = object_file::decode(|buffer, offset| {
        let from = usize::try_from(offset).ok().and_then(|offset| file.get(offset..)?.get(..buffer.len()));
        buffer.copy_from_slice(from.ok_or(std::io::ErrorKind::UnexpectedEof)?);
        Ok(())
    })?;
    Ok((head.record.body_offset, object_file::encode(&head)?))
}

/// Reads a query or form to a request. One that is understood has to survive being sent again.
///
/// # Panics
/// It does not, or a refusal has no message.
pub fn operator_fields<R: Request>(text: &str) {
    match crate::admin::decode::<R>(text) {
        Ok(request) => {
            let sent = encode(&request);
            let again = crate::admin::decode::<R>(&sent).map(|request| encode(&request));
            assert_eq!(again.map_err(|refusal| refusal.message), Ok(sent));
        }
        Err(refusal) => assert!(!refusal.message.is_empty()),
    }
}
