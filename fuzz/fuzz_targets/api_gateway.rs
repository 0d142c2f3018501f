//! API Gateway's events of both versions: a request that can be served, or 400 with words; and the answer back.
#![no_main]

use std::time::Duration;

use axum::{Router, body::Body, extract::Request, response::Response, routing::any};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use futures::executor::block_on;
use http::{HeaderName, HeaderValue};
use http_body_util::BodyExt as _;
use libfuzzer_sys::{
    arbitrary::{Error, Result, Unstructured},
    fuzz_target,
};
use serde_json::{Map, Value, json};
use tintype_api::{Deadline, apigateway::ApiGateway};

fuzz_target!(|bytes: &[u8]| {
    let event = event(&mut Unstructured::new(bytes)).ok().or_else(|| serde_json::from_slice(bytes).ok());
    let Some(event) = event else { return };
    let is_rest = !ApiGateway::accepts(&event) || event["httpMethod"].is_string();
    let gateway = ApiGateway::new(Router::new().fallback(any(echo)), "dev1");
    let answer = block_on(gateway.answer(event.clone(), Deadline::after(Duration::from_secs(60))));

    let body = answer["body"].as_str().expect("a body");
    let is_base64 = answer["isBase64Encoded"].as_bool().expect("how the body is encoded");
    let body = if is_base64 { STANDARD.decode(body).expect("base64") } else { body.as_bytes().to_vec() };
    assert!(answer["headers"].as_object().is_some_and(|headers| headers.values().all(Value::is_string)));
    assert_eq!(answer.get("multiValueHeaders").is_some(), is_rest);
    assert_eq!(answer.get("cookies").is_some(), !is_rest);
    match answer["statusCode"].as_u64() {
        Some(200) => assert_same(&event, is_rest, &answer, &body),
        Some(400) => {
            let message: Value = serde_json::from_slice(&body).expect("JSON");
            assert!(message["message"].as_str().is_some_and(|message| !message.is_empty()), "{message}");
        }
        other => panic!("{other:?}"),
    }
});

/// Answers the body that came and the headers that begin with `x-`, and method and target as headers of their own.
async fn echo(request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body = body.collect().await.expect("a body in memory").to_bytes();
    let mut response = Response::new(Body::from(body));
    let headers = response.headers_mut();
    for (name, value) in &head.headers {
        if name.as_str().starts_with("x-") || name == "content-type" {
            headers.append(name, value.clone());
        }
    }
    let text = |text: &str| HeaderValue::from_str(text).expect("of a request that was parsed");
    headers.insert("method", text(head.method.as_str()));
    headers.insert("target", text(&head.uri.to_string()));
    headers.append("set-cookie", HeaderValue::from_static("a=1"));
    headers.append("set-cookie", HeaderValue::from_static("b=2"));
    response
}

fn assert_same(event: &Value, is_rest: bool, answer: &Value, body: &[u8]) {
    let header = |name: &str| answer["headers"][name].as_str().unwrap_or_default();
    let method = if is_rest { &event["httpMethod"] } else { &event["requestContext"]["http"]["method"] };
    assert_eq!(Some(header("method")), method.as_str());
    let target = header("target");
    assert!(target.starts_with("/dev1") && !target.contains([' ', '#']), "{target}");

    let sent = event["body"].as_str().unwrap_or_default();
    let sent = match event["isBase64Encoded"].as_bool() {
        Some(true) => STANDARD.decode(sent).expect("base64 that was read"),
        _ => sent.as_bytes().to_vec(),
    };
    assert_eq!(body, sent);
    let cookies = if is_rest { &answer["multiValueHeaders"]["set-cookie"] } else { &answer["cookies"] };
    assert_eq!(*cookies, json!(["a=1", "b=2"]));

    let is_multiple = is_rest && event["multiValueHeaders"].is_object();
    let map = if is_multiple { &event["multiValueHeaders"] } else { &event["headers"] };
    let names: Vec<&String> = map.as_object().into_iter().flatten().map(|(name, _)| name).collect();
    for (name, value) in map.as_object().into_iter().flatten() {
        let value = match value {
            Value::Array(values) if is_multiple && values.len() == 1 => values[0].as_str(),
            value if !is_multiple => value.as_str(),
            _ => None,
        };
        // Two spellings of one name are both included, in an unspecified order.
        let is_single = names.iter().filter(|other| other.eq_ignore_ascii_case(name)).count() == 1;
        let (Ok(name), Some(value), true) = (HeaderName::try_from(name), value, is_single) else { continue };
        if name.as_str().starts_with("x-") {
            // What is not ASCII goes as UTF-8, and comes back as Latin-1.
            let expected: String = value.bytes().map(char::from).collect();
            assert_eq!(header(name.as_str()), expected, "{name}");
        }
    }
}

const PATHS: [&str; 10] = [
    "/myimage",
    "/prod/myimage",
    "/prod",
    "/production",
    "",
    "myimage",
    "/my image?a#b",
    "//host/a",
    "/%zz/../..",
    "/\u{fc}",
];
const TEXTS: [&str; 12] =
    ["", "a", "AAH/", "a b+c&d=", "\u{fc}", "\r\nx: y", "\0", "text/plain", "image/png", "GET", "a=1&b", "%"];
const NAMES: [&str; 10] =
    ["x-a", "X-A", "x-b", "Content-Length", "transfer-encoding", "content-type", "cookie", "", "a b", "key"];

/// An event that resembles one; or an error where the input is to be the whole of it.
fn event(input: &mut Unstructured<'_>) -> Result<Value> {
    if input.ratio(1, 8)? {
        return Err(Error::IncorrectFormat);
    }
    let method = *input.choose(&["GET", "POST", "OPTIONS", "get", "G T", ""])?;
    let stage = *input.choose(&["prod", "$default", "", "dev1"])?;
    let mut event = match input.arbitrary()? {
        true => json!({
            "httpMethod": method,
            "path": text(input, &PATHS)?,
            "headers": map(input, false)?,
            "multiValueHeaders": map(input, true)?,
            "queryStringParameters": map(input, false)?,
            "multiValueQueryStringParameters": map(input, true)?,
            "requestContext": {"stage": stage, "requestId": "r"},
        }),
        false => json!({
            "version": "2.0",
            "rawPath": text(input, &PATHS)?,
            "rawQueryString": text(input, &TEXTS)?,
            "headers": map(input, false)?,
            "cookies": [text(input, &TEXTS)?, text(input, &TEXTS)?],
            "requestContext": {"stage": stage, "requestId": "r", "http": {"method": method}},
        }),
    };
    event["body"] = if input.ratio(1, 4)? { Value::Null } else { text(input, &TEXTS)?.into() };
    event["isBase64Encoded"] = input.arbitrary::<bool>()?.into();
    if input.ratio(1, 4)? {
        // One value of another kind.
        let names: Vec<String> =
            event.as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect();
        event[input.choose(&names)?] = match input.int_in_range(0..=3)? {
            0 => Value::Null,
            1 => json!([1]),
            2 => json!({"http": 1, "a": [[]]}),
            _ => 7.into(),
        };
    }
    Ok(event)
}

fn map(input: &mut Unstructured<'_>, is_multiple: bool) -> Result<Value> {
    if input.ratio(1, 3)? {
        return Ok(Value::Null);
    }
    let mut map = Map::new();
    for _ in 0..input.int_in_range(0..=4)? {
        let name = text(input, &NAMES)?;
        let mut values = Vec::new();
        for _ in 0..if is_multiple { input.int_in_range(0..=2)? } else { 1 } {
            values.push(Value::from(text(input, &TEXTS)?));
        }
        map.insert(name, if is_multiple { values.into() } else { values.remove(0) });
    }
    Ok(map.into())
}

/// Mostly one of those that matter.
fn text(input: &mut Unstructured<'_>, known: &[&str]) -> Result<String> {
    match input.ratio(3, 4)? {
        true => Ok((*input.choose(known)?).to_owned()),
        false => input.arbitrary(),
    }
}
