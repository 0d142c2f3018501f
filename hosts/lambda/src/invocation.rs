//! One event in, one response out: requests of API Gateway go to the routes, all other events to `records`.

use std::{pin::Pin, sync::Arc, time::Instant};

use lambda_runtime::{Context, Diagnostic, LambdaEvent};
use serde_json::{Value, json, value::RawValue};
use tintype_api::{
    Config, Deadline, StoreHost, UPLOADS, apigateway::ApiGateway, cross_origin, router, without_trigger,
};
use tintype_pipeline::{Failure, Stop};

use crate::{
    api_host::ApiBackend, batch_operations, deadline, function::Function, records, report::Reporter,
};

/// The largest response of Lambda, in bytes, less room for its head.
const LARGEST_ANSWER: usize = (6 << 20) - (16 << 10);

/// An invocation in progress; boxed, because its concrete type exceeds the compiler's depth limit.
pub type Invocation = Pin<Box<dyn Future<Output = Result<Value, Diagnostic>>>>;

/// Handles an event. Fails where a retry may help, so that Lambda retries the event.
#[must_use]
pub fn handle(function: Arc<Function>, event: LambdaEvent<Box<RawValue>>) -> Invocation {
    Box::pin(async move {
        let LambdaEvent { payload, context } = event;
        let stop = deadline::before(context.deadline());
        let Context { request_id, .. } = context;
        let answer = match request(payload.get()) {
            Some(event) => Ok(respond(&function, &request_id, event, stop).await),
            None => match batch_operations::job(payload.get()) {
                Some(job) => Ok(batch_operations::handle(&function, &request_id, job, &stop).await),
                None => records::handle(&function, &request_id, payload.get(), &stop).await,
            },
        };
        function.reporter.invocation_ends();
        answer.map_err(diagnostic)
    })
}

/// The event, if it is one of API Gateway's. A substring search avoids parsing others.
fn request(payload: &str) -> Option<Value> {
    if !payload.contains("\"requestContext\"") {
        return None;
    }
    serde_json::from_str(payload).ok().filter(ApiGateway::accepts)
}

async fn respond(function: &Arc<Function>, request_id: &str, event: Value, stop: Stop) -> Value {
    let started = Instant::now();
    let api = &function.settings.api;
    // API Gateway's time-out is shorter than that of most functions.
    let deadline = Deadline::after(api.timeout);
    let stop = stop.by(deadline.0);
    let backend = ApiBackend { function: function.clone(), request_id: request_id.to_owned(), stop };
    let routes = match function.settings.default_trigger() {
        Some(_) => router(StoreHost(backend), Config::new(api, function.settings.limits)),
        None => without_trigger(),
    };
    let routes = cross_origin(routes, api);
    let method = (event.get("httpMethod").or_else(|| event.pointer("/requestContext/http/method")).cloned())
        .unwrap_or_default();
    let path = event.get("path").or_else(|| event.get("rawPath")).cloned().unwrap_or_default();
    let answer = ApiGateway::new(routes, api.stage.as_str()).answer(event, deadline).await;
    let answer = bounded(answer, &format!("{}{UPLOADS}", api.path()));
    Reporter::request(request_id, &method, &path, &answer["statusCode"], started.elapsed());
    answer
}

/// Replaces a response over Lambda's limit of 6 MB by a 413, instead of API Gateway's 502.
fn bounded(mut answer: Value, uploads: &str) -> Value {
    let bytes = answer["body"].as_str().map_or(0, str::len);
    if bytes <= LARGEST_ANSWER {
        return answer;
    }
    for headers in ["headers", "multiValueHeaders"] {
        if let Some(headers) = answer[headers].as_object_mut() {
            headers.retain(|name, _| !describes_the_body(name));
        }
    }
    let message = format!(
        "the response has {bytes} bytes, and 6 MB is the most that Lambda returns: ask for a smaller size or for \
         JPEG, or take the thumbnail from its bucket; large images are uploaded with the form that POST {uploads} returns"
    );
    answer["statusCode"] = 413.into();
    answer["headers"]["content-type"] = "application/json".into();
    answer["isBase64Encoded"] = false.into();
    answer["body"] = json!({ "message": message }).to_string().into();
    answer
}

fn describes_the_body(header: &str) -> bool {
    ["content-type", "content-length", "etag", "last-modified", "cache-control"]
        .iter()
        .any(|known| header.eq_ignore_ascii_case(known))
}

/// The failure for Lambda, with its class by name for searches.
fn diagnostic(failure: Failure) -> Diagnostic {
    Diagnostic { error_type: format!("Tintype.{}", failure.reason.name()), error_message: failure.message }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_over_the_limit_becomes_a_413_with_advice() {
        let answer = |bytes: usize| {
            json!({
                "statusCode": 200, "isBase64Encoded": true, "body": "A".repeat(bytes),
                "headers": {"content-type": "image/png", "ETag": "\"e\"", "access-control-allow-origin": "*", "x-content-type-options": "nosniff"},
            })
        };
        assert_eq!(bounded(answer(LARGEST_ANSWER), "/u"), answer(LARGEST_ANSWER));
        let replaced = bounded(answer(LARGEST_ANSWER + 1), "/dev1/myimage/uploads");
        assert_eq!(replaced["statusCode"], 413);
        assert_eq!(
            replaced["headers"],
            json!({
                "content-type": "application/json", "access-control-allow-origin": "*", "x-content-type-options": "nosniff",
            })
        );
        assert!(replaced["body"].as_str().is_some_and(|body| body.contains("POST /dev1/myimage/uploads")));
        assert_eq!(replaced["isBase64Encoded"], false);
    }

    #[test]
    fn requests_are_distinguished_from_events() {
        assert!(request(r#"{"httpMethod": "GET", "path": "/myimage", "requestContext": {}}"#).is_some());
        assert!(request(r#"{"requestContext": {"http": {"method": "GET"}}, "rawPath": "/x"}"#).is_some());
        assert!(request(r#"{"Records": []}"#).is_none());
        // The envelope of an on-failure destination has a requestContext, too.
        assert!(
            request(r#"{"requestContext": {"condition": "RetriesExhausted"}, "requestPayload": {}}"#)
                .is_none()
        );
    }
}
