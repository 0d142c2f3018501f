//! One event in, one answer out: a request of API Gateway goes to the routes, everything else to the records.

use std::{pin::Pin, sync::Arc, time::Instant};

use lambda_runtime::{Context, Diagnostic, LambdaEvent};
use serde_json::{Value, json, value::RawValue};
use tintype_api::{Config, Cors, apigateway::ApiGateway, cross_origin, router, without_trigger};
use tintype_pipeline::{Failure, Stop};

use crate::{api_host::ApiHost, deadline, function::Function, records};

/// What Lambda takes as an answer, less room for its head.
const LARGEST_ANSWER: usize = (6 << 20) - (16 << 10);

/// An invocation under way; boxed, since its true type is deeper than the compiler cares to look.
pub type Invocation = Pin<Box<dyn Future<Output = Result<Value, Diagnostic>>>>;

/// Handles whatever Lambda brings. It fails where trying again may help; Lambda then does as its retries
/// say.
#[must_use]
pub fn handle(function: Arc<Function>, event: LambdaEvent<Box<RawValue>>) -> Invocation {
    Box::pin(async move {
        let LambdaEvent { payload, context } = event;
        let stop = deadline::before(context.deadline());
        let Context { request_id, .. } = context;
        let answer = match request(payload.get()) {
            Some(event) => Ok(respond(&function, &request_id, event, stop).await),
            None => records::handle(&function, &request_id, payload.get(), &stop).await,
        };
        function.reporter.invocation_ends();
        answer.map_err(diagnostic)
    })
}

/// The event, if it is one of API Gateway's. Whether it can be is seen before it is parsed.
fn request(payload: &str) -> Option<Value> {
    if !payload.contains("\"requestContext\"") {
        return None;
    }
    serde_json::from_str(payload).ok().filter(ApiGateway::accepts)
}

async fn respond(function: &Arc<Function>, request_id: &str, event: Value, stop: Stop) -> Value {
    let started = Instant::now();
    let api = &function.settings.api;
    // API Gateway gives up on a call long before a function with much time has to.
    let stop = stop.by(Instant::now() + api.timeout);
    let host = ApiHost { function: function.clone(), request_id: request_id.to_owned(), stop };
    let routes = match function.settings.triggers.first() {
        Some(trigger) => router(host, Config::new(api, function.settings.limits, trigger.clone())),
        None => without_trigger(),
    };
    let routes = cross_origin(routes, Cors::new(&api.cors_origins));
    let asked = (event.get("httpMethod").or_else(|| event.pointer("/requestContext/http/method")).cloned())
        .unwrap_or_default();
    let path = event.get("path").or_else(|| event.get("rawPath")).cloned().unwrap_or_default();
    let answer = ApiGateway::new(routes, api.stage.as_str()).answer(event).await;
    let uploads = format!("/{}/{}/uploads", api.stage, api.resource);
    let answer = bounded(answer, &uploads);
    function.reporter.request(request_id, &asked, &path, &answer["statusCode"], started.elapsed());
    answer
}

/// Lambda takes no answer over 6 MB; the caller gets that instead of API Gateway's 502.
fn bounded(mut answer: Value, uploads: &str) -> Value {
    let bytes = answer["body"].as_str().map_or(0, str::len);
    if bytes <= LARGEST_ANSWER {
        return answer;
    }
    for headers in ["headers", "multiValueHeaders"] {
        if let Some(headers) = answer[headers].as_object_mut() {
            headers.retain(|name, _| !is_of_the_body(name));
        }
    }
    let message = format!(
        "the answer has {bytes} bytes, and 6 MB is the most that goes through Lambda: ask for a smaller size or for \
         JPEG, or take the thumbnail from its bucket; large images are uploaded with the form that POST {uploads} answers"
    );
    answer["statusCode"] = 413.into();
    answer["headers"]["content-type"] = "application/json".into();
    answer["isBase64Encoded"] = false.into();
    answer["body"] = json!({ "message": message }).to_string().into();
    answer
}

fn is_of_the_body(header: &str) -> bool {
    ["content-type", "content-length", "etag", "last-modified", "cache-control"]
        .iter()
        .any(|known| header.eq_ignore_ascii_case(known))
}

/// The failure as Lambda shows it: its class by name, so that it can be searched for.
fn diagnostic(failure: Failure) -> Diagnostic {
    Diagnostic { error_type: format!("Tintype.{}", failure.reason.name()), error_message: failure.message }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lambda_would_refuse_is_a_413_that_says_what_to_do() {
        let answer = |bytes: usize| {
            json!({
                "statusCode": 200, "isBase64Encoded": true, "body": "A".repeat(bytes),
                "headers": {"content-type": "image/png", "ETag": "\"e\"", "access-control-allow-origin": "*", "x-content-type-options": "nosniff"},
            })
        };
        assert_eq!(bounded(answer(LARGEST_ANSWER), "/u"), answer(LARGEST_ANSWER));
        let told = bounded(answer(LARGEST_ANSWER + 1), "/dev1/myimage/uploads");
        assert_eq!(told["statusCode"], 413);
        assert_eq!(
            told["headers"],
            json!({
                "content-type": "application/json", "access-control-allow-origin": "*", "x-content-type-options": "nosniff",
            })
        );
        assert!(told["body"].as_str().is_some_and(|body| body.contains("POST /dev1/myimage/uploads")));
        assert_eq!(told["isBase64Encoded"], false);
    }

    #[test]
    fn requests_are_told_from_events() {
        assert!(request(r#"{"httpMethod": "GET", "path": "/myimage", "requestContext": {}}"#).is_some());
        assert!(request(r#"{"requestContext": {"http": {"method": "GET"}}, "rawPath": "/x"}"#).is_some());
        assert!(request(r#"{"Records": []}"#).is_none());
        // Lambda's own word on an event that failed has a requestContext, too.
        assert!(
            request(r#"{"requestContext": {"condition": "RetriesExhausted"}, "requestPayload": {}}"#)
                .is_none()
        );
    }
}
