//! A [`serde::Deserializer`] over a parsed [`Value`] that knows the path of what it reads.

use std::cell::RefCell;
use std::fmt::{self, Display};

use composer::excerpt;
use serde::de::value::BorrowedStrDeserializer;
use serde::de::{
    DeserializeSeed, Deserializer, Error, Expected, IntoDeserializer, MapAccess, SeqAccess, Unexpected, Visitor,
};
use serde_json::{Map, Number, Value};

use super::error::JsonError;

/// Most fields that are named which `T` does not know: whoever corrects those is told of the next.
const MAX_UNKNOWN_NAMED: usize = 20;

/// How a value is to be read, and what was found on the way.
#[derive(Default)]
pub(super) struct Context {
    /// Whether a number or a truth may stand in a text, and the one for the other.
    pub(super) is_loose: bool,
    /// The paths of the fields that `T` does not know.
    pub(super) unknown: RefCell<Vec<String>>,
}

/// The path from the whole value to one inside it, each step on the stack of the call that took it: it costs nothing
/// until it has to be written.
pub(super) enum JsonPath<'a> {
    Whole,
    Field(&'a JsonPath<'a>, &'a str),
    Item(&'a JsonPath<'a>, usize),
}

impl Display for JsonPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole => Ok(()),
            Self::Field(JsonPath::Whole, name) => f.write_str(&excerpt(name)),
            Self::Field(parent, name) => write!(f, "{parent}.{}", excerpt(name)),
            Self::Item(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

/// A value, its path, and how to read it.
#[derive(Clone, Copy)]
pub(super) struct Node<'de, 'p> {
    pub(super) value: &'de Value,
    pub(super) path: &'p JsonPath<'p>,
    pub(super) context: &'p Context,
}

impl<'de> Node<'de, '_> {
    fn mismatch(self, expected: &dyn Expected) -> JsonError {
        let unexpected = match self.value {
            Value::Null => Unexpected::Unit,
            Value::Bool(truth) => Unexpected::Bool(*truth),
            Value::Number(number) => match (number.as_u64(), number.as_i64(), number.as_f64()) {
                (Some(number), _, _) => Unexpected::Unsigned(number),
                (_, Some(number), _) => Unexpected::Signed(number),
                (_, _, number) => Unexpected::Float(number.unwrap_or_default()),
            },
            Value::String(text) => return JsonError::invalid_type(Unexpected::Str(&excerpt(text)), expected),
            Value::Array(_) => Unexpected::Seq,
            Value::Object(_) => Unexpected::Map,
        };
        JsonError::invalid_type(unexpected, expected)
    }

    /// The value's number, or the number that its text spells where numbers are in texts.
    fn as_number(self) -> Option<Number> {
        match self.value {
            Value::Number(number) => Some(number.clone()),
            // No parameter of ours is a number that is not whole.
            Value::String(text) if self.context.is_loose => text.parse::<i64>().map(Number::from).ok(),
            Value::Bool(truth) if self.context.is_loose => Some(Number::from(u8::from(*truth))),
            _ => None,
        }
    }

    fn as_truth(self) -> Option<bool> {
        match self.value {
            Value::Bool(truth) => Some(*truth),
            Value::String(text) if self.context.is_loose => match text.as_str() {
                "1" => Some(true),
                "0" => Some(false),
                text => text.parse().ok(),
            },
            Value::Number(number) if self.context.is_loose => match number.as_u64() {
                Some(1) => Some(true),
                Some(0) => Some(false),
                _ => None,
            },
            _ => None,
        }
    }

    fn number<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
        let Some(number) = self.as_number() else { return Err(self.mismatch(&visitor)) };
        match (number.as_i64(), number.as_u64()) {
            (Some(number), _) => visitor.visit_i64(number),
            (_, Some(number)) => visitor.visit_u64(number),
            _ => visitor.visit_f64(number.as_f64().unwrap_or_default()),
        }
    }

    fn text<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
        match self.value {
            Value::String(text) => visitor.visit_borrowed_str(text),
            _ => Err(self.mismatch(&visitor)),
        }
    }

    fn object<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
        match self.value {
            Value::Object(fields) => {
                ObjectReader { fields, path: self.path, context: self.context }.deserialize_any(visitor)
            }
            _ => Err(self.mismatch(&visitor)),
        }
    }

    fn list<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
        match self.value {
            Value::Array(items) => {
                visitor.visit_seq(List { values: items, next: 0, path: self.path, context: self.context })
            }
            _ => Err(self.mismatch(&visitor)),
        }
    }
}

/// Hands methods of a `Deserializer` that mean the same on to one of our own.
macro_rules! as_one {
    ($own:ident: $($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
            self.$own(visitor)
        })*
    };
}

impl<'de> Deserializer<'de> for Node<'de, '_> {
    type Error = JsonError;

    as_one!(number: deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_u8 deserialize_u16
        deserialize_u32 deserialize_u64 deserialize_f32 deserialize_f64);
    as_one!(text: deserialize_char deserialize_str deserialize_string deserialize_bytes deserialize_byte_buf
        deserialize_identifier);
    as_one!(list: deserialize_seq);
    as_one!(object: deserialize_map);

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
        match self.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(truth) => visitor.visit_bool(*truth),
            Value::Number(_) => self.number(visitor),
            Value::String(_) => self.text(visitor),
            Value::Array(_) => self.list(visitor),
            Value::Object(_) => self.object(visitor),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
        match self.as_truth() {
            Some(truth) => visitor.visit_bool(truth),
            None => Err(self.mismatch(&visitor)),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
        if self.value.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
        if self.value.is_null() { visitor.visit_unit() } else { Err(self.mismatch(&visitor)) }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, JsonError> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, JsonError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, JsonError> {
        self.list(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, JsonError> {
        self.list(visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, JsonError> {
        self.object(visitor)
    }

    /// Every enum of ours is one of a list of words.
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, JsonError> {
        match self.value {
            Value::String(text) => visitor.visit_enum(text.as_str().into_deserializer()),
            _ => Err(self.mismatch(&visitor)),
        }
    }

    /// A field that `T` does not know.
    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
        let mut unknown = self.context.unknown.borrow_mut();
        if unknown.len() < MAX_UNKNOWN_NAMED {
            unknown.push(self.path.to_string());
        }
        drop(unknown);
        visitor.visit_unit()
    }
}

/// An object, its path, and how to read it.
#[derive(Clone, Copy)]
pub(super) struct ObjectReader<'de, 'p> {
    pub(super) fields: &'de Map<String, Value>,
    pub(super) path: &'p JsonPath<'p>,
    pub(super) context: &'p Context,
}

impl<'de> Deserializer<'de> for ObjectReader<'de, '_> {
    type Error = JsonError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
        visitor.visit_map(Fields { rest: self.fields.iter(), value: None, path: self.path, context: self.context })
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

struct Fields<'de, 'p> {
    rest: serde_json::map::Iter<'de>,
    value: Option<(&'de str, &'de Value)>,
    path: &'p JsonPath<'p>,
    context: &'p Context,
}

impl<'de> MapAccess<'de> for Fields<'de, '_> {
    type Error = JsonError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, JsonError> {
        self.value = self.rest.next().map(|(name, value)| (name.as_str(), value));
        self.value.map(|(name, _)| seed.deserialize(BorrowedStrDeserializer::new(name))).transpose()
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, JsonError> {
        let (name, value) = self.value.take().unwrap_or(("", &Value::Null));
        let path = JsonPath::Field(self.path, name);
        seed.deserialize(Node { value, path: &path, context: self.context }).map_err(|error| error.at(&path))
    }
}

struct List<'de, 'p> {
    values: &'de [Value],
    next: usize,
    path: &'p JsonPath<'p>,
    context: &'p Context,
}

impl<'de> SeqAccess<'de> for List<'de, '_> {
    type Error = JsonError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, JsonError> {
        let Some(value) = self.values.get(self.next) else { return Ok(None) };
        let path = JsonPath::Item(self.path, self.next);
        self.next += 1;
        let read = seed.deserialize(Node { value, path: &path, context: self.context });
        read.map(Some).map_err(|error| error.at(&path))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.values.len() - self.next)
    }
}
