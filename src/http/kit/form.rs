//! Bodies that are forms (`application/x-www-form-urlencoded`), as clients of the storefront document send them.
//!
//! Nothing that a browser sends is one: what it sends has to be JSON ([`super::body::check_json_type`]), because a page of
//! another site can have it send a form without asking.

use http::HeaderMap;
use http::header::CONTENT_TYPE;
use serde_json::{Map, Value};

use crate::registry::kernel::failure::Failure;

/// Most fields of a form; no body of ours has more than some dozen.
const MAX_FIELDS: usize = 100;

/// Whether a body is a form. `curl -d` says so of JSON too, which begins as no field of ours does.
pub fn is_form(headers: &HeaderMap, bytes: &[u8]) -> bool {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    let begins_as_json = matches!(bytes.trim_ascii_start().first(), Some(b'{' | b'[' | b'"'));
    essence.eq_ignore_ascii_case("application/x-www-form-urlencoded") && !begins_as_json
}

/// A form as an object of texts.
///
/// # Errors
/// `Invalid` for a field that is given more than once or holds anything but UTF-8, and for too many of them.
pub fn read_form(bytes: &[u8]) -> Result<Value, Failure> {
    let mut fields = Map::new();
    for (name, value) in url::form_urlencoded::parse(bytes) {
        if fields.len() == MAX_FIELDS {
            return Err(Failure::invalid(format!("The form has more than {MAX_FIELDS} fields.")));
        }
        if name.contains(char::REPLACEMENT_CHARACTER) || value.contains(char::REPLACEMENT_CHARACTER) {
            return Err(Failure::invalid_field(&name, "is not UTF-8"));
        }
        if fields.contains_key(&*name) {
            return Err(Failure::invalid_field(&name, "is given more than once. Send lists as JSON"));
        }
        fields.insert(name.into_owned(), Value::from(value));
    }
    Ok(Value::Object(fields))
}
