//! API Gateway's proxy events as requests to the routes, and responses in the shape API Gateway expects.
//!
//! Two versions of the event are supported: payload 1.0 (REST APIs, and HTTP APIs that ask for it) and
//! payload 2.0 (HTTP APIs, function URLs). Both become one [`Call`]; only the two files below know the
//! shapes. Sources: AWS, "Input format of a Lambda function for proxy integration"; "Create AWS Lambda
//! proxy integrations for HTTP APIs in API Gateway".

mod http_api;
mod rest;

use axum::{
    Router,
    body::Body,
    extract::Request,
    http::{
        HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri,
        header::{CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING, X_CONTENT_TYPE_OPTIONS},
    },
    response::Response,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use serde_json::Value;
use tower::ServiceExt as _;

use crate::{answer::message, host::Deadline, public::Authenticated};

/// The routes, called with API Gateway's events.
#[derive(Debug, Clone)]
pub struct ApiGateway {
    router: Router,
    stage: String,
}

/// One request of an event.
#[derive(Debug)]
struct Call {
    method: String,
    /// Without the stage.
    path: String,
    /// As in a URL, without the question mark.
    query: String,
    headers: Vec<(String, String)>,
    body: Body64,
    /// API Gateway's id of the request.
    id: Option<String>,
}

/// The body of an event.
#[derive(Debug, Default)]
struct Body64 {
    text: Option<String>,
    is_base64: bool,
}

/// The version of an event and of its response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Payload {
    Rest,
    HttpApi,
}

impl Payload {
    fn of(event: &Value) -> Option<Self> {
        if event.get("httpMethod").is_some_and(Value::is_string) {
            return Some(Self::Rest);
        }
        event.pointer("/requestContext/http").is_some_and(Value::is_object).then_some(Self::HttpApi)
    }
}

impl ApiGateway {
    /// The routes of [`crate::router`] at `stage` (the setting `api.stage`), whatever stage the API is deployed to.
    #[must_use]
    pub fn new(router: Router, stage: impl Into<String>) -> Self {
        Self { router, stage: stage.into() }
    }

    /// Whether an event is one of API Gateway's, of either version.
    #[must_use]
    pub fn accepts(event: &Value) -> bool {
        Payload::of(event).is_some()
    }

    /// Serves the request of an event, and responds in the shape of the event's version. An unreadable request is
    /// answered 400, so that no event ends in API Gateway's 502. Responses carry `nosniff`, so that browsers trust
    /// their media type. The caller enforces the deadline.
    pub async fn answer(&self, event: Value, deadline: Deadline) -> Value {
        let payload = Payload::of(&event).unwrap_or(Payload::Rest);
        let is_authenticated = is_authenticated(&event);
        let call = match payload {
            Payload::Rest => rest::call(event),
            Payload::HttpApi => http_api::call(event),
        };
        let mut response = match call.and_then(|call| call.into_request(&self.stage)) {
            Err(error) => message(StatusCode::BAD_REQUEST, error),
            Ok(mut request) => {
                request.extensions_mut().insert(deadline);
                if is_authenticated {
                    request.extensions_mut().insert(Authenticated);
                }
                match self.router.clone().oneshot(request).await {
                    Ok(response) => response,
                    Err(never) => match never {},
                }
            }
        };
        response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        let answer = Answer::of(response).await;
        match payload {
            Payload::Rest => rest::answer(answer),
            Payload::HttpApi => http_api::answer(answer),
        }
    }
}

/// Whether API Gateway has checked who sends a request: by an API key of a usage plan, IAM, or an authorizer. Of methods that
/// need no key it reports none, even if one was sent.
fn is_authenticated(event: &Value) -> bool {
    let is_named = |pointer| event.pointer(pointer).and_then(Value::as_str).is_some_and(|id| !id.is_empty());
    let authorizer = event.pointer("/requestContext/authorizer").and_then(Value::as_object);
    is_named("/requestContext/identity/apiKeyId")
        || is_named("/requestContext/identity/userArn")
        || authorizer.is_some_and(|authorizer| !authorizer.is_empty())
}

/// API Gateway's own id of a request, for logs.
#[derive(Debug, Clone)]
pub struct RequestId(pub String);

impl Call {
    fn into_request(self, stage: &str) -> Result<Request, String> {
        let body = self.body.bytes()?;
        let method = Method::from_bytes(self.method.as_bytes())
            .map_err(|_| format!("the event's method \"{}\" is none", self.method))?;
        let mut target = format!("/{stage}{}", escaped(&self.path));
        if !self.query.is_empty() {
            target = format!("{target}?{}", escaped(&self.query));
        }
        let uri: Uri = target
            .parse()
            .map_err(|_| format!("the event's path \"{}\" and query are no part of a URL", self.path))?;
        let mut headers = HeaderMap::new();
        for (name, value) in self.headers {
            let wrong = || format!("the event's header \"{name}\" is none that HTTP knows");
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong())?;
            let value = HeaderValue::from_bytes(value.as_bytes()).map_err(|_| wrong())?;
            headers.append(name, value);
        }
        // The event holds the whole body, whatever its transfer encoding was.
        headers.remove(TRANSFER_ENCODING);
        headers.remove(CONTENT_LENGTH);
        if !body.is_empty() {
            headers.insert(CONTENT_LENGTH, body.len().into());
        }
        let mut request = Request::new(Body::from(body));
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        if let Some(id) = self.id {
            request.extensions_mut().insert(RequestId(id));
        }
        Ok(request)
    }
}

/// Percent-encodes what a URL may not contain; existing escapes are retained.
fn escaped(part: &str) -> String {
    use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
    const ESCAPED: &AsciiSet = &CONTROLS
        .add(b' ')
        .add(b'"')
        .add(b'#')
        .add(b'<')
        .add(b'>')
        .add(b'?')
        .add(b'`')
        .add(b'{')
        .add(b'}')
        .add(b'\\')
        .add(b'^')
        .add(b'|');
    utf8_percent_encode(part, ESCAPED).to_string()
}

impl Body64 {
    /// Takes the body from an event.
    fn taken(event: &mut Value) -> Self {
        let is_base64 = event.get("isBase64Encoded").and_then(Value::as_bool).unwrap_or(false);
        let text = match event.get_mut("body").map(Value::take) {
            Some(Value::String(text)) => Some(text),
            _ => None,
        };
        Self { text, is_base64 }
    }

    fn bytes(self) -> Result<Bytes, String> {
        match (self.text, self.is_base64) {
            (None, _) => Ok(Bytes::new()),
            (Some(text), false) => Ok(text.into()),
            (Some(text), true) => STANDARD
                .decode(text)
                .map(Bytes::from)
                .map_err(|error| format!("the event's body is marked as base64 and is not: {error}")),
        }
    }
}

/// The parts of a response.
struct Answer {
    status: u16,
    headers: HeaderMap,
    body: String,
    is_base64: bool,
}

impl Answer {
    async fn of(response: Response) -> Self {
        let (head, body) = response.into_parts();
        // Bodies are in memory; one that cannot be read would be a fault of the program.
        let (status, bytes) = match body.collect().await {
            Ok(body) => (head.status, body.to_bytes()),
            Err(_) => (StatusCode::INTERNAL_SERVER_ERROR, Bytes::new()),
        };
        let text = if is_text(&head.headers) { String::from_utf8(bytes.to_vec()).ok() } else { None };
        let is_base64 = text.is_none() && !bytes.is_empty();
        let body = text.unwrap_or_else(|| STANDARD.encode(&bytes));
        Self { status: status.as_u16(), headers: head.headers, body, is_base64 }
    }
}

/// Whether a body needs no base64.
fn is_text(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    kind.starts_with("text/") || kind.starts_with("application/json")
}

/// The entries of a map of strings in an event.
fn single_values(map: Option<&Value>) -> Vec<(String, String)> {
    let entries = map.and_then(Value::as_object).into_iter().flatten();
    entries.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect()
}

/// A header's value as text; bytes beyond ASCII are decoded as Latin-1.
fn header_text(value: &HeaderValue) -> String {
    value.as_bytes().iter().map(|byte| char::from(*byte)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::routing::any;
    use serde_json::json;

    /// Returns the request it received.
    async fn echo(request: Request) -> Response {
        let (head, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let headers = head.headers.iter().map(|(name, value)| format!("{name}: {value:?}"));
        let echoed = json!({
            "method": head.method.as_str(),
            "target": head.uri.to_string(),
            "headers": headers.collect::<Vec<_>>(),
            "body": body.iter().map(u8::to_string).collect::<Vec<_>>().join(" "),
            "id": head.extensions.get::<RequestId>().map(|id| id.0.clone()),
        });
        let mut response = Response::new(Body::from(echoed.to_string()));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response.headers_mut().append("vary", HeaderValue::from_static("Accept"));
        response.headers_mut().append("vary", HeaderValue::from_static("Origin"));
        response.headers_mut().append("set-cookie", HeaderValue::from_static("a=1"));
        response.headers_mut().append("set-cookie", HeaderValue::from_static("b=2"));
        response
    }

    async fn answered(event: Value) -> Value {
        let gateway = ApiGateway::new(Router::new().fallback(any(echo)), "dev1");
        gateway.answer(event, Deadline::after(std::time::Duration::from_secs(60))).await
    }

    fn echoed(answer: &Value) -> Value {
        serde_json::from_str(answer["body"].as_str().unwrap()).unwrap()
    }

    #[tokio::test]
    async fn a_rest_event() {
        let event = json!({
            "resource": "/myimage", "path": "/myimage", "httpMethod": "POST",
            "headers": {"x-a": "2"}, "multiValueHeaders": {"x-a": ["1", "2"], "Content-Length": ["99"]},
            "queryStringParameters": {"key": "a b+c&d=.jpg"},
            "multiValueQueryStringParameters": {"key": ["a b+c&d=.jpg", "ü"]},
            "pathParameters": null, "stageVariables": null,
            "requestContext": {"stage": "prod", "path": "/prod/myimage", "requestId": "r-1"},
            "body": "AAH/", "isBase64Encoded": true,
        });
        assert!(ApiGateway::accepts(&event));
        let answer = answered(event).await;
        let request = echoed(&answer);
        assert_eq!(request["method"], "POST");
        assert_eq!(request["target"], "/dev1/myimage?key=a+b%2Bc%26d%3D.jpg&key=%C3%BC");
        assert_eq!(request["headers"], json!(["x-a: \"1\"", "x-a: \"2\"", "content-length: \"3\""]));
        assert_eq!(request["body"], "0 1 255");
        assert_eq!(request["id"], "r-1");
        assert_eq!(answer["statusCode"], 200);
        assert_eq!(answer["headers"]["content-type"], "application/json");
        assert_eq!(
            answer["multiValueHeaders"],
            json!({"vary": ["Accept", "Origin"], "set-cookie": ["a=1", "b=2"]})
        );
        assert_eq!(answer["isBase64Encoded"], false);
    }

    #[tokio::test]
    async fn absent_maps_are_null() {
        let event = json!({
            "path": "/myimage", "httpMethod": "GET", "headers": {"x-a": "1"}, "multiValueHeaders": null,
            "queryStringParameters": {"key": "a.jpg"}, "multiValueQueryStringParameters": null, "body": null,
            "isBase64Encoded": false, "requestContext": {},
        });
        let request = echoed(&answered(event).await);
        assert_eq!(request["target"], "/dev1/myimage?key=a.jpg");
        assert_eq!((&request["headers"], &request["body"]), (&json!(["x-a: \"1\""]), &json!("")));
    }

    #[tokio::test]
    async fn an_http_api_event() {
        let event = |stage: &str, path: &str| {
            json!({
                "version": "2.0", "routeKey": "POST /myimage", "rawPath": path, "rawQueryString": "key=a+b%2Bc.jpg",
                "cookies": ["c=1", "d=2"], "headers": {"x-a": "1,2"},
                "requestContext": {"stage": stage, "requestId": "r-2", "http": {"method": "POST", "path": path}},
                "body": "text", "isBase64Encoded": false,
            })
        };
        for (stage, path) in [("prod", "/prod/myimage"), ("$default", "/myimage")] {
            assert!(ApiGateway::accepts(&event(stage, path)));
            let answer = answered(event(stage, path)).await;
            let request = echoed(&answer);
            assert_eq!(request["target"], "/dev1/myimage?key=a+b%2Bc.jpg");
            assert_eq!(
                request["headers"],
                json!(["x-a: \"1,2\"", "cookie: \"c=1; d=2\"", "content-length: \"4\""])
            );
            assert_eq!(request["id"], "r-2");
            assert_eq!(answer["headers"]["content-type"], "application/json");
            assert_eq!(answer["headers"]["vary"], "Accept,Origin");
            assert!(answer["headers"].get("set-cookie").is_none());
            assert_eq!(answer["cookies"], json!(["a=1", "b=2"]));
        }
    }

    #[tokio::test]
    async fn an_event_that_is_no_request_is_answered_400() {
        let events = [
            json!({"httpMethod": "G T", "path": "/myimage"}),
            json!({"httpMethod": "GET", "path": "/myimage", "headers": {"a b": "1"}}),
            json!({"httpMethod": "POST", "path": "/myimage", "body": "%", "isBase64Encoded": true}),
            json!({"httpMethod": "GET"}),
            json!({"requestContext": {"http": {"path": "/myimage"}}}),
            json!({}),
        ];
        for event in events {
            let answer = answered(event.clone()).await;
            assert_eq!(answer["statusCode"], 400, "{event}");
            assert_eq!(answer["headers"]["x-content-type-options"], "nosniff", "{event}");
            assert!(echoed(&answer)["message"].is_string());
        }
        assert!(!ApiGateway::accepts(&json!({"Records": []})));
    }

    #[tokio::test]
    async fn paths_are_not_normalised() {
        for (path, target) in [
            ("/myimage/../../x", "/dev1/myimage/../../x"),
            ("/a b\"é", "/dev1/a%20b%22%C3%A9"),
            ("/dev1/myimage", "/dev1/dev1/myimage"),
            ("/a?b", "/dev1/a%3Fb"),
        ] {
            let event = json!({"httpMethod": "GET", "path": path, "requestContext": {"stage": "dev1"}});
            assert_eq!(echoed(&answered(event).await)["target"], target);
        }
    }
}
