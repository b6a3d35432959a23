//! A JSON object whose members stay the text that they are until somebody asks for them: documents of repositories hold
//! thousands of packages, which take ten times the memory once they are read.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::Map;
use crate::json::{InvalidJson, JsonBudget, parse_json, parse_json_within, refuse_byte_order_mark};

/// Most members of an object that are held as text: 300 000 × 40 bytes, twice that while the list grows, are 24 MB beside 32 MB
/// of text.
const MAX_MEMBERS: usize = 300_000;

/// One member of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawMember<'t> {
    /// Its key.
    pub name: Cow<'t, str>,
    /// The text of its value.
    pub text: &'t str,
}

impl RawMember<'_> {
    /// Its value.
    ///
    /// # Errors
    /// When it is nested too deeply, or has too many values.
    pub fn value(&self) -> Result<Value, InvalidJson> {
        parse_json(self.text.as_bytes())
    }
}

/// What JSON is, as far as its first level goes.
pub(crate) enum Raw<'t> {
    /// `null`.
    Null,
    /// An object; of several members with one name, the last counts.
    Object(RawObject<'t>),
    /// A list without anything in it, as which PHP writes an empty object.
    EmptyList,
    /// Anything else.
    Other,
}

/// The members of an object, in their order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct RawObject<'t>(pub(crate) Vec<RawMember<'t>>);

impl<'t> Raw<'t> {
    pub(crate) fn parse(bytes: &'t [u8]) -> Result<Self, InvalidJson> {
        refuse_byte_order_mark(bytes)?;
        let text: &RawValue = serde_json::from_slice(bytes)?;
        Self::of(text.get())
    }

    fn of(text: &'t str) -> Result<Self, InvalidJson> {
        Ok(match text.trim_start().as_bytes().first() {
            Some(b'{') => Self::Object(serde_json::from_str(text)?),
            Some(b'n') => Self::Null,
            Some(b'[') if serde_json::from_str::<IsEmpty>(text)?.0 => Self::EmptyList,
            _ => Self::Other,
        })
    }
}

impl<'t> RawObject<'t> {
    /// The value of a member.
    pub(crate) fn get(&self, name: &str) -> Result<Raw<'t>, InvalidJson> {
        let member = self.0.iter().rev().find(|member| member.name == name);
        member.map_or(Ok(Raw::Null), |member| Raw::of(member.text))
    }

    /// The members that are not among `names`, read in full.
    pub(crate) fn read_without(&self, names: &[&str]) -> Result<Map, InvalidJson> {
        let members = self.0.iter().filter(|member| !names.contains(&&*member.name));
        let mut budget = JsonBudget::default();
        members
            .map(|member| Ok((member.name.to_string(), parse_json_within(member.text.as_bytes(), &mut budget)?)))
            .collect()
    }
}

impl<'de> Deserialize<'de> for RawObject<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = RawObject<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some((Name(name), value)) = map.next_entry::<Name<'de>, &'de RawValue>()? {
                    if members.len() == MAX_MEMBERS {
                        let reason = format_args!("it has an object of more than {MAX_MEMBERS} members");
                        return Err(serde::de::Error::custom(reason));
                    }
                    members.push(RawMember { name, text: value.get() });
                }
                Ok(RawObject(members))
            }
        }

        deserializer.deserialize_map(Members)
    }
}

/// A key, which is copied only when it has escapes.
struct Name<'t>(Cow<'t, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl<'de> Visitor<'de> for Text {
            type Value = Name<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Name(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Name(Cow::Owned(text.to_owned())))
            }
        }

        deserializer.deserialize_str(Text)
    }
}

/// Whether a list has nothing in it.
struct IsEmpty(bool);

impl<'de> Deserialize<'de> for IsEmpty {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct First;

        impl<'de> Visitor<'de> for First {
            type Value = IsEmpty;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut is_empty = true;
                while seq.next_element::<serde::de::IgnoredAny>()?.is_some() {
                    is_empty = false;
                }
                Ok(IsEmpty(is_empty))
            }
        }

        deserializer.deserialize_seq(First)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(text: &str) -> RawObject<'_> {
        match Raw::parse(text.as_bytes()).expect("JSON") {
            Raw::Object(object) => object,
            _ => panic!("no object"),
        }
    }

    #[test]
    fn members_are_the_texts_that_they_are_in_their_order() {
        let object = object(r#" {"b": [1, {"x": "}"}] , "a\u0021": null} "#);
        let texts: Vec<(&str, &str)> = object.0.iter().map(|member| (&*member.name, member.text)).collect();
        assert_eq!(texts, [("b", r#"[1, {"x": "}"}]"#), ("a!", "null")]);
        assert_eq!(object.0[0].value(), Ok(serde_json::json!([1, {"x": "}"}])));
        assert_eq!(object.read_without(&["b"]).expect("read").len(), 1);
    }

    #[test]
    fn too_many_members_or_too_many_values_of_all_together_are_refused() {
        let many = format!("{{{}\"a\":1}}", "\"a\":1,".repeat(MAX_MEMBERS));
        assert!(Raw::parse(many.as_bytes()).is_err_and(|error| error.to_string().contains("more than 300000 members")));
        let list = format!("[{}1]", "1,".repeat(99_000));
        let text = format!(r#"{{"a": {list}, "b": {list}, "c": {list}}}"#);
        assert_eq!(object(&text).read_without(&[]), Err(InvalidJson::TooManyValues));
        assert_eq!(object(&text).read_without(&["b"]).expect("few enough").len(), 2);
    }

    #[test]
    fn of_two_members_with_one_name_the_last_counts() {
        let object = object(r#"{"a": [], "a": {"x": 1}}"#);
        assert!(matches!(object.get("a"), Ok(Raw::Object(inner)) if inner.0.len() == 1));
        assert!(matches!(object.get("b"), Ok(Raw::Null)));
        assert_eq!(object.read_without(&[]).expect("read")["a"], serde_json::json!({"x": 1}));
    }

    #[test]
    fn an_empty_list_is_told_from_others_and_what_is_cut_off_is_no_json() {
        assert!(matches!(Raw::parse(b" [ ] "), Ok(Raw::EmptyList)));
        for other in ["[1]", "5", "\"{\"", "true"] {
            assert!(matches!(Raw::parse(other.as_bytes()), Ok(Raw::Other)), "{other}");
        }
        for cut in ["", "{\"a\": {", "[1", "{} x", "\u{feff}{}"] {
            assert!(Raw::parse(cut.as_bytes()).is_err(), "{cut}");
        }
    }
}
