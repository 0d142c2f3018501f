//! Payload 2.0: HTTP APIs and function URLs.

use axum::http::header::SET_COOKIE;
use serde_json::{Map, Value, json};

use super::{Answer, Body64, Call, header_text, single_values};

/// Reads an event. Its path begins with the stage, unless that is `$default`; its query is raw; headers are joined by
/// commas, cookies are a list.
pub(super) fn call(mut event: Value) -> Result<Call, String> {
    let body = Body64::taken(&mut event);
    let text = |pointer: &str| event.pointer(pointer).and_then(Value::as_str);
    let path = text("/rawPath").ok_or("the event has no \"rawPath\"")?;
    let stage = text("/requestContext/stage").unwrap_or("$default");
    let path = match path.strip_prefix('/').and_then(|path| path.strip_prefix(stage)) {
        Some(rest) if stage != "$default" && (rest.is_empty() || rest.starts_with('/')) => rest,
        _ => path,
    };
    let mut headers = single_values(event.get("headers"));
    let cookies = event.get("cookies").and_then(Value::as_array);
    let cookies: Vec<&str> = cookies.into_iter().flatten().filter_map(Value::as_str).collect();
    if !cookies.is_empty() {
        headers.push(("cookie".into(), cookies.join("; ")));
    }
    Ok(Call {
        method: text("/requestContext/http/method")
            .ok_or("the event has no \"requestContext.http.method\"")?
            .into(),
        path: path.into(),
        query: text("/rawQueryString").unwrap_or_default().into(),
        headers,
        body,
        id: text("/requestContext/requestId").map(str::to_owned),
    })
}

/// Headers are joined by commas, except cookies.
pub(super) fn answer(answer: Answer) -> Value {
    let mut headers = Map::new();
    for name in answer.headers.keys().filter(|name| **name != SET_COOKIE) {
        let values: Vec<_> = answer.headers.get_all(name).iter().map(header_text).collect();
        headers.insert(name.to_string(), values.join(",").into());
    }
    let cookies: Vec<_> = answer.headers.get_all(SET_COOKIE).iter().map(header_text).collect();
    json!({
        "statusCode": answer.status,
        "headers": headers,
        "cookies": cookies,
        "body": answer.body,
        "isBase64Encoded": answer.is_base64,
    })
}
