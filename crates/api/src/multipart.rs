//! The image of an HTML form (`multipart/form-data`, RFC 7578): its one file.

use axum::{
    body::Body,
    extract::{DefaultBodyLimit, FromRequest as _, Multipart, Request},
    http::{HeaderMap, header},
};
use bytes::Bytes;

/// The file of a form and its media type.
///
/// # Errors
/// The form cannot be read, has no file or several, or has fields that are no file.
pub(crate) async fn file(headers: &HeaderMap, body: Bytes) -> Result<(String, Bytes), String> {
    let mut request = Request::new(Body::from(body.clone()));
    if let Some(kind) = headers.get(header::CONTENT_TYPE) {
        request.headers_mut().insert(header::CONTENT_TYPE, kind.clone());
    }
    // The body was bounded when it was read.
    DefaultBodyLimit::disable().apply(&mut request);
    let unreadable = |reason: String| format!("the form cannot be read: {reason}");
    let mut form =
        Multipart::from_request(request, &()).await.map_err(|error| unreadable(error.body_text()))?;
    let mut found = None;
    while let Some(field) = form.next_field().await.map_err(|error| unreadable(error.body_text()))? {
        let name = field.name().unwrap_or_default().to_owned();
        if field.file_name().is_none() {
            return Err(format!(
                "the form's field \"{name}\" is no file; the form takes one file, and key, size and the like stand in the query"
            ));
        }
        if found.is_some() {
            return Err(format!("the form has a second file, \"{name}\"; send one a request"));
        }
        let kind = field.content_type().unwrap_or("application/octet-stream").to_ascii_lowercase();
        let bytes = field.bytes().await.map_err(|error| unreadable(error.body_text()))?;
        found = Some((kind, part_of(&body, bytes)));
    }
    found.ok_or_else(|| {
        "the form has no file; add one, for example <input type=\"file\" name=\"file\">".into()
    })
}

/// The same bytes as a slice of the body, whose memory is accounted for; the parser's copy is not.
fn part_of(body: &Bytes, copy: Bytes) -> Bytes {
    // A part's head ends with an empty line.
    let begins = body.windows(4).enumerate().filter(|(_, four)| four == b"\r\n\r\n").map(|(at, _)| at + 4);
    let mut same =
        begins.filter(|&at| body[at..].starts_with(&copy)).map(|at| body.slice(at..at + copy.len()));
    same.next().unwrap_or(copy)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(parts: &[&str]) -> Result<(String, Bytes), String> {
        let mut body = String::new();
        for part in parts {
            body.push_str(&format!("--b\r\n{part}\r\n"));
        }
        body.push_str("--b--\r\n");
        let kind = "multipart/form-data; boundary=b".parse().unwrap();
        file(&HeaderMap::from_iter([(header::CONTENT_TYPE, kind)]), body.into()).await
    }

    const FILE: &str = "Content-Disposition: form-data; name=\"file\"; filename=\"a.png\"\r\nContent-Type: image/PNG\r\n\r\nbytes";

    #[tokio::test]
    async fn one_file() {
        assert_eq!(read(&[FILE]).await.unwrap(), ("image/png".into(), Bytes::from("bytes")));
    }

    #[tokio::test]
    async fn the_file_is_a_part_of_the_body() {
        let body = Bytes::from(format!("--b\r\n{FILE}\r\n--b--\r\n"));
        let kind = "multipart/form-data; boundary=b".parse().unwrap();
        let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, kind)]);
        let (_, found) = file(&headers, body.clone()).await.unwrap();
        assert!(body.as_ptr_range().contains(&found.as_ptr()) && found.as_ref() == b"bytes");
    }

    #[tokio::test]
    async fn anything_else_is_refused_with_a_message() {
        let field = "Content-Disposition: form-data; name=\"size\"\r\n\r\n64";
        assert!(read(&[FILE, FILE]).await.unwrap_err().contains("second file"));
        assert!(read(&[field, FILE]).await.unwrap_err().contains("\"size\""));
        assert!(read(&[]).await.unwrap_err().contains("no file"));
        let kind = "multipart/form-data; boundary=b".parse().unwrap();
        let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, kind)]);
        assert!(
            file(&headers, Bytes::from("--b\r\nContent-Dis")).await.unwrap_err().contains("cannot be read")
        );
        assert!(file(&HeaderMap::new(), Bytes::new()).await.unwrap_err().contains("cannot be read"));
    }
}
