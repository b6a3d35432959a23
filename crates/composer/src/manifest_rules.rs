//! The rules of `ValidatingArrayLoader` for the fields of composer.json, except links (see `manifest_links.rs`).

use serde_json::Value;

use crate::Map;
use crate::excerpt::excerpt;
use crate::manifest::{Violation, kind_of, scalar_text, violation};
use crate::minifier::UNSET;
use crate::stability::Stability;
use crate::version::normalize;

/// A composer.json while it is checked: fields are dropped from it, errors and warnings gather.
pub(crate) struct Checker {
    pub json: Map,
    /// The name the package is published by, for rules about itself.
    pub name: String,
    pub violations: Vec<Violation>,
    pub warnings: Vec<String>,
}

/// All rules of `archive.exclude` together. Each is tried on every file of an archive; real lists have some hundred
/// bytes.
const MAX_EXCLUDE_BYTES: usize = 8 * 1024;

/// The kinds of autoloading Composer knows.
const AUTOLOAD_TYPES: [&str; 5] = ["psr-0", "psr-4", "classmap", "files", "exclude-from-classmap"];

impl Checker {
    pub(crate) fn new(json: Map, name: &str) -> Self {
        Self { json, name: name.to_owned(), violations: Vec::new(), warnings: Vec::new() }
    }

    /// `version` must be a scalar that normalizes.
    pub(crate) fn check_version(&mut self) {
        match self.json.get("version") {
            None | Some(Value::Null) => {}
            Some(value @ (Value::Array(_) | Value::Object(_))) => {
                self.error("version", format!("must be text, not {}", kind_of(value)));
            }
            Some(value) => {
                if let Err(error) = normalize(&scalar_text(value)) {
                    self.error("version", error);
                }
            }
        }
    }

    /// Every rule but those about `name` and `version`.
    pub(crate) fn check(&mut self) {
        // PHP's isset() treats null as absent everywhere.
        self.json.retain(|_, value| !value.is_null());
        self.drop_unset_marker();
        self.check_type();
        self.check_descriptions();
        self.check_platform_config();
        for field in ["extra", "scripts", "transport-options", "autoload-dev", "suggest", "php-ext", "autoload"] {
            self.require_collection(field);
        }
        for field in ["target-dir", "minimum-stability"] {
            self.require_text(field);
        }
        self.check_bin();
        self.check_include_path();
        self.check_suggest();
        self.check_minimum_stability();
        self.check_autoload();
        self.check_php_ext();
        self.check_archive();
        self.check_abandoned();
        self.check_links();
        self.check_locations();
        self.check_branch_alias();
    }

    pub(crate) fn error(&mut self, field: impl Into<String>, reason: impl std::fmt::Display) {
        self.violations.push(violation(field, reason));
    }

    pub(crate) fn warn(&mut self, field: &str, reason: impl std::fmt::Display) {
        self.warnings.push(format!("{}: {reason}", excerpt(field)));
    }

    /// Removes a field with a warning.
    pub(crate) fn drop_field(&mut self, field: &str, reason: impl std::fmt::Display) {
        self.json.shift_remove(field);
        self.warn(field, format!("{reason}; the field is left out"));
    }

    /// The minified format cannot carry a top-level value of this text: it would read "this key is gone".
    fn drop_unset_marker(&mut self) {
        let marked: Vec<String> =
            self.json.iter().filter(|(_, value)| *value == UNSET).map(|(key, _)| key.clone()).collect();
        for field in marked {
            self.drop_field(&field, format!("{UNSET:?} has a special meaning in metadata"));
        }
    }

    fn check_type(&mut self) {
        self.require_text("type");
        let is_word = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if self.json.get("type").and_then(Value::as_str).is_some_and(|text| !is_word(text)) {
            self.drop_field("type", "must be made of letters, digits and hyphens");
        }
    }

    /// Text, or an error; blank text is as good as none.
    fn require_text(&mut self, field: &str) {
        match self.json.get(field) {
            Some(Value::String(text)) if text.trim().is_empty() => {
                self.json.shift_remove(field);
            }
            None | Some(Value::String(_)) => {}
            Some(other) => self.error(field, format!("must be a string, not {}", kind_of(other))),
        }
    }

    /// A list or an object, or an error. PHP does not tell the two apart when they are empty.
    pub(crate) fn require_collection(&mut self, field: &str) {
        if let Some(other) = self.json.get(field)
            && !other.is_array()
            && !other.is_object()
        {
            self.error(field, format!("must be an object or a list, not {}", kind_of(other)));
        }
    }

    fn check_platform_config(&mut self) {
        let platform = self.json.get("config").and_then(|config| config.get("platform")).and_then(Value::as_object);
        let wrong: Vec<(String, String)> = platform
            .into_iter()
            .flatten()
            .filter_map(|(key, value)| match value {
                Value::Null | Value::Bool(false) => None,
                Value::String(version) => normalize(version).err().map(|error| (key.clone(), error.to_string())),
                other => Some((key.clone(), format!("must be a version or false, not {}", kind_of(other)))),
            })
            .collect();
        for (key, reason) in wrong {
            self.error(format!("config.platform.{key}"), reason);
        }
    }

    /// `bin` is text or a list of texts, none of which climbs out of the package.
    fn check_bin(&mut self) {
        let Some(bin) = self.json.get("bin").cloned() else {
            return;
        };
        let paths = match bin {
            Value::Array(paths) => paths,
            Value::Object(paths) => paths.into_iter().map(|(_, path)| path).collect(),
            one => vec![one],
        };
        for path in paths {
            match path {
                Value::String(path) if path.split(['/', '\\']).any(|part| part == "..") => {
                    self.error(
                        "bin",
                        format!("{:?} must not contain \"..\": it lies outside of the package", excerpt(&path)),
                    );
                }
                Value::String(_) | Value::Number(_) => {}
                other => self.error("bin", format!("must be a string or a list of strings, not {}", kind_of(&other))),
            }
        }
    }

    fn check_include_path(&mut self) {
        match self.json.get("include-path") {
            None => {}
            Some(Value::Array(paths)) if paths.iter().all(|path| path.is_string() || path.is_number()) => {}
            Some(_) => self.error("include-path", "must be a list of strings"),
        }
    }

    fn check_suggest(&mut self) {
        let suggest = self.json.get("suggest").and_then(Value::as_object).into_iter().flatten();
        let wrong: Vec<String> =
            suggest.filter(|(_, reason)| !reason.is_string()).map(|(target, _)| target.clone()).collect();
        for target in wrong {
            self.error(format!("suggest.{target}"), "must be a string that says why the package is suggested");
        }
    }

    fn check_minimum_stability(&mut self) {
        if let Some(Value::String(text)) = self.json.get("minimum-stability")
            && let Err(error) = Stability::parse(text)
        {
            self.error("minimum-stability", error);
        }
    }

    fn check_autoload(&mut self) {
        let Some(Value::Object(autoload)) = self.json.get("autoload") else {
            if self.json.get("autoload").and_then(Value::as_array).is_some_and(|list| !list.is_empty()) {
                self.error("autoload", format!("must be an object with the keys {}", AUTOLOAD_TYPES.join(", ")));
            }
            return;
        };
        let mut wrong = Vec::new();
        for kind in autoload.keys().filter(|kind| !AUTOLOAD_TYPES.contains(&kind.as_str())) {
            wrong.push(violation("autoload", format!("{:?} is none of {}", excerpt(kind), AUTOLOAD_TYPES.join(", "))));
        }
        match autoload.get("psr-4") {
            None | Some(Value::Null) => {}
            Some(Value::Object(namespaces)) => {
                for namespace in namespaces.keys().filter(|name| !name.is_empty() && !name.ends_with('\\')) {
                    let reason = format!("the namespace {:?} must end with a backslash", excerpt(namespace));
                    wrong.push(violation("autoload.psr-4", reason));
                }
            }
            Some(Value::Array(list)) if list.is_empty() => {}
            Some(other) => {
                wrong.push(violation(
                    "autoload.psr-4",
                    format!("must be an object of namespaces, not {}", kind_of(other)),
                ));
            }
        }
        if autoload.get("psr-4").is_some_and(|value| !value.is_null()) && self.json.contains_key("target-dir") {
            wrong.push(violation("target-dir", "cannot be used together with autoload.psr-4; remove target-dir"));
        }
        self.violations.append(&mut wrong);
    }

    fn check_php_ext(&mut self) {
        let is_extension = matches!(self.json.get("type").and_then(Value::as_str), Some("php-ext" | "php-ext-zend"));
        let is_used = match self.json.get("php-ext") {
            Some(Value::Object(settings)) => !settings.is_empty(),
            Some(Value::Array(list)) => !list.is_empty(),
            _ => false,
        };
        if is_used && !is_extension {
            self.error("php-ext", "can only be set by packages of type php-ext or php-ext-zend");
        }
    }

    /// Not in the reference, whose client would stop with a type error.
    fn check_archive(&mut self) {
        let Some(archive) = self.json.get("archive") else {
            return;
        };
        let exclude = archive.get("exclude").filter(|exclude| !exclude.is_null());
        let rules = exclude.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let is_list = exclude.is_none_or(Value::is_array) && rules.iter().all(Value::is_string);
        let is_collection = archive.is_object() || archive.as_array().is_some_and(Vec::is_empty);
        if !is_collection || !is_list || archive.get("name").is_some_and(|name| !name.is_string()) {
            self.drop_field("archive", "must be an object; name must be a string, exclude a list of strings");
            return;
        }
        let size: usize = rules.iter().filter_map(Value::as_str).map(str::len).sum();
        if size > MAX_EXCLUDE_BYTES {
            let reason = format!("the rules have {size} bytes, more than the {MAX_EXCLUDE_BYTES} that are allowed");
            self.error("archive.exclude", reason);
        }
    }

    /// `true`, or the name of a replacement.
    fn check_abandoned(&mut self) {
        if self.json.get("abandoned").is_some_and(|value| !value.is_boolean() && !value.is_string()) {
            self.drop_field("abandoned", "must be true or the name of a replacement");
        }
    }
}
