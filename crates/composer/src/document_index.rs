//! An index of a minified document, from which the document of a subset of its versions is made: no value is parsed, and
//! none is copied twice.
//!
//! Whoever bought some versions of a package gets its document without the others, minified again. To parse a document of
//! 500 versions as JSON and to write a subset of it takes milliseconds; to find where its keys and values stand, and to
//! put them together again, takes a tenth. [`DocumentIndex`] keeps where they stand. It reads what [`document_json`]
//! writes and nothing else.
//!
//! [`document_json`]: crate::document_json

use std::borrow::Cow;
use std::ops::Range;

use crate::minifier::UNSET_JSON;
use crate::name::PackageName;
use crate::release::{MINIFIED_END, minified_start};

/// Where the fields of each version stand in the text of one document.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DocumentIndex {
    /// JSON texts of keys, quotes included.
    keys: Vec<String>,
    /// Each version in full, in the document's order.
    entries: Vec<Vec<Field>>,
}

/// A key and its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Field {
    /// Position in [`DocumentIndex::keys`].
    key: u32,
    /// The value's place in the text.
    start: u32,
    end: u32,
}

impl Field {
    fn value<'t>(&self, text: &'t str) -> &'t str {
        text.get(self.start as usize..self.end as usize).unwrap_or_default()
    }
}

impl DocumentIndex {
    /// The index of a minified document as [`document_json`](crate::document_json) writes it; `None` for another text.
    pub fn parse(text: &str, name: &PackageName) -> Option<Self> {
        let start = minified_start(name);
        let mut index = Self::default();
        let mut text = Scanner { bytes: text.strip_prefix(&start)?.as_bytes(), at: 0, offset: start.len() };
        if !text.takes(b'[') {
            return None;
        }
        let mut known: Vec<Field> = Vec::new();
        while !text.takes(b']') {
            index.apply(&mut known, &mut text)?;
            index.entries.push(known.clone());
            text.takes(b',');
        }
        Some(index)
    }

    /// Makes of the fields `known` of one version those of the next, whose difference is read from `text`.
    fn apply(&mut self, known: &mut Vec<Field>, text: &mut Scanner<'_>) -> Option<()> {
        if !text.takes(b'{') {
            return None;
        }
        while !text.takes(b'}') {
            let key = text.string()?;
            let key = self.key(text.slice(&key));
            if !text.takes(b':') {
                return None;
            }
            let value = text.value()?;
            let is_unset = text.slice(&value) == UNSET_JSON;
            let [start, end] = [value.start, value.end].map(|at| u32::try_from(at + text.offset).ok());
            let field = Field { key, start: start?, end: end? };
            match known.iter().position(|field| field.key == key) {
                Some(at) if is_unset => drop(known.remove(at)),
                Some(at) => known[at] = field,
                None if is_unset => {}
                None => known.push(field),
            }
            text.takes(b',');
        }
        Some(())
    }

    fn key(&mut self, key: &str) -> u32 {
        let at = self.keys.iter().position(|known| known == key).unwrap_or_else(|| {
            self.keys.push(key.to_owned());
            self.keys.len() - 1
        });
        u32::try_from(at).unwrap_or(u32::MAX)
    }

    /// A key's position among the keys.
    fn position(&self, key: &str) -> Option<u32> {
        u32::try_from(self.keys.iter().position(|known| known.trim_matches('"') == key)?).ok()
    }

    /// How many versions there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no version.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The value of a text field of the version at `position` in the document, whose text is `text`.
    pub fn text_field(&self, text: &str, position: usize, key: &str) -> Option<String> {
        let key = self.position(key)?;
        let field = self.entries.get(position)?.iter().find(|field| field.key == key)?;
        serde_json::from_str(field.value(text)).ok()
    }

    /// Whether the version at `position` in the document has the field `key`.
    pub fn has_field(&self, position: usize, key: &str) -> bool {
        let key = self.position(key);
        let entry = self.entries.get(position);
        entry.is_some_and(|fields| fields.iter().any(|field| Some(field.key) == key))
    }

    /// The document with nothing but the versions at these positions, minified. `shown` says of each key and value (JSON
    /// text) what is shown of it; `None` leaves the field out. `text` is the whole document's.
    pub fn subset<'t>(
        &self,
        text: &'t str,
        name: &PackageName,
        positions: &[usize],
        shown: impl Fn(&str, &'t str) -> Option<Cow<'t, str>>,
    ) -> String {
        let shown = |field: &Field| shown(self.name(field).trim_matches('"'), field.value(text));
        let mut subset = minified_start(name);
        subset.push('[');
        let mut known: &[Field] = &[];
        for (nth, entry) in positions.iter().filter_map(|&position| self.entries.get(position)).enumerate() {
            if nth > 0 {
                subset.push(',');
            }
            self.write_difference(text, known, entry, &shown, &mut subset);
            known = entry;
        }
        subset.push(']');
        subset.push_str(MINIFIED_END);
        subset
    }

    /// A field's key, quotes included.
    fn name(&self, field: &Field) -> &str {
        self.keys.get(field.key as usize).map_or("", String::as_str)
    }

    fn write_difference<'t>(
        &self,
        text: &'t str,
        known: &[Field],
        entry: &[Field],
        shown: &impl Fn(&Field) -> Option<Cow<'t, str>>,
        subset: &mut String,
    ) {
        let find = |fields: &[Field], key: u32| fields.iter().find(|field| field.key == key).copied();
        let mut separator = '{';
        let mut write = |field: &Field, value: &str| {
            subset.push(separator);
            subset.push_str(self.name(field));
            subset.push(':');
            subset.push_str(value);
            separator = ',';
        };
        for field in entry {
            let old = find(known, field.key);
            if old.is_some_and(|old| old.value(text) == field.value(text)) {
                continue;
            }
            match (old.and_then(|old| shown(&old)), shown(field)) {
                (old, Some(value)) if old.as_ref() != Some(&value) => write(field, &value),
                (Some(_), None) => write(field, UNSET_JSON),
                (_, _) => {}
            }
        }
        for field in known.iter().filter(|field| find(entry, field.key).is_none() && shown(field).is_some()) {
            write(field, UNSET_JSON);
        }
        if separator == '{' {
            subset.push('{');
        }
        subset.push('}');
    }
}

/// Goes through JSON text without spaces.
struct Scanner<'t> {
    bytes: &'t [u8],
    at: usize,
    /// Where `bytes` begin in the whole text.
    offset: usize,
}

impl<'t> Scanner<'t> {
    fn slice(&self, range: &Range<usize>) -> &'t str {
        self.bytes.get(range.clone()).and_then(|bytes| str::from_utf8(bytes).ok()).unwrap_or_default()
    }

    /// Goes past `byte` if it is the next one.
    fn takes(&mut self, byte: u8) -> bool {
        let is_next = self.bytes.get(self.at) == Some(&byte);
        self.at += usize::from(is_next);
        is_next
    }

    /// Goes past a string.
    fn string(&mut self) -> Option<Range<usize>> {
        let start = self.at;
        if !self.takes(b'"') {
            return None;
        }
        loop {
            match self.bytes.get(self.at)? {
                b'"' => break,
                b'\\' => self.at += 2,
                _ => self.at += 1,
            }
        }
        self.at += 1;
        Some(start..self.at)
    }

    /// Goes past a value of any kind.
    fn value(&mut self) -> Option<Range<usize>> {
        let start = self.at;
        let mut depth = 0_usize;
        loop {
            match self.bytes.get(self.at)? {
                b'"' => {
                    self.string()?;
                }
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                    continue;
                }
                b'}' | b']' => {
                    depth = depth.checked_sub(1)?;
                    self.at += 1;
                }
                _ => self.at += 1,
            }
            if depth == 0 && matches!(self.bytes.get(self.at)?, b',' | b'}' | b']') {
                return (self.at > start).then_some(start..self.at);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{DocumentForm, Map, document_json};

    fn name() -> PackageName {
        PackageName::parse("acme/blog").expect("name")
    }

    fn document(entries: &Value) -> String {
        let entries: Vec<Map> = serde_json::from_value(entries.clone()).expect("objects");
        document_json(&name(), entries, DocumentForm::Minified)
    }

    /// Versions with everything that can change from one to the next: removed and added keys, values that come back,
    /// nested values, and texts with quotes, brackets and backslashes.
    fn versions() -> Value {
        json!([
            {"version": "3", "require": {"php": ">=8", "a/b": "^1"}, "type": "library", "description": "a \"b\", c] \\"},
            {"version": "2", "require": {"a/b": "^1", "php": ">=8"}, "extra": [1, [], {}, {"x": [null, true, -1.5]}]},
            {"version": "1", "require": {"php": ">=8", "a/b": "^1"}, "type": "library", "keywords": ["ü", "\n\t"]},
            {"version": "0", "require": {"php": ">=8", "a/b": "^1"}, "type": "library", "extra": {}, "bin": []},
        ])
    }

    #[test]
    fn what_is_shown_of_a_field_is_what_versions_are_compared_by() {
        let versions = json!([
            {"version": "3", "support": {"source": "https://x/3", "email": "a"}},
            {"version": "2", "support": {"source": "https://x/2", "email": "a"}},
            {"version": "1", "support": {"source": "https://x/1"}},
        ]);
        let text = document(&versions);
        let index = DocumentIndex::parse(&text, &name()).expect("an index");
        let subset = index.subset(&text, &name(), &[0, 1, 2], |key, value| match key {
            "support" => value.contains("email").then_some(Cow::Borrowed("{\"email\":\"a\"}")),
            _ => Some(value.into()),
        });
        let expected = json!([
            {"version": "3", "support": {"email": "a"}}, {"version": "2", "support": {"email": "a"}}, {"version": "1"},
        ]);
        assert_eq!(subset, document(&expected));
    }

    #[test]
    fn every_subset_is_what_would_be_written_of_those_versions() {
        let all = versions();
        let text = document(&all);
        let index = DocumentIndex::parse(&text, &name()).expect("an index");
        assert_eq!(index.len(), 4);
        for chosen in 0_u32..16 {
            let positions: Vec<usize> = (0..4).filter(|position| chosen >> position & 1 == 1).collect();
            let kept: Vec<&Value> = positions.iter().map(|&position| &all[position]).collect();
            assert_eq!(
                index.subset(&text, &name(), &positions, |_, value| Some(value.into())),
                document(&json!(kept)),
                "{positions:?}"
            );
        }
    }

    #[test]
    fn a_field_that_is_left_out_is_nowhere() {
        let all = versions();
        let text = document(&all);
        let index = DocumentIndex::parse(&text, &name()).expect("an index");
        let mut without: Vec<Map> = serde_json::from_value(all).expect("objects");
        for version in &mut without {
            version.shift_remove("type");
        }
        let subset = index.subset(&text, &name(), &[0, 1, 2, 3], |key, value| (key != "type").then_some(value.into()));
        assert_eq!(subset, document(&json!(without)));
        assert_eq!(index.subset(&text, &name(), &[0, 1, 2, 3], |_, value| Some(value.into())), text);
    }

    #[test]
    fn a_field_is_found_in_every_version_that_has_it() {
        let text = document(&versions());
        let index = DocumentIndex::parse(&text, &name()).expect("an index");
        let texts = |key| (0..5).map(|position| index.text_field(&text, position, key)).collect::<Vec<_>>();
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(texts("version"), [some("3"), some("2"), some("1"), some("0"), None]);
        assert_eq!(texts("description"), [some("a \"b\", c] \\"), None, None, None, None]);
        assert_eq!(texts("require"), vec![None; 5], "it is no text");
    }

    #[test]
    fn a_document_without_versions_has_an_empty_index() {
        let text = document(&json!([]));
        let index = DocumentIndex::parse(&text, &name()).expect("an index");
        assert!(index.is_empty());
        assert_eq!(index.subset(&text, &name(), &[0], |_, value| Some(value.into())), text);
    }

    #[test]
    fn what_is_cut_off_or_another_packages_has_no_index() {
        let text = document(&versions());
        let end = text.len() - 2;
        for length in 0..end {
            let Some(cut) = text.get(..length) else { continue };
            assert_eq!(DocumentIndex::parse(cut, &name()), None, "{cut}");
        }
        let other = PackageName::parse("acme/blog2").expect("name");
        assert_eq!(DocumentIndex::parse(&text, &other), None);
    }
}
