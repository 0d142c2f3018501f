//! Fields of a query or form to a request and back. What is not understood is refused by its name.

use std::{collections::BTreeMap, fmt};

use axum::{
    extract::{FromRequest, Request as HttpRequest},
    http::Method,
};
use percent_encoding::percent_decode_str;
use serde::{
    Deserializer, Serialize,
    de::{self, DeserializeOwned, IntoDeserializer, Visitor, value::MapDeserializer, value::SeqDeserializer},
    forward_to_deserialize_any,
};
use serde_json::Value;

use super::Refusal;

/// A request from a query, and from the form that a POST may send beside it.
pub struct Fields<R>(pub R);

impl<S: Send + Sync, R: DeserializeOwned> FromRequest<S> for Fields<R> {
    type Rejection = Refusal;

    async fn from_request(request: HttpRequest, state: &S) -> Result<Self, Refusal> {
        let query = request.uri().query().unwrap_or_default().to_owned();
        if request.method() != Method::POST {
            return decode(&query).map(Self);
        }
        // Not every client names the type of a form. What is none has a field that is not known.
        let form = String::from_request(request, state)
            .await
            .map_err(|rejection| Refusal { status: rejection.status(), message: rejection.body_text() })?;
        decode(&format!("{query}&{form}")).map(Self)
    }
}

/// Reads the fields of a query or form.
///
/// # Errors
/// A field is unknown, invalid or given twice; the message names it.
pub(crate) fn decode<R: DeserializeOwned>(text: &str) -> Result<R, Refusal> {
    let mut fields: BTreeMap<String, Field> = BTreeMap::new();
    for pair in text.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let name = unescaped(name).ok_or_else(|| Refusal::invalid("a field's name is not UTF-8"))?;
        let value = unescaped(value).ok_or_else(|| Refusal::invalid(format!("{name} is not UTF-8")))?;
        let field = fields.entry(name.clone()).or_insert_with(|| Field { name, values: Vec::new() });
        field.values.push(value);
    }
    R::deserialize(MapDeserializer::new(fields.into_iter()))
        .map_err(|Invalid(message)| Refusal::invalid(message))
}

/// A name or value of a form as text; `None` if it is not UTF-8.
/// Source: WHATWG URL, "application/x-www-form-urlencoded parsing", which replaces what is not UTF-8.
fn unescaped(text: &str) -> Option<String> {
    let text = text.replace('+', " ");
    percent_decode_str(&text).decode_utf8().ok().map(Into::into)
}

/// A request as a query or form; what it does not have is left out.
pub fn encode(request: &impl Serialize) -> String {
    let mut out = url::form_urlencoded::Serializer::new(String::new());
    let Ok(Value::Object(fields)) = serde_json::to_value(request) else { return String::new() };
    for (name, value) in &fields {
        let values = match value {
            Value::Array(values) => values.as_slice(),
            one => std::slice::from_ref(one),
        };
        for value in values {
            match value {
                Value::Null => {}
                Value::String(text) => _ = out.append_pair(name, text),
                other => _ = out.append_pair(name, &other.to_string()),
            }
        }
    }
    out.finish()
}

/// What is wrong with a field.
#[derive(Debug)]
struct Invalid(String);

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Invalid {}

impl de::Error for Invalid {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self(format!("\"{field}\" is not known; there are {}", expected.join(", ")))
    }

    fn missing_field(field: &'static str) -> Self {
        Self(format!("{field} is missing"))
    }
}

/// A field by its name, with each value that it was given.
struct Field {
    name: String,
    values: Vec<String>,
}

impl Field {
    fn one(mut self) -> Result<(String, String), Invalid> {
        match (self.values.pop(), self.values.len()) {
            (Some(value), 0) => Ok((self.name, value)),
            (_, more) => Err(Invalid(format!("{} is given {} times", self.name, more + 1))),
        }
    }
}

impl IntoDeserializer<'_, Invalid> for Field {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

macro_rules! numbers {
    ($($method:ident $visit:ident),+) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Invalid> {
            let (name, value) = self.one()?;
            let number = value.parse().map_err(|_| Invalid(format!("{name} \"{value}\" is no number")))?;
            visitor.$visit(number)
        }
    )+};
}

impl<'de> Deserializer<'de> for Field {
    type Error = Invalid;

    numbers!(deserialize_u32 visit_u32, deserialize_u64 visit_u64, deserialize_i64 visit_i64);

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Invalid> {
        visitor.visit_string(self.one()?.1)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Invalid> {
        let (name, value) = self.one()?;
        match value.parse() {
            Ok(value) => visitor.visit_bool(value),
            Err(_) => Err(Invalid(format!("{name} \"{value}\" is neither true nor false"))),
        }
    }

    /// A form sends what was left empty, too.
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Invalid> {
        if self.values.iter().all(String::is_empty) { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Invalid> {
        let each = self.values.into_iter().map(|value| Self { name: self.name.clone(), values: vec![value] });
        visitor.visit_seq(SeqDeserializer::new(each))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Invalid> {
        let (name, value) = self.one()?;
        if variants.contains(&value.as_str()) {
            return visitor.visit_enum(value.into_deserializer());
        }
        Err(Invalid(match variants {
            [only] => format!("{name}=\"{value}\": only {name}={only} is known"),
            _ => format!("{name} \"{value}\" is not known; there are {}", variants.join(", ")),
        }))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Invalid> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i128 u8 u16 u128 f32 f64 char str string bytes byte_buf unit unit_struct tuple tuple_struct map
        struct identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Default, serde::Serialize, serde::Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Colour {
        #[default]
        Red,
        Green,
    }

    #[derive(Debug, PartialEq, Default, serde::Serialize, serde::Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Example {
        text: Option<String>,
        ids: Vec<u64>,
        #[serde(alias = "old")]
        flag: bool,
        colour: Option<Colour>,
        count: Option<usize>,
    }

    #[test]
    fn fields_are_read_as_they_are_sent() {
        let example = Example {
            text: Some("a b&c=ü".into()),
            ids: vec![3, 1],
            flag: true,
            colour: Some(Colour::Green),
            count: None,
        };
        let sent = encode(&example);
        assert_eq!(sent, "colour=green&flag=true&ids=3&ids=1&text=a+b%26c%3D%C3%BC");
        assert_eq!(decode::<Example>(&sent).unwrap(), example);
        assert_eq!(decode::<Example>("&").unwrap(), Example::default());
        assert_eq!(
            decode::<Example>("text=&count=&old=true").unwrap(),
            Example { flag: true, ..Example::default() }
        );
    }

    #[test]
    fn what_is_not_understood_is_refused_by_its_name() {
        for (sent, message) in [
            ("other=1", "\"other\" is not known; there are text, ids, flag"),
            ("text=%FF.jpg", "text is not UTF-8"),
            ("ids=1&ids=x", "ids \"x\" is no number"),
            ("count=-1", "count \"-1\" is no number"),
            ("flag=maybe", "flag \"maybe\" is neither true nor false"),
            ("colour=blue", "colour \"blue\" is not known; there are red, green"),
            ("text=a&text=b", "text is given 2 times"),
            ("flag=true&old=true", "duplicate field `flag`"),
        ] {
            let refusal = decode::<Example>(sent).unwrap_err();
            assert_eq!(refusal.status, 400);
            assert!(refusal.message.starts_with(message), "{sent}: {}", refusal.message);
        }
    }
}
