//! Reads what is ours out of JSON that others wrote: rows and JSON columns, bodies and queries of requests.
//!
//! It is one `Deserializer`, over borrowed values. Each derived reader is so compiled once and has nothing to drop on
//! its way out; through `serde_json`'s own, and wrappers that keep the place of what is wrong and the fields that nobody
//! asked for, the same readers cost three times as much wasm.

use std::cell::RefCell;
use std::fmt::{self, Display};

use serde::de::value::BorrowedStrDeserializer;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, Error, Expected, IntoDeserializer, MapAccess, SeqAccess,
    Unexpected, Visitor,
};
use serde_json::{Map, Number, Value};

/// Why a value cannot be read.
#[derive(Debug)]
pub struct Wrong(Box<Misfit>);

#[derive(Debug)]
struct Misfit {
    /// `a.b[3]`; empty for the value as a whole.
    place: String,
    reason: String,
    /// Whether nobody has said yet where the object is whose field `place` names.
    is_relative: bool,
}

impl Wrong {
    /// Where in the value: `a.b[3]`; empty for the whole.
    pub fn place(&self) -> &str {
        &self.0.place
    }

    /// What is wrong there.
    pub fn reason(&self) -> &str {
        &self.0.reason
    }

    #[cold]
    fn new(reason: String) -> Self {
        Self(Box::new(Misfit { place: String::new(), reason, is_relative: false }))
    }

    /// The same, with the place of the innermost value that could not be read.
    #[cold]
    fn at(mut self, place: &Place<'_>) -> Self {
        let Misfit { place: known, is_relative, .. } = &mut *self.0;
        if *is_relative {
            *known = format!("{place}.{known}");
            *is_relative = false;
        } else if known.is_empty() {
            *known = place.to_string();
        }
        self
    }
}

impl Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Misfit { place, reason, .. } = &*self.0;
        if place.is_empty() { f.write_str(reason) } else { write!(f, "`{place}`: {reason}") }
    }
}

impl std::error::Error for Wrong {}

impl Error for Wrong {
    #[cold]
    fn custom<T: Display>(reason: T) -> Self {
        Self::new(reason.to_string())
    }

    #[cold]
    fn missing_field(field: &'static str) -> Self {
        Self(Box::new(Misfit { place: field.to_owned(), reason: "is missing".to_owned(), is_relative: true }))
    }

    #[cold]
    fn invalid_type(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        match unexpected {
            Unexpected::Unit => Self::new(format!("invalid type: null, expected {expected}")),
            other => Self::new(format!("invalid type: {other}, expected {expected}")),
        }
    }
}

fn read<T: DeserializeOwned>(value: &Value) -> Result<T, Wrong> {
    T::deserialize(Node { value, place: &Place::Whole, asked: &Asked::default() })
}

/// Reads `T` from JSON text; fields that it does not know are passed over.
pub fn read_text<T: DeserializeOwned>(text: &str) -> Result<T, Wrong> {
    read_bytes(text.as_bytes())
}

/// The same of text that may not be UTF-8.
pub fn read_bytes<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Wrong> {
    read(&parse(bytes)?)
}

/// Reads `T` from an object; fields that it does not know are passed over.
pub fn read_object<T: DeserializeOwned>(columns: &Map<String, Value>) -> Result<T, Wrong> {
    T::deserialize(Object { columns, place: &Place::Whole, asked: &Asked::default() })
}

/// Reads `T`, and names the fields that it does not know, each with its place.
pub fn read_strictly<T: DeserializeOwned>(value: &Value) -> (Result<T, Wrong>, Vec<String>) {
    strictly(value, Asked::default())
}

/// The same of an object whose values are all texts: a number or a truth is read from its text.
pub fn read_texts_strictly<T: DeserializeOwned>(value: &Value) -> (Result<T, Wrong>, Vec<String>) {
    strictly(value, Asked { in_texts: true, ..Asked::default() })
}

fn strictly<T: DeserializeOwned>(value: &Value, asked: Asked) -> (Result<T, Wrong>, Vec<String>) {
    let read = T::deserialize(Node { value, place: &Place::Whole, asked: &asked });
    (read, asked.unknown.into_inner())
}

/// Any JSON.
#[inline(never)]
pub fn parse(bytes: &[u8]) -> Result<Value, Wrong> {
    serde_json::from_slice(bytes).map_err(Wrong::custom)
}

/// How a value is to be read, and what was found on the way.
#[derive(Default)]
struct Asked {
    in_texts: bool,
    unknown: RefCell<Vec<String>>,
}

/// The way to a value.
enum Place<'a> {
    Whole,
    Field(&'a Place<'a>, &'a str),
    Item(&'a Place<'a>, usize),
}

impl Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole => Ok(()),
            Self::Field(Place::Whole, name) => f.write_str(name),
            Self::Field(parent, name) => write!(f, "{parent}.{name}"),
            Self::Item(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

/// A value, its place, and how to read it.
#[derive(Clone, Copy)]
struct Node<'de, 'p> {
    value: &'de Value,
    place: &'p Place<'p>,
    asked: &'p Asked,
}

impl<'de> Node<'de, '_> {
    #[cold]
    #[inline(never)]
    fn wrong(self, expected: &dyn Expected) -> Wrong {
        let unexpected = match self.value {
            Value::Null => Unexpected::Unit,
            Value::Bool(truth) => Unexpected::Bool(*truth),
            Value::Number(number) => match (number.as_u64(), number.as_i64(), number.as_f64()) {
                (Some(number), _, _) => Unexpected::Unsigned(number),
                (_, Some(number), _) => Unexpected::Signed(number),
                (_, _, number) => Unexpected::Float(number.unwrap_or_default()),
            },
            Value::String(text) => Unexpected::Str(text),
            Value::Array(_) => Unexpected::Seq,
            Value::Object(_) => Unexpected::Map,
        };
        Wrong::invalid_type(unexpected, expected)
    }

    /// The value's number, or the number that its text spells where numbers are in texts.
    #[inline(never)]
    fn as_number(self) -> Option<Number> {
        match self.value {
            Value::Number(number) => Some(number.clone()),
            // No number of ours is anything but whole, and the tables that read others are 10 KiB of wasm.
            Value::String(text) if self.asked.in_texts => text.parse::<i64>().map(Number::from).ok(),
            _ => None,
        }
    }

    #[inline(never)]
    fn as_truth(self) -> Option<bool> {
        match self.value {
            Value::Bool(truth) => Some(*truth),
            Value::String(text) if self.asked.in_texts => text.parse().ok(),
            _ => None,
        }
    }

    fn number<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        let Some(number) = self.as_number() else { return Err(self.wrong(&visitor)) };
        match (number.as_i64(), number.as_u64()) {
            (Some(number), _) => visitor.visit_i64(number),
            (_, Some(number)) => visitor.visit_u64(number),
            _ => visitor.visit_f64(number.as_f64().unwrap_or_default()),
        }
    }

    fn text<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match self.value {
            Value::String(text) => visitor.visit_borrowed_str(text),
            _ => Err(self.wrong(&visitor)),
        }
    }

    fn object<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match self.value {
            Value::Object(columns) => Object { columns, place: self.place, asked: self.asked }.deserialize_any(visitor),
            _ => Err(self.wrong(&visitor)),
        }
    }

    fn list<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match self.value {
            Value::Array(items) => {
                visitor.visit_seq(List { values: items, next: 0, place: self.place, asked: self.asked })
            }
            _ => Err(self.wrong(&visitor)),
        }
    }
}

/// Hands methods of a `Deserializer` that mean the same on to one of our own.
macro_rules! as_one {
    ($own:ident: $($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
            self.$own(visitor)
        })*
    };
}

impl<'de> Deserializer<'de> for Node<'de, '_> {
    type Error = Wrong;

    as_one!(number: deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_u8 deserialize_u16
        deserialize_u32 deserialize_u64 deserialize_f32 deserialize_f64);
    as_one!(text: deserialize_char deserialize_str deserialize_string deserialize_bytes deserialize_byte_buf
        deserialize_identifier);
    as_one!(list: deserialize_seq);
    as_one!(object: deserialize_map);

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match self.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(truth) => visitor.visit_bool(*truth),
            Value::Number(_) => self.number(visitor),
            Value::String(_) => self.text(visitor),
            Value::Array(_) => self.list(visitor),
            Value::Object(_) => self.object(visitor),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match self.as_truth() {
            Some(truth) => visitor.visit_bool(truth),
            None => Err(self.wrong(&visitor)),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        if self.value.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        if self.value.is_null() { visitor.visit_unit() } else { Err(self.wrong(&visitor)) }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Wrong> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Wrong> {
        self.list(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        self.list(visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        self.object(visitor)
    }

    /// Our enums are words.
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        match self.value {
            Value::String(text) => visitor.visit_enum(text.as_str().into_deserializer()),
            _ => Err(self.wrong(&visitor)),
        }
    }

    /// A field that nobody asked for.
    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        self.asked.unknown.borrow_mut().push(self.place.to_string());
        visitor.visit_unit()
    }
}

/// An object, its place, and how to read it.
#[derive(Clone, Copy)]
struct Object<'de, 'p> {
    columns: &'de Map<String, Value>,
    place: &'p Place<'p>,
    asked: &'p Asked,
}

impl<'de> Deserializer<'de> for Object<'de, '_> {
    type Error = Wrong;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_map(Fields { rest: self.columns.iter(), value: None, place: self.place, asked: self.asked })
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

struct Fields<'de, 'p> {
    rest: serde_json::map::Iter<'de>,
    value: Option<(&'de str, &'de Value)>,
    place: &'p Place<'p>,
    asked: &'p Asked,
}

impl<'de> MapAccess<'de> for Fields<'de, '_> {
    type Error = Wrong;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Wrong> {
        self.value = self.rest.next().map(|(name, value)| (name.as_str(), value));
        self.value.map(|(name, _)| seed.deserialize(BorrowedStrDeserializer::new(name))).transpose()
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Wrong> {
        let (name, value) = self.value.take().unwrap_or(("", &Value::Null));
        let place = Place::Field(self.place, name);
        seed.deserialize(Node { value, place: &place, asked: self.asked }).map_err(|wrong| wrong.at(&place))
    }
}

struct List<'de, 'p> {
    values: &'de [Value],
    next: usize,
    place: &'p Place<'p>,
    asked: &'p Asked,
}

impl<'de> SeqAccess<'de> for List<'de, '_> {
    type Error = Wrong;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Wrong> {
        let Some(value) = self.values.get(self.next) else { return Ok(None) };
        let place = Place::Item(self.place, self.next);
        self.next += 1;
        let read = seed.deserialize(Node { value, place: &place, asked: self.asked });
        read.map(Some).map_err(|wrong| wrong.at(&place))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.values.len() - self.next)
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Sample {
        name: String,
        inner: Option<Inner>,
        #[serde(default)]
        pairs: Vec<(String, i64)>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Inner {
        count: i64,
        form: Form,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Form {
        InPieces,
    }

    fn wrong(value: &Value) -> String {
        read::<Sample>(value).expect_err("refused").to_string()
    }

    #[test]
    fn a_value_is_read_into_its_type() {
        let value = json!({"name": "a", "inner": {"count": -1, "form": "in_pieces"}, "pairs": [["b", 2]]});
        let inner = Some(Inner { count: -1, form: Form::InPieces });
        assert_eq!(
            read::<Sample>(&value).expect("read"),
            Sample { name: "a".into(), inner, pairs: vec![("b".into(), 2)] }
        );
        assert_eq!(read::<Value>(&value).expect("read"), value);
        assert_eq!(read::<f64>(&json!(1.5)).expect("read").to_string(), "1.5");
        assert_eq!(read::<u64>(&json!(u64::MAX)).expect("read"), u64::MAX);
        assert_eq!(read::<Option<i64>>(&json!(null)).expect("read"), None);
    }

    #[test]
    fn what_is_wrong_is_told_with_the_innermost_place() {
        assert_eq!(wrong(&json!([])), "invalid type: sequence, expected struct Sample");
        assert_eq!(wrong(&json!({})), "`name`: is missing");
        assert_eq!(wrong(&json!({"name": null})), "`name`: invalid type: null, expected a string");
        assert_eq!(wrong(&json!({"name": "a", "inner": {"count": 1}})), "`inner.form`: is missing");
        assert_eq!(
            wrong(&json!({"name": "a", "inner": {"count": 1, "form": "whole"}})),
            "`inner.form`: unknown variant `whole`, expected `in_pieces`"
        );
        assert_eq!(
            wrong(&json!({"name": "a", "pairs": [["b", 1], ["c", "2"]]})),
            "`pairs[1][1]`: invalid type: string \"2\", expected i64"
        );
        assert_eq!(
            wrong(&json!({"name": "a", "pairs": [["b"]]})),
            "`pairs[0]`: invalid length 1, expected a tuple of size 2"
        );
    }

    #[test]
    fn fields_that_nobody_asked_for_are_named_where_that_matters() {
        let value = json!({"name": "a", "x": {"y": 1}, "inner": {"count": 1, "form": "in_pieces", "z": null}});
        let (read, unknown) = read_strictly::<Sample>(&value);
        read.expect("read");
        assert_eq!(unknown, ["x", "inner.z"]);
    }

    #[test]
    fn numbers_and_truths_are_read_from_texts_only_where_all_are_texts() {
        #[derive(Debug, PartialEq, Deserialize)]
        struct Query {
            limit: Option<i64>,
            all: Option<bool>,
        }
        let texts = json!({"limit": "20", "all": "true"});
        let (query, unknown) = read_texts_strictly::<Query>(&texts);
        assert_eq!((query.expect("read"), unknown), (Query { limit: Some(20), all: Some(true) }, Vec::new()));
        assert_eq!(
            read::<Query>(&texts).expect_err("refused").to_string(),
            "`limit`: invalid type: string \"20\", expected i64"
        );
    }
}
