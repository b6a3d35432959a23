//! composer.json of one version: reading it, and refusing what would break the people who install it.
//!
//! One bad version breaks a package for everybody, because the client reads all versions of a package at once.
//! The rules are `ValidatingArrayLoader`'s, with one deliberate difference: a field that only describes
//! (description, homepage, keywords, license, authors, support, funding) and has the wrong type is dropped with a
//! warning, as the client's own loader ignores it, so that one careless old tag does not disappear.

use serde_json::Value;

use crate::Map;
use crate::json::{InvalidJson, parse_json, refuse_byte_order_mark};
use crate::manifest_rules::Checker;
use crate::name::PackageName;

/// The largest composer.json that is read. Real ones stay far below 100 kB; the limit protects the 128 MB of an
/// isolate from a hostile one.
pub const MAX_MANIFEST_BYTES: usize = 1024 * 1024;

/// How deeply lists and objects may be nested; below the recursion limit of the JSON reader (128).
pub const MAX_MANIFEST_DEPTH: usize = 100;

/// A composer.json that can be published: read, checked, and without the fields that had to be dropped.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    json: Map,
    name: Option<PackageName>,
    version: Option<String>,
    warnings: Vec<String>,
}

/// One rule that a composer.json breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Where: `require.acme/blog`, `source.url`.
    pub field: String,
    /// What is wrong, and what to do.
    pub reason: String,
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.field, self.reason)
    }
}

/// Most broken rules that an error tells one by one.
const MAX_TOLD: usize = 20;

/// The first broken rules, and how many more there are.
fn told(violations: &[Violation]) -> String {
    let mut told: Vec<String> = violations.iter().take(MAX_TOLD).map(ToString::to_string).collect();
    if let more @ 1.. = violations.len() - told.len() {
        told.push(format!("and {more} more"));
    }
    told.join("; ")
}

/// Why a composer.json cannot be published.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidManifest {
    /// Larger than [`MAX_MANIFEST_BYTES`].
    #[error("composer.json has {size} bytes, more than the {max} that are read")]
    TooLarge {
        /// Bytes of the file.
        size: usize,
        /// Bytes that are allowed.
        max: usize,
    },
    /// Nothing but blanks.
    #[error("composer.json is empty; it has to state the package's name at least")]
    Empty,
    /// Not UTF-8.
    #[error("composer.json is not UTF-8: byte {offset} starts no character; save it as UTF-8")]
    NotUtf8 {
        /// The first bad byte, from 0.
        offset: usize,
    },
    /// Nested more deeply than [`MAX_MANIFEST_DEPTH`].
    #[error("composer.json is nested more than {max} levels deep")]
    TooDeep {
        /// Levels that are allowed.
        max: usize,
    },
    /// Not JSON.
    #[error("composer.json is not JSON: {0}")]
    NotJson(#[from] InvalidJson),
    /// JSON, but no object.
    #[error("composer.json must be an object, not {found}")]
    NotAnObject {
        /// `a list`, `a string`, …
        found: &'static str,
    },
    /// Rules are broken; never empty.
    #[error("composer.json cannot be published: {}", told(.0))]
    Invalid(Vec<Violation>),
}

impl Manifest {
    /// Reads a composer.json that speaks for itself: an uploaded archive, or the default branch of a repository.
    /// It must state a valid `name`, in any case, and its `version`, if any, must be one.
    ///
    /// # Errors
    /// [`InvalidManifest`] with every broken rule.
    pub fn parse(bytes: &[u8]) -> Result<Self, InvalidManifest> {
        let json = read(bytes)?;
        let stated = json.get("name").and_then(Value::as_str).map(PackageName::parse_ignoring_case);
        let known = stated.as_ref().and_then(|stated| stated.as_ref().ok());
        let mut checker = Checker::new(json, known.map(PackageName::as_str).unwrap_or_default());
        let name = match stated {
            Some(Ok(name)) => Some(name),
            Some(Err(error)) => {
                checker.error("name", error);
                None
            }
            None => {
                checker.error("name", "must be present, as text of the form vendor/package");
                None
            }
        };
        checker.check_version();
        Self::finish(checker, name)
    }

    /// The text of a composer.json, which need not be a valid one otherwise.
    ///
    /// # Errors
    /// [`InvalidManifest`] when it is too large or not UTF-8.
    pub fn read_text(bytes: &[u8]) -> Result<&str, InvalidManifest> {
        if bytes.len() > MAX_MANIFEST_BYTES {
            return Err(InvalidManifest::TooLarge { size: bytes.len(), max: MAX_MANIFEST_BYTES });
        }
        refuse_byte_order_mark(bytes)?;
        std::str::from_utf8(bytes).map_err(|error| InvalidManifest::NotUtf8 { offset: error.valid_up_to() })
    }

    /// Reads the composer.json of one ref of a repository whose package name is known, as `VcsRepository` does: the
    /// name in the file does not matter, so that old tags of a renamed package stay installable, and the version is
    /// judged by [`version_of_tag`](crate::version_of_tag) only.
    ///
    /// # Errors
    /// [`InvalidManifest`] with every broken rule.
    pub fn parse_as(bytes: &[u8], name: &PackageName) -> Result<Self, InvalidManifest> {
        let json = read(bytes)?;
        let stated = json.get("name").and_then(Value::as_str).map(PackageName::parse_ignoring_case);
        let mut checker = Checker::new(json, name.as_str());
        match &stated {
            Some(Ok(stated)) if stated != name => {
                checker.warnings.push(format!("name: the file says {stated}, the repository publishes {name}"));
            }
            Some(Err(error)) => checker.warnings.push(format!("name: {error}")),
            _ => {}
        }
        Self::finish(checker, stated.and_then(Result::ok))
    }

    fn finish(mut checker: Checker, name: Option<PackageName>) -> Result<Self, InvalidManifest> {
        checker.check();
        if !checker.violations.is_empty() {
            return Err(InvalidManifest::Invalid(checker.violations));
        }
        let version = checker.json.get("version").map(scalar_text);
        Ok(Self { json: checker.json, name, version, warnings: checker.warnings })
    }

    /// The name the file states. `None` only after [`parse_as`](Self::parse_as), if the file states no valid one.
    pub fn name(&self) -> Option<&PackageName> {
        self.name.as_ref()
    }

    /// The name as the author wrote it, if that is another spelling of [`name`](Self::name).
    pub fn misspelled_name(&self) -> Option<&str> {
        let stated = self.text("name")?;
        self.name.as_ref().filter(|name| name.as_str() != stated).map(|_| stated)
    }

    /// The version the file states. After [`parse`](Self::parse) it normalizes.
    pub fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }

    /// What the package is.
    pub fn description(&self) -> Option<&str> {
        self.text("description")
    }

    /// The package's type in lower case; `library` if the file states none.
    pub fn package_type(&self) -> String {
        self.text("type").unwrap_or("library").to_ascii_lowercase()
    }

    /// Where the package's site is; http or https.
    pub fn homepage(&self) -> Option<&str> {
        self.text("homepage")
    }

    /// Words to find the package by.
    pub fn keywords(&self) -> Vec<&str> {
        texts(self.json.get("keywords"))
    }

    /// The licenses, as written.
    pub fn licenses(&self) -> Vec<&str> {
        match self.json.get("license") {
            Some(Value::String(license)) => vec![license],
            licenses => texts(licenses),
        }
    }

    /// The rules of `archive.exclude`, for [`ExcludeRules`](crate::ExcludeRules).
    pub fn archive_excludes(&self) -> Vec<String> {
        let rules = self.json.get("archive").and_then(|archive| archive.get("exclude"));
        texts(rules).into_iter().map(str::to_owned).collect()
    }

    /// The links of one type (`require`, `require-dev`, `conflict`, `provide`, `replace`): target and constraint.
    pub fn links(&self, link_type: &str) -> impl Iterator<Item = (&str, &str)> {
        let links = self.json.get(link_type).and_then(Value::as_object).into_iter().flatten();
        links.filter_map(|(target, constraint)| Some((target.as_str(), constraint.as_str()?)))
    }

    /// The whole file, in the author's order, without the fields that were dropped.
    pub fn json(&self) -> &Map {
        &self.json
    }

    /// What was dropped or looks wrong without breaking anything.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    fn text(&self, field: &str) -> Option<&str> {
        self.json.get(field).and_then(Value::as_str)
    }
}

/// The strings of a list; nothing if it is none.
fn texts(list: Option<&Value>) -> Vec<&str> {
    list.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect()
}

/// A violation of `field` for a reason.
pub(crate) fn violation(field: impl Into<String>, reason: impl std::fmt::Display) -> Violation {
    Violation { field: field.into(), reason: reason.to_string() }
}

/// What PHP makes of a scalar where text is expected.
pub(crate) fn scalar_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Bool(true) => "1".to_owned(),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (None, Some(float)) => float.to_string(),
            _ => number.to_string(),
        },
        _ => String::new(),
    }
}

/// What kind of JSON a value is, for messages.
pub(crate) fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

fn read(bytes: &[u8]) -> Result<Map, InvalidManifest> {
    let text = Manifest::read_text(bytes)?;
    if text.trim_ascii().is_empty() {
        return Err(InvalidManifest::Empty);
    }
    if depth(text) > MAX_MANIFEST_DEPTH {
        return Err(InvalidManifest::TooDeep { max: MAX_MANIFEST_DEPTH });
    }
    match parse_json(bytes)? {
        Value::Object(json) => Ok(json),
        other => Err(InvalidManifest::NotAnObject { found: kind_of(&other) }),
    }
}

/// The deepest nesting of brackets outside of strings.
fn depth(text: &str) -> usize {
    let (mut open, mut deepest) = (0_usize, 0);
    let (mut in_string, mut escaped) = (false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => open += 1,
            b']' | b'}' if !in_string => open = open.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(open);
    }
    deepest
}
