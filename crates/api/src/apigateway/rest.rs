//! Payload 1.0: REST APIs.

use serde_json::{Map, Value, json};
use tintype_pipeline::event::form_encoded;

use super::{Answer, Body64, Call, header_text, single_values};

/// Reads an event. Its path has no stage; its query fields are decoded.
pub(super) fn call(mut event: Value) -> Result<Call, String> {
    let body = Body64::taken(&mut event);
    let text = |name: &str| event.get(name).and_then(Value::as_str).map(str::to_owned);
    let query = values(&event, "multiValueQueryStringParameters", "queryStringParameters")
        .into_iter()
        .map(|(name, value)| format!("{}={}", form_encoded(&name), form_encoded(&value)));
    Ok(Call {
        method: text("httpMethod").ok_or("the event has no \"httpMethod\"")?,
        path: text("path").ok_or("the event has no \"path\"")?,
        query: query.collect::<Vec<_>>().join("&"),
        headers: values(&event, "multiValueHeaders", "headers"),
        body,
        id: event.pointer("/requestContext/requestId").and_then(Value::as_str).map(str::to_owned),
    })
}

/// Every value of a map that an event has twice: with all values, and with the last of each.
fn values(event: &Value, multiple: &str, single: &str) -> Vec<(String, String)> {
    let Some(map) = event.get(multiple).and_then(Value::as_object) else {
        return single_values(event.get(single));
    };
    let lists = map.iter().filter_map(|(name, values)| Some((name, values.as_array()?)));
    lists
        .flat_map(|(name, values)| {
            values.iter().filter_map(|value| Some((name.clone(), value.as_str()?.to_owned())))
        })
        .collect()
}

/// A header with one value is under `headers`, one with several under `multiValueHeaders`.
pub(super) fn answer(answer: Answer) -> Value {
    let (mut single, mut multiple) = (Map::new(), Map::new());
    for name in answer.headers.keys() {
        let mut values: Vec<_> = answer.headers.get_all(name).iter().map(header_text).collect();
        if values.len() == 1 {
            single.insert(name.to_string(), values.remove(0).into());
        } else {
            multiple.insert(name.to_string(), values.into());
        }
    }
    json!({
        "statusCode": answer.status,
        "headers": single,
        "multiValueHeaders": multiple,
        "body": answer.body,
        "isBase64Encoded": answer.is_base64,
    })
}
