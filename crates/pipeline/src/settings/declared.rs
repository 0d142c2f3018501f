//! The settings that a struct of sections declares, read off its `Deserialize`: it is given one of everything, and its
//! paths are noted.

use serde::{
    Deserializer,
    de::{
        DeserializeOwned, DeserializeSeed, IntoDeserializer as _, MapAccess, SeqAccess, Visitor, value::Error,
    },
    forward_to_deserialize_any,
};

/// The declared settings, in order.
#[derive(Debug, Clone, Default)]
pub(super) struct Declared {
    /// Every setting by its dotted path; elements of `[[lists]]` share their list's path.
    pub(super) keys: Vec<String>,
    /// The paths of the `[[lists]]`.
    pub(super) lists: Vec<String>,
}

impl Declared {
    /// Those of `T`.
    ///
    /// # Panics
    /// A section holds something else than tables, lists, text, numbers and booleans.
    pub(super) fn by<T: DeserializeOwned>() -> Self {
        let mut declared = Self::default();
        let value = Value { path: String::new(), is_element: false, declared: &mut declared };
        T::deserialize(value).map(drop).expect("a section of tables, lists, text, numbers and booleans");
        declared
    }
}

/// The value at a path.
struct Value<'a> {
    path: String,
    /// Whether it is an element of a list.
    is_element: bool,
    declared: &'a mut Declared,
}

impl Value<'_> {
    fn declare(self) {
        self.declared.keys.push(self.path);
    }
}

impl<'de> Deserializer<'de> for Value<'_> {
    type Error = Error;

    // A number, also where several types are tried.
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.declare();
        visitor.visit_u64(1)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.declare();
        visitor.visit_bool(true)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.declare();
        visitor.visit_str("")
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_seq(Element(Some(Value { is_element: true, ..self })))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        if self.is_element {
            self.declared.lists.push(self.path.clone());
        }
        visitor.visit_map(Table {
            path: self.path,
            fields: fields.iter(),
            field: "",
            declared: self.declared,
        })
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str bytes byte_buf unit unit_struct newtype_struct tuple
        tuple_struct map enum identifier ignored_any
    }
}

/// A list of one.
struct Element<'a>(Option<Value<'a>>);

impl<'de> SeqAccess<'de> for Element<'_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        self.0.take().map(|value| seed.deserialize(value)).transpose()
    }
}

/// A table with every field.
struct Table<'a> {
    path: String,
    fields: std::slice::Iter<'static, &'static str>,
    field: &'static str,
    declared: &'a mut Declared,
}

impl<'de> MapAccess<'de> for Table<'_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        let Some(field) = self.fields.next() else { return Ok(None) };
        self.field = field;
        seed.deserialize(self.field.into_deserializer()).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let field = self.field;
        let path = if self.path.is_empty() { field.to_owned() } else { format!("{}.{field}", self.path) };
        seed.deserialize(Value { path, is_element: false, declared: self.declared })
    }
}
