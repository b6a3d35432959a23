//! The rules of `ValidatingArrayLoader` for what composer.json says about a package and its people.
//!
//! Nothing here is an error: the client ignores such a field if it has the wrong type, and so does the registry.

use serde_json::Value;

use crate::manifest::kind_of;
use crate::manifest_rules::Checker;

impl Checker {
    /// Every field that only describes the package: what is wrong is left out with a warning.
    pub(crate) fn check_descriptions(&mut self) {
        for field in ["authors", "funding", "keywords", "license"] {
            self.read_as_list(field);
        }
        self.check_people();
        if self.json.get("description").is_some_and(|value| !value.is_string()) {
            self.drop_field("description", "must be a string");
        }
        match self.json.get("homepage") {
            Some(Value::String(url)) if url.is_empty() || is_url(url, &["http", "https"]) => {}
            Some(_) => self.drop_field("homepage", "must be an http or https URL"),
            None => {}
        }
        self.check_keywords();
        match self.json.get("license") {
            None | Some(Value::String(_)) => {}
            Some(Value::Array(list)) if list.iter().all(Value::is_string) => {}
            Some(_) => self.drop_field("license", "must be a string or a list of strings"),
        }
        match self.json.get("time") {
            None | Some(Value::String(_)) => {}
            // The registry states the time itself, so what the text says does not matter.
            Some(_) => self.drop_field("time", "must be a string"),
        }
    }

    /// PHP does not tell a list from an object, and its client reads only the values; other readers expect a list.
    fn read_as_list(&mut self, field: &str) {
        if let Some(value) = self.json.get_mut(field)
            && let Value::Object(entries) = value
        {
            *value = std::mem::take(entries).into_iter().map(|(_, entry)| entry).collect();
        }
    }

    fn check_keywords(&mut self) {
        let is_keyword = |text: &str| {
            !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || matches!(c, ' ' | '.' | '_' | '-'))
        };
        match self.json.get_mut("keywords") {
            None => {}
            Some(Value::Array(keywords)) => {
                let before = keywords.len();
                keywords.retain(|keyword| match keyword {
                    Value::String(text) => is_keyword(text),
                    other => other.is_number(),
                });
                if keywords.len() < before {
                    let dropped = before - keywords.len();
                    self.warn(
                        "keywords",
                        format!(
                            "{dropped} are no words of letters, digits, spaces, \".\", \"_\" or \"-\" and are left out"
                        ),
                    );
                }
            }
            Some(_) => self.drop_field("keywords", "must be a list of strings"),
        }
    }

    fn check_people(&mut self) {
        for field in ["authors", "funding"] {
            match self.json.get_mut(field) {
                None => {}
                Some(Value::Array(entries)) => {
                    let mut dropped = Vec::new();
                    entries.retain_mut(|entry| clean_person(field, entry, &mut dropped));
                    self.warnings.append(&mut dropped);
                    if self.json.get(field).and_then(Value::as_array).is_some_and(Vec::is_empty) {
                        self.json.shift_remove(field);
                    }
                }
                Some(_) => self.drop_field(field, "must be a list of objects"),
            }
        }
        match self.json.get_mut("support") {
            None => {}
            Some(Value::Object(support)) => {
                let mut dropped = Vec::new();
                support.retain(|key, value| keep_detail("support", key, value, &mut dropped));
                self.warnings.append(&mut dropped);
            }
            Some(Value::Array(list)) if list.is_empty() => {}
            Some(_) => self.drop_field("support", "must be an object"),
        }
    }
}

/// Whether an entry of `authors` or `funding` stays; details that are wrong are removed from it.
fn clean_person(field: &str, entry: &mut Value, dropped: &mut Vec<String>) -> bool {
    let Value::Object(details) = entry else {
        dropped.push(format!("{field}: every entry must be an object; {} is left out", kind_of(entry)));
        return false;
    };
    details.retain(|key, value| keep_detail(field, key, value, dropped));
    !details.is_empty()
}

/// Whether one detail of an author, of `funding` or of `support` stays.
fn keep_detail(field: &str, key: &str, value: &Value, dropped: &mut Vec<String>) -> bool {
    let expected = match (field, key, value) {
        (_, _, Value::Null) => return false,
        (_, "email", Value::String(text)) if !is_email(text) => "an email address",
        ("support", "irc", Value::String(text)) if !is_url(text, &["irc", "ircs"]) => "an irc or ircs URL",
        ("authors", "homepage", Value::String(text))
        | ("funding", "url", Value::String(text))
        | ("support", "issues" | "forum" | "wiki" | "source" | "docs" | "chat" | "security", Value::String(text))
            if !text.is_empty() && !is_url(text, &["http", "https"]) =>
        {
            "an http or https URL"
        }
        (_, _, Value::String(_)) => return true,
        _ => "a string",
    };
    dropped.push(format!("{field}.{key}: must be {expected}; the field is left out"));
    false
}

/// A URL with one of the schemes and a host, as far as `parse_url` would look.
fn is_url(text: &str, schemes: &[&str]) -> bool {
    let Some((scheme, rest)) = text.split_once("://") else {
        return false;
    };
    schemes.contains(&scheme) && !rest.is_empty() && !rest.starts_with(['/', '?', '#', ':'])
}

/// An address that PHP's `FILTER_VALIDATE_EMAIL` would not refuse for an obvious reason.
fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else {
        return false;
    };
    let is_label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let is_local =
        |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'@' | b',' | b';' | b':' | b'<' | b'>' | b'"');
    (1..=64).contains(&local.len())
        && local.bytes().all(is_local)
        && local.split('.').all(|atom| !atom.is_empty())
        && domain.contains('.')
        && domain.split('.').all(is_label)
}
